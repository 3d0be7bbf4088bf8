package worker

import (
	"context"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// optOutsEvery is how often a list without an entry is looked at: with no opt-outs at
// all, messages cost no call for them.
const optOutsEvery = time.Second

// optOuts keep messages from those who must not be texted.
type optOuts struct {
	store *suppress.Store // nil: none

	mu     sync.Mutex
	looked time.Time
	empty  bool // the list was, then
}

// blocked returns the entry that forbids a message, and whether there is one. After an
// error that is not known, and the message is not posted.
func (o *optOuts) blocked(ctx context.Context, job ledger.Job) (suppress.Entry, bool, error) {
	if o.store == nil {
		return suppress.Entry{}, false, nil
	}
	empty, err := o.none(ctx)
	if empty || err != nil {
		return suppress.Entry{}, false, err
	}
	return o.store.Blocked(ctx, job.From, job.To)
}

func (o *optOuts) none(ctx context.Context) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.Sub(o.looked) >= optOutsEvery {
		counts, err := o.store.Count(ctx)
		if err != nil {
			return false, err
		}
		o.looked, o.empty = now, counts.Entries == 0
	}
	return o.empty, nil
}

// optedOut ends a queued message whose recipient must not be texted.
func (w *Worker) optedOut(ctx context.Context, job ledger.Job) (bool, error) {
	entry, blocked, err := w.optOuts.blocked(ctx, job)
	if err != nil || !blocked {
		return false, err
	}
	_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, To: ledger.Blocked, Reason: ledger.ReasonOptedOut, Detail: entry.Why(), Seen: job.Seen})
	return true, err
}

// noteOptOut keeps a carrier's word that the recipient has opted out.
func (w *Worker) noteOptOut(ctx context.Context, job ledger.Job) {
	if w.optOuts.store == nil {
		return
	}
	_, _, err := w.optOuts.store.Add(ctx, suppress.Entry{Recipient: job.To, From: job.From, Source: suppress.SourceCarrier})
	if err != nil {
		w.log.WarnContext(ctx, "opt-out not kept, the next post will be refused as well", "task_id", job.ID.String(), "err", err)
	}
}
