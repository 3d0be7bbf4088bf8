package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// TestDemo runs it as a person in a hurry would.
func TestDemo(t *testing.T) {
	t.Parallel()
	got := (&bundle{t: t}).run("demo", "--exit", "--fast", "20", "--messages", "60", "--json").want(t, exitDone, "", "redis      ")
	var r demoReport
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatal(err)
	}
	if !r.Agree || r.RateLimited != 0 || r.Messages.Doubled != 0 || r.NumbersBought != 1 || r.Messages.Asked != 60 || r.Duplicates == 0 {
		t.Errorf("got %+v %+v", r, r.Messages)
	}
	for _, state := range []ledger.State{ledger.Delivered, ledger.Failed, ledger.Blocked, ledger.Cancelled, ledger.Expired} {
		if r.Messages.Ledger[state] == 0 {
			t.Errorf("no job is %s: %v", state, r.Messages.Ledger)
		}
	}
	if r.FirstAcceptedMS > 5000 { // 0.4 s on a quiet machine
		t.Errorf("the first message was taken after %d ms, want 5000 at most", r.FirstAcceptedMS)
	}
}

// TestDemoInProcess is for machines without a redis-server. It prints for people,
// stays up, and takes the message that it invites to send.
func TestDemoInProcess(t *testing.T) {
	t.Parallel()
	demo := (&bundle{t: t}).start("demo", "--fast", "10", "--messages", "20", "--seed", "7", "--redis-in-process")
	invited := regexp.MustCompile(`curl -sS (\S+) -H 'Content-Type: (\S+)' -d '(.+)'`)
	var request []string
	if !demo.out.await(t, demo.done, func(line string) bool { request = invited.FindStringSubmatch(line); return request != nil }) {
		t.Fatalf("it never came to the end:\n%s%s", demo.out, demo.errs)
	}
	response, err := http.Post(request[1], request[2], strings.NewReader(request[3]))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		t.Errorf("got status %d for the message that one is invited to send, want 202", response.StatusCode)
	}
	if code := demo.end(); code != exitDone {
		t.Errorf("got exit code %d, want 0: %s", code, demo.errs)
	}
	got := demo.out.String()
	for _, text := range []string{"in-process", "AGREED"} {
		if !strings.Contains(got, text) {
			t.Errorf("no %q in:\n%s", text, got)
		}
	}
	if strings.Contains(got, "\r") {
		t.Error("a line is rewritten although nobody looks")
	}
}

// TestDemoIsInterrupted: Ctrl-C in the middle ends it, with the code of a failure.
func TestDemoIsInterrupted(t *testing.T) {
	t.Parallel()
	demo := (&bundle{t: t}).start("demo")
	if !demo.out.await(t, demo.done, func(line string) bool { return strings.HasPrefix(line, "ready") }) {
		t.Fatal("it never got ready")
	}
	if code := demo.end(); code != exitFailed || !strings.Contains(demo.errs.String(), "interrupted") {
		t.Errorf("got code %d and %s", code, demo.errs)
	}
}

