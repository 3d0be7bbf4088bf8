package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/resolve"
)

// Three resolvers at once, each answer spoiled in one of several ways.
func TestSeveralResolvers(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolvers: 3})
	b.known()
	for _, fault := range []string{"accepted-then-cut", "accepted-then-reset", "reset-before", "accepted-empty", "accepted-truncated"} {
		b.sim.FailNext(fault, 6)
	}
	b.sim.FailNext("accepted-then-500", 1) // more would open the breaker
	var ids []string
	for n := range 50 {
		ids = append(ids, b.send(jobs.Message{Body: fmt.Sprint("text ", n), To: fmt.Sprintf("+1206555%04d", 1000+n/2)}))
	}
	b.chat()
	for n, id := range ids {
		b.until(id, ledger.Accepted, ledger.Delivered)
		b.wantTaken(fmt.Sprint("text ", n), 1)
	}
}

// Without the lease that saves reads the compare-and-set of the ledger still keeps
// two resolvers from posting twice: each has a lease of its own here.
func TestResolversWithoutLease(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolvers: -1})
	b.known()
	var ids []string
	for n := range 10 {
		ids = append(ids, b.lost([]string{[]string{"accepted-then-cut", "reset-before"}[n%2]}, jobs.Message{Body: "twin"})...)
	}
	for n := range 3 {
		b.start(func(o *resolve.Options) { o.LeaseKey = fmt.Sprintf("%slease%d", ledger.DefaultPrefix, n) })
	}
	b.chat()
	for _, id := range ids {
		b.until(id, ledger.Accepted)
	}
	b.wantTaken("twin", 10)
}

// A resolver that dies in the middle of its read leaves nothing behind.
func TestKilledInRound(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolvers: -1})
	b.known()
	there := b.lost([]string{"accepted-then-cut"}, jobs.Message{Body: "there"})[0]
	gone := b.lost([]string{"reset-before"}, jobs.Message{Body: "gone"})[0]
	held := b.sim.HoldNext(flowroutetest.OpLookup, true)
	stop := b.start(nil)
	<-held.Reached()
	stop()
	held.Release()
	for _, id := range []string{there, gone} {
		if job := b.get(id); job.State != ledger.Unknown {
			t.Fatalf("got %s, want unknown", job.State)
		}
	}
	b.start(nil)
	b.chat()
	b.until(there, ledger.Accepted)
	b.until(gone, ledger.Accepted)
	b.wantTaken("there", 1)
	b.wantTaken("gone", 1)
}

// A read is outrun: while it is on its way another resolver decides, and the message
// is posted again and lost once more. The first one's conclusion must not count.
func TestOutrunRead(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolvers: -1})
	b.known()
	id := b.lost([]string{"reset-before"}, jobs.Message{Body: "the one"})[0]
	held := b.sim.HoldNext(flowroutetest.OpLookup, true)
	slow := func(o *resolve.Options) { o.LeaseKey = ledger.DefaultPrefix + "slow" }
	b.start(slow)
	<-held.Reached()
	b.sim.FailNext("accepted-then-cut", 1)
	stop := b.start(nil)
	b.sim.HoldRecords(4 * settle) // the second post's record does not come at once
	b.eventually(func() string {
		if n := b.get(id).Attempts; n < 2 {
			return "not posted again yet"
		}
		return ""
	})
	stop()
	held.Release()
	b.chat()
	b.until(id, ledger.Accepted)
	b.wantTaken("the one", 1)
}

