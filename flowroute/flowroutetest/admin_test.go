package flowroutetest_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

// TestRemote: what a test in the same process can do, another process can too.
func TestRemote(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := setup(t, flowroutetest.Options{MDRDelay: time.Minute, DeliverAfter: -1})
	r := flowroutetest.Remote{Root: b.Root}
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	check("faults", r.SetFaults(ctx, flowroutetest.Faults{"slow-response": {Probability: 1, Delay: time.Nanosecond}}))
	check("next", r.FailNext(ctx, "accepted-then-500", 1))
	if _, seen := b.perform("send", false); seen != 500 {
		t.Errorf("got %d, want 500", seen)
	}
	check("clear", r.ClearFaults(ctx))
	check("limits", r.SetLimits(ctx, flowroutetest.Limits{SMSPerSecond: 1000, Window: flowroutetest.WindowSliding}))
	check("hold", r.HoldRecords(ctx, 2*time.Minute))
	check("advance", r.Advance(ctx, time.Minute))
	if got := b.rows("start_date=2020-01-01"); len(got) != 0 {
		t.Errorf("held: got %q, want nothing", got)
	}
	check("end of hold", r.HoldRecords(ctx, 0))
	if got := b.rows("start_date=2020-01-01"); len(got) != 1 {
		t.Errorf("got %q, want one row", got)
	}
	n, err := r.Complete(ctx)
	if check("complete", err); n != 1 {
		t.Errorf("got %d completed, want 1", n)
	}
	_, err = r.Inbound(ctx, theirs, ours, "STOP")
	check("inbound", err)
	wantStatus(t, b.do("POST", "/v2.1/messages", message("x")), 400)
	check("opt-out", r.OptOut(ctx, ours, "12065550188"))

	truth, err := r.Truth(ctx)
	check("truth", err)
	if diff := cmp.Diff(b.Truth(), truth, cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("truth (-here +there):\n%s", diff)
	}
	counts, err := r.Counts(ctx)
	if check("counts", err); counts.Accepted != 1 || counts.Records != 2 {
		t.Errorf("got %+v, want 1 accepted and 2 records", counts)
	}
	attempts, err := r.Attempts(ctx, "", flowroutetest.KindSMS)
	if check("attempts", err); len(attempts) != 2 {
		t.Errorf("got %d attempts, want 2", len(attempts))
	}
	check("reset", r.Reset(ctx))
	if got := b.Truth(); len(got.Messages) != 0 || got.Counts.Requests != 0 || len(got.Attempts) != 0 {
		t.Errorf("after the reset: got %+v", got)
	}
	b.send("opted in again, as after a start")
}

func TestAdminRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	for _, c := range []struct {
		name, method, path, body, origin string
		status                           int
		part                             string
	}{
		{"index", "GET", "", "", "", 200, "POST /_sim/inbound"},
		{"health", "GET", "health", "", "", 200, "true"},
		{"known faults", "GET", "faults", "", "", 200, "accepted-then-cut"},
		{"own origin", "GET", "counts", "", b.Root, 200, "requests"},
		{"other origin", "GET", "counts", "", "https://example.com", 403, "another origin"},
		{"unknown call", "GET", "nothing", "", "", 404, ""},
		{"unknown fault", "PUT", "faults", `{"lunch":{"count":1}}`, "", 400, "known: 401"},
		{"unknown field", "PUT", "limits", `{"sms":1}`, "", 400, "unknown field"},
		{"bad limit", "PUT", "limits", `{"window":"round"}`, "", 400, "window"},
		{"bad number", "POST", "faults/429/next?n=x", "", "", 400, "number"},
		{"bad duration", "POST", "advance", `{"duration":"soon"}`, "", 400, "duration"},
		{"bad opt-out", "PUT", "optouts", `{"from":"x","to":"y"}`, "", 400, "11 digits"},
		{"not ours", "POST", "inbound", `{"from":"12065550199","to":"12125550199","body":"x"}`, "", 400, "not on the account"},
		{"bad record", "POST", "records", `{"from":"x"}`, "", 400, "11 digits"},
		{"number", "POST", "numbers", `{"number":"12125550111"}`, "", 200, "12125550111"},
		{"no number", "POST", "numbers", `{"number":"x"}`, "", 400, "11 digits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, b.Root+"/_sim/"+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if c.origin != "" {
				req.Header.Set("Origin", c.origin)
			}
			a := b.raw(req)
			if a.status != c.status || !strings.Contains(a.body, c.part) {
				t.Errorf("got status %d and %s, want %d and %q", a.status, a.body, c.status, c.part)
			}
		})
	}
	if got := b.Counts().Requests; got != 0 {
		t.Errorf("got %d requests counted, want none: these are not the API's", got)
	}
}

func TestAdminLists(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	for range 5 {
		b.send("x")
	}
	lines := func(path string) (n int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", b.Root+"/_sim/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for scan := bufio.NewScanner(strings.NewReader(b.raw(req).body)); scan.Scan(); n++ {
		}
		return n
	}
	for path, want := range map[string]int{"messages": 5, "messages?skip=3": 2, "messages?limit=2": 2, "messages?skip=9": 0, "records": 5} {
		if got := lines(path); got != want {
			t.Errorf("%s: got %d lines, want %d", path, got, want)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", b.Root+"/_sim/records", strings.NewReader(
		`{"from":"12125550100","to":"12065550199","body":"a"}`+"\n"+`{"from":"12065550199","to":"12065550100","body":"b","direction":"inbound"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := b.raw(req); len(got.at(t, "ids").([]any)) != 2 {
		t.Errorf("got %s, want two ids", got.body)
	}
	if got := lines("records"); got != 7 {
		t.Errorf("got %d records, want 7", got)
	}
}

func TestNoAdmin(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{NoAdmin: true})
	b.AllowUnknownPaths()
	req, err := http.NewRequestWithContext(t.Context(), "GET", b.Root+"/_sim/truth", nil)
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, b.raw(req), 404)
}

func TestRequests(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{KeepRequests: 2})
	b.get("/v2/routes")
	b.FailNext("accepted-then-cut", 1)
	b.perform("send", false)
	b.get("/v2/numbers?limit=3")
	got := b.Requests()
	want := []flowroutetest.Request{
		{Method: "POST", Path: "/v2.1/messages", ContentType: vndMedia, AccessKey: b.AccessKey, Body: message(` it's "here" `), Fault: "accepted-then-cut"},
		{Method: "GET", Path: "/v2/numbers", Query: "limit=3", ContentType: vndMedia, AccessKey: b.AccessKey, Status: 200},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(flowroutetest.Request{}, "At", "UserAgent")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
