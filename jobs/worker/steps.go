package worker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// Purchases and route updates are rows of steps. Each step is one request with a
// permit and an intent of its own; what was reached is kept in the ledger before
// the next one. An unknown step is read back from the account once its request must
// be over and the account had time to show it (reread.go), and is repeated only then.

// progress is what a job of several steps has reached, as the ledger keeps it.
type progress struct {
	V        int      `json:"v"`
	Number   string   `json:"number,omitempty"`  // bought
	Partial  bool     `json:"partial,omitempty"` // 207: bought, but messaging was not switched on
	Alias    bool     `json:"alias,omitempty"`   // of a purchase: set, or given up with a warning
	Name     slot     `json:"name,omitzero"`     // the alias of a route update
	Primary  slot     `json:"primary,omitzero"`
	Failover slot     `json:"failover,omitzero"`
	Warnings []string `json:"warnings,omitempty"`
}

// slot is how far one of a number's routes, or its alias, has come.
type slot struct {
	RouteID string `json:"route_id,omitempty"`
	Over    bool   `json:"over,omitempty"`    // set, or given up with a warning
	Dropped bool   `json:"dropped,omitempty"` // given up, since a newer job sets it
}

// nothing: no step was done.
func (p progress) nothing() bool {
	return p.Number == "" && p.Name == slot{} && p.Primary == slot{} && p.Failover == slot{}
}

func (p progress) encode() []byte {
	p.V = 1
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts and flags only
	}
	return b
}

func readProgress(job ledger.Job) progress {
	var p progress
	if len(job.Progress) > 0 {
		_ = json.Unmarshal(job.Progress, &p) // our own; anything else is an empty start
	}
	return p
}

// step is one request of a job.
type step struct {
	op     operation
	claim  flowroute.E164 // number that the intent claims for this job
	reason ledger.Reason  // of the change once it is done
	// request makes the request and, when it succeeded, notes it in the progress.
	request func(ctx context.Context, w flowroute.Write) error
	// reread asks the account whether an earlier try of unknown outcome was
	// accepted, and if so notes it in the progress.
	reread func(ctx context.Context) (bool, error)
	// accepted notes an answer 2xx in the progress before its body is read; may be nil.
	accepted func(status int)
	// refused says what a certain refusal means: an end, or nil to go on with what
	// it noted in the progress. err is that of further reads, or errStillOpen.
	refused func(ctx context.Context, v verdict) (*end, error)
	// gone says the same when the step is not tried again, and the account does not
	// show what earlier tries of unknown outcome would have done.
	gone func(v verdict) *end
	// taken notes that the claimed number is another job's, and reports whether
	// there is another way; nil: there is none.
	taken func() bool
	// repeatable: doing it again is the same as doing it once.
	repeatable bool
	// slot is what a newer job may set instead, and drop notes that it does.
	slot string
	drop func()
}

// errStillOpen: the refusal of a step that may have been done before says nothing
// yet. The account does, once it had time to show it.
var errStillOpen = errors.New("refused after a try of unknown outcome")

// end is how a job of several steps ends.
type end struct {
	State   ledger.State
	Reason  ledger.Reason
	Detail  string
	Release bool // the claimed number becomes free
}

// plan is a job of several steps.
type plan interface {
	// next is the next step, or the end. It may read from the API.
	next(ctx context.Context) (*step, *end, error)
	reached() *progress
}

// oldest is how long a job without progress may try to do its first step.
const oldest = 24 * time.Hour

// run takes the job through its steps until it ends or has to rest. The plan sees
// the job that run reads again before each step.
func (w *Worker) run(ctx context.Context, job *ledger.Job, p plan) error {
	if job.State == ledger.Unknown {
		if err := w.reread(ctx, job, p); err != nil {
			return err
		}
	}
	for {
		if ctx.Err() != nil {
			return deferral{}
		}
		begun, err := w.ledger.Begin(ctx, ledger.Intent{ID: job.ID, Generation: job.Generation})
		if err != nil || begun.Decision != ledger.Ready {
			return errors.Join(err, w.declined(ctx, *job, begun))
		}
		if err := w.refresh(ctx, job, p); err != nil {
			return err
		}
		if e := tooOld(*job, p); e != nil {
			return w.finish(ctx, *job, p, "", *e)
		}
		next, over, err := w.plan(ctx, *job, p)
		if err != nil {
			return err
		}
		if over != nil {
			return w.finish(ctx, *job, p, "", *over)
		}
		if dropped, err := w.dropped(ctx, *job, p, next); err != nil {
			return err
		} else if dropped {
			continue
		}
		if wait, again, err := w.step(ctx, *job, p, next); err != nil || !again {
			return err
		} else if wait > 0 {
			return deferral{wait}
		}
	}
}

