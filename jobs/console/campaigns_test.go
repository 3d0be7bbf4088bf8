package console_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/console"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// rig is the console with campaigns.
type rig struct {
	*bundle
	store *campaign.Store
}

func setupCampaigns(t *testing.T, rdb redis.UniversalClient, o campaign.Options, change ...func(*console.Options)) *rig {
	t.Helper()
	store, err := campaign.New(rdb, o)
	if err != nil {
		t.Fatal(err)
	}
	b := setup(t, rdb, append([]func(*console.Options){func(o *console.Options) { o.Campaigns = store }}, change...)...)
	return &rig{b, store}
}

// draft makes a campaign with so many recipients.
func (r *rig) draft(spec campaign.Spec, recipients int) ledger.ID {
	r.t.Helper()
	spec.From, spec.SendingHours = campaign.Senders{"+12065550100"}, "00:00-24:00"
	spec.Template = cmp.Or(spec.Template, "Hi {{name}}")
	created, err := r.store.Create(r.t.Context(), spec.ID(nil), spec)
	if err != nil {
		r.t.Fatal(err)
	}
	var people strings.Builder
	people.WriteString("phone,name\n")
	for i := range recipients {
		fmt.Fprintf(&people, "+1206%07d,swordfish %d\n", 2000001+i, i)
	}
	if _, err := r.store.Upload(r.t.Context(), created.ID, strings.NewReader(people.String()), campaign.Input{}, nil); err != nil {
		r.t.Fatal(err)
	}
	return created.ID
}