// The comparison must see what it is there for.
func TestComparisonSees(t *testing.T) {
	t.Parallel()
	id := func(n byte) ledger.ID { return ledger.ID{15: n} }
	content := posted{"12065550100", "12125550101", "one"}
	job := func(state ledger.State, mdrs ...string) askedJob {
		return askedJob{content, ledger.Job{ID: id(1), State: state, MDRs: mdrs}}
	}
	taken := func(mdr string) flowroutetest.AcceptedMessage {
		return flowroutetest.AcceptedMessage{MDRIDs: []string{mdr}, From: content.from, To: content.to, Body: content.body, At: time.Unix(1, 0)}
	}
	other := taken("m2")
	other.Body = "two"
	for name, c := range map[string]struct {
		jobs   []askedJob
		truth  []flowroutetest.AcceptedMessage
		agrees bool
	}{
		"accepted and taken":             {[]askedJob{job(ledger.Accepted, "m1")}, []flowroutetest.AcceptedMessage{taken("m1")}, true},
		"accepted, id pending":           {[]askedJob{job(ledger.Accepted)}, []flowroutetest.AcceptedMessage{taken("m1")}, true},
		"still unknown, taken":           {[]askedJob{job(ledger.Unknown)}, []flowroutetest.AcceptedMessage{taken("m1")}, false},
		"still unknown, not taken":       {[]askedJob{job(ledger.Unknown)}, nil, false},
		"in review, taken":               {[]askedJob{job(ledger.Review)}, []flowroutetest.AcceptedMessage{taken("m1")}, true},
		"in review, not taken":           {[]askedJob{job(ledger.Review)}, nil, true},
		"failed and not taken":           {[]askedJob{job(ledger.Failed)}, nil, true},
		"accepted and not taken":         {[]askedJob{job(ledger.Accepted, "m1")}, nil, false},
		"accepted without id, not taken": {[]askedJob{job(ledger.Accepted)}, nil, false},
		"failed and taken":               {[]askedJob{job(ledger.Failed)}, []flowroutetest.AcceptedMessage{taken("m1")}, false},
		"cancelled and taken":            {[]askedJob{job(ledger.Cancelled)}, []flowroutetest.AcceptedMessage{taken("m1")}, false},
		"taken twice":                    {[]askedJob{job(ledger.Accepted, "m1")}, []flowroutetest.AcceptedMessage{taken("m1"), taken("m2")}, false},
		"in review, taken twice":         {[]askedJob{job(ledger.Review)}, []flowroutetest.AcceptedMessage{taken("m1"), taken("m2")}, false},
		"another message's record":       {[]askedJob{job(ledger.Accepted, "m2")}, []flowroutetest.AcceptedMessage{taken("m1"), other}, false},
		"a record nobody has":            {[]askedJob{job(ledger.Accepted, "m9")}, []flowroutetest.AcceptedMessage{taken("m1")}, false},
		"taken and in no ledger":         {nil, []flowroutetest.AcceptedMessage{taken("m1")}, false},
		"still queued":                   {[]askedJob{job(ledger.Queued)}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := compareMessages(c.jobs, flowroutetest.Truth{Messages: c.truth})
			if agrees := len(got.Problems) == 0; agrees != c.agrees {
				t.Errorf("agrees: got %v, want %v: %v", agrees, c.agrees, got.Problems)
			}
		})
	}
}

func TestComparisonSeesLimits(t *testing.T) {
	t.Parallel()
	limits := flowroutetest.Limits{SMSPerSecond: 5}
	for name, c := range map[string]struct {
		stats flowroutetest.AttemptStats
		want  int
	}{
		"within":            {flowroutetest.AttemptStats{Kind: flowroutetest.KindSMS, MaxInWindow: 5}, 0},
		"over":              {flowroutetest.AttemptStats{Kind: flowroutetest.KindSMS, MaxInWindow: 6}, 1},
		"answered with 429": {flowroutetest.AttemptStats{Kind: flowroutetest.KindSMS, MaxInWindow: 5, Rejected: 1}, 1},
		"without a limit":   {flowroutetest.AttemptStats{Kind: flowroutetest.KindMMS, MaxInWindow: 99}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := &comparison{}
			got.compareLimits(flowroutetest.Truth{Attempts: []flowroutetest.AttemptStats{c.stats}}, limits)
			if len(got.Problems) != c.want {
				t.Errorf("got %v, want %d problems", got.Problems, c.want)
			}
		})
	}
}

// TestDemoPlan: every kind is there, each text once, and nothing that is refused
// at the door.
func TestDemoPlan(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, n := range []int{minDemoMessages, 150, maxDemoMessages} {
		kinds, seen := map[demoKind]int{}, map[posted]bool{}
		plan := demoMessages(n, now)
		for _, m := range plan {
			kinds[m.kind]++
			seen[posted{m.From, m.To, m.Body}] = true
			if err := m.Validate(now); err != nil {
				t.Fatalf("%s: %v", m.kind, err)
			}
		}
		if len(plan) != n || len(seen) != n || len(kinds) != 9 {
			t.Errorf("got %d messages, %d different ones, %d kinds; want %d, %[4]d and 9", len(plan), len(seen), len(kinds), n)
		}
	}
	if err := demoPurchase().Validate(); err != nil {
		t.Error(err)
	}
	if err := demoRouteUpdate("+12065550130").Validate(); err != nil {
		t.Error(err)
	}
}
