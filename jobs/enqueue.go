package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// draft is a job on its way into Redis and what became of it. Its id is drawn
// before the first try, so that each try means the same job.
type draft struct {
	job     ledger.NewJob
	keyed   bool
	row     bool // of a campaign, which has checked its senders
	created ledger.Created
	receipt Receipt
	err     error
}

// draft finishes what a plan made, with the problems that d found.
func (d *door) draft(job ledger.NewJob, key string) draft {
	if err := d.err(); err != nil {
		return draft{err: err}
	}
	job.ID = ledger.NewID()
	job.Nonce = [6]byte(job.ID[10:]) // its random end
	if key != "" {
		job.ID = ledger.KeyID(job.Type, key)
	}
	return draft{job: job, keyed: key != ""}
}

// enqueue writes jobs down and nudges workers. Each draft gets its receipt or its
// error; the returned one says that Redis stayed away.
//
// A job that is written down is taken, whatever becomes of its nudge: the
// workers' sweep finds jobs without one.
func (c *Client) enqueue(ctx context.Context, drafts []draft) error {
	notices, down := c.take(ctx, c.check(ctx, drafts))
	c.announce(ctx, notices)
	return down
}

// enqueueMany is enqueue for many jobs, of which each call of next makes some, until it
// makes none: some are written down while the next are looked at and those before are
// announced. It waits until what was announced before is, before it announces, and says
// when what it announces is.
func (c *Client) enqueueMany(ctx context.Context, announced <-chan struct{}, next func() []draft, taken func([]draft)) (_ <-chan struct{}, down error) {
	ahead, stop := make(chan checked, 1), make(chan struct{})
	go func() {
		defer close(ahead)
		for drafts := next(); len(drafts) > 0; drafts = next() {
			select {
			case ahead <- c.check(ctx, drafts):
			case <-stop:
				return
			}
		}
	}()
	for batch := range ahead {
		if down = ctx.Err(); down != nil { // what is left was not tried
			batch.fail(down)
			taken(batch.drafts)
			break
		}
		var notices []notice
		notices, down = c.take(ctx, batch)
		taken(batch.drafts)
		<-announced
		done := make(chan struct{})
		announced = done
		go func() {
			defer close(done)
			c.announce(ctx, notices)
		}()
		if down != nil {
			break
		}
	}
	close(stop)
	for range ahead { // next runs no more
	}
	return announced, down
}

// announce nudges workers, also when the caller's context ends at that moment.
func (c *Client) announce(ctx context.Context, notices []notice) {
	ctx, stop := graced(ctx, nudgeGrace)
	defer stop()
	c.nudgeAll(ctx, notices)
}

// checked are drafts that are ready to be written down.
type checked struct {
	drafts  []draft
	pending []int // places of those without an error
}

// fail gives up what was not tried.
func (b *checked) fail(err error) {
	for _, i := range b.pending {
		b.drafts[i].err = err
	}
	b.pending = nil
}

// check looks at whether the drafts' senders are the account's, and at who has opted out.
func (c *Client) check(ctx context.Context, drafts []draft) checked {
	batch := checked{drafts, make([]int, 0, len(drafts))}
	for i := range drafts {
		if drafts[i].err == nil {
			batch.pending = append(batch.pending, i)
		}
	}
	if err := ctx.Err(); err != nil {
		batch.fail(err)
		return batch
	}
	batch.pending = c.checkSenders(ctx, drafts, batch.pending)
	c.block(ctx, drafts, batch.pending)
	return batch
}

// take writes jobs down and returns the nudges that they need.
func (c *Client) take(ctx context.Context, batch checked) (queued []notice, down error) {
	drafts, pending := batch.drafts, batch.pending
	down = c.create(ctx, drafts, pending)

	var duplicates []ledger.ID
	for _, i := range pending {
		d := &drafts[i]
		d.receipt = Receipt{ID: d.job.ID.String(), Repeatable: d.keyed}
		if d.keyed {
			d.receipt.KeyRetention = int64(c.retention / time.Second)
		}
		switch {
		case d.err == nil:
			d.receipt.State = d.created.State
			// Without a key the id is this call's own: what exists is an earlier try.
			d.receipt.Duplicate = d.created.Duplicate && d.keyed
			if d.created.State != ledger.Queued {
				continue
			}
			if d.created.Duplicate {
				duplicates = append(duplicates, d.job.ID)
				continue
			}
			queued = append(queued, notice{d.job.ID, d.job.Type, d.job.Queue, d.created.Generation, d.job.Due})
		case errors.Is(d.err, ErrConflict):
			d.receipt.State, d.receipt.Duplicate = d.created.State, true
		case errors.Is(d.err, ledger.ErrNewerVersion), errors.Is(d.err, ledger.ErrHeld):
		default:
			d.err = fmt.Errorf("%w: %w", ErrUnconfirmed, d.err)
		}
	}
	more, stop := graced(ctx, nudgeGrace)
	defer stop()
	return append(queued, c.noticesOf(more, duplicates)...), down
}

