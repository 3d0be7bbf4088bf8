package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// NudgeTimeout is how long a worker may look at a job: longer than the longest
// wait for a permit and one request together. asynq would take it as its default;
// it is given all the same, since a task without one lets nothing else end it.
const NudgeTimeout = 30 * time.Minute

// nudgeRetries keeps asynq from ever reaching a last attempt, after which it
// would archive the task whatever the error was. The ledger counts attempts.
const nudgeRetries = 1_000_000

// nudge is the payload of a task that makes a worker look at a job.
type nudge struct {
	V   int    `json:"v"`
	Job string `json:"job"`
	Gen int    `json:"gen"`
}

// readNudge reads a nudge in the form in which this version writes it, which is most
// of what a worker reads.
func readNudge(payload []byte) (Task, bool) {
	rest, ok := bytes.CutPrefix(payload, []byte(`{"v":1,"job":"`))
	if !ok {
		return Task{}, false
	}
	job, rest, ok := bytes.Cut(rest, []byte(`","gen":`))
	if !ok {
		return Task{}, false
	}
	digits, ok := bytes.CutSuffix(rest, []byte("}"))
	generation, err := strconv.Atoi(string(digits))
	id, idErr := ledger.ParseID(string(job))
	if !ok || err != nil || idErr != nil || generation < 1 || id.IsZero() {
		return Task{}, false
	}
	return Task{ID: id, Nudge: true, Generation: generation}, true
}

// Nudge puts a task into the queue that makes a worker look at the job: at once,
// or not before at. It is for producers and workers of this module. The task's id
// is made of job and generation, and of the serial unless that is 0.
//
// With serial 0 a task with that id is as good as a new one, and a conflict no
// error: right for the first nudge of a generation. It proves nothing later, when
// the task may be the caller's own or lie in asynq's archive. So a sweep counts
// serials up, and gets [asynq.ErrTaskIDConflict] for one in use.
func (c *Client) Nudge(ctx context.Context, id ledger.ID, t ledger.Type, queue string, generation int, at time.Time, serial int) error {
	return c.nudge(ctx, c.asynq, notice{id, t, queue, generation, at}, serial)
}

func (c *Client) nudge(ctx context.Context, by *asynq.Client, n notice, serial int) error {
	payload, err := json.Marshal(nudge{V: payloadVersion, Job: n.id.String(), Gen: n.generation})
	if err != nil {
		return fmt.Errorf("nudge: %w", err)
	}
	taskID := n.id.String() + "." + strconv.Itoa(n.generation)
	if serial != 0 {
		taskID += "." + strconv.Itoa(serial)
	}
	options := []asynq.Option{asynq.Queue(n.queue), asynq.TaskID(taskID), asynq.MaxRetry(nudgeRetries), asynq.Timeout(NudgeTimeout)}
	if !n.due.IsZero() {
		// asynq cuts times to whole seconds, which would be early.
		options = append(options, asynq.ProcessAt(n.due.Add(time.Second-1).Truncate(time.Second)))
	}
	_, err = by.EnqueueContext(ctx, asynq.NewTask(string(n.kind), payload), options...)
	if err != nil && (serial != 0 || !errors.Is(err, asynq.ErrTaskIDConflict)) {
		return fmt.Errorf("nudge: %w", err)
	}
	if n.due.IsZero() && by == c.asynq {
		c.bell.ring(ctx, n.queue)
	}
	return nil
}
