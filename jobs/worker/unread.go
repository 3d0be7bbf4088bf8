package worker

import (
	"context"
	"errors"
	"log/slog"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// sendUnread posts a message that its nudge names without reading it first: the
// answer to the intent brings it, which saves one of three calls of the ledger. It is
// for when permits cost nothing; else one whose job is over would take the turn of
// another. Not done: the job is to be read, and looked at.
func (w *Worker) sendUnread(ctx context.Context, nudge jobs.Task, queue string) (done bool, err error) {
	if campaign, _, row := nudge.ID.Row(); row && len(w.campaignCaps(campaign)) > 0 {
		return false, nil // it waits for its campaign's limit
	}
	job := ledger.Job{ID: nudge.ID, Type: ledger.SendMessage, Queue: queue, Generation: nudge.Generation}
	a, begun, err := w.take(ctx, job, ratelimit.KindSMS, ledger.Intent{Unread: true})
	switch {
	case errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrNewerVersion):
		return false, nil
	case err != nil:
		return true, err
	case a == nil && begun.Decision == ledger.Held:
		return true, w.hold(ctx, job, begun.Other)
	case a == nil:
		return begun.Decision == ledger.Ended, nil
	}
	job = *begun.Job
	spec, err := jobs.MessageOf(job)
	message := spec.Flowroute()
	if err != nil || jobs.FingerprintOf(message) != begun.Fingerprint {
		// Written by another version: what it is known under has to be what it is posted as.
		w.unused(ctx, a)
		_, err := w.settle(ctx, ledger.Settlement{ID: job.ID, Token: a.token, To: ledger.Queued, Reason: ledger.ReasonNotSent, Uncounted: true})
		w.log.LogAttrs(ctx, slog.LevelWarn, "a message is read anew before it is posted", slog.String("task_id", job.ID.String()), slog.Any("err", err))
		return err != nil, err
	}
	if wait := w.closed(spec); wait > 0 {
		w.unused(ctx, a)
		_, err := w.settle(ctx, ledger.Settlement{ID: job.ID, Token: a.token, To: ledger.Queued, Reason: ledger.ReasonNotSent, Uncounted: true})
		return true, errors.Join(err, deferral{wait})
	}
	entry, blocked, err := w.optOuts.blocked(ctx, job)
	if blocked || err != nil {
		w.unused(ctx, a)
		outcome := ledger.Settlement{ID: job.ID, Token: a.token, To: ledger.Blocked, Reason: ledger.ReasonOptedOut, Detail: entry.Why(), Uncounted: true}
		if err != nil {
			outcome.To, outcome.Reason, outcome.Detail = ledger.Queued, ledger.ReasonNotSent, ""
		}
		_, settleErr := w.settle(ctx, outcome)
		return true, errors.Join(err, settleErr)
	}
	wait, again, err := w.transmit(ctx, job, a, message)
	if err == nil && again && wait > 0 {
		return true, deferral{wait}
	}
	return err != nil || !again, err
}
