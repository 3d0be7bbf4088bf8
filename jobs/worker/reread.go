package worker

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// reread decides a step whose outcome is unknown from the account's own state.
func (w *Worker) reread(ctx context.Context, known *ledger.Job, p plan) error {
	token := uuid.NewString()
	ok, wait, err := w.ledger.Adopt(ctx, known.ID, known.Attempts, token)
	switch {
	case err != nil:
		return err
	case wait > 0:
		return deferral{wait}
	case !ok:
		return errStop
	}
	if err := w.refresh(ctx, known, p); err != nil {
		return err
	}
	job := *known
	probe, err := w.health.enter(ctx)
	if err != nil {
		return resting(err)
	}
	s, over, err := p.next(ctx)
	if err == nil && over != nil {
		if probe {
			w.health.leave(ctx)
		}
		return errors.Join(w.finish(ctx, job, p, token, *over), errStop)
	}
	var done bool
	if err == nil {
		done, err = s.reread(ctx)
	}
	if err == nil && probe {
		w.health.closed(ctx)
	}
	if err != nil {
		if rest := w.readFailed(ctx, job, p, err, probe); time.Since(job.FirstTried) < w.o.GiveUp {
			return rest
		}
		e := end{State: ledger.Review, Reason: ledger.ReasonUnresolved, Detail: "the account could not be read: " + describe(err)}
		return errors.Join(w.finish(ctx, job, p, token, e), errStop)
	}
	if done {
		_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, Token: token, To: ledger.Queued, Reason: ledger.ReasonReadBack, Uncounted: true, Progress: p.reached().encode()})
		return err
	}
	return w.notThere(ctx, job, p, s, token)
}

// notThere is for a step that the account does not show: it is repeated, unless a
// newer job makes that wrong or it was tried for too long. Posts that cost money
// are bounded by their number instead.
func (w *Worker) notThere(ctx context.Context, job ledger.Job, p plan, s *step, token string) error {
	newer, err := p.superseded(ctx)
	switch {
	case err != nil:
		return err
	case newer:
		e := end{State: ledger.Cancelled, Reason: ledger.ReasonSuperseded, Detail: "a newer route update for this number exists; this one is not repeated"}
		return errors.Join(w.finish(ctx, job, p, token, e), errStop)
	case s.repeatable && time.Since(job.FirstTried) > w.o.GiveUp:
		v := verdict{State: ledger.Failed, Reason: ledger.ReasonUnresolved, Detail: "tried again and again without a certain answer, and the account does not show it"}
		_, again, err := w.stepRefused(ctx, job, p, s, &attempt{token: token, ready: time.Now()}, v)
		if err == nil && !again {
			err = errStop
		}
		return err
	}
	_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, Token: token, To: ledger.Queued, Reason: ledger.ReasonUnresolved, Uncounted: s.repeatable})
	return err
}

// errStop ends a look without anything to report.
var errStop = errors.New("nothing more to do")

// readFailed rests after a read that failed; the job stays as it is.
func (w *Worker) readFailed(ctx context.Context, job ledger.Job, p plan, err error, probe bool) error {
	if rest := resting(err); !isFailure(rest) {
		if probe {
			w.health.leave(context.WithoutCancel(ctx))
		}
		return rest
	}
	v := w.readError(ctx, err, probe)
	if job.State == ledger.Queued && p.reached().Number == "" && time.Since(job.Created) > oldest {
		return w.finish(ctx, job, p, "", end{State: ledger.Failed, Reason: ledger.ReasonTooLate, Detail: v.Detail})
	}
	w.log.WarnContext(ctx, "read failed", "task_id", job.ID.String(), "task_type", job.Type, "reason", v.Detail)
	return deferral{5 * time.Second}
}

// readError takes what a failed read says about the API into account, for all.
func (w *Worker) readError(ctx context.Context, err error, probe bool) verdict {
	v := verdict{State: ledger.Unknown, Detail: describe(err)}
	if errors.Is(err, flowroute.ErrUnauthorized) || errors.Is(err, flowroute.ErrRateLimited) {
		api, _ := errors.AsType[*flowroute.APIError](err)
		v = judge(opPatch, &flowroute.WriteError{Op: "read", Result: flowroute.Refused, Err: api}, 1)
	}
	w.health.observe(ctx, v, err, flowroute.E164{}, probe)
	return v
}
