package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs/internal/lease"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	sweepSlice = 500
	// A job this young may be between its record and its first task.
	sweepYoung = 10 * time.Second
)

// sweep finds jobs that no task will ever look at again, since it was deleted,
// trimmed from asynq's archive, or never written because its producer died, and
// gives them a new one. One process of all does it at a time; two do no harm.
//
// A task counts as gone by evidence, not by the job's age: a million queued jobs
// rightly rest for days. Each time a slice of the open jobs is compared with
// asynq's tasks; all of them, when there are more open jobs than tasks.
func (w *Worker) sweep(ctx context.Context) {
	inspector := asynq.NewInspectorFromRedisClient(w.o.Redis)
	tick := time.NewTicker(w.o.Sweep)
	defer tick.Stop()
	cursor := "0"
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := lease.Hold(ctx, w.o.Redis, ledger.DefaultPrefix+"sweeper", lease.Options{}, func(ctx context.Context) error {
			missing, err := w.moreJobsThanTasks(ctx, inspector)
			for round := true; round && err == nil; round = missing && cursor != "0" {
				cursor, err = w.sweepOnce(ctx, inspector, cursor)
			}
			return err
		})
		if err != nil && ctx.Err() == nil && !errors.Is(err, lease.ErrHeld) {
			w.log.WarnContext(ctx, "sweep not done", "err", err)
		}
	}
}

// moreJobsThanTasks is the cheap sign that tasks are missing.
func (w *Worker) moreJobsThanTasks(ctx context.Context, inspector *asynq.Inspector) (bool, error) {
	counts, err := w.ledger.Counts(ctx)
	if err != nil {
		return false, err
	}
	jobs, tasks := int64(0), int64(0)
	for _, states := range counts {
		jobs += states[ledger.Queued] + states[ledger.Sending]
	}
	known, err := inspector.Queues() // one that never had a task is not known to asynq
	if err != nil {
		return false, fmt.Errorf("queues: %w", err)
	}
	for _, queue := range known {
		if !slices.Contains(ledger.Queues(), queue) {
			continue
		}
		info, err := inspector.GetQueueInfo(queue)
		if err != nil {
			return false, fmt.Errorf("queue %s: %w", queue, err)
		}
		tasks += int64(info.Pending + info.Active + info.Scheduled + info.Retry)
	}
	return jobs > tasks, nil
}

func (w *Worker) sweepOnce(ctx context.Context, inspector *asynq.Inspector, cursor string) (string, error) {
	open, next, err := w.ledger.OpenJobs(ctx, cursor, sweepSlice)
	if err != nil {
		return cursor, err
	}
	for _, job := range open {
		if !needsTask(job) || time.Since(job.Updated()) < sweepYoung {
			continue
		}
		there, err := hasTask(inspector, job)
		if err != nil {
			return cursor, err
		}
		if there {
			continue
		}
		if err := w.nudgeAgain(ctx, job); err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return cursor, err
		}
		w.metrics.swept(job.Queue)
		w.log.WarnContext(ctx, "job without a task found, and woken", "task_id", job.ID.String(), "task_type", job.Type, "state", job.State)
	}
	return next, nil
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

// hasTask asks asynq for the job's latest task. An archived one is as good as
// none: nothing will run it.
func hasTask(inspector *asynq.Inspector, job ledger.Job) (bool, error) {
	id := fmt.Sprintf("%s.%d", job.ID, job.Generation)
	if job.Nudges > 0 {
		id = fmt.Sprintf("%s.%d", id, job.Nudges)
	}
	info, err := inspector.GetTaskInfo(job.Queue, id)
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound), errors.Is(err, asynq.ErrQueueNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("task %s: %w", id, err)
	}
	return info.State != asynq.TaskStateArchived && info.State != asynq.TaskStateCompleted && !info.IsOrphaned, nil
}
