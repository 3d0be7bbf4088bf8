package flowroutetest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

// What a client sees of a request, besides a status.
const (
	cut     = -1 // the connection was closed without an answer
	reset   = -2 // the connection was reset
	silence = -3 // no answer came until the client gave up
	broken  = -4 // a status came, and a body that ends too soon
)

// faultCase is what happens to one request while the fault is set for one.
type faultCase struct {
	name    string
	do      string // what is requested; see perform
	want    int
	effect  bool   // it took effect all the same
	body    string // part of the answer's body
	header  string // "Name: part of the value"
	records int    // MDRs that exist afterwards; of sends alone
}

func faultCases() []faultCase {
	return []faultCase{
		{name: "500-before", do: "send", want: 500, body: `"status":500`},
		{name: "503-before", do: "send", want: 503, body: "<html>"},
		{name: "502-html", do: "send", want: 502, body: "<html>", header: "Content-Type: text/html"},
		{name: "408-before", do: "send", want: 408},
		{name: "reset-before", do: "send", want: reset},
		{name: "silence-before", do: "send", want: silence},
		{name: "bare-403-html", do: "send", want: 403, body: "<html>"},
		{name: "401", do: "send", want: 401, body: "Authentication failed."},
		{name: "403", do: "send", want: 403, body: "ActionNotAuthorizedError"},
		{name: "404-url", do: "send", want: 404, body: `"status":"404 Not Found`},
		{name: "405", do: "send", want: 405},
		{name: "415", do: "send", want: 415},
		{name: "429", do: "send", want: 429, header: "Retry-After: "},
		{name: "429-retry-after", do: "send", want: 429, header: "Retry-After: 2"},
		{name: "429-retry-after-date", do: "send", want: 429, header: "Retry-After: GMT"},
		{name: "redirect-302", do: "send", want: 302, header: "Location: /flowroute/v2.1/messages"},
		{name: "redirect-307", do: "send", want: 307, header: "Location: /flowroute/v2.1/messages"},
		{name: "redirect-308", do: "purchase", want: 308, header: "Location: /flowroute/v2/numbers/"},
		{name: "refused-leaves-failed-record", do: "send", want: 422, records: 1},
		{name: "media-over-limit", do: "send", want: 422, body: "is over 767840 byte limit."},
		{name: "media-fetch-error", do: "send", want: 422, body: "Error fetching media:"},
		{name: "purchase-no-funds", do: "purchase", want: 403, body: "Insufficient funds"},
		{name: "read-500", do: "lookup", want: 500},
		{name: "read-cut", do: "lookup", want: cut},
		{name: "read-garbage", do: "lookup", want: 200, body: "<html>"},
		{name: "read-429", do: "numbers", want: 429},

		{name: "accepted-late", do: "send", want: silence, effect: true, records: 1},
		{name: "accepted-then-cut", do: "send", want: cut, effect: true, records: 1},
		{name: "accepted-then-reset", do: "send", want: reset, effect: true, records: 1},
		{name: "accepted-then-500", do: "send", want: 500, effect: true, records: 1},
		{name: "accepted-then-502-html", do: "send", want: 502, effect: true, body: "<html>", records: 1},
		{name: "accepted-then-silence", do: "send", want: silence, effect: true, records: 1},
		{name: "accepted-garbage", do: "send", want: 202, effect: true, body: "not what was meant", records: 1},
		{name: "accepted-truncated", do: "send", want: broken, effect: true, records: 1},
		{name: "accepted-empty", do: "send", want: 202, effect: true, records: 1},
		{name: "mdr-lag-correlated", do: "send", want: cut, effect: true, records: 1},
		{name: "purchase-accepted-then-cut", do: "purchase", want: cut, effect: true},
		{name: "purchase-accepted-then-500", do: "purchase", want: 500, effect: true},
		{name: "purchase-garbage", do: "purchase", want: 201, effect: true, body: "not what was meant"},
		{name: "purchase-207", do: "purchase", want: 207, effect: true, body: `"messaging_enabled":false`},
		{name: "purchase-lag", do: "purchase", want: 201, effect: true},
		{name: "route-accepted-then-cut", do: "route", want: cut, effect: true},
		{name: "route-accepted-then-500", do: "set-route", want: 500, effect: true},
		{name: "slow-body", do: "send", want: 202, effect: true, body: "mdr2-", records: 1},
		{name: "slow-response", do: "send", want: 202, effect: true, body: "mdr2-", records: 1},

		{name: "body-trimmed", do: "send", want: 202, effect: true, records: 1},
		{name: "quotes-replaced", do: "send", want: 202, effect: true, records: 1},
		{name: "body-suffixed", do: "send", want: 202, effect: true, records: 1},
		{name: "body-redacted", do: "send", want: 202, effect: true, records: 1},
		{name: "split-records", do: "send", want: 202, effect: true, records: 2},
		{name: "mdr-lag", do: "send", want: 202, effect: true, records: 1},
		{name: "mdr-empty-200", do: "lookup", want: 200, body: `{"data":[],"links":{}}`},
	}
}

