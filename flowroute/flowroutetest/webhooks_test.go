package flowroutetest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

// hook is a webhook that hands every post to the test and answers as told.
type hook struct {
	*httptest.Server
	posts  chan map[string]any
	status chan int // one for each post; 200 when empty
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{posts: make(chan map[string]any, 100), status: make(chan int, 100)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		var v map[string]any
		if err != nil || json.Unmarshal(text, &v) != nil || r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("webhook: got %s %q of type %q", r.Method, text, r.Header.Get("Content-Type"))
		}
		v["path"] = r.URL.Path
		status := 200
		select {
		case status = <-h.status:
		default:
		}
		w.WriteHeader(status)
		h.posts <- v
	}))
	t.Cleanup(h.Close)
	return h
}

// next returns the next post; short says it in a line.
func (h *hook) next(t *testing.T) map[string]any {
	t.Helper()
	select {
	case p := <-h.posts:
		return p
	case <-t.Context().Done():
		t.Fatal("no post came")
		return nil
	}
}

func short(p map[string]any) string {
	data, ok := p["data"].(map[string]any)
	if !ok {
		data = p
	}
	attrs, ok := data["attributes"].(map[string]any)
	if !ok {
		attrs = data
	}
	return fmt.Sprintf("%v %v/%v", p["path"], attrs["level"], attrs["status_code"])
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	const url = `{"to":"12065550199","from":"12065550100","body":"hi","dlr_callback":"%s/own"}`
	for _, c := range []struct {
		name      string
		callbacks flowroutetest.Callbacks
		early     []string // before the message's end
		late      []string
	}{
		{"in order", flowroutetest.Callbacks{}, []string{"/own 1/<nil>", "/own 2/1003"}, []string{"/own 2/1004"}},
		{"reversed", flowroutetest.Callbacks{Reversed: true}, nil, []string{"/own 2/1004", "/own 2/1003", "/own 1/<nil>"}},
		{"twice", flowroutetest.Callbacks{Copies: 2}, []string{"/own 1/<nil>", "/own 1/<nil>", "/own 2/1003", "/own 2/1003"}, []string{"/own 2/1004", "/own 2/1004"}},
		{"compact", flowroutetest.Callbacks{Compact: true}, []string{"/own <nil>/<nil>", "/own <nil>/1003"}, []string{"/own <nil>/1004"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHook(t)
			b := setup(t, flowroutetest.Options{DeliverAfter: -1, Callbacks: c.callbacks})
			a := b.do("POST", "/v2.1/messages", fmt.Sprintf(url, h.URL))
			wantStatus(t, a, 202)
			for _, want := range c.early {
				if got := short(h.next(t)); got != want {
					t.Errorf("got receipt %q, want %q", got, want)
				}
			}
			if n := b.Complete(); n != 1 {
				t.Errorf("got %d completed, want 1", n)
			}
			for _, want := range c.late {
				p := h.next(t)
				if got := short(p); got != want {
					t.Errorf("got receipt %q, want %q", got, want)
				}
				if !strings.Contains(fmt.Sprint(p), a.at(t, "data.id").(string)) {
					t.Errorf("got %v, want the message's id in it", p)
				}
			}
		})
	}
}

