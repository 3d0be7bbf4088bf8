package worker_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

const (
	ours   = "+12065550100"
	theirs = "+12065550177"
)

// bundle is a worker against a simulated account, with its own Redis database.
type bundle struct {
	t      testing.TB
	sim    *flowroutetest.Server
	db     *redistest.DB
	jobs   *jobs.Client
	ledger *ledger.Ledger
	stop   func() // drains the worker and waits for its end
}

type options struct {
	sim     flowroutetest.Options
	worker  func(*worker.Options)
	limits  ratelimit.Limits
	redis   func(*redistest.DB) redis.UniversalClient
	stopped bool // do not start the worker yet
}

func setup(t testing.TB, o options) bundle {
	t.Helper()
	b := bundle{t: t, sim: flowroutetest.NewServer(t, o.sim), db: redistest.New(t)}
	client, err := jobs.NewClient(b.db.Client(), jobs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.jobs, b.ledger = client, client.Ledger()
	b.stop = func() {}
	if !o.stopped {
		b.stop = b.start(o)
	}
	return b
}

// imitated: an in-process Redis answers, which is many times slower.
func (b bundle) imitated() bool { return b.db.Kind == redisembed.KindInProcess }

// fewer is how many of something the Redis that answers can take in a test's time.
func (b bundle) fewer(many, imitated int) int {
	b.t.Helper()
	if !b.imitated() {
		return many
	}
	b.t.Logf("no redis-server on PATH: %d instead of %d", imitated, many)
	return imitated
}

// start runs another worker on the same account and Redis.
func (b bundle) start(o options) (stop func()) {
	b.t.Helper()
	rdb := b.db.Worker()
	if o.redis != nil {
		rdb = o.redis(b.db)
	}
	const timeout = time.Second
	api, err := flowroute.New(flowroute.Options{BaseURL: b.sim.URL, Timeout: timeout,
		Credentials: flowroute.Credentials{AccessKey: b.sim.AccessKey, SecretKey: b.sim.SecretKey}})
	if err != nil {
		b.t.Fatal(err)
	}
	window := time.Second // what is unknown waits for its end too
	if b.imitated() {
		window = 0 // the imitation may need as long for an intent
	}
	limiter, err := ratelimit.New(rdb, ratelimit.Options{Account: api.Account(), Limits: o.limits, Timeout: timeout, WriteWindow: window, FreshStart: true})
	if err != nil {
		b.t.Fatal(err)
	}
	producer, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	wo := worker.Options{Redis: rdb, Jobs: producer, API: api, Limiter: limiter, Rates: o.limits, Timeout: timeout,
		Settle: 300 * time.Millisecond, ShutdownTimeout: 10 * time.Second, Poll: 10 * time.Millisecond, Concurrency: 10}
	if o.worker != nil {
		o.worker(&wo)
	}
	w, err := worker.New(wo)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.Run(ctx); err != nil {
			b.t.Error(err)
		}
	}()
	limits := make(chan struct{})
	limitCtx, limitsEnd := context.WithCancel(b.t.Context())
	go func() {
		defer close(limits)
		_ = limiter.Run(limitCtx)
	}()
	stop = func() {
		cancel()
		<-done
		limitsEnd()
		<-limits
		api.Close()
	}
	b.t.Cleanup(stop)
	return stop
}

func (b bundle) send(m jobs.Message) string {
	b.t.Helper()
	if m.From == "" {
		m.From = ours
	}
	if m.To == "" {
		m.To = theirs
	}
	if m.Body == "" {
		m.Body = "hello"
	}
	receipt, err := b.jobs.Send(b.t.Context(), m)
	if err != nil {
		b.t.Fatal(err)
	}
	return receipt.ID
}

// until waits for the job to reach one of the states.
func (b bundle) until(id string, states ...ledger.State) ledger.Job {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		job, err := b.jobs.Get(b.t.Context(), id)
		if err != nil {
			b.t.Fatal(err)
		}
		if slices.Contains(states, job.State) {
			return job
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("job is %s (%s %s), want one of %v; history %+v", job.State, job.Reason, job.Detail, states, job.History)
		case <-tick.C:
		}
	}
}

// eventually waits for a condition.
func (b bundle) eventually(what string, holds func() bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			b.t.Fatalf("did not come: %s", what)
		case <-tick.C:
		}
	}
}

// breakerOpens waits until the jobs that post are held back.
func (b bundle) breakerOpens() {
	b.t.Helper()
	b.eventually("an open breaker", func() bool {
		breaker, err := b.ledger.PeekBreaker(b.t.Context(), worker.BreakerName)
		return err == nil && breaker.Open
	})
}

// taken is how many messages the simulator has accepted.
func (b bundle) taken() int { return len(b.sim.Truth().Messages) }

func (b bundle) posts() int {
	n := 0
	for _, r := range b.sim.Requests() {
		if r.Method == "POST" {
			n++
		}
	}
	return n
}
