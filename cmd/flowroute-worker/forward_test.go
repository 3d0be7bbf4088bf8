package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// theirs is the receiver of what somebody's own callbacks got before.
type theirs struct {
	*httptest.Server
	mu    sync.Mutex
	posts map[string][]string // by path
	tries int
}

func newTheirs(t *testing.T) *theirs {
	t.Helper()
	to := &theirs{posts: map[string][]string{}}
	to.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		if err != nil || user != "anna" || password != "tr0ub4dor" || !strings.HasPrefix(r.UserAgent(), "flowroute-worker/") || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %v, %v, user %q", err, r.Header, user)
		}
		to.mu.Lock()
		defer to.mu.Unlock()
		if to.tries++; to.tries == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		to.posts[r.URL.Path] = append(to.posts[r.URL.Path], string(body))
	}))
	t.Cleanup(to.Close)
	return to
}

func (to *theirs) got(path string) []string {
	to.mu.Lock()
	defer to.mu.Unlock()
	return append([]string{}, to.posts[path]...)
}

// waitFor asks again and again.
func (b *bundle) waitFor(otherwise string, is func() bool) {
	b.t.Helper()
	late := time.After(patience)
	for !is() {
		select {
		case <-late:
			b.t.Fatal(otherwise, b.run("mdr", "list"), b.run("doctor").out)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// callback sets one of the account's callbacks.
func (b *bundle) callback(kind, url string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPut, b.sim.URL+"/v2.1/messages/"+kind, strings.NewReader(`{"callback_url":"`+url+`"}`))
	if err != nil {
		b.t.Fatal(err)
	}
	r.SetBasicAuth(b.sim.AccessKey, b.sim.SecretKey)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		b.t.Fatalf("set %s: got %s", kind, response.Status)
	}
}

// TestWebhooksFromEndToEnd: what arrives is in the copy and counts at once, and who had
// callbacks of their own gets all that Flowroute posts, as it came.
func TestWebhooksFromEndToEnd(t *testing.T) {
	t.Parallel()
	for name, callbacks := range map[string]flowroutetest.Callbacks{"as documented": {}, "compact": {Compact: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := newTheirs(t)
			at := strings.Replace(to.URL, "://", "://anna:tr0ub4dor@", 1)
			b := setupWith(t, flowroutetest.Options{DeliverAfter: 100 * time.Millisecond, Callbacks: callbacks}).public().
				with("FORWARD_DLR_URL", at+"/dlr", "FORWARD_SMS_URL", at+"/sms?token=in-the-address")
			service := b.start("run")
			service.log("http listening")
			for _, kind := range []string{"sms", "mms"} {
				b.callback(kind+"_callback", b.env["PUBLIC_URL"]+"/webhooks/flowroute/"+hookSecret+"/"+kind)
			}
			b.await(b.run(sent()...).want(t, exitDone, "", "").id(), ledger.Delivered)
			var ids []string
			for _, inbound := range []struct {
				body  string
				media []string
			}{{"STOP", nil}, {"swordfish", []string{"https://media.example.com/a.gif"}}} {
				id, err := b.sim.Inbound("12065550123", "12065550100", inbound.body, inbound.media...)
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, id)
			}
			b.waitFor("not all was posted on", func() bool { return len(to.got("/dlr")) >= 3 && len(to.got("/sms")) >= 1 })
			b.waitFor("not all is in the copy", func() bool { return strings.Count(b.run("mdr", "list").out, "  in ") == 2 })
			if sms := to.got("/sms"); len(sms) != 1 || !strings.Contains(sms[0], ids[0]) || !strings.Contains(sms[0], "STOP") || strings.Contains(sms[0], `"data"`) == callbacks.Compact {
				t.Errorf("got %q, want what Flowroute had posted", sms)
			}
			b.run("optout", "list").want(t, exitDone, "+12065550123", "")
			b.run("doctor").want(t, exitDone, "posted on to FORWARD_SMS_URL; 0 wait", "")
			_, metrics := get(t, b.env["PUBLIC_URL"]+"/metrics")
			for _, line := range []string{`flowroute_worker_forward_waiting{kind="sms"} 0`, `flowroute_worker_forward_lag_seconds{kind="dlr"} 0`,
				`flowroute_worker_forward_posts_total{kind="sms",result="taken"} 1`, `flowroute_worker_inbound_total{kind="mms",result="stored"} 1`} {
				if !strings.Contains(metrics, line) {
					t.Errorf("no line %q in the metrics", line)
				}
			}
			service.end()
			for _, hidden := range []string{"tr0ub4dor", "in-the-address", "swordfish", hookSecret} {
				if strings.Contains(service.errs.String(), hidden) {
					t.Errorf("%q is in the log", hidden)
				}
			}
		})
	}
}

// TestDoctorOnForwarding: what waits for too long, what was dropped, and what nobody
// wants any more.
func TestDoctorOnForwarding(t *testing.T) {
	t.Parallel()
	b := setup(t).with("WEBHOOK_SECRET", hookSecret, "FORWARD_DLR_URL", "https://anna:tr0ub4dor@example.com/")
	rdb := b.db.Client()
	old := time.Now().Add(-time.Hour)
	for _, kind := range []string{"dlr", "mms"} {
		if err := rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: "{flowroute}:fwd:" + kind, ID: strconv.FormatInt(old.UnixMilli(), 10) + "-0", Values: []string{"b", "x", "t", ""}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := rdb.HSet(t.Context(), "{flowroute}:fwd:dlr:n", "lapsed", 3, "full", 0, "at", old.UnixMilli()).Err(); err != nil {
		t.Fatal(err)
	}
	got := b.run("doctor")
	for _, text := range []string{"1 post to pass on to FORWARD_DLR_URL, the oldest since", "were dropped before it had them: 3 had waited", "1 post to pass on to FORWARD_MMS_URL, which is not set"} {
		if !strings.Contains(got.out, text) {
			t.Errorf("no %q in\n%s", text, got.out)
		}
	}
	if strings.Contains(got.out+got.errs, "tr0ub4dor") {
		t.Error("the password is shown")
	}
	b.with("FORWARD_SMS_URL", "http://anna:tr0ub4dor@example.com").run("run").want(t, exitUsage, "", "FORWARD_SMS_URL: must be https")
}
