package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	watchEvery = time.Second
	// leaseSilence is how long a lease is not extended before its worker counts as
	// dead or stopped. asynq extends those of a live one every 5 s, to 30 s, and
	// takes a task back only a minute or two after its worker's death.
	leaseSilence = 8 * time.Second
	// watchGap: after so long without a look nothing is known of the time between,
	// and live workers get the time to extend their leases.
	watchGap = 4 * time.Second
	// watchMost bounds what is read of one queue.
	watchMost = 10_000
)

// watch gives tasks back whose worker died, within seconds: to the head of their
// queue, as asynq does when a worker ends in order. Every process watches; a task is
// moved by one of them, and only if its lease is still the one that was not extended.
// If the worker was only slow, its job has two tasks for a while: the intent in the
// ledger lets one of them post.
type watch struct {
	*Worker
	inspector *asynq.Inspector
	looked    time.Time
	seen      map[taskRef]*sighting
}

// errStub: asynq knows the task's id, and nothing else of it.
var errStub = errors.New("the task has no message")

type taskRef struct{ queue, id string }

// sighting is a lease that was seen, and since when it is as it is.
type sighting struct {
	until  string // empty: the task is active without a lease
	since  time.Time
	failed int // times in a row that its message could not be read
}

func newWatch(w *Worker, inspector *asynq.Inspector) *watch {
	return &watch{Worker: w, inspector: inspector, seen: map[taskRef]*sighting{}}
}

func (w *watch) run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if len(w.seen) == 0 && n%2 != 0 {
			continue // at rest every other time will do
		}
		silent, err := w.look(ctx)
		for _, ref := range silent {
			if err == nil && ctx.Err() == nil {
				err = w.back(ctx, ref, w.seen[ref])
			}
		}
		if err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "leases of tasks not looked at", "err", err)
		}
	}
}

// look reads the leases and returns the tasks whose worker is silent.
func (w *watch) look(ctx context.Context) ([]taskRef, error) {
	pipe := w.o.Redis.Pipeline()
	leases, actives := map[string]*redis.ZSliceCmd{}, map[string]*redis.StringSliceCmd{}
	for _, queue := range queues() {
		k := keysOf(queue)
		// Active ones first: what is taken up in between has a lease then.
		actives[queue] = pipe.LRange(ctx, k.active, 0, watchMost-1)
		leases[queue] = pipe.ZRangeWithScores(ctx, k.lease, 0, watchMost-1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read leases: %w", err)
	}
	now := time.Now()
	if now.Sub(w.looked) > watchGap {
		clear(w.seen)
	}
	w.looked = now
	current := make(map[taskRef]*sighting, len(w.seen))
	see := func(ref taskRef, until string) {
		s := w.seen[ref]
		if s == nil || s.until != until {
			s = &sighting{until: until, since: now}
		}
		current[ref] = s
	}
	for queue, active := range actives {
		for _, id := range active.Val() {
			see(taskRef{queue, id}, "")
		}
		for _, z := range leases[queue].Val() {
			id, _ := z.Member.(string)
			see(taskRef{queue, id}, fmt.Sprintf("%.0f", z.Score))
		}
	}
	w.seen = current
	var silent []taskRef
	for ref, s := range current {
		if now.Sub(s.since) >= leaseSilence {
			silent = append(silent, ref)
		}
	}
	return silent, nil
}

// back gives one task back.
func (w *watch) back(ctx context.Context, ref taskRef, s *sighting) error {
	info, err := w.inspector.GetTaskInfo(ref.queue, ref.id)
	if err == nil && info.ID != ref.id {
		err = errStub
	}
	switch {
	case errors.Is(err, asynq.ErrQueueNotFound):
		return nil // its name comes back with its next task
	case err != nil:
		return w.unreadable(ctx, ref, s, err)
	}
	if task, err := jobs.ParseTask(ledger.Type(info.Type), ref.id, ref.queue, info.Payload); err == nil && task.Nudge {
		if over, err := w.over(ctx, task.ID); err != nil || !over {
			return err
		}
	}
	moved, err := w.move(ctx, ref, s, "pending")
	if err == nil && moved {
		w.log.WarnContext(ctx, "task of a silent worker given back", "queue", ref.queue, "task_id", ref.id, "task_type", info.Type)
	}
	return err
}

// over reports whether nothing is on the wire for a job, as far as can be told. When
// its worker gives no sign of life, its outcome is unknown from now on.
func (w *watch) over(ctx context.Context, id ledger.ID) (bool, error) {
	job, err := w.ledger.Get(ctx, id)
	switch {
	case errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrNewerVersion):
		return true, nil
	case err != nil || job.State != ledger.Sending:
		return err == nil, err
	}
	state, _, err := w.ledger.Overdue(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return true, nil
	}
	return err == nil && state != ledger.Sending, err
}