// refresh reads the job again, and what it has reached: a task that ran twice, since
// its process was stopped for a while, has a twin that may have gone on.
func (w *Worker) refresh(ctx context.Context, job *ledger.Job, p plan) error {
	read, err := w.ledger.Get(ctx, job.ID)
	if err != nil {
		return err
	}
	*job, *p.reached() = read, readProgress(read)
	return nil
}

// plan asks for the next step, which may read from the API. Reads wait at the
// breaker like all else.
func (w *Worker) plan(ctx context.Context, job ledger.Job, p plan) (*step, *end, error) {
	probe, err := w.health.enter(ctx)
	if err != nil {
		return nil, nil, resting(err)
	}
	next, over, err := p.next(ctx)
	if err != nil {
		return nil, nil, w.readFailed(ctx, job, p, err, probe)
	}
	if probe {
		w.health.leave(ctx) // for the step's own request
	}
	return next, over, nil
}

// dropped gives up a step that may have been done already, if a newer job sets the
// same: a repeat would undo what that one does.
func (w *Worker) dropped(ctx context.Context, job ledger.Job, p plan, s *step) (bool, error) {
	if !job.Uncertain {
		return false, nil
	}
	newer, err := w.superseded(ctx, job, s)
	if err != nil || !newer {
		return false, err
	}
	s.drop()
	_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, To: ledger.Queued, Reason: ledger.ReasonSuperseded, Progress: p.reached().encode(), Seen: job.Seen})
	return true, err
}

// superseded reports whether a newer job is to set what the step sets.
func (w *Worker) superseded(ctx context.Context, job ledger.Job, s *step) (bool, error) {
	if s.slot == "" {
		return false, nil
	}
	newest, ok, err := w.ledger.Newest(ctx, s.slot)
	return ok && newest != job.ID, err
}

// step makes one attempt at a step.
func (w *Worker) step(ctx context.Context, job ledger.Job, p plan, s *step) (wait time.Duration, again bool, err error) {
	a, begun, err := w.take(ctx, job, ratelimit.KindNumbers, ledger.Intent{Number: s.claim})
	if a == nil {
		switch {
		case err != nil || begun.Decision != ledger.Claimed:
			return 0, false, errors.Join(err, w.declined(ctx, job, begun))
		case s.taken != nil && s.taken():
			return 0, true, nil
		}
		e := end{State: ledger.Failed, Reason: ledger.ReasonNumberTaken, Detail: "purchase " + begun.Other.String() + " has claimed this number"}
		return 0, false, w.finish(ctx, job, p, "", e)
	}
	ctx = context.WithoutCancel(ctx)
	done := ledger.Settlement{ID: job.ID, Token: a.token, To: ledger.Queued, Reason: s.reason, Uncounted: s.repeatable}
	err = s.request(ctx, flowroute.Write{Pass: w.pass(a, job.ID), Deadline: a.until, OnStatus: func(status int) {
		if s.accepted != nil {
			s.accepted(status)
			early := done
			early.Progress = p.reached().encode()
			_, _ = w.settle(ctx, early)
		}
	}})
	w.at(PointAnswered, job.ID)
	if err == nil {
		w.health.observe(ctx, verdict{State: ledger.Done}, nil, flowroute.E164{}, a.probe)
		w.metrics.attempt(s.op, verdict{State: ledger.Done}, nil)
		done.Progress = p.reached().encode()
		settled, err := w.settle(ctx, done)
		if err == nil && settled.Duplicate && s.accepted != nil {
			err = w.late(ctx, job.ID, *p.reached())
		}
		return 0, err == nil, err
	}
	v := judge(s.op, err, a.number)
	if v.Status == http.StatusNotFound && s.op == opPatch && w.justBought(job) {
		v = verdict{State: ledger.Queued, Reason: ledger.ReasonUnresolved, Detail: v.Detail, Uncounted: true, Wait: time.Second}
	}
	w.health.observe(ctx, v, err, flowroute.E164{}, a.probe)
	w.metrics.attempt(s.op, v, err)
	w.log.LogAttrs(ctx, slog.LevelWarn, "step not done", slog.String("task_id", job.ID.String()), slog.String("task_type", string(job.Type)),
		slog.String("outcome", string(s.op)), slog.String("state", string(v.State)), slog.String("reason", string(v.Reason)), slog.Int("attempt", a.number))
	switch v.State {
	case ledger.Unknown:
		return 0, false, w.stillOpen(ctx, job, a, v)
	case ledger.Queued:
		_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, Token: a.token, To: ledger.Queued, Reason: v.Reason, Detail: v.Detail, Uncounted: v.Uncounted})
		return v.Wait, err == nil, err
	}
	return w.stepRefused(ctx, job, p, s, a, v)
}

