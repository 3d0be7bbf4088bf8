package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// handler is the one handler of all queues.
func (w *Worker) handler() asynq.Handler {
	return asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		return w.crew.run(func() error {
			taskID, _ := asynq.GetTaskID(ctx)
			queue, _ := asynq.GetQueueName(ctx)
			return w.handleTask(ctx, task, taskID, queue)
		})
	})
}

func (w *Worker) handleTask(ctx context.Context, task *asynq.Task, taskID, queue string) error {
	started := time.Now()
	err := w.handle(ctx, task, taskID, queue)
	w.logTask(ctx, task.Type(), taskID, queue, started, err)
	return err
}

func (w *Worker) logTask(ctx context.Context, kind, taskID, queue string, started time.Time, err error) {
	level, reason := slog.LevelDebug, ""
	if err != nil {
		reason = err.Error()
		if isFailure(err) {
			level = slog.LevelWarn
		}
		w.metrics.deferred(queue, isFailure(err))
	}
	w.log.LogAttrs(ctx, level, "task looked at", slog.String("task_id", taskID), slog.String("task_type", kind),
		slog.String("queue", queue), slog.Int64("duration_ms", time.Since(started).Milliseconds()), slog.String("reason", reason))
}

// handle reads what the task is about and does what the job's state allows.
func (w *Worker) handle(ctx context.Context, task *asynq.Task, taskID, queue string) error {
	parsed, err := jobs.ParseTask(ledger.Type(task.Type()), taskID, queue, task.Payload())
	switch {
	case errors.Is(err, ledger.ErrNewerVersion):
		return deferral{time.Minute}
	case err != nil:
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	case !parsed.Nudge:
		return w.takeIn(ctx, parsed)
	}
	defer w.at(PointDone, parsed.ID)
	select {
	case <-w.draining:
		return deferral{}
	default:
	}
	if w.unread && ledger.Type(task.Type()) == ledger.SendMessage && queue != QueueResend {
		if done, err := w.sendUnread(ctx, parsed, queue); done {
			return err
		}
	}
	job, err := w.ledger.Get(ctx, parsed.ID)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		w.log.WarnContext(ctx, "nudge for a job that is not in the ledger", "task_id", taskID, "queue", queue)
		return nil
	case errors.Is(err, ledger.ErrNewerVersion):
		return deferral{time.Minute}
	case err != nil:
		return err
	case parsed.Generation != job.Generation && !job.State.Final():
		return nil
	}
	return w.look(ctx, job)
}

// takeIn writes another app's plain task down as a job with a nudge of its own:
// its task may allow no retries, ours does. For the same reason it is taken in while
// draining too, and goes on when Redis fails: asynq would put the task away.
func (w *Worker) takeIn(ctx context.Context, task jobs.Task) error {
	job := w.checkSender(ctx, task)
	created, err := w.ledger.Create(ctx, job)
	for err != nil && !errors.Is(err, ledger.ErrConflict) && !errors.Is(err, ledger.ErrHeld) && !errors.Is(err, ledger.ErrNewerVersion) {
		select {
		case <-ctx.Done():
			return err
		case <-w.ended:
			return err
		case <-time.After(500 * time.Millisecond):
		}
		created, err = w.ledger.Create(ctx, job)
	}
	switch {
	case errors.Is(err, ledger.ErrConflict), errors.Is(err, ledger.ErrHeld):
		w.log.WarnContext(ctx, "plain task refused: its key or task id belongs to a job with other content", "task_id", job.ID.String(), "queue", job.Queue)
		return nil
	case err != nil:
		return err
	}
	if w.guard != nil {
		w.guard.TakenIn(job)
	}
	if created.State != ledger.Queued {
		return nil
	}
	if err := w.o.Jobs.Nudge(ctx, job.ID, job.Type, job.Queue, created.Generation, job.Due, 0); err != nil {
		w.log.WarnContext(ctx, "job taken in but not announced, the sweep will find it", "task_id", job.ID.String(), "err", err)
	}
	return nil
}

