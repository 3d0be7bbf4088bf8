package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
)

// Asked is an item as the producer has asked for it.
type Asked struct {
	Item
	ID        string    // of its job; empty: not known
	At        time.Time // of the latest confirmed call; zero: not confirmed
	SendAt    time.Time
	Exposed   bool // without a key, and a rollback may have taken its job away
	Cancelled bool // a cancel was answered
	Tried     bool // a call was made, whatever was answered
	Row       bool // of a campaign; of one that was cancelled there need be no job
}

// producer asks for the plan's items as another program would: until each call
// succeeds, and once more for what it has keys for when Redis was rolled back.
type producer struct {
	start time.Time
	redis redis.UniversalClient
	jobs  *jobs.Client
	plain *asynq.Client

	// calls is held shared during a call, and alone while Redis' past is changed.
	calls sync.RWMutex

	mu       sync.Mutex
	asked    []Asked
	rollback []time.Time // what was confirmed since then is to be asked for again
	repeated int
	problems []string
}

func newProducer(url string, items []Item) (*producer, error) {
	target, err := redisconn.Parse(url)
	if err != nil {
		return nil, err
	}
	p := &producer{redis: target.Producer(), asked: make([]Asked, len(items))}
	for i, item := range items {
		p.asked[i].Item = item
	}
	p.plain = asynq.NewClientFromRedisClient(p.redis)
	p.jobs, err = jobs.NewClient(p.redis, jobs.Options{Patience: 3 * time.Second})
	return p, err
}

func (p *producer) close() { _ = p.redis.Close() }

// run asks for all items at their times. Messages, and what depends on an order, are
// asked for by two callers.
func (p *producer) run(ctx context.Context) {
	p.start = time.Now()
	var callers sync.WaitGroup
	callers.Go(func() { p.caller(ctx, func(i Item) bool { return i.Message != nil }) })
	callers.Go(func() { p.caller(ctx, func(i Item) bool { return i.Message == nil }) })
	callers.Wait()
}

// caller asks for the items that are its own, one after the other.
func (p *producer) caller(ctx context.Context, own func(Item) bool) {
	done, seen := 0, 0
	for {
		p.askAgain(ctx, own, done, &seen)
		for done < len(p.asked) && !own(p.asked[done].Item) {
			done++
		}
		if done == len(p.asked) || ctx.Err() != nil {
			return
		}
		if wait := time.Until(p.start.Add(p.asked[done].Item.At)); wait > 0 {
			sleep(ctx, min(wait, 200*time.Millisecond))
			continue
		}
		if p.insist(ctx, done, &seen) {
			done++
		}
	}
}

// late asks once more for what a rollback may have taken away after the last item.
func (p *producer) late(ctx context.Context) {
	for _, messages := range []bool{false, true} {
		seen := 0
		p.askAgain(ctx, func(i Item) bool { return (i.Message != nil) == messages }, len(p.asked), &seen)
	}
}

// behind says that Redis was rolled back since the caller looked last.
func (p *producer) behind(seen int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return seen < len(p.rollback)
}

// askAgain asks for what was confirmed and may be lost, in the order in which it was
// asked for at first, until no rollback is left that it has not seen.
func (p *producer) askAgain(ctx context.Context, own func(Item) bool, done int, seen *int) {
	var since time.Time
	for p.behind(*seen) && ctx.Err() == nil {
		p.mu.Lock()
		for _, at := range p.rollback[*seen:] {
			if since.IsZero() || at.Before(since) {
				since = at
			}
		}
		*seen = len(p.rollback)
		p.mu.Unlock()
		for i := 0; i < done && !p.behind(*seen); i++ {
			p.mu.Lock()
			a := p.asked[i]
			p.mu.Unlock()
			if !own(a.Item) || a.Key() == "" || a.At.Before(since) {
				continue
			}
			if p.insist(ctx, i, seen) {
				p.mu.Lock()
				p.repeated++
				p.mu.Unlock()
			}
		}
	}
}

// forget notes that what was confirmed since then may be lost. Nobody is in a call.
func (p *producer) forget(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rollback = append(p.rollback, since)
	for i := range p.asked {
		if a := &p.asked[i]; a.Key() == "" && a.Tried && (a.At.IsZero() || a.At.After(since)) {
			a.Exposed = true
		}
	}
}