// running makes one that runs, with a job for each recipient.
func (r *rig) running(spec campaign.Spec, recipients int) ledger.ID {
	r.t.Helper()
	id := r.draft(spec, recipients)
	if _, err := r.store.Start(r.t.Context(), id); err != nil {
		r.t.Fatal(err)
	}
	clocks, err := campaign.NewClocks(time.UTC)
	if err != nil {
		r.t.Fatal(err)
	}
	feeder, err := campaign.NewFeeder(campaign.FeederOptions{Store: r.store, Jobs: r.jobs, Clocks: clocks})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(r.t.Context())
	ended := make(chan error)
	go func() { ended <- feeder.Run(ctx) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for fed := 0; fed < recipients; {
		select {
		case <-tick.C:
		case <-late:
			r.t.Fatalf("%d of %d were fed", fed, recipients)
		}
		c, err := r.store.Get(r.t.Context(), id)
		if err != nil {
			r.t.Fatal(err)
		}
		fed = c.Fed()
	}
	stop()
	<-ended
	return id
}

// outcome is what becomes of a row.
func (r *rig) outcome(id ledger.ID, row uint32, s ledger.Settlement) {
	r.t.Helper()
	s.ID, s.Token = id.OfRow(row), ledger.NewID().String()
	begun, err := r.jobs.Ledger().Begin(r.t.Context(), ledger.Intent{
		ID: s.ID, Generation: 1, Token: s.Token, Account: "a", Budget: time.Minute, Timeout: time.Minute, Settle: time.Minute,
	})
	if err != nil || begun.Decision != ledger.Go {
		r.t.Fatalf("begin row %d: got %+v, %v", row, begun, err)
	}
	if s.To == ledger.Accepted {
		s.MDR = "mdr2-" + strings.ReplaceAll(ledger.NewID().String(), "-", "")
	}
	if _, err := r.jobs.Ledger().Settle(r.t.Context(), s); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) state(id ledger.ID) campaign.State {
	r.t.Helper()
	c, err := r.store.Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return c.State
}

// post sends a form, with pairs of headers.
func (r *rig) post(path string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	request := httptest.NewRequestWithContext(console.WithUser(r.t.Context(), "ops", true), "POST", path, nil)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	out := httptest.NewRecorder()
	r.page.ServeHTTP(out, request)
	return out
}

func wantNone(t *testing.T, page string, bads ...string) {
	t.Helper()
	for _, bad := range bads {
		if strings.Contains(page, bad) {
			t.Errorf("%q is in\n%s", bad, page)
		}
	}
}

const evilTemplate = `Hi {{name}} <script>alert(1)</script>`

func TestCampaignPage(t *testing.T) {
	t.Parallel()
	r := setupCampaigns(t, redistest.New(t).Client(), campaign.Options{BrakePercent: 100, BrakeWindow: 100})
	id := r.running(campaign.Spec{Name: "Spring <script>sale", Template: evilTemplate, Rate: 1000}, 80)
	for row := range uint32(60) {
		to := ledger.Settlement{To: ledger.Accepted}
		if row >= 5 {
			to = ledger.Settlement{To: ledger.Failed, Reason: ledger.ReasonRefused, Detail: "403 <script>no"}
		}
		r.outcome(id, row+1, to)
	}
	page := r.get("/campaigns/" + id.String())
	wantAll(t, page,
		"<!doctype html>", "<title>Spring &lt;script&gt;sale · flowroute-worker</title>", `data-source="/console/campaigns/`+id.String()+`"`,
		`<h1>Spring &lt;script&gt;sale <span class="pill busy">running</span>`, "<pre>Hi {{name}} &lt;script&gt;alert(1)&lt;/script&gt;</pre>",
		"<b>60 of 80</b><span>75%</span>", `<rect class="good" x="0.00" width="6.25" height="1"/><rect class="bad" x="6.25" width="68.75"`,
		`<div class="tile bad"><b>92%</b><span>Refused</span>`, `<small>refused, or surely not sent</small></th><td class="n">55</td><td class="n">69%</td>`,
		`<small>Flowroute took it</small></th><td class="n">5</td>`, `<span class="mono">refused</span> <small>Flowroute said no; its words are with the rows</small></th><td class="n">55</td>`,
		"its own limit is 1000/s", "&#43;12065550100", "80, 1 a message; at most 10", "$0.32 for all", "no records yet", "The first 50 that got nothing",
		`href="/v1/jobs/`+id.OfRow(6).String()+`"`, ">6</a>", "…0006</td>", "403 &lt;script&gt;no", "campaign failures "+id.String(),
		`method="post" action="/campaigns/`+id.String()+`/pause"`, `href="/campaigns/`+id.String()+`/cancel"`,
	)
	wantNone(t, page, "<script>sale", "<script>alert", "<script>no", "swordfish", "2062000", "style=", "/resume", "…0056<")
	part := r.get("/console/campaigns/" + id.String())
	wantAll(t, part, "Recipients by state", "As of")
	wantNone(t, part, "<html", "<script", "got nothing</h2>", "403 ")
	failures := r.get("/console/campaigns/" + id.String() + "/failures")
	wantAll(t, failures, "The first 50", "…0006</td>")
	wantNone(t, failures, "<html", "Recipients by state")
	wantAll(t, r.get("/campaigns"), "Spring &lt;script&gt;sale</a>", "60 of 80 · 75% · <b class=\"bad\">92% refused</b>")
	wantAll(t, r.get("/"), `<h2>Campaigns <a href="/campaigns">all</a></h2>`, "Spring &lt;script&gt;sale</a>", "60 of 80")
}

// TestWhatMayBeDone: the states with what is offered in each, and what each form does.
func TestWhatMayBeDone(t *testing.T) {
	t.Parallel()
	r := setupCampaigns(t, redistest.New(t).Client(), campaign.Options{})
	own := []string{"Sec-Fetch-Site", "same-origin"}
	id := r.draft(campaign.Spec{Name: "one", StartAt: time.Now().Add(time.Hour)}, 3)
	at := "/campaigns/" + id.String()
	offered := func(says string, ops ...string) {
		t.Helper()
		page := r.get(at)
		wantAll(t, page, says)
		for _, op := range []string{"pause", "resume", "cancel"} {
			if got, want := strings.Contains(page, `="`+at+"/"+op+`"`), strings.Contains(strings.Join(ops, " "), op); got != want {
				t.Errorf("%s: %s offered: got %v, want %v", r.state(id), op, got, want)
			}
		}
	}
	do := func(op string, want campaign.State) {
		t.Helper()
		out := r.post(at+"/"+op, own...)
		if out.Code != http.StatusSeeOther || out.Header().Get("Location") != at || r.state(id) != want {
			t.Errorf("%s: got %d to %q, and it is %s, want %s", op, out.Code, out.Header().Get("Location"), r.state(id), want)
		}
	}
	offered("Its recipients are not all there yet", "cancel")
	if out := r.post(at+"/pause", own...); out.Header().Get("Location") != at+"?not=pause" {
		t.Errorf("a draft is paused: got %d to %q", out.Code, out.Header().Get("Location"))
	}
	wantAll(t, r.get(at+"?not=pause"), "It could not be paused: it is draft.")
	wantNone(t, r.get(at+"?not=%3Cscript%3E"), "could not be")
	if _, err := r.store.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	offered("To begin", "pause", "cancel")
	wantAll(t, r.get("/campaigns"), "begins in 59 min")
	do("pause", campaign.Paused)
	do("pause", campaign.Paused)
	offered("Paused by a person", "resume", "cancel")
	do("resume", campaign.Scheduled)
	wantAll(t, r.get(at+"/cancel"), "Cancel one?", "The 3 others get nothing any more", `method="post" action="`+at+`/cancel"`, "Pause instead")
	wantNone(t, r.get(at+"/cancel"), "data-source", "http-equiv")
	do("cancel", campaign.Cancelled)
	offered("nothing was sent to them")
	if out := r.post(at+"/resume", own...); out.Header().Get("Location") != at+"?not=resume" {
		t.Errorf("a cancelled one is resumed: got %d to %q", out.Code, out.Header().Get("Location"))
	}
	get(t, r.page, at+"/cancel", http.StatusSeeOther)
}

// TestChangesComeFromOwnPages is the table of who may press a button from where.
func TestChangesComeFromOwnPages(t *testing.T) {
	t.Parallel()
	r := setupCampaigns(t, redistest.New(t).Client(), campaign.Options{})
	for _, tt := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"own page", []string{"Sec-Fetch-Site", "same-origin"}, 303},
		{"own page, no Sec-Fetch-Site", []string{"Origin", "http://example.com"}, 303},
		{"no word of where from", nil, 403},
		{"foreign page", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"sibling host", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"no page", []string{"Sec-Fetch-Site", "none"}, 403},
		{"foreign page that claims our origin too", []string{"Sec-Fetch-Site", "cross-site", "Origin", "http://example.com"}, 403},
		{"foreign origin", []string{"Origin", "http://evil.example"}, 403},
		{"sandboxed page", []string{"Origin", "null"}, 403},
		{"longer host", []string{"Origin", "http://example.com.evil.example"}, 403},
		{"no origin", []string{"Origin", ""}, 403},
	} {
		id := r.draft(campaign.Spec{Name: tt.name}, 1)
		out := r.post("/campaigns/"+id.String()+"/cancel", tt.headers...)
		if out.Code != tt.status || (r.state(id) == campaign.Cancelled) != (tt.status == 303) {
			t.Errorf("%s: got %d, and it is %s, want %d", tt.name, out.Code, r.state(id), tt.status)
		}
	}
}

