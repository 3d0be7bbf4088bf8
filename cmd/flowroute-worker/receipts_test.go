package main

import (
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const hookSecret = "0123456789abcdef-hook"

// public gives the bundle an address at which Flowroute reaches its service.
func (b *bundle) public() *bundle {
	b.t.Helper()
	listener, err := listenLoopback(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	return b.with("HTTP_ADDR", addr, "PUBLIC_URL", "http://"+addr, "WEBHOOK_SECRET", hookSecret)
}

// TestReceiptProvesALostAnswer: long before the records may decide, and in
// whatever shape and order the receipts come.
func TestReceiptProvesALostAnswer(t *testing.T) {
	t.Parallel()
	for name, callbacks := range map[string]flowroutetest.Callbacks{
		"as documented": {},
		"compact":       {Compact: true},
		"reversed":      {Reversed: true},
		"three times":   {Copies: 3, Compact: true, Reversed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, flowroutetest.Options{DeliverAfter: 300 * time.Millisecond, Callbacks: callbacks}).public().
				with("AMBIGUOUS_SETTLE", "10m", "API_TOKENS", "ops:0123456789abcdef")
			service := b.start("run")
			service.log("http listening")
			b.sim.FailNext("accepted-then-cut", 1)
			id := b.run(sent()...).want(t, exitDone, "", "").id()
			job := b.await(id, ledger.Delivered)
			if job.Attempts != 1 || len(job.MDRs) != 1 || len(b.sim.Truth().Messages) != 1 {
				t.Errorf("got %d attempts and records %v, want one of each", job.Attempts, job.MDRs)
			}
			states := map[ledger.State]ledger.Reason{}
			for _, change := range job.History {
				states[change.State] = change.Reason
			}
			if states[ledger.Accepted] != ledger.ReasonReceipt {
				t.Errorf("got %+v, want it accepted by a receipt", job.History)
			}
			b.run("doctor").want(t, exitDone, "which leads here", "")
			service.end()
			if strings.Contains(service.errs.String(), hookSecret) {
				t.Error("the secret is in the log")
			}
		})
	}
}

// TestReceiptsOfTwins: two messages that the records cannot tell apart, one of
// them lost. Receipts tell which.
func TestReceiptsOfTwins(t *testing.T) {
	t.Parallel()
	b := setup(t).public().with("AMBIGUOUS_SETTLE", "10m")
	b.start("run").log("http listening")
	b.sim.FailNext("500-before", 1)
	lost := b.run(sent()...).want(t, exitDone, "", "").id()
	b.await(lost, ledger.Unknown)
	b.sim.FailNext("accepted-then-500", 1)
	taken := b.run(sent()...).want(t, exitDone, "", "").id()
	b.await(taken, ledger.Accepted)
	job, err := b.client().Get(t.Context(), lost)
	if err != nil || job.State != ledger.Unknown {
		t.Errorf("got %s, %v, want the one that never arrived unknown", job.State, err)
	}
	b.run("status", lost).want(t, exitDone, "Flowroute's records are read from", "")
}

// TestRecordsDecide: without receipts, what was taken is found and what was not is
// posted again.
func TestRecordsDecide(t *testing.T) {
	t.Parallel()
	b := setup(t).with("AMBIGUOUS_SETTLE", "300ms", "AMBIGUOUS_SETTLE_IDLE", "500ms", "FLOWROUTE_TIMEOUT", "1s")
	b.start("run")
	// In this order: an empty list of records would prove nothing absent.
	for _, c := range []struct {
		fault    string
		attempts int
	}{{"accepted-then-500", 1}, {"500-before", 2}} {
		b.sim.FailNext(c.fault, 1)
		id := b.run("send", "--from", "+12065550100", "--to", "+12065550123", "--body", c.fault).want(t, exitDone, "", "").id()
		if job := b.await(id, ledger.Accepted); job.Attempts != c.attempts {
			t.Errorf("%s: got %d attempts, want %d", c.fault, job.Attempts, c.attempts)
		}
	}
	if n := len(b.sim.Truth().Messages); n != 2 {
		t.Errorf("got %d messages taken, want 2", n)
	}
}

// TestActionReview leaves the second post to a person.
func TestActionReview(t *testing.T) {
	t.Parallel()
	b := setup(t).with("AMBIGUOUS_SETTLE", "300ms", "AMBIGUOUS_SETTLE_IDLE", "500ms", "FLOWROUTE_TIMEOUT", "1s", "AMBIGUOUS_ACTION", "review")
	b.start("run")
	// An empty list of records would prove nothing.
	b.await(b.run(sent()...).want(t, exitDone, "", "").id(), ledger.Accepted)
	b.sim.FailNext("500-before", 1)
	id := b.run("send", "--from", "+12065550100", "--to", "+12065550124", "--body", "Hello").want(t, exitDone, "", "").id()
	b.await(id, ledger.Review)
	b.run("review", "list").want(t, exitDone, "AMBIGUOUS_ACTION=review", "")
	b.run("review", "resolve", id, "--as", "not-sent").want(t, exitDone, "queued: it is posted again", "")
	b.await(id, ledger.Accepted)
	if n := len(b.sim.Truth().Messages); n != 2 {
		t.Errorf("got %d messages taken, want 2", n)
	}
}
