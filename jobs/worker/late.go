package worker

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// lateLook is how often a job is looked at that cannot take a late outcome yet.
const lateLook = 500 * time.Millisecond

// late writes down that a number was bought by an attempt that was outrun: this
// process was stopped, or cut off from Redis, while others decided what they could.
// Proof beats what they inferred, and never posts.
func (w *Worker) late(ctx context.Context, id ledger.ID, bought progress) error {
	token := uuid.NewString()
	for {
		job, err := w.ledger.Get(ctx, id)
		switch {
		case err != nil:
		case readProgress(job).Number != "":
			return nil
		case job.State.Final(), job.State == ledger.Review && job.Number.Digits() != bought.Number:
			w.log.ErrorContext(ctx, "a number was bought by a job that had gone on without it: release the number, or keep it",
				"task_id", id.String(), "state", job.State, "reason", job.Reason, "to", jobs.NumberOf(ledger.Job{Progress: bought.encode()}))
			return nil
		case job.State == ledger.Queued:
			err = w.lateSettle(ctx, job, "", bought)
		case job.State == ledger.Unknown:
			ok, wait, adoptErr := w.ledger.Adopt(ctx, id, job.Attempts, token)
			if err = adoptErr; ok && err == nil {
				err = w.lateSettle(ctx, job, token, bought)
			} else if wait > 0 {
				w.log.DebugContext(ctx, "late outcome waits", "task_id", id.String(), "wait_ms", wait.Milliseconds())
			}
		case job.State == ledger.Review:
			if _, _, err = w.ledger.Rule(ctx, id, ledger.RuledAccepted); err == nil {
				err = w.nudgeAgain(ctx, job)
			}
		}
		if err != nil {
			w.log.WarnContext(ctx, "late outcome not yet written", "task_id", id.String(), "err", err)
		}
		select {
		case <-w.ended:
			w.log.ErrorContext(ctx, "late outcome not written before the end: the account tells", "task_id", id.String())
			return err
		case <-time.After(lateLook):
		}
	}
}

func (w *Worker) lateSettle(ctx context.Context, job ledger.Job, token string, bought progress) error {
	settled, err := w.settle(ctx, ledger.Settlement{ID: job.ID, Token: token, To: ledger.Queued, Reason: ledger.ReasonLateProof,
		Progress: bought.encode(), Seen: job.Seen})
	if err != nil || settled.Duplicate {
		return err
	}
	return w.nudgeAgain(ctx, job)
}