func TestPausedByItsBrake(t *testing.T) {
	t.Parallel()
	r := setupCampaigns(t, redistest.New(t).Client(), campaign.Options{BrakePercent: 5, BrakeWindow: 100})
	id := r.running(campaign.Spec{Name: "<b>braked</b>", Template: "Hi {{name}}"}, 20)
	for row := range uint32(2) {
		r.outcome(id, row+1, ledger.Settlement{To: ledger.Failed, Reason: ledger.ReasonInvalid})
	}
	page := r.get("/campaigns/" + id.String())
	wantAll(t, page, `<section class="alert severe" role="alert"><strong>Paused by its brake</strong>`, "2 of its last 2 messages were refused, the last one as invalid.",
		"That means: the message was not one that can be sent.", "Then resume it", `action="/campaigns/`+id.String()+`/resume"`)
	wantAll(t, r.get("/campaigns"), `<span class="pill bad">by its brake</span>`)
	wantAll(t, r.get("/"), `<strong>Campaign paused by its brake: &lt;b&gt;braked&lt;/b&gt;</strong>`, "2 of its last 2 messages", `<a href="/campaigns/`+id.String()+`">Look at it</a>`)
	if out := r.post("/campaigns/"+id.String()+"/resume", "Sec-Fetch-Site", "same-origin"); out.Code != http.StatusSeeOther || r.state(id) != campaign.Running {
		t.Errorf("resume: got %d, and it is %s", out.Code, r.state(id))
	}
	wantNone(t, r.get("/"), "Campaign paused by its brake")
}