// TestFaults: every fault does to one request what its description says, and
// nothing to the next.
func TestFaults(t *testing.T) {
	t.Parallel()
	var covered []string
	for _, c := range faultCases() {
		covered = append(covered, c.name)
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, flowroutetest.Options{})
			b.SetFault(c.name, flowroutetest.Fault{Count: 1, Delay: faultDelay(c.name)})
			a, seen := b.perform(c.do, seesNothing(c.want))
			if seen != c.want {
				t.Fatalf("got %d (%s), want %d", seen, a.body, c.want)
			}
			if !strings.Contains(a.body, c.body) {
				t.Errorf("got body %q, want %q in it", a.body, c.body)
			}
			if name, part, ok := strings.Cut(c.header, ": "); ok {
				if got := a.header.Get(name); !strings.Contains(got, part) || (part == "") != (got == "") {
					t.Errorf("got header %s: %q, want %q in it", name, got, part)
				}
			}
			b.wantEffect(c)
			if _, again := b.perform(c.do, false); again < 200 && again != 403 {
				t.Errorf("the next one: got %d, want an answer", again)
			}
			if got := b.Counts().Faults; !cmp.Equal(got, map[string]int64{c.name: 1}) {
				t.Errorf("got faults %v, want %s once", got, c.name)
			}
		})
	}
	slices.Sort(covered)
	if diff := cmp.Diff(flowroutetest.FaultNames(), covered); diff != "" {
		t.Errorf("faults without a case (-known +covered):\n%s", diff)
	}
}

func seesNothing(want int) bool { return want == silence }

// faultDelay keeps the faults that wait short, and lags long.
func faultDelay(name string) time.Duration {
	switch name {
	case "slow-body", "slow-response", "accepted-late":
		return 20 * time.Millisecond
	case "mdr-lag", "mdr-lag-correlated", "purchase-lag":
		return time.Hour
	}
	return 0
}

// perform makes one request and says what its client sees. With giveUp the
// client goes away as soon as the request has arrived.
func (b *bundle) perform(what string, giveUp bool) (answer, int) {
	b.t.Helper()
	method, path, body := "GET", "/v2.1/messages?start_date=2020-01-01", ""
	switch what {
	case "send":
		method, path, body = "POST", "/v2.1/messages", message(` it's "here" `)
	case "purchase":
		method, path = "POST", "/v2/numbers/"+forSale
	case "route":
		method, path, body = "POST", "/v2/routes", route("host", "new.example.com", "new")
	case "set-route":
		method, path, body = "PATCH", "/v2/numbers/"+ours+"/relationships/failover_route", `{"data":{"type":"route","id":"0"}}`
	case "numbers":
		path = "/v2/numbers"
	}
	if giveUp {
		return answer{}, b.abandon(method, path, body)
	}
	a, err := b.try(method, path, body)
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		return a, reset
	case errors.Is(err, io.EOF):
		return a, cut
	case err != nil:
		b.t.Fatalf("%s %s: %v", method, path, err)
	case a.err != nil:
		return a, broken
	}
	return a, a.status
}

// abandon sends a request and leaves once the fault has happened to it.
func (b *bundle) abandon(method, path, body string) int {
	b.t.Helper()
	ctx, leave := context.WithCancel(b.t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, method, b.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.SetBasicAuth(b.AccessKey, b.SecretKey)
	done := make(chan error, 1)
	go func() {
		resp, err := b.http.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			err = errors.New("got an answer, want none")
		}
		done <- err
	}()
	if err := b.WaitFor(b.t.Context(), func(c flowroutetest.Counts) bool { return len(c.Faults) > 0 }); err != nil {
		b.t.Fatal(err)
	}
	leave()
	if err := <-done; !errors.Is(err, context.Canceled) && !errors.Is(err, io.EOF) {
		b.t.Fatal(err)
	}
	return silence
}

