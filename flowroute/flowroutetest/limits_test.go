package flowroutetest_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

// attempt is one row of a timeline: a request at a time, and what it is answered.
type attempt struct {
	at     time.Duration
	what   string // sms, mms, lookup, numbers
	status int
}

func TestLimits(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	for _, c := range []struct {
		name     string
		limits   flowroutetest.Limits
		timeline []attempt
		rejected map[flowroutetest.Kind]int
		most     map[flowroutetest.Kind]int
	}{
		{"fixed window: the clock's second", flowroutetest.Limits{SMSPerSecond: 2}, []attempt{
			{0, "sms", 202}, {100 * ms, "sms", 202}, {200 * ms, "sms", 429}, // 12:00:00.123 and on
			{877 * ms, "sms", 202}, {878 * ms, "sms", 202}, {1876 * ms, "sms", 429}, {1877 * ms, "sms", 202},
		}, map[flowroutetest.Kind]int{"sms": 2}, map[flowroutetest.Kind]int{"sms": 5}},
		{"sliding window: rejected attempts count", flowroutetest.Limits{SMSPerSecond: 2, Window: flowroutetest.WindowSliding}, []attempt{
			{0, "sms", 202}, {400 * ms, "sms", 202}, {999 * ms, "sms", 429}, {1000 * ms, "sms", 429}, // 0 has left, 999 has not
			{1999 * ms, "sms", 202}, {2000 * ms, "sms", 202}, {2001 * ms, "sms", 429},
		}, map[flowroutetest.Kind]int{"sms": 3}, map[flowroutetest.Kind]int{"sms": 3}},
		{"an MMS counts in both", flowroutetest.Limits{SMSPerSecond: 2, MMSPerSecond: 1, Window: flowroutetest.WindowSliding}, []attempt{
			{0, "mms", 202}, {1 * ms, "mms", 429}, {2 * ms, "sms", 429}, {1002 * ms, "sms", 202},
		}, map[flowroutetest.Kind]int{"sms": 1, "mms": 1}, map[flowroutetest.Kind]int{"sms": 3, "mms": 2}},
		{"an MMS counts apart", flowroutetest.Limits{SMSPerSecond: 1, MMSPerSecond: 1, MMSApart: true}, []attempt{
			{0, "mms", 202}, {1 * ms, "sms", 202}, {2 * ms, "mms", 429}, {3 * ms, "sms", 429},
		}, map[flowroutetest.Kind]int{"sms": 1, "mms": 1}, map[flowroutetest.Kind]int{"sms": 2, "mms": 2}},
		{"look-ups apart", flowroutetest.Limits{SMSPerSecond: 1, LookupsPerSecond: 1}, []attempt{
			{0, "lookup", 200}, {1 * ms, "sms", 202}, {2 * ms, "lookup", 429},
		}, map[flowroutetest.Kind]int{"lookup": 1}, map[flowroutetest.Kind]int{"sms": 1, "lookup": 2}},
		{"look-ups share", flowroutetest.Limits{SMSPerSecond: 1, LookupsPerSecond: 5, LookupsShareSMS: true}, []attempt{
			{0, "lookup", 200}, {1 * ms, "sms", 429}, {2 * ms, "lookup", 429},
		}, map[flowroutetest.Kind]int{"sms": 2}, map[flowroutetest.Kind]int{"sms": 3, "lookup": 2}},
		{"numbers and routes", flowroutetest.Limits{NumbersPerSecond: 2}, []attempt{
			{0, "numbers", 200}, {1 * ms, "routes", 200}, {2 * ms, "numbers", 429}, {3 * ms, "sms", 202}, {1000 * ms, "routes", 200},
		}, map[flowroutetest.Kind]int{"numbers": 1}, map[flowroutetest.Kind]int{"sms": 1, "numbers": 3}},
		{"no limits still count", flowroutetest.Limits{}, []attempt{
			{0, "sms", 202}, {0, "sms", 202}, {999 * ms, "mms", 202}, {1000 * ms, "sms", 202},
		}, map[flowroutetest.Kind]int{}, map[flowroutetest.Kind]int{"sms": 3, "mms": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, clk := timed(t, flowroutetest.Options{Limits: c.limits})
			for _, a := range c.timeline {
				clk.at(a.at)
				if got := b.attempt(a.what); got.status != a.status {
					t.Errorf("at %v %s: got status %d, want %d", a.at, a.what, got.status, a.status)
				}
			}
			rejected, most := map[flowroutetest.Kind]int{}, map[flowroutetest.Kind]int{}
			for _, s := range b.Truth().Attempts {
				if s.Rejected > 0 {
					rejected[s.Kind] = s.Rejected
				}
				most[s.Kind] = s.MaxInWindow
				list := b.Attempts("", s.Kind)
				if got := flowroutetest.MaxInWindow(list, time.Second); got != s.MaxInWindow || len(list) != s.Attempts {
					t.Errorf("%s: got %d in a window of %d attempts by their times, want %d of %d", s.Kind, got, len(list), s.MaxInWindow, s.Attempts)
				}
			}
			if diff := cmp.Diff(c.rejected, rejected); diff != "" {
				t.Errorf("rejected (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.most, most); diff != "" {
				t.Errorf("most in a second (-want +got):\n%s", diff)
			}
		})
	}
}

func (b *bundle) attempt(what string) answer {
	b.t.Helper()
	switch what {
	case "sms":
		return b.do("POST", "/v2.1/messages", message("x"))
	case "mms":
		return b.do("POST", "/v2.2/messages", `{"to":"12065550199","from":"12065550100","body":"x","is_mms":true}`)
	case "lookup":
		return b.get("/v2.1/messages?start_date=2026-03-04")
	case "routes":
		return b.get("/v2/routes")
	}
	return b.get("/v2/numbers")
}

func TestLimitAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		o          flowroutetest.Options
		body       string
		retryAfter string
	}{
		{"envelope", flowroutetest.Options{}, `{"errors":[{"detail":"Rate limit exceeded.","id":"ID","status":429,"title":"Too Many Requests"}]}`, ""},
		{"with Retry-After", flowroutetest.Options{Limits: flowroutetest.Limits{RetryAfter: true}}, `{"errors":[{"detail":"Rate limit exceeded.","id":"ID","status":429,"title":"Too Many Requests"}]}`, "1"},
		{"bare", flowroutetest.Options{Choices: flowroutetest.Choices{BareRateLimit: true}}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.o.Limits.SMSPerSecond = 1
			b, _ := timed(t, c.o)
			b.send("x")
			a := b.attempt("sms")
			wantStatus(t, a, 429)
			if got := withoutIDs(a.body); got != c.body {
				t.Errorf("got  %s\nwant %s", got, c.body)
			}
			if got := a.header.Get("Retry-After"); got != c.retryAfter {
				t.Errorf("got Retry-After %q, want %q", got, c.retryAfter)
			}
			if got := b.Counts(); got.Accepted != 1 || got.RateLimited != 1 || got.Refused != 0 {
				t.Errorf("got %+v, want 1 accepted, 1 rate limited, none refused", got)
			}
		})
	}
}

// TestLimitPerKey: two keys of one account do not share a limit, and a
// request with wrong credentials counts for nobody.
func TestLimitPerKey(t *testing.T) {
	t.Parallel()
	b, _ := timed(t, flowroutetest.Options{Limits: flowroutetest.Limits{NumbersPerSecond: 1}, Keys: []flowroutetest.Key{{AccessKey: "f10w0001", SecretKey: "second"}}})
	for _, step := range []struct {
		authorization string
		status        int
	}{{"Basic ZjEwdzAwMDE6c2Vjb25k", 200}, {"Basic ZjEwdzAwMDE6eA==", 401}, {"Basic ZjEwdzAwMDE6c2Vjb25k", 429}} {
		a, err := b.tryAs("GET", "/v2/numbers", step.authorization)
		if err != nil {
			t.Fatal(err)
		}
		wantStatus(t, a, step.status)
	}
	wantStatus(t, b.get("/v2/numbers"), 200)
	if err := b.SetLimits(flowroutetest.Limits{}); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, b.get("/v2/numbers"), 200)
}
