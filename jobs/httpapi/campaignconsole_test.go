package httpapi_test

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/console"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
)

// browser is what a person does with the pages: it knows of them what they say.
type browser struct {
	t      *testing.T
	client *http.Client
	at     *url.URL
	status int
	page   string
}

func (b *campaigns) browser() *browser {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	at, err := url.Parse(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	return &browser{t: b.t, client: &http.Client{Jar: jar}, at: at}
}

// form is one of a page's.
type form struct {
	method, action string
	fields         url.Values
	button         string // what it says
}

// forms reads those of the page, and where its links lead by what they say.
func (w *browser) forms() (forms []form, links map[string]string) {
	w.t.Helper()
	links = map[string]string{}
	page := xml.NewDecoder(strings.NewReader(w.page))
	page.Strict, page.AutoClose, page.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var inside, button, link bool
	var href string
	for {
		token, err := page.Token()
		if errors.Is(err, io.EOF) {
			return forms, links
		}
		if err != nil {
			w.t.Fatalf("%v in\n%s", err, w.page)
		}
		switch e := token.(type) {
		case xml.StartElement:
			given := map[string]string{}
			for _, a := range e.Attr {
				given[a.Name.Local] = a.Value
			}
			switch e.Name.Local {
			case "form":
				inside = true
				forms = append(forms, form{method: strings.ToUpper(given["method"]), action: given["action"], fields: url.Values{}})
			case "input":
				if inside {
					forms[len(forms)-1].fields.Add(given["name"], given["value"])
				}
			case "button":
				button = inside
			case "a":
				link, href = true, given["href"]
			}
		case xml.EndElement:
			switch e.Name.Local {
			case "form":
				inside = false
			case "button":
				button = false
			case "a":
				link = false
			}
		case xml.CharData:
			if text := strings.TrimSpace(string(e)); button && text != "" {
				forms[len(forms)-1].button = text
			} else if link {
				links[text] = href
			}
		}
	}
}

// form is the one with a button.
func (w *browser) form(button string) form {
	w.t.Helper()
	forms, _ := w.forms()
	for _, f := range forms {
		if f.button == button {
			return f
		}
	}
	w.t.Fatalf("at %s there is no button %q: %+v", w.at, button, forms)
	return form{}
}

// offers reports whether the page has a button.
func (w *browser) offers(button string) bool {
	w.t.Helper()
	forms, _ := w.forms()
	for _, f := range forms {
		if f.button == button {
			return true
		}
	}
	return false
}

// send sends a form, with pairs of headers, and goes where that leads.
func (w *browser) send(f form, headers ...string) {
	w.t.Helper()
	to, err := w.at.Parse(f.action)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), f.method, to.String(), strings.NewReader(f.fields.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w.take(w.client.Do(r))
}

// own are the headers of a form that the page itself sends.
func (w *browser) own() []string {
	return []string{"Origin", w.at.Scheme + "://" + w.at.Host, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate"}
}

func (w *browser) press(button string) {
	w.t.Helper()
	w.send(w.form(button), w.own()...)
}

func (w *browser) open(path string) {
	w.t.Helper()
	w.send(form{method: "GET", action: path}, "Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate")
}

func (w *browser) take(response *http.Response, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	w.at, w.status, w.page = response.Request.URL, response.StatusCode, string(page)
}

// TestCampaignByItsButtons: a person logs in, and pauses, resumes and cancels a campaign
// with the buttons of its page. Nobody else can send what they send.
func TestCampaignByItsButtons(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t, func(o *httpapi.Options) {
		pages, err := console.New(console.Options{Ledger: o.Jobs.Ledger(), Redis: o.Redis, Campaigns: o.Campaigns})
		if err != nil {
			t.Fatal(err)
		}
		o.Console = pages
	})
	id := b.draft(`,"template":"hello"`).ID
	b.recipients(id, to(1)+"\n"+to(2), asLines)
	b.do("POST", "/v1/campaigns/"+id+"/start", "").want(t, 200)

	w := b.browser()
	w.open("/campaigns/" + id)
	login := w.form("Log in")
	login.fields.Set("name", "ops")
	login.fields.Set("token", opsToken)
	w.send(login, w.own()...)
	if w.status != 200 || w.at.Path != "/campaigns/"+id {
		t.Fatalf("logged in: got %d at %s\n%s", w.status, w.at, w.page)
	}
	is := func(state campaign.State, offers, not string) {
		t.Helper()
		if got := b.get(id).State; got != state || w.status != 200 || w.at.Path != "/campaigns/"+id || !w.offers(offers) || w.offers(not) {
			t.Errorf("got %s, want %s; the page at %s, with %d, offers %s: %v, %s: %v", got, state, w.at, w.status, offers, w.offers(offers), not, w.offers(not))
		}
	}
	is(campaign.Running, "Pause", "Resume")

	pause, page := w.form("Pause"), *w
	own := w.own()
	for name, tt := range map[string]struct {
		browser *browser
		headers []string
		status  int
	}{
		"nobody's session":            {b.browser(), own, 401},
		"foreign page":                {w, []string{"Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		"foreign page, old":           {w, []string{"Origin", "http://evil.example"}, 403},
		"sibling host":                {w, []string{"Origin", "http://other." + w.at.Host, "Sec-Fetch-Site", "same-site"}, 403},
		"sandboxed page":              {w, []string{"Origin", "null"}, 403},
		"no word of where it is from": {w, nil, 403},
	} {
		tt.browser.send(pause, tt.headers...)
		if got := b.get(id).State; tt.browser.status != tt.status || got != campaign.Running {
			t.Errorf("%s: got %d, want %d, and it is %s: %.200s", name, tt.browser.status, tt.status, got, tt.browser.page)
		}
	}
	*w = page

	w.press("Pause")
	is(campaign.Paused, "Resume", "Pause")
	w.press("Resume")
	is(campaign.Running, "Pause", "Resume")
	_, links := w.forms()
	w.open(links["Cancel…"])
	w.press("Pause instead")
	is(campaign.Paused, "Resume", "Pause")
	_, links = w.forms()
	w.open(links["Cancel…"])
	w.press("Cancel it for good")
	if got := b.get(id).State; got != campaign.Cancelled || w.status != 200 || w.offers("Resume") {
		t.Errorf("got %s, and %d at %s", got, w.status, w.at)
	}

	w.press("Log out")
	if w.send(pause, own...); w.status != 401 {
		t.Errorf("after the logout: got %d", w.status)
	}
}
