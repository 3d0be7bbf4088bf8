package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// send posts a message that is queued, until it is settled or has to rest.
func (w *Worker) send(ctx context.Context, job ledger.Job) error {
	spec, err := jobs.MessageOf(job)
	if err != nil {
		_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, To: ledger.Failed, Reason: ledger.ReasonInternal, Detail: "its record cannot be read: " + mask(err.Error())})
		return err
	}
	if wait := time.Until(job.Due); wait > time.Second {
		return deferral{wait}
	}
	if wait := w.closed(spec); wait > 0 {
		return deferral{wait}
	}
	if over, err := w.optedOut(ctx, job); over || err != nil {
		return err
	}
	_, _, row := job.ID.Row()
	if row || !job.Expires.IsZero() && time.Until(job.Expires) < 5*time.Second {
		// Perhaps over, or held: find out before it takes a permit from one that is not.
		if ready, err := w.ready(ctx, job); !ready {
			return err
		}
	}
	message := spec.Flowroute()
	if at := w.placeOf(job, message); at != (Place{}) {
		return w.park(ctx, job, at)
	}
	fingerprint := jobs.FingerprintOf(message)
	for {
		wait, again, err := w.post(ctx, job, spec, fingerprint)
		switch {
		case err != nil || !again:
			return err
		case wait > 0:
			return deferral{wait}
		case ctx.Err() != nil:
			return deferral{}
		}
	}
}

// attempt is one permit and one intent, ready for one request.
type attempt struct {
	token  string
	permit *ratelimit.Permit
	number int // of this attempt of the job
	probe  bool
	until  time.Time // nothing leaves after it
	ready  time.Time // when the records may decide what became of it
}

// take waits for the breaker and for a permit, and writes the intent, of which the
// caller gives what the request is about. Without an attempt, begun says why the job
// is not to be posted. An attempt that was planned on what the job had reached is
// refused when another has ended since.
func (w *Worker) take(ctx context.Context, job ledger.Job, kind ratelimit.Kind, intent ledger.Intent) (*attempt, ledger.Begun, error) {
	a, err := w.permit(ctx, kind, laneOf(job.Queue))
	if err != nil {
		return nil, ledger.Begun{}, err
	}
	w.at(PointPermit, job.ID)
	return w.begin(ctx, job, a, intent)
}

// permit waits for the breaker and for a permit.
func (w *Worker) permit(ctx context.Context, kind ratelimit.Kind, lane ratelimit.Lane, caps ...ratelimit.Cap) (*attempt, error) {
	if err := w.fit(ctx); err != nil {
		return nil, err
	}
	probe, err := w.health.enter(ctx)
	if err != nil {
		return nil, resting(err)
	}
	permit, err := w.o.Limiter.Take(ctx, kind, lane, caps...)
	if err != nil {
		if probe {
			w.health.leave(context.WithoutCancel(ctx))
		}
		return nil, resting(err)
	}
	w.metrics.permitWait(kind, lane, permit.Wait())
	return &attempt{token: uuid.NewString(), permit: permit, probe: probe}, nil
}

// unused gives a permit back that no request was made with.
func (w *Worker) unused(ctx context.Context, a *attempt) {
	a.permit.Unsent()
	if a.probe {
		w.health.leave(context.WithoutCancel(ctx))
	}
}

// begin writes the intent of an attempt that has its permit, or gives that back.
func (w *Worker) begin(ctx context.Context, job ledger.Job, a *attempt, intent ledger.Intent) (*attempt, ledger.Begun, error) {
	intent.ID, intent.Generation, intent.Token, intent.Account = job.ID, job.Generation, a.token, w.o.Account
	intent.Timeout, intent.Settle, intent.Worker = w.o.Timeout, w.o.Settle, w.name()
	if job.Type != ledger.SendMessage {
		intent.Seen = job.Seen
	}
	begun, err := w.intend(ctx, job, a, intent)
	if err == nil && begun.Decision == ledger.Go {
		w.at(PointIntent, job.ID)
		return a, begun, nil
	}
	w.unused(ctx, a)
	return nil, begun, err
}

// intend writes the attempt's intent.
func (w *Worker) intend(ctx context.Context, job ledger.Job, a *attempt, intent ledger.Intent) (ledger.Begun, error) {
	if err := w.fit(ctx); err != nil { // the permit may have been long in coming
		return ledger.Begun{}, err
	}
	called := time.Now()
	intent.Budget = a.permit.Deadline().Sub(called)
	begun, err := w.ledger.Begin(ctx, intent)
	switch {
	case err == nil && begun.Decision == ledger.Go:
		if intent.Unread {
			job, intent.Fingerprint = *begun.Job, begun.Fingerprint
		}
		w.began(job, intent, begun)
		a.until, a.number, a.ready = called.Add(begun.Left), begun.Attempt, begun.ResolveAt
	case err != nil && !errors.Is(err, ledger.ErrNotFound):
		// The intent may have been written all the same; nothing was posted.
		a.permit.Unsent()
		_, _ = w.settle(ctx, ledger.Settlement{ID: job.ID, Token: a.token, To: ledger.Queued, Reason: ledger.ReasonNotSent, Uncounted: true})
	}
	return begun, err
}

// ready reports whether a job may be posted now; where it may not, err is what its task
// does. It costs no permit.
func (w *Worker) ready(ctx context.Context, job ledger.Job) (bool, error) {
	begun, err := w.ledger.Begin(ctx, ledger.Intent{ID: job.ID, Generation: job.Generation})
	if err != nil || begun.Decision == ledger.Ready {
		return err == nil, err
	}
	return false, w.declined(ctx, job, begun)
}