// A worker died between its intent and its post, or after it: the outcome is found.
func TestDeadWorker(t *testing.T) {
	t.Parallel()
	for _, posted := range []bool{true, false} {
		t.Run(fmt.Sprint("posted ", posted), func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{})
			b.known()
			m := jobs.Message{From: ours, To: theirs, Body: "the one", SendAt: time.Now().Add(800 * time.Millisecond)}
			id := b.send(m)
			job := b.get(id)
			b.pass(time.Until(job.Due))
			begun, err := b.ledger.Begin(t.Context(), ledger.Intent{ID: job.ID, Generation: job.Generation, Token: "dead", Account: b.api(timeout).Account(),
				Budget: window, Timeout: timeout, Settle: settle, Fingerprint: jobs.Fingerprint(ours[1:], theirs[1:], m.Body, false), Worker: "dead"})
			if err != nil {
				t.Fatal(err)
			}
			if begun.Decision == ledger.Go && posted {
				b.plant(m.Body)
			}
			b.chat()
			b.until(id, ledger.Accepted)
			if begun.Decision != ledger.Go {
				t.Fatalf("the worker was faster: %+v", begun)
			}
			want := 1
			if posted {
				want = 0
			}
			b.wantTaken(m.Body, want)
		})
	}
}

// A message that a version without fingerprints has posted cannot be matched.
func TestPostedByAnEarlierVersion(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolve: func(o *resolve.Options) { o.Max = time.Second }})
	id := b.send(jobs.Message{Body: "the one", SendAt: time.Now().Add(800 * time.Millisecond)})
	job := b.get(id)
	b.pass(time.Until(job.Due))
	if begun, err := b.ledger.Begin(t.Context(), ledger.Intent{ID: job.ID, Generation: job.Generation, Token: "old", Account: b.api(timeout).Account(),
		Budget: window, Timeout: timeout, Settle: settle}); err != nil || begun.Decision != ledger.Go {
		t.Fatalf("got %+v, %v", begun, err)
	}
	if job := b.until(id, ledger.Review); job.Reason != ledger.ReasonUnresolved {
		t.Errorf("got %s, want unresolved", job.Reason)
	}
	b.wantTaken("the one", 0)
}

// Redis goes away in the middle of it, again and again.
func TestRedisCut(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolvers: -1})
	b.known()
	proxy := b.db.Proxy(t)
	led, err := ledger.New(proxy.Client(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for n := range 8 {
		ids = append(ids, b.lost([]string{[]string{"accepted-then-cut", "reset-before"}[n%2]}, jobs.Message{Body: fmt.Sprint("text ", n)})...)
	}
	b.start(func(o *resolve.Options) { o.Ledger, o.Redis = led, proxy.Client() })
	b.chat()
	b.run(func(ctx context.Context) error { return tease(ctx, proxy) })
	for n, id := range ids {
		b.until(id, ledger.Accepted)
		b.wantTaken(fmt.Sprint("text ", n), 1)
	}
}

// tease drops answers and cuts connections for a while.
func tease(ctx context.Context, proxy *redistest.Proxy) error {
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	for n := range 20 {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		switch n % 4 {
		case 0:
			proxy.Cut()
		case 1, 3:
			proxy.Resume()
		case 2:
			proxy.DropReplies(2)
		}
	}
	return nil
}

// Jobs that wait for a second post go to the head of their lane, by the caller's
// way of waking.
func TestNudge(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var woken []ledger.ID
	b := setup(t, options{resolve: func(o *resolve.Options) {
		o.Nudge = func(_ context.Context, job ledger.Job) error {
			mu.Lock()
			defer mu.Unlock()
			woken = append(woken, job.ID)
			return errors.New("asynq is away")
		}
	}})
	id := b.lost([]string{"reset-before"}, jobs.Message{Body: "the one"})[0]
	b.chat()
	job := b.until(id, ledger.Queued)
	b.eventually(func() string {
		mu.Lock()
		defer mu.Unlock()
		if len(woken) != 1 || woken[0] != job.ID || job.AbsentAt.IsZero() {
			return fmt.Sprintf("woken %v; %+v", woken, job)
		}
		return ""
	})
}

// While nothing is open, nothing is read, and next to nothing asked of Redis.
func TestIdle(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolve: func(o *resolve.Options) { o.Tick = 50 * time.Millisecond }})
	b.known()
	b.pass(time.Second)
	if n := b.reads(); n != 0 {
		t.Errorf("read %d times, want never", n)
	}
	if _, err := resolve.New(resolve.Options{}); err == nil {
		t.Error("no options: want an error")
	}
}
