package ledger

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Begin asks for leave to post the job now and, with the decision [Go], has
// written the intent. It ends a job whose time is over or whose posts are used
// up. The same token again gets the same answer.
func (l *Ledger) Begin(ctx context.Context, in Intent) (Begun, error) {
	number := ""
	if !in.Number.IsZero() {
		number = in.Number.Digits()
	}
	call := []any{
		in.ID.String(), in.ID[:], in.Token, in.Generation, in.Budget.Milliseconds(), in.Timeout.Milliseconds(),
		in.Settle.Milliseconds(), in.Account, l.maxPosts, number, l.eventsMax, l.retention.Milliseconds(), in.Seen,
		in.Fingerprint.String(), in.Worker, l.absentFor.Milliseconds(), l.claimsFor(), flag(in.Unread),
	}
	r := l.begin(ctx, in, call)
	if r.err != nil {
		return Begun{}, fmt.Errorf("begin job: %w", r.err)
	}
	b := Begun{Decision: Decision(r.text(0))}
	switch b.Decision {
	case Go:
		b.State, b.Attempt = Sending, int(r.int(2))
		b.Left, b.ResolveAt = time.Duration(r.int(1))*time.Millisecond, time.UnixMilli(r.int(3))
		if in.Unread {
			b.Job, b.Fingerprint = begunJob(in.ID, r), readFingerprint(r.text(13))
		}
	case Early:
		b.State, b.Wait = Queued, time.Duration(r.int(1))*time.Millisecond
	case Open:
		b.State, b.Wait = StateOf(r.text(1)[0]), time.Duration(r.int(2))*time.Millisecond
	case Ended:
		b.State = StateOf(r.text(1)[0])
	case Fenced:
		b.State, b.FencedBefore = Queued, moment(r.text(1))
	case Behind, Claimed, Held:
		b.State = Queued
		b.Other, _ = ParseID(r.text(1))
	}
	return b, nil
}

// begunJob is the message that an intent was written for without its being read.
func begunJob(id ID, r reply) *Job {
	job := Job{
		ID: id, Type: SendMessage, State: Queued, Payload: []byte(r.text(4)), Queue: queueOf(r.text(5)[0]), Generation: int(r.int(6)),
		Created: time.UnixMilli(r.int(7)), Due: moment(r.text(8)), Expires: moment(r.text(9)), Attempts: int(r.int(10)), Uncertain: r.text(11) != "",
	}
	job.readSubject(r.text(12))
	return &job
}

// Settle writes what became of an attempt, and claims its MDR. It is to be called
// with a context that does not end with the task's. A certain outcome is recorded
// however late it comes; it never makes anything post.
func (l *Ledger) Settle(ctx context.Context, s Settlement) (Settled, error) {
	mdr := packMDR(s.MDR)
	progress := "" // nil leaves it
	if s.Progress != nil {
		progress = "=" + string(s.Progress)
	}
	r := l.runTogether(ctx, scriptSettle,
		s.ID.String(), s.ID[:], s.Token, string(s.To.code()), int(s.Reason.code()), mdr, flag(s.Inferred), flag(s.Uncounted),
		flag(s.Release), clip(s.Detail), clip(s.Warning), progress, l.eventsMax, l.retention.Milliseconds(), l.claimsFor(), s.Seen)
	if r.err != nil {
		return Settled{}, fmt.Errorf("settle job: %w", r.err)
	}
	settled := Settled{Duplicate: r.text(0) == "same", State: StateOf(r.text(1)[0])}
	if displaced := r.text(2); displaced != "" {
		settled.Displaced, _ = ParseID(displaced)
	}
	for i := 3; i < len(r.items); i++ {
		if next, err := ParseID(r.text(i)); err == nil {
			settled.Next = append(settled.Next, next)
		}
	}
	return settled, nil
}

// Overdue looks at a job whose intent is open. When its request must be over (the
// write deadline and the timeout of its sender have passed) and no outcome came,
// the job becomes [Unknown]; so it does when the worker that posts it has given no
// sign of life for a while. Else it reports how long that takes.
func (l *Ledger) Overdue(ctx context.Context, id ID) (State, time.Duration, error) {
	r := l.run(ctx, scriptOverdue, id.String(), id[:], l.eventsMax, l.silence.Milliseconds(),
		l.retention.Milliseconds(), l.claimsFor())
	if r.err != nil {
		return "", 0, fmt.Errorf("look at open intent: %w", r.err)
	}
	return StateOf(r.text(0)[0]), time.Duration(r.int(1)) * time.Millisecond, nil
}

// Adopt takes over an unknown job's open attempt, so that the caller can decide it
// with [Ledger.Settle] and this token. It is a compare-and-set on the attempt as
// the caller read it; of two that decide at once, the later one counts. Without
// true, the job is not to be decided now: ask again after the wait, if there is one.
func (l *Ledger) Adopt(ctx context.Context, id ID, attempt int, token string) (bool, time.Duration, error) {
	r := l.run(ctx, scriptAdopt, id.String(), id[:], attempt, token)
	if r.err != nil {
		return false, 0, fmt.Errorf("adopt job: %w", r.err)
	}
	return r.text(0) == "ok", time.Duration(r.int(2)) * time.Millisecond, nil
}

// NumberClaimedBy is the purchase that has claimed a number; false when none has.
func (l *Ledger) NumberClaimedBy(ctx context.Context, number flowroute.E164) (ID, bool, error) {
	owner, err := l.rdb.HGet(ctx, l.key("numbers"), number.Digits()).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return ID{}, false, nil
	case err != nil:
		return ID{}, false, fmt.Errorf("read claim of a number: %w", err)
	}
	id, err := ParseID(owner)
	return id, err == nil, err
}