// justBought: the account may not show the number yet, whatever is asked of it.
func (w *Worker) justBought(job ledger.Job) bool {
	return job.Type == ledger.PurchaseNumber && time.Since(stepSince(job)) < w.o.Timeout+w.o.Settle
}

// stillOpen makes an attempt unknown, and lets its task rest until the account may
// decide it.
func (w *Worker) stillOpen(ctx context.Context, job ledger.Job, a *attempt, v verdict) error {
	_, err := w.settle(ctx, ledger.Settlement{ID: job.ID, Token: a.token, To: ledger.Unknown, Reason: v.Reason, Detail: v.Detail})
	if err == nil {
		w.nowUnknown(ctx, job.ID)
	}
	return errors.Join(err, restUntil(a.ready))
}

func (w *Worker) stepRefused(ctx context.Context, job ledger.Job, p plan, s *step, a *attempt, v verdict) (time.Duration, bool, error) {
	before := *p.reached()
	over, err := s.refused(ctx, v)
	if err != nil {
		// What the refusal means could not be read: the next look decides, as for
		// an outcome that is unknown.
		return 0, false, w.stillOpen(ctx, job, a, v)
	}
	err = w.concluded(ctx, job, p, s, a.token, v, over, before)
	return 0, over == nil && err == nil, err
}

// concluded writes down what a refusal means: the job ends, or goes on with what was
// noted in its progress.
func (w *Worker) concluded(ctx context.Context, job ledger.Job, p plan, s *step, token string, v verdict, over *end, before progress) error {
	if over != nil {
		return w.finish(ctx, job, p, token, *over)
	}
	reached := p.reached()
	turnedDown := !s.claim.IsZero() && reached.Number == ""
	next := ledger.Settlement{ID: job.ID, Token: token, To: ledger.Queued, Reason: v.Reason, Detail: v.Detail, Release: turnedDown, Uncounted: turnedDown}
	if reached.Number != before.Number {
		next.Reason, next.Detail = ledger.ReasonReadBack, ""
	}
	if after := reached.encode(); string(after) != string(before.encode()) {
		next.Progress = after
	}
	_, err := w.settle(ctx, next)
	return err
}

// warningBreak stands between the warnings of a job.
const warningBreak = "; "

// finish ends the job; without a token as it was read, unless an attempt has ended since.
func (w *Worker) finish(ctx context.Context, job ledger.Job, p plan, token string, e end) error {
	reached := p.reached()
	s := ledger.Settlement{ID: job.ID, Token: token, To: e.State, Reason: e.Reason, Detail: e.Detail, Release: e.Release, Seen: job.Seen}
	if reached.Number != "" || e.State == ledger.Done {
		s.Progress = reached.encode()
	}
	s.Warning = strings.Join(reached.Warnings, warningBreak)
	settled, err := w.settle(ctx, s)
	if err == nil && settled.Duplicate {
		return deferral{time.Second} // outrun: what there is to do, if anything, is seen then
	}
	w.log.LogAttrs(ctx, levelOf(verdict{State: settled.State}), "job ended", slog.String("task_id", job.ID.String()), slog.String("task_type", string(job.Type)),
		slog.Any("to", job.To), slog.String("state", string(settled.State)), slog.String("reason", string(e.Reason)))
	return err
}

func restUntil(t time.Time) error { return deferral{max(time.Until(t), time.Second)} }