// expose notes which of the latest calls a power cut may have taken back. A producer
// does not hear of that, so nothing is asked for again.
func (p *producer) expose(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.asked {
		if a := &p.asked[i]; a.Tried && (a.At.IsZero() || a.At.After(since)) {
			a.Exposed = true
		}
	}
}

// insist asks until it is confirmed, as a producer with a key does; without one it
// asks once, since nobody knows what a call without an answer has done. It gives way
// when Redis is rolled back: what was asked for before comes first, and it reports
// false.
func (p *producer) insist(ctx context.Context, i int, seen *int) bool {
	for !p.behind(*seen) {
		err := p.call(ctx, i, *seen)
		if errors.Is(err, errBehind) {
			break
		}
		p.mu.Lock()
		key := p.asked[i].Key()
		p.mu.Unlock()
		switch {
		case err == nil || key == "":
			return true
		case errors.Is(err, jobs.ErrConflict):
			p.problem("%s: %v", key, err)
			return true
		}
		if !sleep(ctx, 200*time.Millisecond) {
			p.problem("the producer gave up on %s: %v", key, err)
			return true
		}
	}
	return false
}

// errBehind: what a rollback took away has to be asked for first.
var errBehind = errors.New("redis was rolled back")

// call asks for one item, with all that belongs to it.
func (p *producer) call(ctx context.Context, i, seen int) error {
	p.calls.RLock()
	defer p.calls.RUnlock()
	if p.behind(seen) { // it may have waited here for the rollback
		return errBehind
	}
	p.mu.Lock()
	a := &p.asked[i]
	a.Tried = true
	if a.Later > 0 && a.SendAt.IsZero() {
		a.SendAt = time.Now().Add(a.Later).Truncate(time.Millisecond)
	}
	now := *a
	p.mu.Unlock()

	id, err := p.ask(ctx, now)
	if err == nil && now.Again {
		var again string
		if again, err = p.ask(ctx, now); err == nil && again != id && now.Key() != "" {
			p.problem("key %q is two jobs: %s and %s", now.Key(), id, again)
		}
	}
	if err != nil {
		return err
	}
	cancelled := false
	if now.Cancel {
		_, cancelErr := p.jobs.Cancel(ctx, id) // its state says whether it worked
		cancelled = cancelErr == nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.ID != "" && a.ID != id && now.Key() != "" {
		p.problems = append(p.problems, fmt.Sprintf("key %q is two jobs: %s and %s", now.Key(), a.ID, id))
	}
	a.ID, a.At, a.Cancelled = id, time.Now(), cancelled
	return nil
}

func (p *producer) ask(ctx context.Context, a Asked) (string, error) {
	var receipt jobs.Receipt
	var err error
	switch {
	case a.Plain != "":
		return p.plainTask(ctx, a)
	case a.Message != nil:
		m := *a.Message
		m.SendAt = a.SendAt
		receipt, err = p.jobs.Send(ctx, m)
	case a.Purchase != nil:
		receipt, err = p.jobs.Purchase(ctx, *a.Purchase)
	case a.Update != nil:
		receipt, err = p.jobs.UpdateRoute(ctx, *a.Update)
	default:
		kind := ledger.SyncMDR
		if a.Sync[len(a.Sync)-1]%2 == 1 {
			kind = ledger.SyncNumbers
		}
		receipt, err = p.jobs.StartSync(ctx, kind, a.Sync, jobs.Sync{})
	}
	return receipt.ID, err
}

// plainTask asks as a program does that knows asynq alone; the same task id is the
// same job.
func (p *producer) plainTask(ctx context.Context, a Asked) (string, error) {
	m := *a.Message
	m.SendAt = a.SendAt
	payload, err := json.Marshal(struct {
		V int `json:"v"`
		jobs.Message
	}{1, m})
	if err != nil {
		return "", err
	}
	_, err = p.plain.EnqueueContext(ctx, asynq.NewTask(string(ledger.SendMessage), payload), asynq.Queue(ledger.QueueNormal), asynq.TaskID(a.Plain))
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		err = nil
	}
	return ledger.TaskID(a.Plain).String(), err
}

func (p *producer) problem(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

// all is what was asked for so far.
func (p *producer) all() (asked []Asked, repeated int, problems []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Asked(nil), p.asked...), p.repeated, append([]string(nil), p.problems...)
}