func (b *bundle) wantEffect(c faultCase) {
	b.t.Helper()
	if c.name == "accepted-late" {
		if err := b.WaitFor(b.t.Context(), func(k flowroutetest.Counts) bool { return k.Accepted == 1 }); err != nil {
			b.t.Fatal(err)
		}
	}
	truth := b.Truth()
	got, spoiled := false, ""
	switch c.do {
	case "send":
		if got = len(truth.Messages) == 1; got {
			spoiled = truth.Messages[0].Fault
			if posted := ` it's "here" `; truth.Messages[0].Body != posted {
				b.t.Errorf("got body %q in the truth, want %q as posted", truth.Messages[0].Body, posted)
			}
		}
		if int(truth.Counts.Records) != c.records {
			b.t.Errorf("got %d records, want %d", truth.Counts.Records, c.records)
		}
	case "purchase":
		if got = len(truth.Purchases) == 1; got {
			spoiled = truth.Purchases[0].Fault
		}
	case "route":
		got = len(truth.Routes) == 2
	case "set-route":
		got = truth.Numbers[ours].FailoverRoute == "0"
	}
	if got != c.effect {
		b.t.Errorf("took effect: got %t, want %t", got, c.effect)
	}
	answered := c.want == 202 || c.want == 201 || c.want == 207
	if c.effect && (c.do == "send" || c.do == "purchase") && !answered && spoiled != c.name {
		b.t.Errorf("got fault %q in the truth, want %q", spoiled, c.name)
	}
}

func TestRecordBodies(t *testing.T) {
	t.Parallel()
	const posted = " it's \"here\" “now” \n"
	for name, want := range map[string][]string{
		"body-trimmed":    {"it's \"here\" “now”"},
		"quotes-replaced": {" it’s ”here” \"now\" \n"},
		"body-suffixed":   {posted + " Reply STOP to opt out"},
		"body-redacted":   {""},
		"split-records":   {"e\" “now” \n", " it's \"her"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, flowroutetest.Options{})
			b.FailNext(name, 1)
			b.send(posted)
			if diff := cmp.Diff(want, b.rows("start_date=2020-01-01")); diff != "" {
				t.Errorf("records, newest first (-want +got):\n%s", diff)
			}
			truth := b.Truth().Messages[0]
			if truth.Body != posted || len(truth.MDRIDs) != len(want) {
				t.Errorf("got truth %+v, want the text as posted and %d ids", truth, len(want))
			}
		})
	}
}

// TestCorrelatedLag: the answer is lost, and so is the view of everything else
// that is accepted in the same minutes.
func TestCorrelatedLag(t *testing.T) {
	t.Parallel()
	b, c := timed(t, flowroutetest.Options{})
	b.send("before")
	b.SetFault("mdr-lag-correlated", flowroutetest.Fault{Count: 1, Delay: 4 * time.Minute})
	if _, seen := b.perform("send", false); seen != cut {
		t.Fatalf("got %d, want a cut connection", seen)
	}
	c.at(time.Minute)
	b.send("control")
	const q = "start_date=2026-03-04"
	c.at(4*time.Minute - 1)
	if diff := cmp.Diff([]string{"before"}, b.rows(q)); diff != "" {
		t.Errorf("during (-want +got):\n%s", diff)
	}
	c.at(4 * time.Minute)
	if got := b.rows(q); len(got) != 3 {
		t.Errorf("after: got %q, want all three", got)
	}
}

func TestPurchaseLag(t *testing.T) {
	t.Parallel()
	b, c := timed(t, flowroutetest.Options{})
	b.SetFault("purchase-lag", flowroutetest.Fault{Count: 1, Delay: time.Minute})
	wantStatus(t, b.do("POST", "/v2/numbers/"+forSale, ""), 201)
	wantStatus(t, b.get("/v2/numbers/"+forSale), 404)
	wantStatus(t, b.do("POST", "/v2/numbers/"+forSale, ""), 422)
	c.at(time.Minute)
	wantStatus(t, b.get("/v2/numbers/"+forSale), 200)
}

