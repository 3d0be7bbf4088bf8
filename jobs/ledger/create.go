package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"strconv"
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
	rules, args := l.rulesOf(), make([]any, 0, len(jobs)*createArgs)
	for i := range jobs {
		created[i].ID = jobs[i].ID
		var err error
		if args, err = rules.appendArgs(args, &jobs[i]); err != nil {
			errs[i] = fmt.Errorf("create job: %w", err)
			continue
		}
		calls, places = append(calls, args[len(args)-createArgs:]), append(places, i)
	}
	for i, reply := range l.runDurably(ctx, scriptCreate, calls) {
		place := places[i]
		created[place], errs[place] = readCreated(jobs[place].ID, reply)
	}
	return created, errs
}

// createArgs is how many arguments create.lua takes for a job.
const createArgs = 4

// rule is what create.lua is told of a job and does not differ from job to job, or seldom.
type rule struct {
	kind             byte
	fields           int // of the record
	due, expires     int64
	grace            time.Duration
	order            string
	refused, blocked string
	row              bool
}

// rules are the rules of some jobs as create.lua reads them.
type rules struct {
	events, retention string
	packed            map[rule][]byte
}

func (l *Ledger) rulesOf() rules {
	return rules{strconv.FormatInt(l.eventsMax, 10), strconv.FormatInt(l.retention.Milliseconds(), 10), map[rule][]byte{}}
}

func (r rules) of(of rule) []byte {
	if packed, ok := r.packed[of]; ok {
		return packed
	}
	fields := map[string]string{
		"t": string(of.kind), "n": strconv.Itoa(of.fields), "m": r.events, "r": r.retention,
		"o": of.order, "f": of.refused, "b": of.blocked,
	}
	for name, value := range map[string]int64{"d": of.due, "x": of.expires, "g": of.grace.Milliseconds()} {
		if value != 0 {
			fields[name] = strconv.FormatInt(value, 10)
		}
	}
	if of.row {
		fields["c"] = "1"
	}
	maps.DeleteFunc(fields, func(_, value string) bool { return value == "" })
	r.packed[of] = record.Pack(fields)
	return r.packed[of]
}

// appendArgs adds the arguments of a job.
func (r rules) appendArgs(args []any, job *NewJob) ([]any, error) {
	queue, ok := queueCode(job.Queue)
	if !ok {
		return args, fmt.Errorf("no such queue %q", job.Queue)
	}
	if job.ID.IsZero() {
		return args, fmt.Errorf("no id")
	}
	of := rule{
		kind: job.Type.code(), due: millis(job.Due), expires: millis(job.Expires),
		order: strings.Join(job.Order, " "), refused: job.Refused, blocked: job.Blocked,
	}
	if _, _, of.row = job.ID.Row(); !of.row { // a campaign that was paused goes on, however late
		of.grace = graceOf(*job)
	}
	var packed []byte
	of.fields, packed = packJob(job, queue, of.order)
	return append(args, job.ID.String(), job.ID[:], r.of(of), packed), nil
}

// packJob makes the fields of a new job's record that do not depend on Redis' clock.
func packJob(job *NewJob, queue byte, order string) (n int, b []byte) {
	nonce := job.Nonce
	if nonce == ([6]byte{}) {
		drawn := uuid.New()
		nonce = [6]byte(drawn[:6])
	}
	b = make([]byte, 0, 112+len(order)+len(job.Payload))
	add := func(name, value string) { n, b = n+1, record.AppendField(b, name, value) }
	add("v", "1")
	add("t", string(job.Type.code()))
	add("l", string(queue))
	add("g", "1")
	add("n", "0")
	add("i", string(packSubject(*job)))
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
	switch {
	case verdict == "held":
		return c, ErrHeld
	case verdict == "new" && len(r.items) == 1:
		c.State, c.Generation = Queued, 1
		return c, nil
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
