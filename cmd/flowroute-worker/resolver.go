package main

import (
	"context"

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
		Account: v.account, Known: v.numbers.KnownBefore, Nudge: wake,
		Settle: v.AmbiguousSettle, SettleIdle: v.AmbiguousSettleIdle, Max: v.AmbiguousMax, Reach: reach,
		Hold: v.AmbiguousAction == "review", Metrics: v.resolved, Logger: v.log,
	})
}
