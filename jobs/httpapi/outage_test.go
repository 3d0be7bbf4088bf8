package httpapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

const keyedMessage = `{"from":"+12065550100","to":"+12065550123","body":"the secret word is swordfish","key":"k"}`

// TestRedisGoesAndComesBack cuts the connections in the middle of the work.
func TestRedisGoesAndComesBack(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	b := setupOn(t, proxy.Client())
	before := decode[jobs.Receipt](t, b.do("POST", "/v1/messages", goodMessage).want(t, 202))

	proxy.Cut()
	plain := b.do("POST", "/v1/messages", goodMessage)
	p := plain.wantProblem(t, http.StatusServiceUnavailable, "unconfirmed")
	if p.Repeatable == nil || *p.Repeatable || plain.header.Get("Retry-After") == "" {
		t.Errorf("got %s, want it not repeatable, and Retry-After", plain.body)
	}
	p = b.do("POST", "/v1/messages", keyedMessage).wantProblem(t, 503, "unconfirmed")
	if p.Repeatable == nil || !*p.Repeatable {
		t.Errorf("got %+v, want it repeatable", p)
	}
	for _, path := range []string{"/v1/messages/" + before.ID, "/v1/jobs/" + before.ID} {
		if got := b.do("GET", path, "").wantProblem(t, 503, "unavailable"); got.Repeatable != nil {
			t.Errorf("got %+v for a reading", got)
		}
	}
	b.do("DELETE", "/v1/messages/"+before.ID, "").wantProblem(t, 503, "unavailable")
	b.do("GET", "/readyz", "").want(t, 503)
	b.do("GET", "/healthz", "").want(t, 200)
	if page := b.do("GET", "/", "").want(t, 200); !strings.Contains(string(page.body), "Redis does not answer") {
		t.Errorf("the overview does not say so: %s", page.body)
	}

	proxy.Resume()
	if got := decode[jobs.Receipt](t, b.do("POST", "/v1/messages", keyedMessage).want(t, 202)); got.State != "queued" {
		t.Errorf("got %+v", got)
	}
	b.do("GET", "/v1/messages/"+before.ID, "").want(t, 200)
	b.do("GET", "/readyz", "").want(t, 200)
	if strings.Contains(b.logs.String(), "swordfish") || strings.Contains(b.logs.String(), "2065550123") {
		t.Errorf("a text or number is in the log: %s", b.logs)
	}
}

func TestRedisHangs(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	b := setupOn(t, proxy.Client())
	b.do("POST", "/v1/messages", goodMessage).want(t, 202)
	proxy.Stall()
	b.do("GET", "/readyz", "").want(t, 503)                                       // within its two seconds
	b.do("POST", "/v1/messages", keyedMessage).wantProblem(t, 503, "unavailable") // the opt-outs were not read: nothing was written down
	proxy.Resume()
	b.do("POST", "/v1/messages", keyedMessage).want(t, 202)
}

// TestLostRepliesMakeOneJob loses Redis' answer after it has written.
func TestLostRepliesMakeOneJob(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	b := setupOn(t, proxy.Client())
	b.do("POST", "/v1/messages", goodMessage).want(t, 202)
	proxy.DropReplies(1)
	if got := decode[jobs.Receipt](t, b.do("POST", "/v1/messages", goodMessage).want(t, 202)); got.Duplicate {
		t.Errorf("got %+v, want no duplicate", got)
	}
	counts, err := b.jobs.Ledger().Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := counts["send-message"]["queued"]; got != 2 {
		t.Errorf("got %d jobs, want 2", got)
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	var checks []httpapi.Check
	b := setup(t, func(o *httpapi.Options) { o.Ready = func(context.Context) []httpapi.Check { return checks } })
	type ready struct {
		Ready  bool
		Checks []httpapi.Check
	}
	redis := httpapi.Check{Name: "redis", OK: true}
	tests := []struct {
		more   []httpapi.Check
		status int
	}{
		{nil, 200},
		{[]httpapi.Check{{Name: "credentials", OK: true}}, 200},
		{[]httpapi.Check{{Name: "credentials", Detail: "refused"}, {Name: "breaker", OK: true}}, 503},
	}
	for _, tt := range tests {
		checks = tt.more
		got := decode[ready](t, b.do("GET", "/readyz", "", "Authorization", "").want(t, tt.status))
		if want := (ready{tt.status == 200, append([]httpapi.Check{redis}, tt.more...)}); !cmp.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}