// moveScript moves a task whose lease is as it was seen.
// KEYS  1 the task, 2 active, 3 lease, 4 pending
// ARGV  1 id, 2 end of its lease as seen, or ”, 3 pending | gone
// returns 1 when it moved it
var moveScript = redis.NewScript(`
local id, until_ = ARGV[1], redis.call('ZSCORE', KEYS[3], ARGV[1])
if (until_ and string.format('%.0f', tonumber(until_)) or '') ~= ARGV[2] then return 0 end
local held = redis.call('LREM', KEYS[2], 0, id) + redis.call('ZREM', KEYS[3], id)
local state = redis.call('HGET', KEYS[1], 'state')
if held == 0 or (state and state ~= 'active') then return 0 end
if ARGV[3] == 'pending' and state then
  redis.call('RPUSH', KEYS[4], id)
  redis.call('HSET', KEYS[1], 'state', 'pending')
else
  redis.call('DEL', KEYS[1])
end
return 1`)

func (w *watch) move(ctx context.Context, ref taskRef, s *sighting, to string) (bool, error) {
	k := keysOf(ref.queue)
	moved, err := moveScript.Run(ctx, w.o.Redis, []string{k.task(ref.id), k.active, k.lease, k.pending}, ref.id, s.until, to).Int()
	if err != nil {
		return false, fmt.Errorf("give task back: %w", err)
	}
	return moved == 1, nil
}

// unreadableKey is {flowroute}:unreadable, hash, no TTL: queue and id of a task that
// cannot be read → its message as it was. unreadableMost bounds it.
const (
	unreadableKey  = ledger.DefaultPrefix + "unreadable"
	unreadableMost = 1000
)

// unreadable takes a task out of the way that nobody can run: left where it is, asynq
// gives no task of its queue back any more. Its message is kept for a person. If it
// was a nudge of ours, its job gets another.
func (w *watch) unreadable(ctx context.Context, ref taskRef, s *sighting, why error) error {
	msg, err := w.o.Redis.HGet(ctx, keysOf(ref.queue).task(ref.id), "msg").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("read task: %w", err)
	}
	if s.failed++; s.failed < 2 {
		return nil // it may have been Redis
	}
	if msg != "" {
		kept, err := w.o.Redis.HLen(ctx, unreadableKey).Result()
		if err != nil {
			return fmt.Errorf("keep task: %w", err)
		}
		if kept < unreadableMost {
			if err := w.o.Redis.HSet(ctx, unreadableKey, ref.queue+" "+ref.id, msg).Err(); err != nil {
				return fmt.Errorf("keep task: %w", err)
			}
		}
	}
	moved, err := w.move(ctx, ref, s, "gone")
	if err != nil || !moved {
		return err
	}
	job, err := w.jobOf(ctx, ref.id)
	if err == nil && needsTask(job) {
		err = w.nudgeAgain(ctx, job)
	}
	if errors.Is(err, ledger.ErrNotFound) {
		err = nil
	}
	w.log.ErrorContext(ctx, "task taken out of its queue: it cannot be read; HGET "+unreadableKey+" shows it under its queue and id, HDEL removes it there",
		"queue", ref.queue, "task_id", ref.id, "reason", why.Error(), "bytes", len(msg))
	return err
}

// jobOf is the job that a nudge is about, by the nudge's id alone.
func (w *watch) jobOf(ctx context.Context, taskID string) (ledger.Job, error) {
	text, _, _ := strings.Cut(taskID, ".")
	id, err := ledger.ParseID(text)
	if err != nil {
		return ledger.Job{}, ledger.ErrNotFound
	}
	return w.ledger.Get(ctx, id)
}