func TestCampaignsPages(t *testing.T) {
	t.Parallel()
	r := setupCampaigns(t, redistest.New(t).Client(), campaign.Options{})
	wantAll(t, r.get("/campaigns"), "There is no campaign yet", "flowroute-worker campaign create")
	var ids []ledger.ID
	for n := range 52 {
		spec := campaign.Spec{Name: fmt.Sprintf("number %d.", n), From: campaign.Senders{"+12065550100"}}
		created, err := r.store.Create(t.Context(), spec.ID(nil), spec)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, created.ID)
	}
	first := r.get("/campaigns")
	_, link, _ := strings.Cut(first, `href="/campaigns?after=`)
	after, _, _ := strings.Cut(link, `"`)
	if got := strings.Count(first, `class="name"`); got != 50 || after == "" {
		t.Fatalf("got %d campaigns and %q to go on from, want 50", got, after)
	}
	second := r.get("/campaigns?after=" + after)
	wantAll(t, second, `<a href="/campaigns">Newest</a>`, `data-source="/console/campaigns?after=`+after+`"`)
	wantNone(t, second, "Older")
	for _, id := range ids {
		if got := strings.Count(first+second, `href="/campaigns/`+id.String()+`"`); got != 1 {
			t.Errorf("campaign %s is there %d times", id, got)
		}
	}
	wantAll(t, r.get("/console/campaigns?after="+ids[0].String()), "As of")
	get(t, r.page, "/campaigns?after=nonsense", 404)
}

func TestUnknownCampaigns(t *testing.T) {
	t.Parallel()
	r := setupCampaigns(t, redistest.New(t).Client(), campaign.Options{})
	unknown := ledger.NewCampaignID().String()
	for _, id := range []string{unknown, "nonsense", "%3Cscript%3E"} {
		for _, path := range []string{"/campaigns/" + id, "/console/campaigns/" + id, "/console/campaigns/" + id + "/failures", "/campaigns/" + id + "/cancel"} {
			page := get(t, r.page, path, 404)
			wantAll(t, page, "There is no such campaign.")
			wantNone(t, page, "/pause", "<script>")
		}
		if out := r.post("/campaigns/"+id+"/pause", "Sec-Fetch-Site", "same-origin"); out.Code != 404 {
			t.Errorf("%s: pausing got %d, want 404", id, out.Code)
		}
	}
	if out := r.post("/campaigns/"+unknown+"/start", "Sec-Fetch-Site", "same-origin"); out.Code != 404 {
		t.Errorf("starting: got %d, want 404", out.Code)
	}
	without := setup(t, redistest.New(t).Client())
	get(t, without.page, "/campaigns", 404)
	wantNone(t, without.get("/"), `href="/campaigns"`)
}

func TestCampaignsWithoutRedis(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	r := setupCampaigns(t, proxy.Client(), campaign.Options{})
	id := r.draft(campaign.Spec{}, 1)
	wantAll(t, r.get("/campaigns/"+id.String()), "<h1>Campaign "+id.String()[:8])
	proxy.Cut()
	wantAll(t, get(t, r.page, "/campaigns", 503), "Redis does not answer")
	wantAll(t, get(t, r.page, "/campaigns/"+id.String(), 503), "Redis does not answer")
	if out := r.post("/campaigns/"+id.String()+"/cancel", "Sec-Fetch-Site", "same-origin"); out.Code != 503 || !strings.Contains(out.Body.String(), "it is not known whether this was done") {
		t.Errorf("got %d: %s", out.Code, out.Body)
	}
	proxy.Resume()
	wantAll(t, r.get("/campaigns/"+id.String()), "Its recipients are not all there yet")
}

func TestParked(t *testing.T) {
	t.Parallel()
	var id ledger.ID
	r := setupCampaigns(t, redistest.New(t).Client(), campaign.Options{}, func(o *console.Options) {
		o.Parked = func(context.Context) ([]console.Parked, error) {
			return []console.Parked{
				{What: "MMS", Lane: "normal", Limit: "1/s", Messages: 3}, {What: "nothing here"},
				{What: "SMS", Lane: "bulk", Campaign: id, Messages: 1234}, {What: "rows of", Campaign: id, Held: true, Messages: 7},
				{What: "rows of", Campaign: ledger.NewCampaignID(), Held: true, Messages: 2},
			}, nil
		}
	})
	id = r.draft(campaign.Spec{Name: "<i>mine", Rate: 2}, 1)
	page := r.get("/")
	wantAll(t, page, "Waiting beside the queues", `MMS <span class="pill">normal</span></th> <td>1/s</td><td class="n">3</td>`,
		`<a href="/campaigns/`+id.String()+`">&lt;i&gt;mine</a></th> <td>2/s</td><td class="n">1,234</td>`, `<td>until it runs</td><td class="n">7</td>`, ">campaign ")
	wantNone(t, page, "nothing here")
}
