package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// maxTaskID bounds what is taken for an id.
const maxTaskID = 1000

// jobID reads a job's id, or the task id of another app's plain task.
func jobID(text string) (ledger.ID, error) {
	switch {
	case text == "":
		return ledger.ID{}, errors.New("no job id: give the one that the receipt has")
	case len(text) > maxTaskID:
		return ledger.ID{}, fmt.Errorf("%w: an id of %d characters; give the one that the receipt has", ErrNotFound, len(text))
	}
	return plainID(text), nil
}

// Get reads a job by its id, or by the task id of a plain asynq task without a
// key. Errors: [ErrNotFound], [ledger.ErrNewerVersion], or Redis' own.
func (c *Client) Get(ctx context.Context, id string) (Job, error) {
	job, err := jobID(id)
	if err != nil {
		return Job{}, err
	}
	return c.ledger.Get(ctx, job)
}

// Cancel stops a job while that is possible, and else says why not. Errors: as
// [Client.Get]'s.
func (c *Client) Cancel(ctx context.Context, id string) (Cancellation, error) {
	job, err := jobID(id)
	if err != nil {
		return Cancellation{}, err
	}
	cancellation, err := c.ledger.Cancel(ctx, job)
	if err != nil {
		return cancellation, err
	}
	c.nudgeAll(ctx, c.noticesOf(ctx, cancellation.Next)) // whose turn has come
	return cancellation, nil
}

// Events yields changes of jobs' states after the given entry ("" from the oldest
// kept, "$" from now on), and waits for new ones until ctx ends, which ends it
// with ctx's error. An event's ID is what to go on after.
func (c *Client) Events(ctx context.Context, after string) iter.Seq2[Event, error] {
	return c.ledger.Events(ctx, after)
}

// How often a job is looked at while it is waited for. Events make it quick;
// looking covers one that came between a look and the first event.
const (
	firstLook = 50 * time.Millisecond
	lastLook  = 2 * time.Second
)

// Wait returns the job in its first final state or in [ledger.Review], where it
// waits for a person. It rides out Redis' errors. When ctx ends first it returns
// the job as it was seen last, and ctx's error. Other errors: as [Client.Get]'s.
func (c *Client) Wait(ctx context.Context, id string) (Job, error) {
	target, err := jobID(id)
	if err != nil {
		return Job{}, err
	}
	// The watcher is not waited for: a read that blocks ends within a second.
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changed := make(chan struct{}, 1)
	var last Job
	for look := firstLook; ; look = min(2*look, lastLook) {
		job, err := c.ledger.Get(ctx, target)
		switch {
		case err == nil && (job.State.Final() || job.State == ledger.Review):
			return job, nil
		case err == nil:
			last = job
		case ctx.Err() == nil && !passing(err):
			return last, err
		}
		if look == firstLook {
			go c.watch(watching, target, changed)
		}
		timer := time.NewTimer(look)
		select {
		case <-ctx.Done():
			timer.Stop()
			return last, fmt.Errorf("wait for job: %w", errors.Join(ctx.Err(), err))
		case <-timer.C:
		case <-changed:
			timer.Stop()
		}
	}
}

// watch says when the job has changed.
func (c *Client) watch(ctx context.Context, target ledger.ID, changed chan<- struct{}) {
	for {
		for event, err := range c.ledger.Events(ctx, "$") {
			if err != nil {
				break
			}
			if event.Job == target {
				select {
				case changed <- struct{}{}:
				default:
				}
			}
		}
		if !sleep(ctx, time.Second) {
			return
		}
	}
}
