package worker

import (
	"context"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	fencedLeast = 2 * time.Second  // how long a task rests that may not post
	fencedMost  = 30 * time.Second // the same when that lasts for minutes
	fencedSaid  = 30 * time.Second // between two lines in the log
	// fencedPause keeps a long queue from running through all of its tasks as fast
	// as it can.
	fencedPause = 20 * time.Millisecond
)

// fence is what this process knows of the time in which nothing may be posted,
// since Redis has lost writes, or may have, or this process cannot tell.
type fence struct {
	mu                sync.Mutex
	since, last, said time.Time
}

// rest is how long a task rests that ran into it, and whether to say so.
func (f *fence) rest(now time.Time) (wait time.Duration, say bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.last) > 2*fencedMost {
		f.since = now
	}
	f.last = now
	if say = f.said.IsZero() || now.Sub(f.said) >= fencedSaid; say {
		f.said = now
	}
	return min(max(now.Sub(f.since)/4, fencedLeast), fencedMost), say
}

// lately reports whether something ran into it a short time ago.
func (f *fence) lately(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return now.Sub(f.last) <= 2*fencedMost
}

// fenced lets a task rest while nothing may be posted. It is no failure of the job.
func (w *Worker) fenced(ctx context.Context, why string) error {
	wait, say := w.fence.rest(time.Now())
	if say {
		w.log.WarnContext(ctx, "jobs wait, nothing may be posted yet", "reason", why)
	}
	select {
	case <-ctx.Done():
	case <-w.draining:
	case <-time.After(fencedPause):
	}
	return deferral{wait}
}

// fit lets a task rest while this process gives no sign of life: what it did could
// not be told if Redis lost writes now.
func (w *Worker) fit(ctx context.Context) error {
	if w.guard == nil {
		return nil
	}
	if err := w.guard.Fit(); err != nil {
		return w.fenced(ctx, err.Error())
	}
	return nil
}

// began and settled remember what this process did, and what came of it.
func (w *Worker) began(job ledger.Job, in ledger.Intent, b ledger.Begun) {
	if w.guard != nil {
		w.guard.Began(job, in, b)
	}
}

func (w *Worker) settled(s ledger.Settlement) {
	if w.guard != nil {
		w.guard.Settled(s)
	}
}

// name is this process, as its signs of life have it.
func (w *Worker) name() string {
	if w.guard == nil {
		return ""
	}
	return w.guard.ID()
}
