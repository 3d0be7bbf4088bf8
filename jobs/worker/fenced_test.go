package worker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
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

// While a fence is up what it stands before is not posted, costs no attempt and no
// permit, and goes on by itself afterwards. What is new is not held.
func TestBehindTheFence(t *testing.T) {
	t.Parallel()
	limits := ratelimit.Limits{SMS: ratelimit.Rate{N: 2, Per: time.Second}}
	b := setup(t, options{stopped: true})
	old := []string{b.send(jobs.Message{Body: "old"}), b.purchase(jobs.Purchase{Number: forSale})}
	b.set("fence", "up", "1", "at", fmt.Sprint(time.Now().UnixMilli()+1))
	<-time.After(5 * time.Millisecond)
	fresh := b.send(jobs.Message{Body: "fresh"})
	b.start(options{limits: limits})
	b.until(fresh, ledger.Accepted)
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

// A message that was proven absent too long ago is not posted on that: its records
// are read once more.
func TestProofThatGrewOld(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	id := b.send(jobs.Message{})
	b.set("j:"+id, "ab", "1", "fp", "0011223344556677", "ra", "1", "n", "1")
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
