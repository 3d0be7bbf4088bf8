package ledger

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Fingerprint is what messages that cannot be told apart in Flowroute's records
// have in common; see jobs.Fingerprint. Zero: not posted yet.
type Fingerprint [8]byte

// IsZero reports whether there is none.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

// String is 16 hex digits; empty for none.
func (f Fingerprint) String() string {
	if f.IsZero() {
		return ""
	}
	return hex.EncodeToString(f[:])
}

func readFingerprint(text string) (f Fingerprint) {
	if raw, err := hex.DecodeString(text); err == nil && len(raw) == len(f) {
		copy(f[:], raw)
	}
	return f
}

// Resolution is what was read of a group of messages with one fingerprint, and
// what is concluded from it. It is carried out as a whole or not at all.
type Resolution struct {
	Fingerprint Fingerprint
	// Members are all of the group ([Ledger.Group]) as they were read before the
	// records were.
	Members []Member
	// Began is Redis' time before the first request for the records was made.
	Began time.Time
	// Claims are records that are nobody's, each with the member it is given to. A
	// member may get several.
	Claims []Claim
	// Rest says what becomes of the unknown members without a record: nothing yet
	// (zero), [RestAbsent] or [RestReview].
	Rest Rest
	// Hold sends a member proven absent to a person instead of posting it again.
	Hold bool
	// Fenced: it was decided while a fence was up ([Ledger.FenceState]); it is carried
	// out only if that is so still.
	Fenced bool
	// Reason, Detail and Evidence (JSON, at most 2 kB) are for [RestReview].
	Reason   Reason
	Detail   string
	Evidence []byte
}

// Member is a job of a group as it was read.
type Member struct {
	ID      ID
	State   State
	Attempt int // Job.Attempts
}

// Claim gives a record to a job.
type Claim struct {
	ID  ID
	MDR string
}

// Rest is what becomes of the members for which there is no record.
type Rest string

const (
	RestWaits  Rest = ""  // they stay unknown
	RestAbsent Rest = "n" // proven not accepted: posted again, or ended as was asked meanwhile
	RestReview Rest = "r" // a person must look
)

// Verdict is what [Ledger.Resolve] answers.
type Verdict string

const (
	VerdictDone    Verdict = "ok"
	VerdictBusy    Verdict = "busy"    // a member is on the wire
	VerdictEarly   Verdict = "early"   // the read began before the records may decide: Wait
	VerdictChanged Verdict = "changed" // the group, a member or a record is not as it was read
)

// Resolved is the answer to [Ledger.Resolve].
type Resolved struct {
	Verdict Verdict
	Wait    time.Duration // with VerdictEarly
	Jobs    []ResolvedJob // those that changed
}

// ResolvedJob is a job that a resolution has moved.
type ResolvedJob struct {
	ID    ID
	State State
}

// Resolve decides a group of messages whose outcome is unknown.
func (l *Ledger) Resolve(ctx context.Context, r Resolution) (Resolved, error) {
	reason := 0
	if r.Rest == RestReview {
		reason = int(r.Reason.code())
	}
	args := []any{
		r.Fingerprint.String(), r.Began.UnixMilli(), string(r.Rest), flag(r.Hold), reason, clip(r.Detail), r.Evidence, l.maxPosts,
		l.eventsMax, l.retention.Milliseconds(), l.claimsFor(), len(r.Members), flag(r.Fenced),
	}
	for _, m := range r.Members {
		args = append(args, m.ID.String(), m.ID[:], string(m.State.code()), m.Attempt)
	}
	for _, c := range r.Claims {
		args = append(args, c.ID.String(), packMDR(c.MDR))
	}
	reply := l.run(ctx, scriptResolve, args...)
	if reply.err != nil {
		return Resolved{}, fmt.Errorf("resolve: %w", reply.err)
	}
	resolved := Resolved{Verdict: Verdict(reply.text(0))}
	if resolved.Verdict == VerdictEarly {
		resolved.Wait = time.Duration(reply.int(1)) * time.Millisecond
		return resolved, nil
	}
	for i := 1; i+1 < len(reply.items); i += 2 {
		if id, err := ParseID(reply.text(i)); err == nil {
			resolved.Jobs = append(resolved.Jobs, ResolvedJob{ID: id, State: StateOf(reply.text(i + 1)[0])})
		}
	}
	return resolved, nil
}

// Unresolved are the jobs with an open intent, those first whose records may
// decide first: sending, unknown, and accepted ones whose id is pending. At most
// limit.
func (l *Ledger) Unresolved(ctx context.Context, limit int64) ([]Job, error) {
	texts, err := l.rdb.ZRange(ctx, l.key("open"), 0, limit-1).Result()
	if err != nil {
		return nil, fmt.Errorf("read open intents: %w", err)
	}
	return l.all(ctx, texts)
}

// Group are the messages of one fingerprint that were posted and are not over:
// sending, unknown, accepted with the id pending, proven absent and not yet posted
// again, in review.
func (l *Ledger) Group(ctx context.Context, f Fingerprint) ([]Job, error) {
	texts, err := l.rdb.SMembers(ctx, l.key("g:"+f.String())).Result()
	if err != nil {
		return nil, fmt.Errorf("read group: %w", err)
	}
	jobs, err := l.all(ctx, texts)
	return slices.DeleteFunc(jobs, func(j Job) bool { return j.State == Queued && j.AbsentAt.IsZero() }), err
}

// all reads the jobs that are not final, of a list that may name others.
func (l *Ledger) all(ctx context.Context, texts []string) ([]Job, error) {
	ids := make([]ID, 0, len(texts))
	for _, text := range texts {
		if id, err := ParseID(text); err == nil {
			ids = append(ids, id)
		}
	}
	read, errs := l.GetMany(ctx, ids)
	jobs := make([]Job, 0, len(read))
	for i, job := range read {
		switch {
		case errs[i] == nil && job.unfinished():
			jobs = append(jobs, job)
		case errs[i] != nil && !errors.Is(errs[i], ErrNotFound) && !errors.Is(errs[i], ErrNewerVersion):
			return nil, errs[i]
		}
	}
	return jobs, nil
}

// Clock is Redis' time, which is the ledger's.
func (l *Ledger) Clock(ctx context.Context) (time.Time, error) {
	now, err := l.rdb.Time(ctx).Result()
	if err != nil {
		return time.Time{}, fmt.Errorf("read clock: %w", err)
	}
	return now, nil
}

// Prove writes a receipt down as proof that an attempt of a message was accepted,
// whatever state it is in. Errors: [ErrNotFound], or Redis' own.
func (l *Ledger) Prove(ctx context.Context, id ID, attempt int, mdr string) (Settled, error) {
	packed := packMDR(mdr)
	if packed == "" {
		return Settled{}, fmt.Errorf("prove: %.20q is no MDR id", mdr)
	}
	r := l.run(ctx, scriptProve, id.String(), id[:], attempt, packed, l.eventsMax, l.retention.Milliseconds(), l.claimsFor())
	if r.err != nil {
		return Settled{}, fmt.Errorf("prove: %w", r.err)
	}
	settled := Settled{Duplicate: r.text(0) == "same", State: StateOf(r.text(1)[0])}
	if displaced := r.text(2); displaced != "" {
		settled.Displaced, _ = ParseID(displaced)
	}
	return settled, nil
}
