package worker_test

import (
	"context"
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/resolve"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

var pairMessages = flag.Int("bench.messages", 600, "messages of each of the 22 runs of BenchmarkSendWithResolver; 3000 and more for a figure to rely on")

// BenchmarkSendWithResolver compares messages per second without a limit, nothing
// being unknown, with a resolver beside the worker and without: eleven pairs, each in
// the other order than the one before. The median of their ratios is to be 0.95 or
// more.
func BenchmarkSendWithResolver(b *testing.B) {
	const pairs = 11
	for b.Loop() {
		var ratios, rates []float64
		for pair := range pairs {
			var with, without float64
			for _, on := range []bool{pair%2 == 0, pair%2 != 0} {
				if rate := resolverRate(b, *pairMessages, 64, on); on {
					with = rate
				} else {
					without = rate
				}
			}
			b.Logf("pair %d: %.0f messages/s with, %.0f without: %.3f", pair+1, with, without, with/without)
			ratios, rates = append(ratios, with/without), append(rates, with)
		}
		slices.Sort(ratios)
		slices.Sort(rates)
		b.ReportMetric(ratios[pairs/2], "ratio")
		b.ReportMetric(rates[pairs/2], "msg/s")
	}
}

// resolverRate is how many messages a second go through one worker.
func resolverRate(b *testing.B, messages, handlers int, resolver bool) float64 {
	sim, db := flowroutetest.NewServer(b, flowroutetest.Options{KeepRequests: 1}), redistest.New(b)
	rdb := db.Worker()
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]jobs.Message, messages)
	for i := range batch {
		batch[i] = jobs.Message{From: ours, To: theirs, Body: "hello"}
	}
	if _, errs := client.SendMany(b.Context(), batch); slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		b.Fatal(errs)
	}
	api, err := flowroute.New(flowroute.Options{BaseURL: sim.URL, Credentials: flowroute.Credentials{AccessKey: sim.AccessKey, SecretKey: sim.SecretKey}})
	if err != nil {
		b.Fatal(err)
	}
	defer api.Close()
	limiter, err := ratelimit.New(rdb, ratelimit.Options{Account: api.Account(), FreshStart: true})
	if err != nil {
		b.Fatal(err)
	}
	w, err := worker.New(worker.Options{Redis: rdb, Jobs: client, API: api, Limiter: limiter, Concurrency: handlers})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running []chan struct{}
	run := func(part func(context.Context) error) {
		ended := make(chan struct{})
		running = append(running, ended)
		go func() {
			defer close(ended)
			_ = part(ctx)
		}()
	}
	if resolver {
		reads := api.WithGate(worker.Gate(limiter, ratelimit.LaneResolve))
		r, err := resolve.New(resolve.Options{Ledger: client.Ledger(), API: reads, Redis: rdb, Account: api.Account(),
			Nudge: func(ctx context.Context, job ledger.Job) error { return w.Resend(ctx, job) }})
		if err != nil {
			b.Fatal(err)
		}
		run(r.Run)
	}
	started := time.Now()
	run(w.Run)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for sim.Counts().Accepted < int64(messages) {
		<-tick.C
	}
	took := time.Since(started)
	cancel()
	for _, ended := range running {
		<-ended
	}
	return float64(messages) / took.Seconds()
}
