package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Enqueuer starts a sync; the same type and key again is the same job.
// [jobs.Client] is one.
type Enqueuer interface {
	StartSync(ctx context.Context, t ledger.Type, key string, s jobs.Sync) (jobs.Receipt, error)
}

// Options of a scheduler.
type Options struct {
	Entries  []Entry
	LastRuns LastRuns     // required
	Logger   *slog.Logger // Defaults to none.
}

// Scheduler enqueues the entries at their ticks.
type Scheduler struct {
	enqueuer Enqueuer
	lastRuns LastRuns
	entries  []entry
	log      *slog.Logger
}

type entry struct {
	Entry
	ticks Ticks // zero when the entry is off
}

func (e entry) on() bool { return e.Spec != "" }

const (
	// A wall clock that was set is noticed after this long at most.
	longestWait = time.Minute
	// One try to enqueue; the tries after a failed one come this far apart.
	tryTimeout = 30 * time.Second
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// New checks all entries and reports every problem at once.
func New(e Enqueuer, o Options) (*Scheduler, error) {
	s := &Scheduler{enqueuer: e, lastRuns: o.LastRuns, log: o.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var problems []error
	if e == nil || o.LastRuns == nil {
		problems = append(problems, errors.New("scheduler: needs an enqueuer and last runs"))
	}
	names := map[string]bool{}
	for _, given := range o.Entries {
		if given.Name == "" || given.Type == "" || names[given.Name] {
			problems = append(problems, fmt.Errorf("scheduler: entry %q of type %q: needs a type and a name of its own", given.Name, given.Type))
		}
		names[given.Name] = true
		added := entry{Entry: given}
		if added.on() {
			ticks, err := ParseSpec(given.Spec)
			if err != nil {
				problems = append(problems, fmt.Errorf("scheduler: entry %s: %w", given.Name, err))
			}
			added.ticks = ticks
		}
		s.entries = append(s.entries, added)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return s, nil
}

// Run enqueues until ctx ends, which is no error. It returns when all its
// goroutines ended.
func (s *Scheduler) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, e := range s.entries {
		if e.on() {
			running.Go(func() { s.tick(ctx, e) })
		}
	}
	running.Wait()
	<-ctx.Done() // nothing is scheduled: still a service that runs until it is stopped
	return nil
}

// tick enqueues the latest tick that is due and not enqueued, again and again:
// at start that makes up for missed ones, later it is the usual course, after a
// failure or a step of the clock the repair.
func (s *Scheduler) tick(ctx context.Context, e entry) {
	last, known := time.Time{}, false
	retry := firstRetry
	for ctx.Err() == nil {
		var err error
		if !known {
			last, err = s.lastRuns.Load(ctx, e.Name)
			known = err == nil
		}
		if due := e.ticks.Previous(time.Now()); known && due.After(last) {
			if err = s.enqueue(ctx, e, due); err == nil {
				last = due
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "tick is not enqueued yet", slog.String("entry", e.Name), slog.Any("err", err), slog.Int64("retry_after_ms", retry.Milliseconds()))
			sleep(ctx, retry)
			retry = min(2*retry, lastRetry)
			continue
		}
		retry = firstRetry
		sleep(ctx, e.wait(time.Now()))
	}
}

// wait is how long to sleep: to the next tick, or a minute.
func (e entry) wait(now time.Time) time.Duration {
	next := e.ticks.Next(now)
	if next.IsZero() {
		return longestWait
	}
	return min(next.Sub(now.Round(0)), longestWait)
}

func (s *Scheduler) enqueue(ctx context.Context, e entry, tick time.Time) (err error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	// The process also holds requests that are on the wire: a panic here must not
	// take them down.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("enqueue %s: panic: %v\n%s", e.Name, p, debug.Stack())
		}
	}()
	receipt, err := s.enqueuer.StartSync(ctx, e.Type, key(e.Name, tick), jobs.Sync{})
	switch {
	case errors.Is(err, jobs.ErrConflict):
		// Asking again cannot help; the next tick has a key of its own.
		s.log.ErrorContext(ctx, "tick's key belongs to another job", slog.String("entry", e.Name), slog.Time("tick", tick), slog.Any("err", err))
	case err != nil:
		return fmt.Errorf("enqueue %s: %w", e.Name, err)
	case !receipt.Duplicate:
		s.log.InfoContext(ctx, "tick is enqueued", slog.String("entry", e.Name), slog.String("task_type", string(e.Type)),
			slog.Time("tick", tick), slog.String("task_id", receipt.ID), slog.Int64("late_ms", time.Since(tick).Milliseconds()))
	}
	if err := s.lastRuns.Store(ctx, e.Name, tick); err != nil {
		// The job is there. Without this line a restart asks for it again, and the
		// key makes that harmless.
		s.log.WarnContext(ctx, "last run is not stored", slog.String("entry", e.Name), slog.Any("err", err))
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// EntryStatus is an entry with its last and its next tick.
type EntryStatus struct {
	Entry
	Last time.Time // zero: never
	Next time.Time // zero: off
}

// Status tells each entry's last tick, of any replica, and its next one.
func (s *Scheduler) Status(ctx context.Context) ([]EntryStatus, error) {
	status := make([]EntryStatus, 0, len(s.entries))
	for _, e := range s.entries {
		last, err := s.lastRuns.Load(ctx, e.Name)
		if err != nil {
			return nil, err
		}
		line := EntryStatus{Entry: e.Entry, Last: last}
		if e.on() {
			line.Next = e.ticks.Next(time.Now())
		}
		status = append(status, line)
	}
	return status, nil
}
