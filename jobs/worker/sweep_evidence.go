package worker

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// queueKeys are asynq's keys of a queue, as its version 0.26 has them. Its own API
// does not tell what the sweeper has to know: it says nothing of leases, and fails as
// a whole when one task of a queue is gone.
//
//	asynq:{<queue>}:t:<id>     hash: msg (its own encoding), state
//	asynq:{<queue>}:pending    list, the head is its right end; :active list
//	asynq:{<queue>}:scheduled  zset by due time in s; :retry, :archived (by time of archiving) alike
//	asynq:{<queue>}:lease      zset of active tasks by the end of their lease in s
type queueKeys struct {
	prefix, pending, active, lease, scheduled, retry, archived string
}

func keysOf(queue string) queueKeys {
	p := "asynq:{" + queue + "}:"
	return queueKeys{p, p + "pending", p + "active", p + "lease", p + "scheduled", p + "retry", p + "archived"}
}

func (k queueKeys) task(id string) string { return k.prefix + "t:" + id }

// taskID is the id of a job's latest task.
func taskID(job ledger.Job) string {
	id := fmt.Sprintf("%s.%d", job.ID, job.Generation)
	if job.Nudges > 0 {
		id = fmt.Sprintf("%s.%d", id, job.Nudges)
	}
	return id
}

// thereScript says whether a task will be looked at: its record can be read and it is
// where its state says. One whose lease has lapsed is the watch's.
// KEYS  1 the task, 2 pending, 3 scheduled, 4 retry, 5 lease
// ARGV  1 its id, 2 '1': look for it in the list of pending ones too
// returns 1 | 0
var thereScript = redis.NewScript(`
local state, msg = unpack(redis.call('HMGET', KEYS[1], 'state', 'msg'))
if not state or not msg or msg == '' then return 0 end
if state == 'pending' then return (ARGV[2] ~= '1' or redis.call('LPOS', KEYS[2], ARGV[1])) and 1 or 0 end
local set = ({scheduled = KEYS[3], retry = KEYS[4], active = KEYS[5]})[state]
return set and redis.call('ZSCORE', set, ARGV[1]) and 1 or 0`)

// withoutTask are those of the jobs whose latest task is nowhere. An archived one is
// as good as none: nothing will run it.
func (s *sweeper) withoutTask(ctx context.Context, open []ledger.Job, there *lists) ([]ledger.Job, error) {
	if len(open) == 0 {
		return nil, nil
	}
	if err := thereScript.Load(ctx, s.o.Redis).Err(); err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	pipe := s.o.Redis.Pipeline()
	answers := make([][]*redis.Cmd, len(open))
	for i, job := range open {
		id := taskID(job)
		for _, queue := range queuesOf(job) {
			k, inList := keysOf(queue), ""
			if there.lacks(queue, id) {
				inList = "1"
			}
			answers[i] = append(answers[i], thereScript.EvalSha(ctx, pipe, []string{k.task(id), k.pending, k.scheduled, k.retry, k.lease}, id, inList))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("look for tasks: %w", err)
	}
	without := open[:0]
	for i, job := range open {
		found := int64(0)
		for _, answer := range answers[i] {
			n, err := answer.Int64()
			if err != nil {
				return nil, fmt.Errorf("look for task of %s: %w", job.ID, err)
			}
			found += n
		}
		if found == 0 {
			without = append(without, job)
		}
	}
	return without, nil
}

// totals is how many jobs need a task, and how many tasks there are, or places where
// jobs wait without one: the cheap sign that some are missing.
func (s *sweeper) totals(ctx context.Context) (jobs, tasks int64, err error) {
	counts, err := s.ledger.Counts(ctx)
	if err != nil {
		return 0, 0, err
	}
	for kind, states := range counts {
		for state, n := range states {
			if needsTask(ledger.Job{Type: kind, State: state}) {
				jobs += n
			}
		}
	}
	pipe := s.o.Redis.Pipeline()
	var sizes []*redis.IntCmd
	for _, queue := range queues() {
		k := keysOf(queue)
		sizes = append(sizes, pipe.LLen(ctx, k.pending), pipe.ZCard(ctx, k.lease), pipe.ZCard(ctx, k.scheduled), pipe.ZCard(ctx, k.retry))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, 0, fmt.Errorf("count tasks: %w", err)
	}
	for _, size := range sizes {
		tasks += size.Val()
	}
	parked, err := s.ledger.Parked(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, n := range parked {
		tasks += int64(n)
	}
	return jobs, tasks, nil
}

// lists are the ids in the lists of pending tasks that are short enough to be read
// whole: a task that calls itself pending may be missing there.
type lists struct {
	pending map[string]map[string]struct{}
}

func (s *sweeper) lists(ctx context.Context) (*lists, error) {
	l := &lists{pending: map[string]map[string]struct{}{}}
	for _, queue := range queues() {
		ids, err := s.o.Redis.LRange(ctx, keysOf(queue).pending, 0, sweepMost).Result()
		if err != nil {
			return nil, fmt.Errorf("pending tasks: %w", err)
		}
		if len(ids) > sweepMost {
			continue
		}
		l.pending[queue] = make(map[string]struct{}, len(ids))
		for _, id := range ids {
			l.pending[queue][id] = struct{}{}
		}
	}
	return l, nil
}

// lacks reports whether the task was not in the queue's list when that was read. It
// may have come there since.
func (l *lists) lacks(queue, id string) bool {
	if l == nil || l.pending[queue] == nil {
		return false
	}
	_, there := l.pending[queue][id]
	return !there
}
