package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/internal/lease"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	sweepSlice = 500
	// sweepMost is how many jobs one sweep looks at unless tasks are missing: a small
	// ledger is gone through as a whole each time.
	sweepMost = 20_000
	// A job this young may be between its record and its first task.
	sweepYoung = 10 * time.Second
	// A sweep that takes longer than a third of the time between two, or this at least,
	// goes on with the next one.
	sweepLeast = time.Second
	// sweepAgain is how long the whole of a large ledger is not looked through again
	// for tasks that are missing by number but were not found.
	sweepAgain = 10 * time.Minute
	// sweepLease is how long a sweeper that died keeps others from sweeping.
	sweepLease = 10 * time.Second
)

// The sweeper's keys:
//
//	{flowroute}:sweeper  string, TTL 10 s: the token of the process that sweeps
//	{flowroute}:swept    string, TTL of one sweep: nobody else need sweep until then
//	{flowroute}:cursor   string, no TTL: where the next sweep of a large ledger goes on
const (
	sweeperKey = ledger.DefaultPrefix + "sweeper"
	sweptKey   = ledger.DefaultPrefix + "swept"
	cursorKey  = ledger.DefaultPrefix + "cursor"
)

// sweeper finds jobs that no task will ever look at again, since it was deleted,
// trimmed from asynq's archive, lost with an older copy of Redis, or never written
// because its producer died, and gives them a new one. One process of all does it at
// a time; two do no harm.
//
// A task counts as gone by evidence, not by the job's age: a million queued jobs
// rightly rest for days.
type sweeper struct {
	*Worker
	inspector *asynq.Inspector
	fruitless time.Time // when a look through everything found nothing
	missing   int64     // jobs without a task at that time, by number
}

// sweep runs until ctx ends. It also watches the leases of tasks in hand.
func (w *Worker) sweep(ctx context.Context) {
	s := &sweeper{Worker: w, inspector: asynq.NewInspectorFromRedisClient(w.o.Redis)}
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { newWatch(w, s.inspector).run(ctx) })
	tick := time.NewTicker(w.o.Sweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := lease.Hold(ctx, w.o.Redis, sweeperKey, lease.Options{TTL: sweepLease}, s.once)
		if err != nil && ctx.Err() == nil && !errors.Is(err, lease.ErrHeld) {
			w.log.WarnContext(ctx, "sweep not done", "err", err)
		}
	}
}

// once sweeps unless another process has just done it.
func (s *sweeper) once(ctx context.Context) error {
	err := s.o.Redis.SetArgs(ctx, sweptKey, "1", redis.SetArgs{Mode: "NX", TTL: max(s.o.Sweep*9/10, time.Millisecond)}).Err()
	switch {
	case errors.Is(err, redis.Nil):
		return nil
	case err != nil:
		return fmt.Errorf("begin sweep: %w", err)
	}
	if err := s.expired(ctx); err != nil {
		return err
	}
	jobs, tasks, err := s.totals(ctx)
	if err != nil {
		return err
	}
	missing := jobs - tasks
	whole := missing > 0 && (missing > s.missing || time.Since(s.fruitless) > sweepAgain)
	var there *lists
	if missing > 0 {
		if there, err = s.lists(ctx); err != nil {
			return err
		}
	}
	woken, all, err := s.round(ctx, whole, there)
	switch {
	case woken > 0 || missing <= 0:
		s.missing, s.fruitless = 0, time.Time{}
	case all:
		s.missing, s.fruitless = missing, time.Now()
	}
	return err
}

