package worker

import (
	"context"
	"fmt"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// QueueResend has the nudges of messages that are to be posted again, since they
// are proven not accepted. It goes before the queue of the job's own lane, which
// may be long; the permit is taken in the job's own lane all the same.
const QueueResend = "resend"

// resendHandlers is how many messages are posted again at once.
const resendHandlers = 8

// queues are all queues that this worker serves.
func queues() []string { return append(ledger.Queues(), QueueResend) }

// queuesOf are the queues in which a job's task may lie.
func queuesOf(job ledger.Job) []string {
	if job.Type == ledger.SendMessage {
		return []string{job.Queue, QueueResend}
	}
	return []string{job.Queue}
}

// Resend wakes a job that was put back, at the head of its lane. It is what the
// resolver's and a person's decisions are followed by; a job that is not queued is
// looked at and left alone. Errors: [ledger.ErrNotFound] when the job is over, or
// Redis' own.
func Resend(ctx context.Context, client *jobs.Client, job ledger.Job) error {
	serial, err := client.Ledger().Renudge(ctx, job.ID)
	if err != nil {
		return fmt.Errorf("resend: %w", err)
	}
	queue := job.Queue
	if job.Type == ledger.SendMessage {
		queue = QueueResend
	}
	return client.Nudge(ctx, job.ID, job.Type, queue, job.Generation, job.Due, serial)
}

// Resend is the function [Resend] with this worker's client.
func (w *Worker) Resend(ctx context.Context, job ledger.Job) error {
	return Resend(ctx, w.o.Jobs, job)
}