// checkSender is what to create for a plain task: a refused job when its sender is none
// of the account's numbers, unless the task was taken in before.
func (w *Worker) checkSender(ctx context.Context, task jobs.Task) ledger.NewJob {
	job := *task.Job
	if w.o.Senders == nil || job.Type != ledger.SendMessage || job.Refused != "" {
		return job
	}
	refused, err := w.o.Senders(ctx, []flowroute.E164{job.From})
	if err != nil {
		w.log.DebugContext(ctx, "sender not looked up", "task_id", job.ID.String(), "err", err)
		return job
	}
	why, bad := refused[job.From]
	if !bad {
		return job
	}
	if _, err := w.ledger.Get(ctx, job.ID); !errors.Is(err, ledger.ErrNotFound) {
		return job // it exists, or creating it will say what is wrong
	}
	return task.Refuse(jobs.NotOurs(why))
}

// look does what the job's state allows.
func (w *Worker) look(ctx context.Context, job ledger.Job) error {
	switch job.State {
	case ledger.Sending:
		state, wait, err := w.ledger.Overdue(ctx, job.ID)
		if err != nil {
			return err
		}
		if state == ledger.Sending {
			return deferral{wait}
		}
		if job, err = w.ledger.Get(ctx, job.ID); err != nil {
			return err
		}
		return w.lookAtUnknown(ctx, job)
	case ledger.Unknown:
		return w.lookAtUnknown(ctx, job)
	case ledger.Queued:
	default:
		return nil
	}
	post := w.posts(job.Type)
	if post == nil {
		return w.sync(ctx, job)
	}
	if w.fence.lately(time.Now()) {
		// Those that may not be posted leave the permits to those that may.
		if ready, err := w.ready(ctx, job); !ready {
			return err
		}
	}
	return post(ctx, job)
}

// posts is what does a queued job of a type that posts; nil for one that only reads.
func (w *Worker) posts(t ledger.Type) func(context.Context, ledger.Job) error {
	switch t {
	case ledger.SendMessage:
		return w.send
	case ledger.PurchaseNumber:
		return w.purchase
	case ledger.RouteUpdate:
		return w.route
	}
	return nil
}

func (w *Worker) lookAtUnknown(ctx context.Context, job ledger.Job) error {
	switch {
	case job.State != ledger.Unknown:
		return nil
	case job.Type == ledger.PurchaseNumber:
		return w.purchase(ctx, job)
	case job.Type == ledger.RouteUpdate:
		return w.route(ctx, job)
	}
	return nil // a message: its records decide
}

// settle writes an outcome, again and again while Redis is away: it is known
// nowhere else. Only the end of the process ends that, with the evidence in the log.
func (w *Worker) settle(ctx context.Context, s ledger.Settlement) (ledger.Settled, error) {
	ctx = context.WithoutCancel(ctx)
	w.settled(s)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		settled, err := w.ledger.Settle(try, s)
		cancel()
		if err == nil || errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrNewerVersion) {
			w.metrics.settled(s.To, s.Reason, err == nil)
			for _, next := range settled.Next {
				w.nudgeNext(ctx, next)
			}
			w.at(PointSettled, s.ID)
			return settled, err
		}
		w.log.WarnContext(ctx, "outcome not yet written", "task_id", s.ID.String(), "state", s.To, "reason", s.Reason, "err", err)
		select {
		case <-w.ended:
			w.log.ErrorContext(ctx, "outcome not written before the end: the job will be unknown", "task_id", s.ID.String(),
				"state", s.To, "reason", s.Reason, "mdr_id", s.MDR, "err", err)
			return settled, err
		case <-time.After(pause):
		}
	}
}

// nudgeNext wakes the job whose turn has come; if that fails, it looks again by
// itself.
func (w *Worker) nudgeNext(ctx context.Context, id ledger.ID) {
	job, err := w.ledger.Get(ctx, id)
	if err == nil && job.State == ledger.Queued {
		err = w.nudgeAgain(ctx, job)
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		w.log.WarnContext(ctx, "next job of the slot not woken", "task_id", id.String(), "err", err)
	}
}

// nudgeAgain wakes a job once more, by a task with an id of its own.
func (w *Worker) nudgeAgain(ctx context.Context, job ledger.Job) error {
	serial, err := w.ledger.Renudge(ctx, job.ID)
	if err != nil {
		return err
	}
	return w.o.Jobs.Nudge(ctx, job.ID, job.Type, job.Queue, job.Generation, job.Due, serial)
}

func laneOf(queue string) ratelimit.Lane {
	switch queue {
	case ledger.QueueOTP:
		return ratelimit.LaneOTP
	case ledger.QueueBulk:
		return ratelimit.LaneBulk
	case ledger.QueueSync:
		return ratelimit.LaneSync
	}
	return ratelimit.LaneNormal
}
