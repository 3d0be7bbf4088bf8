package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/internal/record"
)

// Create writes the job down, once: the same id again is reported as a duplicate
// with the state it has now. Errors: [ErrConflict] when that job asks for
// something else, [ErrHeld], [ErrNotDurable], or Redis' own. After an error of Redis the job
// may exist; repeat the call with the same id.
func (l *Ledger) Create(ctx context.Context, job NewJob) (Created, error) {
	created, errs := l.CreateMany(ctx, []NewJob{job})
	return created[0], errs[0]
}

// CreateMany is [Ledger.Create] for many jobs in one round trip. The two answers
// have one entry a job, in order.
func (l *Ledger) CreateMany(ctx context.Context, jobs []NewJob) ([]Created, []error) {
	created, errs := make([]Created, len(jobs)), make([]error, len(jobs))
	calls, places := make([][]any, 0, len(jobs)), make([]int, 0, len(jobs))
	for i, job := range jobs {
		created[i].ID = job.ID
		args, err := l.createArgs(job)
		if err != nil {
			errs[i] = fmt.Errorf("create job: %w", err)
			continue
		}
		calls, places = append(calls, args), append(places, i)
	}
	for i, reply := range l.runDurably(ctx, scriptCreate, calls) {
		place := places[i]
		created[place], errs[place] = readCreated(jobs[place].ID, reply)
	}
	return created, errs
}

func (l *Ledger) createArgs(job NewJob) ([]any, error) {
	queue, ok := queueCode(job.Queue)
	if !ok {
		return nil, fmt.Errorf("no such queue %q", job.Queue)
	}
	if job.ID.IsZero() {
		return nil, fmt.Errorf("no id")
	}
	nonce := job.Nonce
	if nonce == ([6]byte{}) {
		drawn := uuid.New()
		nonce = [6]byte(drawn[:6])
	}
	var grace time.Duration
	_, _, row := job.ID.Row()
	switch {
	case row: // a campaign that was paused goes on, however late
	case job.Type == SendMessage && job.Queue == QueueOTP:
		grace = 5 * time.Minute
	case job.Type == SendMessage:
		grace = 24 * time.Hour
	}
	subject, order := packSubject(job), strings.Join(job.Order, " ")
	fields, packed := packJob(job, queue, subject, nonce, order)
	return []any{
		job.ID.String(), job.ID[:], string(job.Type.code()), subject, nonce[:], millis(job.Due), millis(job.Expires), grace.Milliseconds(),
		order, job.Refused, job.Blocked, l.eventsMax, l.retention.Milliseconds(), fields, packed,
	}, nil
}

// packJob makes the fields of a new job's record that do not depend on Redis' clock.
func packJob(job NewJob, queue byte, subject []byte, nonce [6]byte, order string) (n int, b []byte) {
	b = make([]byte, 0, 96+len(order)+len(job.Payload))
	add := func(name, value string) { n, b = n+1, record.AppendField(b, name, value) }
	add("v", "1")
	add("t", string(job.Type.code()))
	add("l", string(queue))
	add("g", "1")
	add("n", "0")
	add("i", string(subject))
	add("cn", string(nonce[:]))
	add("p", string(job.Payload))
	if order != "" {
		add("o", order)
	}
	if !job.Expires.IsZero() {
		add("xe", "1")
	}
	if job.Fingerprint != (Fingerprint{}) {
		add("cf", job.Fingerprint.String())
	}
	return n, b
}

// packSubject is what stays of a job's content to the end: sender, recipient and
// the content's hash, 24 bytes.
func packSubject(job NewJob) []byte {
	b := make([]byte, 0, 24)
	b = binary.BigEndian.AppendUint64(b, job.From.Uint64())
	b = binary.BigEndian.AppendUint64(b, job.To.Uint64())
	return append(b, job.Content[:]...)
}

func readCreated(id ID, r reply) (Created, error) {
	c := Created{ID: id}
	if r.err != nil {
		return c, fmt.Errorf("create job: %w", r.err)
	}
	verdict := r.text(0)
	if verdict == "held" {
		return c, ErrHeld
	}
	c.State, c.Generation, c.Duplicate = StateOf(r.text(1)[0]), int(r.int(2)), verdict != "new"
	if verdict == "conflict" {
		return c, ErrConflict
	}
	return c, nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func queueCode(queue string) (byte, bool) {
	switch queue {
	case QueueOTP:
		return 'o', true
	case QueueNormal:
		return 'n', true
	case QueueBulk:
		return 'b', true
	case QueueNumbers:
		return 'm', true
	case QueueSync:
		return 's', true
	}
	return 0, false
}

func queueOf(code byte) string {
	for _, queue := range Queues() {
		if c, _ := queueCode(queue); c == code {
			return queue
		}
	}
	return ""
}
