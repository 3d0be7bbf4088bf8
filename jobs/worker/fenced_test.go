package worker_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/ledgertest"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// set changes a field of a hash of the ledger.
func (b bundle) set(key string, pairs ...any) {
	b.t.Helper()
	if err := b.db.Client().HSet(b.t.Context(), "{flowroute}:"+key, pairs...).Err(); err != nil {
		b.t.Fatal(err)
	}
}

// raise puts a fence up; what is sent from then on is not held by it.
func (b bundle) raise() {
	b.t.Helper()
	b.set("fence", "up", "1", "at", fmt.Sprint(time.Now().UnixMilli()+1))
	<-time.After(5 * time.Millisecond)
}

// While a fence is up what it stands before is not posted, costs no attempt and no
// permit, and goes on by itself afterwards. What is new is not held.
func TestBehindTheFence(t *testing.T) {
	t.Parallel()
	limits := ratelimit.Limits{SMS: ratelimit.Rate{N: 2, Per: time.Second}}
	b := setup(t, options{stopped: true})
	old := []string{b.send(jobs.Message{Body: "old"}), b.purchase(jobs.Purchase{Number: forSale})}
	for n := range 30 {
		b.send(jobs.Message{Body: fmt.Sprint("as old ", n)})
	}
	b.raise()
	fresh := b.send(jobs.Message{Body: "fresh"})
	var permits atomic.Int32
	b.start(options{limits: limits, worker: func(o *worker.Options) {
		o.Concurrency = 1
		o.Syncs = map[ledger.Type]worker.Syncer{ledger.SyncMDR: syncFunc(func(context.Context, ledger.Job) ([]byte, error) { return []byte(`{}`), nil })}
		o.Trace = func(p worker.Point, _ ledger.ID) {
			if p == worker.PointPermit {
				permits.Add(1)
			}
		}
	}})
	b.until(fresh, ledger.Accepted)
	if _, err := b.jobs.StartSync(t.Context(), ledger.SyncMDR, "tick", jobs.Sync{}); err != nil {
		t.Fatal(err)
	}
	b.until(ledger.KeyID(ledger.SyncMDR, "tick").String(), ledger.Done) // it only reads
	if got := permits.Load(); got > 4 {
		t.Errorf("31 messages that may not be posted and one that may took %d permits", got)
	}
	for _, id := range old {
		if job := b.until(id, ledger.Queued); job.Attempts != 0 {
			t.Errorf("got %d attempts", job.Attempts)
		}
	}
	if got := b.posts(); got != 1 {
		t.Errorf("got %d posts, want the new message's alone", got)
	}
	b.set("fence", "up", "0")
	b.until(old[0], ledger.Accepted)
	b.until(old[1], ledger.Done)
}

// Messages that wait for their number's limit behind a fence hold up no new one of the
// same number, and go on in their places.
func TestParkedBehindTheFence(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	stop := b.usedUp()
	var old []string
	for n := range 8 {
		old = append(old, b.send(jobs.Message{From: sender(1), Body: fmt.Sprint("old ", n)}))
	}
	b.parks(8)
	stop()
	b.raise()
	fresh := b.send(jobs.Message{From: sender(1), Body: "fresh"})
	b.start(options{worker: capped(map[string]ratelimit.Cap{sender(1): {Rate: ratelimit.Rate{N: 2, Per: time.Second}}})})
	b.until(fresh, ledger.Accepted)
	if got := b.taken(); got != 2 {
		t.Errorf("the account took %d, want the first and the new one", got)
	}
	parked, err := b.ledger.Parked(t.Context())
	if err != nil || parked["sms.normal."+sender(1)[1:]] < 6 {
		t.Errorf("%v are parked, %v; want most of 8", parked, err)
	}
	b.set("fence", "up", "0")
	for _, id := range old {
		b.until(id, ledger.Accepted)
	}
}

// A message that was proven absent too long ago is not posted on that: its records
// are read once more.
func TestProofThatGrewOld(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	id := b.send(jobs.Message{})
	ledgertest.Set(t, b.db.Client(), id, "ab", "1", "fp", "0011223344556677", "ra", "1", "n", "1")
	b.start(options{})
	if job := b.until(id, ledger.Unknown, ledger.Accepted); job.Reason != ledger.ReasonRecheck {
		t.Errorf("got %s, %s", job.State, job.Reason)
	}
	if got := b.posts(); got != 0 {
		t.Errorf("got %d posts", got)
	}
}

// What is to be posted again does not wait behind its lane's queue.
func TestResendGoesFirst(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	held := b.sim.HoldNext(flowroutetest.OpSend, false)
	defer held.Release()
	first := b.send(jobs.Message{Body: "first"})
	b.start(options{worker: func(o *worker.Options) { o.Concurrency = 1 }})
	<-held.Reached()
	second := b.send(jobs.Message{Body: "second"})
	job, err := b.jobs.Get(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Resend(t.Context(), b.jobs, job); err != nil {
		t.Fatal(err)
	}
	b.until(second, ledger.Accepted)
	if got, err := b.jobs.Get(t.Context(), first); err != nil || got.State == ledger.Accepted {
		t.Errorf("the first one is %s, %v", got.State, err)
	}
}

// Each post says where its own receipts go.
func TestReceiptsOfAnAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t, options{worker: func(o *worker.Options) {
		o.Callback = func(job ledger.ID, attempt int) string {
			return fmt.Sprintf("http://127.0.0.1:1/dlr/%s.%d", job, attempt)
		}
	}})
	id := b.send(jobs.Message{})
	b.until(id, ledger.Accepted)
	if body := b.sim.Requests()[0].Body; !strings.Contains(body, "/dlr/"+id+".1") {
		t.Errorf("got %s", body)
	}
}

// A worker that Redis does not acknowledge takes nothing up, and goes on when it does.
func TestUnfit(t *testing.T) {
	t.Parallel()
	proxy := make(chan func(), 2)
	b := setup(t, options{stopped: true})
	b.start(options{worker: func(o *worker.Options) {
		p := b.db.Proxy(t)
		client, err := jobs.NewClient(p.Client(), jobs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		guard, err := worker.NewGuard(worker.GuardOptions{Ledger: client.Ledger(), Every: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		o.Guard = guard
		proxy <- p.Cut
		proxy <- p.Resume
	}})
	cut, resume := <-proxy, <-proxy
	before := b.send(jobs.Message{Body: "before"})
	if job := b.until(before, ledger.Accepted); job.Attempts != 1 {
		t.Errorf("got %d attempts", job.Attempts)
	}
	cut()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	<-ctx.Done()
	during := b.send(jobs.Message{Body: "during"})
	<-time.After(500 * time.Millisecond)
	if got := b.posts(); got != 1 {
		t.Errorf("got %d posts while no sign of life was acknowledged", got)
	}
	resume()
	b.until(during, ledger.Accepted)
}
