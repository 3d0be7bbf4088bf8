package ledger

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"
)

//go:embed reassert.lua
var reassertLua string

var scriptReassert = script(reassertLua)

// Memory is what a worker remembers of an attempt, or with an Intent without token
// of a job that it wrote down.
type Memory struct {
	Job    Job // as it was read before the attempt
	Intent Intent
	Begun  Begun
}

// RememberNew is the memory of a job that was written down at that time of Redis'
// clock.
func RememberNew(job NewJob, created time.Time) Memory {
	expires := job.Expires
	if grace := graceOf(job); expires.IsZero() && grace > 0 {
		expires = later(job.Due, created).Add(grace)
	}
	return Memory{Job: Job{
		ID: job.ID, Type: job.Type, State: Queued, Queue: job.Queue, Generation: 1, From: job.From, To: job.To,
		Created: created, Due: job.Due, Expires: expires, Payload: job.Payload, Order: job.Order, Content: job.Content,
	}}
}

// Reassert writes down again what Redis has lost of the memories, in their order: the
// job with its time of creation, and the intent with its token and its deadlines. What
// is known, or outrun, stays as it is. The outcomes are to be settled afterwards. A
// record of a newer version is left alone. The error is that of the first memory that
// could not be written.
func (l *Ledger) Reassert(ctx context.Context, memories []Memory) error {
	const slice = 200
	for len(memories) > 0 {
		part := memories[:min(slice, len(memories))]
		memories = memories[len(part):]
		calls := make([][]any, len(part))
		for i, m := range part {
			args, err := l.reassertArgs(m)
			if err != nil {
				return fmt.Errorf("write down again: %w", err)
			}
			calls[i] = args
		}
		for _, r := range l.runMany(ctx, scriptReassert, calls) {
			if r.err != nil && r.text(0) != "newer" {
				return fmt.Errorf("write down again: %w", r.err)
			}
		}
	}
	return nil
}

func (l *Ledger) reassertArgs(m Memory) ([]any, error) {
	job, in := m.Job, m.Intent
	queue, ok := queueCode(job.Queue)
	if !ok || job.ID.IsZero() {
		return nil, fmt.Errorf("no such job %s in queue %q", job.ID, job.Queue)
	}
	asked := NewJob{Type: job.Type, Queue: job.Queue, From: job.From, To: job.To, Content: job.Content}
	given := !job.Expires.IsZero() && !job.Expires.Equal(later(job.Due, job.Created).Add(graceOf(asked)))
	claimed, posts := job.Number, job.Attempts
	if in.Token != "" {
		posts = max(m.Begun.Attempt-1, 0)
		if !in.Number.IsZero() {
			claimed = in.Number
		}
	}
	digits := ""
	if !claimed.IsZero() {
		digits = claimed.Digits()
	}
	args := []any{
		job.ID.String(), job.ID[:], string(job.Type.code()), string(queue), millis(job.Created), millis(job.Due), millis(job.Expires),
		flag(given), packSubject(asked), job.Payload, strings.Join(job.Order, " "), max(job.Generation, 1), job.Progress,
		flag(job.Uncertain), flag(job.NoResend), posts, digits, l.eventsMax,
	}
	if in.Token == "" {
		return args, nil
	}
	over := m.Begun.ResolveAt.Add(-in.Settle)
	tried := job.FirstTried
	if tried.IsZero() {
		tried = over.Add(-in.Timeout - in.Budget)
	}
	return append(args, in.Token, millis(over), millis(m.Begun.ResolveAt), millis(tried), in.Account, in.Fingerprint.String(), in.Worker), nil
}

// graceOf is what a message without an end of its own gets after its due time.
func graceOf(job NewJob) time.Duration {
	switch {
	case job.Type == SendMessage && job.Queue == QueueOTP:
		return 5 * time.Minute
	case job.Type == SendMessage:
		return 24 * time.Hour
	}
	return 0
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
