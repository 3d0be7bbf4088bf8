package worker_test

import (
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// optedOut is a list of those who must not be texted, with these on it.
func (b bundle) optedOut(recipients ...string) *suppress.Store {
	b.t.Helper()
	store, err := suppress.New(b.db.Client(), suppress.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, text := range recipients {
		recipient, err := flowroute.ParseE164(text)
		if err != nil {
			b.t.Fatal(err)
		}
		if _, _, err := store.Add(b.t.Context(), suppress.Entry{Recipient: recipient, Source: suppress.SourcePerson}); err != nil {
			b.t.Fatal(err)
		}
	}
	return store
}

// Whoever opted out is not texted, however the message comes to its post; others are.
func TestOptedOutIsNotPosted(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"read first":       {limits: ratelimit.Limits{SMS: ratelimit.Rate{N: 50, Per: time.Second}}},
		"without a limit":  {},
		"its number waits": {worker: capped(map[string]ratelimit.Cap{ours: {Rate: ratelimit.Rate{N: 50, Per: time.Second}}})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{stopped: true})
			id := b.send(jobs.Message{}) // taken in before
			store, change := b.optedOut(theirs), o.worker
			o.worker = func(wo *worker.Options) {
				if wo.OptOuts = store; change != nil {
					change(wo)
				}
			}
			b.start(o)
			job := b.until(id, ledger.Blocked, ledger.Accepted)
			if job.State != ledger.Blocked || job.Reason != ledger.ReasonOptedOut || job.Attempts != 0 || job.Detail == "" {
				t.Errorf("got %s, %s, %d attempts, %q", job.State, job.Reason, job.Attempts, job.Detail)
			}
			b.until(b.send(jobs.Message{To: others}), ledger.Accepted)
			if got := b.posts(); got != 1 {
				t.Errorf("got %d posts, want the other one's alone", got)
			}
		})
	}
}

// An opt-out that comes while the message waits for its permit counts.
func TestOptedOutWhileWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	store := b.optedOut(others)
	held := make(chan struct{})
	waits := make(chan struct{}, 10)
	b.start(options{limits: ratelimit.Limits{SMS: ratelimit.Rate{N: 50, Per: time.Second}}, worker: func(o *worker.Options) {
		o.OptOuts = store
		o.Trace = func(p worker.Point, _ ledger.ID) {
			if p == worker.PointPermit {
				waits <- struct{}{}
				<-held
			}
		}
	}})
	id := b.send(jobs.Message{})
	<-waits
	b.optedOut(theirs)
	close(held)
	b.until(id, ledger.Blocked)
	if got := b.posts(); got != 0 {
		t.Errorf("got %d posts", got)
	}
}

// What a carrier says of a recipient is kept: the next message is not even posted.
func TestCarriersWordIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true, sim: flowroutetest.Options{OptedOut: []flowroutetest.OptOutPair{{From: ours[1:], To: theirs[1:]}}}})
	store := b.optedOut()
	b.start(options{worker: func(o *worker.Options) { o.OptOuts = store }})
	b.until(b.send(jobs.Message{Body: "first"}), ledger.Blocked)
	entry, blocked, err := store.Blocked(t.Context(), flowroute.E164{}, b.until(b.send(jobs.Message{To: others}), ledger.Accepted).To)
	if err != nil || blocked {
		t.Errorf("another one is blocked: %+v, %v", entry, err)
	}
	before := b.posts()
	if job := b.until(b.send(jobs.Message{Body: "again"}), ledger.Blocked); job.Attempts != 0 || b.posts() != before {
		t.Errorf("it was posted: %+v", job.History)
	}
}
