package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
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
	probe, err := w.health.enter(ctx)
	if err != nil {
		return resting(err)
	}
	started := time.Now()
	report, err := syncer.Handle(ctx, job)
	if err == nil {
		w.health.observe(ctx, verdict{State: ledger.Done}, nil, flowroute.E164{}, probe)
		if job.Type == ledger.SyncNumbers && w.o.Numbers != nil {
			if err := w.messagingIsOn(ctx, started.Add(-time.Minute)); err != nil {
				return err // the sync can be repeated; so can this
			}
		}
		w.log.LogAttrs(ctx, slog.LevelInfo, "sync done", slog.String("task_id", job.ID.String()), slog.String("task_type", string(job.Type)),
			slog.Int64("duration_ms", time.Since(started).Milliseconds()))
		_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, To: ledger.Done, Progress: report})
		return err
	}
	if rest := resting(err); !isFailure(rest) {
		if probe {
			w.health.leave(context.WithoutCancel(ctx))
		}
		return rest
	}
	v := w.readError(ctx, err, probe)
	_, hopeless := errors.AsType[*mdr.PayloadError](err)
	if !hopeless && time.Since(job.Created) < syncPatience {
		w.log.WarnContext(ctx, "sync failed, tried again", "task_id", job.ID.String(), "task_type", job.Type, "reason", v.Detail)
		return deferral{5 * time.Second}
	}
	w.log.ErrorContext(ctx, "sync failed", "task_id", job.ID.String(), "task_type", job.Type, "reason", v.Detail)
	_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, To: ledger.Failed, Reason: ledger.ReasonUnresolved, Detail: v.Detail})
	return err
}
