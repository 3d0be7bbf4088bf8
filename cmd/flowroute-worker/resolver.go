package main

import (
	"context"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/resolve"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// newResolver makes what decides unknown messages from Flowroute's records. Its
// reads have a lane of their own.
func (v *service) newResolver(wake func(context.Context, ledger.Job) error) (*resolve.Resolver, error) {
	return resolve.New(resolve.Options{
		Ledger: v.jobs.Ledger(), API: v.api.WithGate(worker.Gate(v.limiter, ratelimit.LaneResolve)), Redis: v.redis.producer,
		Account: v.account, Known: v.knownNumbers, Nudge: wake,
		Settle: v.AmbiguousSettle, SettleIdle: v.AmbiguousSettleIdle, Max: v.AmbiguousMax, Reach: reach,
		Hold: v.AmbiguousAction == "review", Metrics: v.resolved, Logger: v.log,
	})
}

// knownNumbers are those that the stored copy knew before a moment. ok is false when
// there was no copy yet.
func (v *service) knownNumbers(ctx context.Context, before time.Time) (known map[flowroute.E164]bool, ok bool, err error) {
	known = map[flowroute.E164]bool{}
	for n, err := range v.numbers.Each(ctx, inventory.Query{}) {
		if err != nil {
			return nil, false, err
		}
		if n.FirstSeen.Before(before) {
			known[n.Number] = true
		}
	}
	return known, len(known) > 0, nil
}
