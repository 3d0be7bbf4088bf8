package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Task is what an asynq task in one of our queues turned out to be.
type Task struct {
	ID ledger.ID // the job's
	// Nudge: look at the job that the ledger has. Else the task is another app's,
	// and Job is to be created.
	Nudge      bool
	Generation int // of a nudge
	// Job is what a plain task asks for. When it cannot be accepted, Job.Refused
	// says why, and creating it makes a visible failed job.
	Job *ledger.NewJob

	refused *ledger.NewJob // what Refuse makes of a plain task, but for the reason
}

// Refuse is what to create instead of Job, when there is a reason against it that the
// task itself does not show: a visible failed job. Of a nudge it is the zero value.
func (t Task) Refuse(why error) ledger.NewJob {
	if t.refused == nil {
		return ledger.NewJob{}
	}
	job := *t.refused
	job.Refused = clip(why.Error())
	return job
}

// ParseTask reads a task: our own nudge, or a plain task of another app.
//
// A plain task has the JSON of [Message], [Purchase], [RouteUpdate] or [Sync] and
// "v":1. Its job's id comes from its key, else from its asynq task id, so that a
// task that asynq runs twice is one job. A message's priority is the queue that
// it lies in, whatever the field says. An expiry that has passed meanwhile is no
// mistake: the job ends as expired. A refused one keeps the id of its task, so
// that its key stays free for a corrected one.
//
// Errors: [ledger.ErrNewerVersion], which means to leave the task to a newer
// worker; and a type of which there is none.
func ParseTask(t ledger.Type, taskID, queue string, payload []byte) (Task, error) {
	if !t.Known() {
		return Task{}, fmt.Errorf("read task: no such type of job %.40q", t)
	}
	if task, ok, err := parseNudge(payload); ok || err != nil {
		return task, err
	}
	d := door{now: time.Now(), waited: true, of: t}
	job, key, v := d.plain(t, queue, payload)
	if v.n > newestVersion(t) {
		return Task{}, fmt.Errorf("read task: %w", ledger.ErrNewerVersion)
	}
	job.ID = plainID(taskID)
	task := Task{ID: job.ID, refused: &ledger.NewJob{
		ID: job.ID, Type: t, Queue: queueFor(t, queue), From: job.From, To: job.To, Content: hashOf(t, payload),
	}}
	if err := d.err(); err != nil {
		refused := task.Refuse(err)
		task.Job = &refused
		return task, nil
	}
	if key != "" {
		job.ID = ledger.KeyID(t, key)
	}
	task.ID, task.Job = job.ID, &job
	return task, nil
}

// parseNudge tells our nudges from everything else by their fields, not by the
// task's id: a nudge that somebody moved to another task is as harmless.
func parseNudge(payload []byte) (Task, bool, error) {
	if task, ok := readNudge(payload); ok {
		return task, true, nil
	}
	if len(payload) > 1000 || !bytes.Contains(payload, []byte(`"job"`)) {
		return Task{}, false, nil
	}
	var n nudge
	if json.Unmarshal(payload, &n) != nil || n.Gen < 1 || n.V < payloadVersion {
		return Task{}, false, nil
	}
	id, err := ledger.ParseID(n.Job)
	if err != nil || id.IsZero() {
		return Task{}, false, nil
	}
	if n.V == payloadVersion && !only(payload, &n) {
		return Task{}, false, nil
	}
	if n.V > payloadVersion {
		return Task{}, false, fmt.Errorf("read nudge: %w", ledger.ErrNewerVersion)
	}
	return Task{ID: id, Nudge: true, Generation: n.Gen}, true, nil
}

// only reports whether the payload has no other fields than those of v.
func only(payload []byte, v any) bool {
	fields := json.NewDecoder(bytes.NewReader(payload))
	fields.DisallowUnknownFields()
	return fields.Decode(v) == nil
}

// plainID is the id of the job of another app's task.
func plainID(taskID string) ledger.ID {
	if id := ledger.TaskID(taskID); !id.IsZero() {
		return id
	}
	return ledger.TaskID("nil " + taskID) // the nil UUID would be no id
}

// plain reads another app's payload, collecting problems in d.
func (d *door) plain(t ledger.Type, queue string, payload []byte) (job ledger.NewJob, key string, v version) {
	read := func(fields map[string]any) bool {
		var readable bool
		v, readable = d.decode(payload, fields)
		if readable && !v.given {
			d.refuse("v", CodeRequired, "is missing: give the format's version, \"v\":%d", payloadVersion)
		}
		return readable
	}
	switch t {
	case ledger.SendMessage:
		var m Message
		if read(m.fields()) {
			if isPriority(queue) {
				m.Priority = queue
			}
			job, key = m.plan(d), m.Key
		}
	case ledger.PurchaseNumber:
		var p Purchase
		if read(p.fields(d)) {
			job, key = p.plan(d), p.Key
		}
	case ledger.RouteUpdate:
		var u RouteUpdate
		if read(u.fields(d)) {
			job, key = u.plan(d), u.Key
		}
	default:
		var s Sync
		if read(s.fields(&key)) {
			job = s.plan(d, t, key)
		}
	}
	return job, key, v
}

func isPriority(queue string) bool {
	return queue == PriorityOTP || queue == PriorityNormal || queue == PriorityBulk
}

func queueFor(t ledger.Type, queue string) string {
	switch {
	case t != ledger.SendMessage && isSync(t):
		return ledger.QueueSync
	case t != ledger.SendMessage:
		return ledger.QueueNumbers
	case isPriority(queue):
		return queue
	}
	return ledger.QueueNormal
}

// hashOf tells a refused payload from another one under the same task id.
func hashOf(t ledger.Type, payload []byte) [8]byte {
	c := newContent(t)
	c.add("payload", string(payload))
	return c.sum()
}

// maxRefusal is what the ledger keeps of a text, in bytes.
const maxRefusal = 300

func clip(s string) string {
	if len(s) <= maxRefusal {
		return s
	}
	const more = "…"
	return strings.ToValidUTF8(s[:maxRefusal-len(more)], "") + more
}