func TestReceiptShape(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	b, _ := timed(t, flowroutetest.Options{})
	wantStatus(t, b.do("PUT", "/v2.1/messages/dlr_callback", `{"callback_url":"`+h.URL+`/account"}`), 204)
	id := b.send("hi")
	want := map[string]any{"path": "/account", "data": map[string]any{"id": id, "type": "delivery_receipt",
		"links": map[string]any{"related": b.URL + "/v2.2/messages/" + id},
		"attributes": map[string]any{"body": "hi", "level": 1.0, "status": "smsc submit", "status_code": nil,
			"status_code_description": "Message has been sent", "timestamp": "2026-03-04T12:00:00+00:00"}}}
	if diff := cmp.Diff(want, h.next(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestReceiptURLs: the message's own URL goes before the number's, and that
// before the account's.
func TestReceiptURLs(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	b := setup(t, flowroutetest.Options{DeliverAfter: -1})
	put := func(method, path, to string) {
		t.Helper()
		wantStatus(t, b.do(method, path, `{"data":{"attributes":{"callback_url":"`+h.URL+to+`"}}}`), 204)
	}
	put("PUT", "/v2.1/messages/sms_dlr_callback", "/account")
	b.send("a")
	put("POST", "/v2/numbers/"+ours+"/relationships/sms_dlr_callback", "/number")
	b.send("b")
	wantStatus(t, b.do("POST", "/v2.1/messages", `{"to":"12065550199","from":"12065550100","body":"c","dlr_callback":"`+h.URL+`/message"}`), 202)
	got := map[string]int{}
	for range 6 {
		got[short(h.next(t))]++
	}
	want := map[string]int{}
	for _, path := range []string{"/account", "/number", "/message"} {
		want[path+" 1/<nil>"], want[path+" 2/1003"] = 1, 1
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCallbackConfiguration(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	const path = "/v2.2/messages/mms_dlr_callback"
	wantStatus(t, b.get(path), 404)
	wantStatus(t, b.do("PUT", path, `{"callback_url":"https://example.com/x"}`), 204)
	want := map[string]any{"type": "callback", "attributes": map[string]any{"api_version": "v2.2", "callback_url": "https://example.com/x", "product": "mms"}}
	if diff := cmp.Diff(want, b.get(path).at(t, "data")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantStatus(t, b.do("DELETE", path, ""), 204)
	wantStatus(t, b.do("DELETE", path, ""), 404)
	for _, bad := range []string{"", `{}`, `{"callback_url":"ftp://x"}`, `{"callback_url":7}`} {
		wantStatus(t, b.do("PUT", path, bad), 422)
	}
	wantStatus(t, b.do("PUT", "/v2.1/messages/other_callback", `{"callback_url":"https://example.com/x"}`), 404)
	wantStatus(t, b.do("POST", "/v2/numbers/12125550199/relationships/sms_callback", `{"callback_url":"https://example.com/x"}`), 404)
}

func TestInbound(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	b, _ := timed(t, flowroutetest.Options{Callbacks: flowroutetest.Callbacks{RetryEvery: 30 * time.Second}})
	wantStatus(t, b.do("PUT", "/v2.1/messages/sms_callback", `{"callback_url":"`+h.URL+`/sms"}`), 204)
	for range 4 {
		h.status <- 202 // only 200 counts
	}
	id, err := b.Inbound(theirs, ours, "hello?")
	if err != nil {
		t.Fatal(err)
	}
	for try := range 4 {
		attrs := h.next(t)["data"].(map[string]any)["attributes"].(map[string]any)
		if attrs["amount_nanodollars"] != "4000000" || attrs["timestamp"] != "2026-03-04T12:00:00.120000Z" || attrs["status"] != "delivered" {
			t.Errorf("got %v, want the amount as a string and six digits of the second", attrs)
		}
		if err := b.WaitFor(t.Context(), func(k flowroutetest.Counts) bool { return k.Callbacks == int64(try+1) }); err != nil {
			t.Fatal(err)
		}
		b.Advance(30 * time.Second)
	}
	one := b.get("/v2.1/messages/" + id)
	if one.at(t, "data.attributes.direction") != "inbound" || len(one.at(t, "data.attributes.delivery_receipts").([]any)) != 0 {
		t.Errorf("got %s", one.body)
	}
	if got := b.Counts(); got.Callbacks != 4 || got.CallbacksOK != 0 {
		t.Errorf("got %d posts, %d of them fine, want 4 and 0", got.Callbacks, got.CallbacksOK)
	}
	if _, err := b.Inbound(theirs, "12125550199", "x"); err == nil {
		t.Error("to a number not ours: got no error")
	}
	if _, err := b.Inbound("x", ours, "x"); err == nil {
		t.Error("from no number: got no error")
	}
}

func TestInboundMMS(t *testing.T) {
	t.Parallel()
	for name, compact := range map[string]bool{"JSON:API": false, "flat": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHook(t)
			b := setup(t, flowroutetest.Options{Callbacks: flowroutetest.Callbacks{Compact: compact}})
			wantStatus(t, b.do("POST", "/v2/numbers/"+ours+"/relationships/mms_callback", `{"callback_url":"`+h.URL+`/mms"}`), 204)
			id, err := b.Inbound(theirs, ours, "look", "https://media.example.com/a.gif")
			if err != nil {
				t.Fatal(err)
			}
			p := h.next(t)
			if compact {
				if diff := cmp.Diff(map[string]any{"path": "/mms", "to": ours, "from": theirs, "body": "look", "id": id}, p); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				return
			}
			attrs := p["data"].(map[string]any)["attributes"].(map[string]any)
			if _, has := attrs["status"]; has || attrs["is_mms"] != true || len(p["included"].([]any)) != 1 {
				t.Errorf("got %v, want an MMS without status and with its media", p)
			}
		})
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	inbound := func(body string) {
		t.Helper()
		if _, err := b.Inbound(theirs, ours, body); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		body   string
		status int
	}{{"please stop it", 202}, {" Stop\n", 400}, {"hello", 400}, {"UNSTOP", 202}} {
		inbound(step.body)
		wantStatus(t, b.do("POST", "/v2.1/messages", message("x")), step.status)
	}
	b.OptOut(ours, theirs)
	wantStatus(t, b.do("POST", "/v2.1/messages", strings.ReplaceAll(message("x"), ours, "12065550101")), 202) // per pair
	wantStatus(t, b.do("POST", "/v2.1/messages", message("x")), 400)
	b.OptIn(ours, theirs)
	wantStatus(t, b.do("POST", "/v2.1/messages", message("x")), 202)
}

// TestCallbacksStayHome: nothing is posted to the real world.
func TestCallbacksStayHome(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	for _, host := range []string{"192.0.2.1", "webhook.example.com", "127.0.0.1.example.com"} {
		wantStatus(t, b.do("POST", "/v2.1/messages", `{"to":"12065550199","from":"12065550100","body":"c","dlr_callback":"http://`+host+`/x"}`), 202)
	}
	if err := b.WaitFor(t.Context(), func(c flowroutetest.Counts) bool { return c.Callbacks == 9 }); err != nil {
		t.Fatal(err)
	}
	if got := b.Counts().CallbacksOK; got != 0 {
		t.Errorf("got %d posts that arrived, want none", got)
	}
}
