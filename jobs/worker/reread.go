package worker

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// mostBuys is how often a number is asked for whose purchase has no certain answer.
// The ledger allows one more, which is left for a person to rule.
const mostBuys = 4

// reread decides a step whose outcome is unknown from the account's own state: once
// its request must be over and the account had time to show it, by Redis' clock and
// by this process's own.
func (w *Worker) reread(ctx context.Context, known *ledger.Job, p plan) error {
	if left := w.mustSee(*known) - w.sights.age(*known); left > 0 {
		return deferral{left}
	}
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
		if rest := w.readFailed(ctx, job, p, err, probe); time.Since(openSince(job)) < w.o.GiveUp {
			return rest
		}
		e := end{State: ledger.Review, Reason: ledger.ReasonUnresolved, Detail: evidence(job, "the account could not be read: "+describe(err))}
		return errors.Join(w.finish(ctx, job, p, token, e), errStop)
	}
	w.at(PointAnswered, job.ID)
	if done {
		_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, Token: token, To: ledger.Queued, Reason: ledger.ReasonReadBack, Uncounted: true, Progress: p.reached().encode()})
		return err
	}
	return w.notThere(ctx, job, p, s, token)
}

// notThere is for a step that the account does not show: it is repeated, unless a
// newer job sets the same, it was refused when it was repeated, or it was tried for
// too long. Posts that cost money are bounded by their number instead.
func (w *Worker) notThere(ctx context.Context, job ledger.Job, p plan, s *step, token string) error {
	newer, err := w.superseded(ctx, job, s)
	if err != nil {
		return err
	}
	before := *p.reached()
	var v verdict
	switch {
	case newer:
		s.drop()
		_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, Token: token, To: ledger.Queued, Reason: ledger.ReasonSuperseded, Uncounted: true, Progress: p.reached().encode()})
		return err
	case openFor(job) == ledger.ReasonRefused:
		v = verdict{State: ledger.Failed, Reason: ledger.ReasonRefused, Detail: job.Detail}
	case s.repeatable && time.Since(stepSince(job)) > w.o.GiveUp:
		v = verdict{State: ledger.Failed, Reason: ledger.ReasonUnresolved, Detail: "tried again and again without a certain answer, and the account does not show it"}
	case !s.repeatable && job.Attempts >= mostBuys:
		v = verdict{State: ledger.Failed, Reason: ledger.ReasonUsedUpUnknown, Detail: "no certain answer to any of the posts"}
	default:
		_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, Token: token, To: ledger.Queued, Reason: ledger.ReasonUnresolved, Uncounted: s.repeatable})
		return err
	}
	over := s.gone(v)
	err = w.concluded(ctx, job, p, s, token, v, over, before)
	if err == nil && over != nil {
		err = errStop
	}
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
	if job.State == ledger.Queued && p.reached().nothing() && !job.Uncertain && time.Since(job.Created) > oldest {
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