// resting turns the end of the process into a rest of the task.
func resting(err error) error {
	if errors.Is(err, errDraining) || errors.Is(err, ratelimit.ErrDraining) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return deferral{}
	}
	return err
}

// declined is what a task does when the ledger says no. After [ledger.Recheck] there
// is nothing to do: the job is unknown again, and its records decide.
func (w *Worker) declined(ctx context.Context, job ledger.Job, begun ledger.Begun) error {
	switch begun.Decision {
	case ledger.Fenced:
		return w.fenced(ctx, "Redis has lost writes, or may have: what was posted is compared with Flowroute's records first")
	case ledger.Held:
		return w.hold(ctx, job, begun.Other)
	case ledger.Early, ledger.Open:
		return deferral{max(begun.Wait, 100*time.Millisecond)}
	case ledger.Outrun:
		return deferral{}
	case ledger.Behind:
		return deferral{10 * time.Second} // woken when its turn comes; this is the safety net
	}
	return nil
}

// post makes one attempt. again: the job is queued and may be tried after wait.
func (w *Worker) post(ctx context.Context, job ledger.Job, spec jobs.MessageSpec, fingerprint ledger.Fingerprint) (wait time.Duration, again bool, err error) {
	kind, message := ratelimit.KindSMS, spec.Flowroute()
	if message.MMS() {
		kind = ratelimit.KindMMS
	}
	a, err := w.permit(ctx, kind, laneOf(job.Queue))
	if err != nil {
		return 0, false, err
	}
	w.at(PointPermit, job.ID)
	// The permit may have been long in coming.
	if wait := w.closed(spec); wait > 0 {
		w.unused(ctx, a)
		return wait, true, nil
	}
	if over, err := w.optedOut(ctx, job); over || err != nil {
		w.unused(ctx, a)
		return 0, false, err
	}
	a, begun, err := w.begin(ctx, job, a, ledger.Intent{Fingerprint: fingerprint})
	if a == nil {
		if err != nil {
			return 0, false, err
		}
		if begun.Decision == ledger.Open && begun.State == ledger.Unknown {
			return 0, false, nil
		}
		return 0, false, w.declined(ctx, job, begun)
	}
	return w.transmit(ctx, job, a, message)
}

// transmit makes the request of an attempt whose intent is written.
func (w *Worker) transmit(ctx context.Context, job ledger.Job, a *attempt, message flowroute.Message) (wait time.Duration, again bool, err error) {
	// What is on the wire is awaited, whatever becomes of the task.
	ctx = context.WithoutCancel(ctx)
	started := time.Now()
	if w.o.Callback != nil {
		message.DLRCallback = w.o.Callback(job.ID, a.number)
	}
	sent, err := w.o.API.SendMessage(ctx, message, flowroute.Write{
		Pass: w.pass(a, job.ID), Deadline: a.until,
		OnStatus: func(int) {
			_, _ = w.settle(ctx, ledger.Settlement{ID: job.ID, Token: a.token, To: ledger.Accepted, Reason: ledger.ReasonIDPending})
		},
	})
	w.at(PointAnswered, job.ID)
	v := verdict{State: ledger.Accepted}
	switch {
	case err != nil:
		v = judge(opSend, err, a.number)
	case sent.ID == "":
		v.Reason = ledger.ReasonIDPending
	}
	var sender flowroute.E164
	if err != nil {
		sender = w.ours(ctx, job.From)
	}
	if w.health.observe(ctx, v, err, sender, a.probe) && v.State == ledger.Failed {
		v.State, v.Uncounted = ledger.Queued, true
	}
	w.metrics.attempt(opSend, v, err)
	if v.Reason == ledger.ReasonOptedOut {
		w.noteOptOut(ctx, job)
	}
	outcome := ledger.Settlement{
		ID: job.ID, Token: a.token, To: v.State, Reason: v.Reason, MDR: sent.ID, Uncounted: v.Uncounted, Detail: v.Detail,
	}
	settled := ledger.Settled{State: v.State}
	var settleErr error
	if !w.unread || v.State != ledger.Accepted || !w.behind.settle(ctx, outcome) {
		settled, settleErr = w.settle(ctx, outcome)
	}
	w.log.LogAttrs(ctx, levelOf(v), "message posted", slog.String("task_id", job.ID.String()), slog.Any("to", job.To), slog.Any("from", job.From),
		slog.Int("attempt", a.number), slog.String("state", string(settled.State)), slog.String("reason", string(v.Reason)),
		slog.String("mdr_id", sent.ID), slog.Int64("wait_ms", a.permit.Wait().Milliseconds()), slog.Int64("duration_ms", time.Since(started).Milliseconds()))
	return v.Wait, settleErr == nil && settled.State == ledger.Queued, settleErr
}

// ours is the sender if the stored copy knows it as a number of the account, else
// none. That a stranger is refused says nothing about the credentials.
func (w *Worker) ours(ctx context.Context, sender flowroute.E164) flowroute.E164 {
	if w.o.Numbers == nil {
		return flowroute.E164{}
	}
	if number, err := w.o.Numbers.Get(ctx, sender); err != nil || !number.Gone.IsZero() {
		return flowroute.E164{}
	}
	return sender
}

func levelOf(v verdict) slog.Level {
	switch v.State {
	case ledger.Accepted, ledger.Done:
		return slog.LevelInfo
	case ledger.Review:
		return slog.LevelError
	}
	return slog.LevelWarn
}
