package worker

import (
	"context"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// sights is how long this process has itself seen steps be unknown, on its own
// monotonic clock: Redis' clock may be set while a request is out, and a decision
// that trusted it alone would come early.
type sights struct {
	mu    sync.Mutex
	since map[ledger.ID]sight
}

type sight struct {
	seen string // of the job: an attempt that ends makes it another one
	at   time.Time
}

// age notes that the job is unknown, and returns for how long it has been seen so.
func (s *sights) age(job ledger.Job) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.since[job.ID]
	if !ok || known.seen != job.Seen {
		known = sight{job.Seen, time.Now()}
		if s.since == nil {
			s.since = map[ledger.ID]sight{}
		}
		s.since[job.ID] = known
	}
	return time.Since(known.at)
}

// mustSee is for how long this process must have seen a job be unknown before the
// account may decide it. Who made the request knows when it was over; when that was
// concluded from silence, all the time that its sender gave it must have passed here.
func (w *Worker) mustSee(job ledger.Job) time.Duration {
	switch openFor(job) {
	case ledger.ReasonWorkerLost, ledger.ReasonWorkerSilent:
		return max(job.ResolveAt.Sub(sentAt(job)), w.o.Settle)
	}
	return w.o.Settle
}

// keep forgets the jobs that were noted before a moment and are not in the list.
func (s *sights) keep(list []ledger.Job, before time.Time) {
	there := make(map[ledger.ID]bool, len(list))
	for _, job := range list {
		there[job.ID] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, known := range s.since {
		if !there[id] && known.at.Before(before) {
			delete(s.since, id)
		}
	}
}

// watched is how many open intents are looked at in one round.
const watched = 500

// watch looks at the steps that are unknown, whoever made them, so that any process
// may decide them when their time has come.
func (w *Worker) watch(ctx context.Context) {
	tick := time.NewTicker(min(max(w.o.Settle/4, 100*time.Millisecond), 30*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		list, err := w.ledger.Unresolved(ctx, watched)
		if err != nil {
			continue // who looks at a job itself begins to watch it then
		}
		for _, job := range list {
			if job.State == ledger.Unknown && job.Type != ledger.SendMessage {
				w.sights.age(job)
			}
		}
		if len(list) < watched {
			w.sights.keep(list, began)
		}
	}
}

// nowUnknown begins to watch a job that has just become unknown.
func (w *Worker) nowUnknown(ctx context.Context, id ledger.ID) {
	if job, err := w.ledger.Get(ctx, id); err == nil && job.State == ledger.Unknown {
		w.sights.age(job)
	}
}
