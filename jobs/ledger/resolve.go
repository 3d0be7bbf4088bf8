package ledger

import (
	"context"
	"time"
)

// Fingerprint is what messages that cannot be told apart in Flowroute's records
// have in common; see jobs.Fingerprint. Zero: not posted yet.
type Fingerprint [8]byte

// IsZero reports whether there is none.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

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
	panic("not yet")
}

// Unresolved are the jobs with an open intent, those first whose records may
// decide first: sending, unknown, and accepted ones whose id is pending. At most
// limit.
func (l *Ledger) Unresolved(ctx context.Context, limit int64) ([]Job, error) {
	panic("not yet")
}

// Group are the messages of one fingerprint that were posted and are not over:
// sending, unknown, accepted with the id pending, waiting to be posted again, in
// review.
func (l *Ledger) Group(ctx context.Context, f Fingerprint) ([]Job, error) {
	panic("not yet")
}

// Clock is Redis' time, which is the ledger's.
func (l *Ledger) Clock(ctx context.Context) (time.Time, error) {
	return l.rdb.Time(ctx).Result()
}

// Acceptance is a message that Flowroute has accepted.
type Acceptance struct {
	At  time.Time // on Redis' clock, when it was written down
	Job ID
	MDR string
	// Direct: known from the answer to its post, not from a record or a receipt.
	Direct bool
}

// Acceptances are the messages written down as accepted between two moments of
// Redis' clock, with their records. reaches is false when what is kept of the past
// does not go back to from: then some may be missing.
func (l *Ledger) Acceptances(ctx context.Context, from, to time.Time) (list []Acceptance, reaches bool, err error) {
	panic("not yet")
}

// ClaimQueued gives a record that is nobody's to a message that is queued: after
// Redis has lost writes, the record is what is left of its post. It becomes
// Accepted, by inference. False: it is not queued any more, or the record is
// another's.
func (l *Ledger) ClaimQueued(ctx context.Context, id ID, mdr string) (bool, error) {
	panic("not yet")
}

// HoldQueued sends a message that is queued to a person: after Redis has lost
// writes, a record nearly like it was found.
func (l *Ledger) HoldQueued(ctx context.Context, id ID, reason Reason, detail string, evidence []byte) (bool, error) {
	panic("not yet")
}

// Prove writes a receipt down as proof that an attempt of a message was accepted,
// whatever state it is in. Errors: [ErrNotFound], or Redis' own.
func (l *Ledger) Prove(ctx context.Context, id ID, attempt int, mdr string) (Settled, error) {
	panic("not yet")
}