// Newest is the job enqueued last among the unfinished ones of a slot; false when
// there is none.
func (l *Ledger) Newest(ctx context.Context, slot string) (ID, bool, error) {
	last, err := l.rdb.ZRange(ctx, l.key("o:"+slot), -1, -1).Result()
	if err != nil {
		return ID{}, false, fmt.Errorf("read slot: %w", err)
	}
	if len(last) == 0 {
		return ID{}, false, nil
	}
	id, err := ParseID(last[0])
	return id, err == nil, err
}

// LastTurn is the job that last began an attempt in a slot; false when none has.
func (l *Ledger) LastTurn(ctx context.Context, slot string) (ID, bool, error) {
	last, err := l.rdb.HGet(ctx, l.key("turns"), slot).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return ID{}, false, nil
	case err != nil:
		return ID{}, false, fmt.Errorf("read slot: %w", err)
	}
	id, err := ParseID(last)
	return id, err == nil, err
}

// Reword replaces a job's warning, when what it warned of is over. It reports
// whether the warning was still the one that the caller had read.
func (l *Ledger) Reword(ctx context.Context, id ID, from, to string) (bool, error) {
	r := l.run(ctx, scriptReword, id.String(), id[:], from, clip(to), l.retention.Milliseconds())
	if r.err != nil {
		return false, fmt.Errorf("reword warning: %w", r.err)
	}
	return r.int(0) == 1, nil
}

// Cancellation is the answer to [Ledger.Cancel].
type Cancellation struct {
	State State
	// Cancelled: the job had not been posted and never will be.
	Cancelled bool
	// Requested: its outcome is open; it will not be posted again.
	Requested bool
	// TooLate: it is final, or a step that cannot be undone was made.
	TooLate bool
	Next    []ID // jobs whose turn has come
}

// Cancel stops a job while that is possible.
func (l *Ledger) Cancel(ctx context.Context, id ID) (Cancellation, error) {
	r := l.run(ctx, scriptCancel, id.String(), id[:], l.eventsMax, l.retention.Milliseconds())
	if r.err != nil {
		return Cancellation{}, fmt.Errorf("cancel job: %w", r.err)
	}
	c := Cancellation{State: StateOf(r.text(1)[0])}
	switch r.text(0) {
	case "cancelled":
		c.Cancelled = true
	case "requested":
		c.Requested = true
	case "late":
		c.TooLate = true
	}
	for i := 2; i < len(r.items); i++ {
		if next, err := ParseID(r.text(i)); err == nil {
			c.Next = append(c.Next, next)
		}
	}
	return c, nil
}

// Receipt is what Flowroute's records say of one MDR.
type Receipt struct {
	MDR       string
	Delivered bool // else: the carrier reported a failure
	// Cost is what the message costs, which is added up for its campaign, once. Zero: not
	// known.
	Cost flowroute.Money
}

// Refined is the answer to [Ledger.Refine] for one receipt.
type Refined struct {
	Job     ID // zero: the record belongs to no job
	State   State
	Changed bool
}

// Refine turns accepted jobs into delivered or undelivered ones. A receipt is
// proof of acceptance, so it beats every inferred end. One answer a receipt, in
// order.
func (l *Ledger) Refine(ctx context.Context, receipts []Receipt) ([]Refined, error) {
	calls := make([][]any, len(receipts))
	for i, receipt := range receipts {
		mdr := packMDR(receipt.MDR)
		to := Undelivered
		if receipt.Delivered {
			to = Delivered
		}
		calls[i] = []any{mdr, string(to.code()), l.eventsMax, l.retention.Milliseconds(), l.claimsFor(), int64(receipt.Cost)}
	}
	refined := make([]Refined, len(receipts))
	for i, r := range l.runMany(ctx, scriptRefine, calls) {
		if r.err != nil {
			return nil, fmt.Errorf("refine: %w", r.err)
		}
		if r.text(0) == "none" {
			continue
		}
		refined[i].Job, _ = ParseID(r.text(0))
		refined[i].State, refined[i].Changed = StateOf(r.text(1)[0]), r.text(2) == "1"
	}
	return refined, nil
}

// claimsFor is how long a claim stays after it was made, in ms, as the packed map
// counts (it adds up to seven days).
func (l *Ledger) claimsFor() int64 { return (l.retention + l.claimsOver).Milliseconds() }

// packMDR makes 16 bytes of `mdr2-` and 32 hex digits. An id of another form is
// kept as it is, between zero bytes that tell it from those; one that cannot be an
// id (longer than 64 bytes) counts as none.
func packMDR(id string) string {
	if digits, ok := strings.CutPrefix(id, "mdr2-"); ok && strings.ToLower(digits) == digits {
		if raw, err := hex.DecodeString(digits); err == nil && len(raw) == 16 {
			return string(raw)
		}
	}
	packed := "\x00" + id
	switch {
	case id == "" || len(id) > 64:
		return ""
	case len(packed) == 16:
		packed += "\x00"
	}
	return packed
}

func unpackMDR(packed string) string {
	if len(packed) == 16 {
		return "mdr2-" + hex.EncodeToString([]byte(packed))
	}
	return strings.Trim(packed, "\x00")
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// clip bounds a text that ends up in Redis.
func clip(s string) string {
	if len(s) <= 300 {
		return s
	}
	return strings.ToValidUTF8(s[:297], "") + "…"
}
