package resolve

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// watch remembers since when this process has seen jobs with an open outcome, on
// the monotonic clock: what a jump of another clock cannot shorten. A process that
// starts begins anew.
type watch struct {
	seen   map[watched]*sight
	pruned time.Time
	limit  int64         // how many open jobs are read at once
	took   time.Duration // the last look at them
}

// watched is one attempt of a job; after another one watching begins anew.
type watched struct {
	id      ledger.ID
	attempt int
}

type sight struct {
	first  time.Time // its intent was open
	since  time.Time // its outcome is unknown since before then; zero: still on the wire
	latest time.Time
	look   time.Time // not looked at before
	nudged time.Time
	pinned bool
}

func newWatch() *watch { return &watch{seen: map[watched]*sight{}, limit: leastOpen} }

const (
	leastOpen = 1000
	mostOpen  = 64_000
	// A job that was put back may become unknown once more, with the same attempt.
	forgetAfter = 15 * time.Minute
)

func (w *watch) at(job ledger.Job, now time.Time) *sight {
	key := watched{job.ID, job.Attempts}
	s := w.seen[key]
	if s == nil {
		s = &sight{first: now}
		w.seen[key] = s
	}
	s.latest = now
	return s
}

// watched is for how long this process has seen that a job's outcome is unknown. Who
// posted it says when its request is over. When that was concluded from its silence,
// the time that its sender gave the request must have passed here as well: a jump of
// Redis' clock shortens it there.
func (r *Resolver) watched(job ledger.Job, now time.Time) time.Duration {
	s := r.watch.seen[watched{job.ID, job.Attempts}]
	if s == nil || s.since.IsZero() {
		return 0
	}
	unknown := now.Sub(s.since)
	if job.Reason != ledger.ReasonWorkerLost && job.Reason != ledger.ReasonWorkerSilent {
		return unknown
	}
	posted := job.FirstTried
	for _, change := range job.History {
		if change.State == ledger.Sending {
			posted = change.At
		}
	}
	request := max(job.ResolveAt.Sub(posted)-r.o.Settle, 0)
	return min(unknown, now.Sub(s.first)-request)
}

// prune forgets what was not seen for long.
func (w *watch) prune(now time.Time) {
	if now.Sub(w.pruned) < time.Minute {
		return
	}
	w.pruned = now
	for key, s := range w.seen {
		if now.Sub(s.latest) > forgetAfter {
			delete(w.seen, key)
		}
	}
}

// scan looks at the jobs with an open intent and returns the groups of messages
// that are due: each member that was seen here was watched for long enough, and
// the records may decide.
func (r *Resolver) scan(ctx context.Context) ([]ledger.Fingerprint, error) {
	started := time.Now()
	defer func() { r.watch.took = time.Since(started) }()
	open, err := r.o.Ledger.Unresolved(ctx, r.watch.limit)
	if err != nil {
		return nil, err
	}
	r.watch.grow(len(open))
	now := time.Now()
	r.watch.prune(now)
	r.pace.prune(now)
	r.measure(open)
	if len(open) == 0 {
		return nil, nil
	}
	clock, err := r.o.Ledger.Clock(ctx)
	if err != nil {
		return nil, err
	}
	var due []ledger.Fingerprint
	listed := map[ledger.Fingerprint]bool{}
	for _, job := range open {
		s := r.watch.at(job, now)
		switch {
		case job.State == ledger.Sending:
			if err := r.overdue(ctx, job, s, now); err != nil {
				return nil, err
			}
			continue
		case s.since.IsZero():
			s.since = now
		}
		switch {
		case job.ResolveAt.After(clock):
		case job.Type != ledger.SendMessage:
			r.remind(ctx, job, s, now, clock)
		case job.Fingerprint.IsZero():
			r.unnamed(ctx, job, s, now)
		case r.watched(job, now) >= r.o.Settle && !listed[job.Fingerprint] && r.pace.due(job.Fingerprint, now):
			listed[job.Fingerprint] = true
			due = append(due, job.Fingerprint)
		}
	}
	return due, nil
}

// grow reads more at once when there is more; the first ones may wait for long.
func (w *watch) grow(read int) {
	switch n := int64(read); {
	case n >= w.limit:
		w.limit = min(4*w.limit, mostOpen)
	case n < w.limit/8:
		w.limit = max(w.limit/4, leastOpen)
	}
}

func (r *Resolver) measure(open []ledger.Job) {
	n, oldest := 0, time.Duration(0)
	for _, job := range open {
		if job.State != ledger.Sending {
			n++
			oldest = max(oldest, time.Since(job.Updated()))
		}
	}
	r.metrics.open.Set(float64(n))
	r.metrics.oldest.Set(oldest.Seconds())
}

// overdue makes a job unknown whose request must be over, as after the death of
// its worker.
func (r *Resolver) overdue(ctx context.Context, job ledger.Job, s *sight, now time.Time) error {
	if s.look.IsZero() {
		s.look = now.Add(r.o.Tick) // most are answered until then
		return nil
	}
	if now.Before(s.look) {
		return nil
	}
	state, left, err := r.o.Ledger.Overdue(ctx, job.ID)
	switch {
	case errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrNewerVersion):
		s.look = now.Add(time.Minute)
		return nil
	case err != nil:
		return err
	}
	if state == ledger.Unknown {
		s.since = now
		r.log.InfoContext(ctx, "outcome unknown: its worker left no outcome", slog.String("task_id", job.ID.String()), slog.String("task_type", string(job.Type)))
		return nil
	}
	s.look = now.Add(max(min(left, 5*time.Second), r.o.Tick))
	return nil
}

// remind wakes a worker for a purchase or a route update whose outcome is unknown:
// it reads the account. As a rule a task is under way already.
func (r *Resolver) remind(ctx context.Context, job ledger.Job, s *sight, now, clock time.Time) {
	const patience = 15 * time.Second
	if clock.Sub(job.ResolveAt) < patience || now.Sub(s.since) < patience || now.Sub(s.nudged) < time.Minute {
		return
	}
	s.nudged = now
	if err := r.o.Nudge(ctx, job); err != nil {
		r.log.WarnContext(ctx, "job not woken", slog.String("task_id", job.ID.String()), slog.Any("err", err))
	}
}

// unnamed sends a message to a person that was posted by a version which did not
// write down what its record looks like.
func (r *Resolver) unnamed(ctx context.Context, job ledger.Job, s *sight, now time.Time) {
	if job.State != ledger.Unknown || now.Sub(s.since) < r.o.Max || now.Sub(s.nudged) < time.Minute {
		return
	}
	s.nudged = now
	token := uuid.NewString()
	ok, _, err := r.o.Ledger.Adopt(ctx, job.ID, job.Attempts, token)
	if err == nil && ok {
		_, err = r.o.Ledger.Settle(ctx, ledger.Settlement{ID: job.ID, Token: token, To: ledger.Review, Reason: ledger.ReasonUnresolved,
			Detail: "posted by an earlier version, which did not keep what is needed to find its record"})
	}
	if err != nil {
		r.log.WarnContext(ctx, "unknown message not sent to review", slog.String("task_id", job.ID.String()), slog.Any("err", err))
	}
}
