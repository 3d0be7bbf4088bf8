package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// syncPatience is how long a sync that fails is tried again. The next tick makes
// another one, which goes on where the last good one ended.
const syncPatience = 15 * time.Minute

// sync runs a sync job; it can be repeated freely.
func (w *Worker) sync(ctx context.Context, job ledger.Job) error {
	syncer := w.o.Syncs[job.Type]
	if syncer == nil {
		_, err := w.settle(ctx, ledger.Settlement{ID: job.ID, To: ledger.Failed, Reason: ledger.ReasonInternal, Detail: "this version does not run jobs of type " + string(job.Type)})
		return err
	}
	if _, err := w.health.enter(ctx); err != nil {
		return resting(err)
	}
	started := time.Now()
	report, err := syncer.Handle(ctx, job)
	if err == nil {
		w.metrics.synced(job.Type, time.Now())
		w.log.LogAttrs(ctx, slog.LevelInfo, "sync done", slog.String("task_id", job.ID.String()), slog.String("task_type", string(job.Type)),
			slog.Int64("duration_ms", time.Since(started).Milliseconds()))
		_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, To: ledger.Done, Progress: report})
		return err
	}
	if rest := resting(err); rest != err {
		return rest
	}
	kind := ratelimit.KindLookup
	if job.Type == ledger.SyncNumbers {
		kind = ratelimit.KindNumbers
	}
	v := w.readError(ctx, kind, err)
	if time.Since(job.Created) < syncPatience {
		w.log.WarnContext(ctx, "sync failed, tried again", "task_id", job.ID.String(), "task_type", job.Type, "reason", v.Detail)
		return deferral{5 * time.Second}
	}
	w.log.ErrorContext(ctx, "sync failed", "task_id", job.ID.String(), "task_type", job.Type, "reason", v.Detail)
	_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, To: ledger.Failed, Reason: ledger.ReasonUnresolved, Detail: v.Detail})
	return err
}