// round looks at the jobs from where the last sweep ended: at all of them, or at a
// bounded number.
func (s *sweeper) round(ctx context.Context, whole bool, there *lists) (woken int, all bool, err error) {
	cursor, err := s.o.Redis.Get(ctx, cursorKey).Result()
	if errors.Is(err, redis.Nil) || whole {
		cursor, err = "0", nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("sweep: %w", err)
	}
	from, looked, began := cursor, 0, time.Now()
	for {
		open, next, err := s.ledger.OpenJobs(ctx, cursor, sweepSlice)
		if err != nil {
			return woken, false, err
		}
		n, err := s.slice(ctx, open, there)
		woken += n
		if err != nil {
			return woken, false, err
		}
		looked += len(open)
		enough := looked >= sweepMost || time.Since(began) > max(s.o.Sweep/3, sweepLeast)
		if cursor = next; cursor == "0" || (enough && !whole) {
			break
		}
	}
	if err := s.o.Redis.Set(ctx, cursorKey, cursor, 0).Err(); err != nil {
		return woken, false, fmt.Errorf("sweep: %w", err)
	}
	return woken, from == "0" && cursor == "0", nil
}

// slice gives a new task to each of the jobs that needs one and has none.
func (s *sweeper) slice(ctx context.Context, open []ledger.Job, there *lists) (woken int, err error) {
	now, err := s.ledger.Clock(ctx)
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	candidates := open[:0]
	for _, job := range open {
		if needsTask(job) && now.Sub(job.Updated()) >= sweepYoung {
			candidates = append(candidates, job)
		}
	}
	parked, err := s.ledger.StillParked(ctx, candidates)
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	tasked := candidates[:0]
	for i, job := range candidates {
		if !parked[i] {
			tasked = append(tasked, job)
		}
	}
	without, err := s.withoutTask(ctx, tasked, there)
	if err != nil {
		return 0, err
	}
	for _, job := range without {
		if err := s.nudgeAgain(ctx, job); err != nil {
			if errors.Is(err, ledger.ErrNotFound) {
				continue // it has ended meanwhile
			}
			return woken, err
		}
		woken++
		s.metrics.swept(job.Queue)
		s.log.WarnContext(ctx, "job without a task found, and woken", "task_id", job.ID.String(), "task_type", job.Type, "state", job.State)
	}
	return woken, nil
}

// needsTask: something is to be done for the job without a person or its records.
func needsTask(job ledger.Job) bool {
	switch job.State {
	case ledger.Queued, ledger.Sending:
		return true
	case ledger.Unknown:
		return job.Type != ledger.SendMessage
	}
	return false
}

// archivedLately is how far back expired looks: asynq archives such tasks when a
// worker starts, and once a minute.
const archivedLately = 10 * time.Minute

// expired runs other apps' plain tasks that asynq has archived because the worker
// that held them died, before anybody had written them down: a task that allows no
// retry ends so, unless another worker takes it over before. What a person has
// archived stays archived.
func (s *sweeper) expired(ctx context.Context) error {
	for _, queue := range queues() {
		since := fmt.Sprint(time.Now().Add(-archivedLately).Unix())
		archived, err := s.o.Redis.ZRangeByScoreWithScores(ctx, keysOf(queue).archived,
			&redis.ZRangeBy{Min: since, Max: "+inf", Count: sweepSlice}).Result()
		if err != nil {
			return fmt.Errorf("archived tasks: %w", err)
		}
		for _, z := range archived {
			id, _ := z.Member.(string)
			info, err := s.inspector.GetTaskInfo(queue, id)
			if err != nil || info.State != asynq.TaskStateArchived ||
				info.LastErr != asynq.ErrLeaseExpired.Error() || float64(info.LastFailedAt.Unix()) != z.Score {
				continue
			}
			if task, err := jobs.ParseTask(ledger.Type(info.Type), id, queue, info.Payload); err != nil || task.Nudge {
				continue
			}
			if err := s.inspector.RunTask(queue, id); err != nil {
				s.log.WarnContext(ctx, "task of a dead worker not run", "queue", queue, "task_id", id, "err", err)
				continue
			}
			s.log.WarnContext(ctx, "task of a dead worker taken out of the archive", "queue", queue, "task_id", id, "task_type", info.Type)
		}
	}
	return nil
}