func TestFaultNamesAndValues(t *testing.T) {
	t.Parallel()
	s := flowroutetest.New(flowroutetest.Options{})
	t.Cleanup(s.Close)
	for _, c := range []struct {
		name string
		err  error
		part string
	}{
		{"unknown name", s.FailNext("accepted-then-lunch", 1), `no fault "accepted-then-lunch"; known: 401 403`},
		{"probability", s.SetFault("429", flowroutetest.Fault{Probability: 1.5}), "probability is from 0 to 1"},
		{"operation", s.SetFault("429", flowroutetest.Fault{Count: 1, On: []flowroutetest.Op{"mail"}}), `no operation "mail"`},
		{"options", flowroutetest.Options{Faults: flowroutetest.Faults{"x": {}}, FailShare: 2}.Validate(), "fail share 2"},
		{"owned number", flowroutetest.Options{Owned: []string{"2065550100"}}.Validate(), `owned number "2065550100"`},
		{"base path", flowroutetest.Options{BasePath: "flowroute/"}.Validate(), "base path"},
		{"window", s.SetLimits(flowroutetest.Limits{Window: "round"}), `window "round"`},
		{"negative limit", s.SetLimits(flowroutetest.Limits{SMSPerSecond: -1}), "not negative"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.part) {
			t.Errorf("%s: got %v, want an error with %q", c.name, c.err, c.part)
		}
	}
	got, err := flowroutetest.ParseFaults("accepted-then-cut=0.1, 500-before=x3")
	want := flowroutetest.Faults{"accepted-then-cut": {Probability: 0.1}, "500-before": {Count: 3}}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
	for _, bad := range []string{"429", "429=", "429=many", "429=x", "nothing=0.1", "429=2"} {
		if _, err := flowroutetest.ParseFaults(bad); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
	if got, err := flowroutetest.ParseFaults(""); err != nil || len(got) != 0 {
		t.Errorf("empty: got %v (%v), want none", got, err)
	}
}

// TestFaultChoices: where a fault happens by probability, the same seed
// chooses the same requests, and On confines or widens it.
func TestFaultChoices(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (pattern string) {
		b := setup(t, flowroutetest.Options{Seed: seed, Faults: flowroutetest.Faults{"accepted-then-500": {Probability: 0.3}, "500-before": {Probability: 0.2, On: []flowroutetest.Op{flowroutetest.OpRead}}}})
		for range 60 {
			a, _ := b.perform("send", false)
			pattern += map[bool]string{true: ".", false: "x"}[a.status == 202]
			if a, _ = b.perform("numbers", false); a.status == 500 {
				pattern += "r"
			}
		}
		truth := b.Truth()
		spoiled := 0
		for _, m := range truth.Messages {
			if m.Fault != "" {
				spoiled++
			}
		}
		if len(truth.Messages) != 60 || spoiled != strings.Count(pattern, "x") {
			t.Errorf("got %d messages, %d spoiled, want 60 and %d", len(truth.Messages), spoiled, strings.Count(pattern, "x"))
		}
		return pattern
	}
	first := run(1)
	if second := run(1); second != first {
		t.Errorf("same seed, other choices:\n%s\n%s", first, second)
	}
	if x, r := strings.Count(first, "x"), strings.Count(first, "r"); x < 8 || x > 30 || r < 4 || r > 24 {
		t.Errorf("got %d of 60 sends and %d of 60 reads, want about 18 and 12", x, r)
	}
}

func TestFailNextKeepsProbability(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{Faults: flowroutetest.Faults{"slow-response": {Probability: 0.5, Delay: time.Nanosecond}}})
	b.FailNext("slow-response", 2)
	b.FailNext("slow-response", 1)
	want := flowroutetest.Faults{"slow-response": {Probability: 0.5, Count: 3, Delay: time.Nanosecond}}
	if diff := cmp.Diff(want, b.ActiveFaults()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.ClearFaults()
	if got := b.ActiveFaults(); len(got) != 0 {
		t.Errorf("got %v after clearing", got)
	}
	b.send("x")
}

// TestHoldNext: a request stops where it is told to, and its client's leaving
// changes nothing.
func TestHoldNext(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before it takes effect": false, "after it did": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, flowroutetest.Options{})
			h := b.HoldNext(flowroutetest.OpSend, after)
			done := make(chan answer, 1)
			go func() {
				a, _ := b.try("POST", "/v2.1/messages", message("x"))
				done <- a
			}()
			<-h.Reached()
			if got, want := len(b.Truth().Messages), map[bool]int{false: 0, true: 1}[after]; got != want {
				t.Errorf("held: got %d messages, want %d", got, want)
			}
			b.send("not held")
			h.Release()
			h.Release()
			if a := <-done; a.status != 202 {
				t.Errorf("got status %d, want 202", a.status)
			}
			if got := len(b.Truth().Messages); got != 2 {
				t.Errorf("released: got %d messages, want 2", got)
			}
		})
	}
}

// TestLatency: a write takes effect before the wait.
func TestLatency(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{Latency: time.Hour, Jitter: time.Second})
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	req, err := http.NewRequestWithContext(ctx, "POST", b.URL+"/v2.1/messages", strings.NewReader(message("x")))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(b.AccessKey, b.SecretKey)
	go func() {
		_, err := b.http.Do(req)
		done <- err
	}()
	if err := b.WaitFor(t.Context(), func(c flowroutetest.Counts) bool { return c.Accepted == 1 }); err != nil {
		t.Fatal(err)
	}
	leave()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want to have given up", err)
	}
	if got := b.Counts().Statuses; len(got) != 0 {
		t.Errorf("got answers %v, want none", got)
	}
}