// block marks the messages to those who have opted out. Where the list cannot be read
// nothing is marked: it is looked at again before a message is posted.
func (c *Client) block(ctx context.Context, drafts []draft, pending []int) {
	var pairs []suppress.Pair
	var places []int
	for _, i := range pending {
		if job := drafts[i].job; job.Type == ledger.SendMessage && job.Refused == "" {
			pairs, places = append(pairs, suppress.Pair{From: job.From, To: job.To}), append(places, i)
		}
	}
	if len(pairs) == 0 {
		return
	}
	blocked, err := c.optOuts.BlockedMany(ctx, pairs)
	if err != nil && ctx.Err() == nil {
		c.log.DebugContext(ctx, "opt-outs not read at the door", "err", err)
	}
	for at, entry := range blocked {
		drafts[places[at]].job.Blocked = entry.Why()
	}
}

// create writes the jobs down, with patience, and returns the last error if Redis
// stayed away.
func (c *Client) create(ctx context.Context, drafts []draft, pending []int) (down error) {
	c.persist(ctx, pending, func(pending []int) (again []int) {
		down = nil
		batch := make([]ledger.NewJob, len(pending))
		for at, i := range pending {
			batch[at] = drafts[i].job
		}
		created, errs := c.ledger.CreateMany(ctx, batch)
		for at, i := range pending {
			drafts[i].created, drafts[i].err = created[at], errs[at]
			if passing(errs[at]) {
				again, down = append(again, i), errs[at]
			}
		}
		return again
	})
	return down
}

// noticesOf are nudges of jobs that exist and are queued. Whoever made them may
// have died before announcing them.
func (c *Client) noticesOf(ctx context.Context, ids []ledger.ID) []notice {
	if len(ids) == 0 {
		return nil
	}
	var notices []notice
	existing, errs := c.ledger.GetMany(ctx, ids)
	for i, job := range existing {
		switch {
		case errs[i] != nil:
			c.log.WarnContext(ctx, "job not announced, the sweep will find it", "task_id", ids[i].String(), "err", errs[i])
		case job.State == ledger.Queued:
			notices = append(notices, notice{job.ID, job.Type, job.Queue, job.Generation, job.Due})
		}
	}
	return notices
}

// nudgeGrace is what the nudges of jobs that are written down get when the
// caller's context ends at that moment.
const nudgeGrace = time.Second

// graced is a context that outlives its parent by the grace.
func graced(parent context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		select {
		case <-ctx.Done():
		case <-time.After(grace):
		}
		cancel()
	})
	return ctx, func() { stop(); cancel() }
}

// persist calls try with the places still open until none are left, the patience
// is over or ctx has ended. It returns what is left.
func (c *Client) persist(ctx context.Context, open []int, try func(open []int) (again []int)) (left []int) {
	var end time.Time
	for wait := 50 * time.Millisecond; len(open) > 0; wait = min(2*wait, time.Second) {
		open = try(open)
		if len(open) == 0 {
			break
		}
		if end.IsZero() {
			end = time.Now().Add(c.patience)
		}
		pause := wait/2 + rand.N(wait/2)
		if time.Until(end) < pause || !sleep(ctx, pause) {
			break
		}
	}
	return open
}

// sleep reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// passing reports whether an error of Redis may be gone at the next try.
func passing(err error) bool {
	if err == nil || errors.Is(err, redis.ErrClosed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) || errors.Is(err, ledger.ErrHeld) || errors.Is(err, ledger.ErrNewerVersion) {
		return false
	}
	if _, answered := errors.AsType[redis.Error](err); !answered {
		return true // the connection
	}
	for _, prefix := range []string{"LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "BUSY"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}
