package ledger

import (
	"errors"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Errors that callers branch on.
var (
	// ErrNotFound: no such job, or its retention is over.
	ErrNotFound = errors.New("no such job")
	// ErrConflict: a job with this id (or key) exists and asks for something else.
	ErrConflict = errors.New("the key belongs to a job with other content")
	// ErrHeld: the job is a row of a campaign that does not run; it was not created.
	ErrHeld = errors.New("the campaign does not run")
	// ErrNewerVersion: the record was written by a newer version; leave it alone.
	ErrNewerVersion = errors.New("the job's record was written by a newer version")
)

// Job is one job as the ledger knows it.
type Job struct {
	ID         ID
	Type       Type
	State      State
	Queue      string
	Generation int // nudges carry it; a nudge that the ledger has outrun does nothing
	Nudges     int // further nudges counted by [Ledger.Renudge]

	From, To flowroute.E164 // messages: both; purchases and routes: To is the number, if it was asked for
	Number   flowroute.E164 // the number that a purchase has claimed
	Created  time.Time
	Due      time.Time // zero: at once
	Expires  time.Time // nothing is posted after it; always set for messages

	Attempts    int         // posts so far
	MDRs        []string    // records that belong to the job, the first one first
	Reason      Reason      // of the last change
	Detail      string      // what the API or our own check said, bounded; empty when all went well
	Warning     string      // done or accepted, but
	Uncertain   bool        // the outcome of one of its attempts was unknown once; not kept of final jobs
	NoResend    bool        // cancel or expiry was asked for while the outcome was open
	Progress    []byte      // what a job of several steps has reached; JSON of its owner
	Payload     []byte      // what was asked; JSON of package jobs; nil once the job is final
	Order       []string    // the slots it takes in turn, while it is not final
	Account     string      // whose limit and records the last post belongs to
	Worker      string      // the process that made the last attempt
	Parked      string      // where it waits for a limit of its own, without a task; see [Ledger.Park]
	AbsentAt    time.Time   // proven absent by a read that began then; zero: not put back since its last attempt
	Fingerprint Fingerprint // of a message that was posted
	Content     [8]byte     // hash of what was asked
	Evidence    []byte      // JSON: what a person needs to decide a job in review
	ResolveAt   time.Time
	FirstTried  time.Time
	History     []Change

	// Seen changes with each attempt that ends. With it, [Intent] and [Settlement]
	// refuse what was planned on a state of the job that is outrun.
	Seen string
}

// Updated is the time of the last change.
func (j Job) Updated() time.Time {
	if len(j.History) == 0 {
		return j.Created
	}
	return j.History[len(j.History)-1].At
}

// unfinished: it is not final, or accepted with its id pending.
func (j Job) unfinished() bool {
	return !j.State.Final() || j.Type == SendMessage && j.State.Succeeded() && len(j.MDRs) == 0
}

// Change is one line of a job's history. Times are Redis' clock, to 10 ms.
type Change struct {
	At     time.Time
	State  State
	Reason Reason
}

// NewJob is what a producer asks for.
type NewJob struct {
	ID       ID
	Type     Type
	Queue    string
	From, To flowroute.E164
	Due      time.Time // zero: at once
	Expires  time.Time // zero: messages 24 h after Due (queue "otp": 5 minutes), others no bound
	Payload  []byte    // kept until the job is final
	// Nonce tells a repetition of one call from a second job of the same key, which
	// is a duplicate. Zero: one is drawn for each call.
	Nonce   [6]byte
	Content [8]byte // hash of what the job asks; another hash under the same id is ErrConflict
	// Fingerprint of a message, as it will be posted. With it a worker need not read
	// the job first: [Intent.Unread].
	Fingerprint Fingerprint
	// Order lists the slots that this job must take in turn: it begins only when
	// it is the oldest unfinished one in each. Route updates use number and slot.
	Order []string
	// Refused makes the job Failed at once, with ReasonInvalid and this text: a
	// payload of another app that cannot be read stays visible.
	Refused string
	// Blocked makes the job [Blocked] at once, with ReasonOptedOut and this text.
	Blocked string
}

// Created is the answer to [Ledger.Create].
type Created struct {
	ID         ID
	State      State
	Generation int
	Duplicate  bool // the job existed
}

// Decision says what [Ledger.Begin] found.
type Decision string

// The decisions.
const (
	Go      Decision = "go"      // the intent is written: post
	Ready   Decision = "ready"   // an intent without token: nothing stands against posting
	Early   Decision = "early"   // not due yet: Wait
	Behind  Decision = "behind"  // an older job of the same slot is unfinished
	Open    Decision = "open"    // an intent is open (state sending or unknown): do not post
	Ended   Decision = "ended"   // the job is final, perhaps ended by this call (State)
	Stale   Decision = "stale"   // the nudge's generation was outrun
	Outrun  Decision = "outrun"  // an attempt has ended since the caller read the job (Seen): read it again
	Claimed Decision = "claimed" // the number belongs to another purchase (Other)
	Fenced  Decision = "fenced"  // Redis has lost writes, or may have: nothing is posted until that is cleared
	Unread  Decision = "unread"  // Intent.Unread, but the job has to be read first
	Held    Decision = "held"    // its campaign (Other) is paused, or does not run for another reason
	Recheck Decision = "recheck" // proven absent too long ago: unknown again, the records are read once more
)

// Intent asks for leave to post.
type Intent struct {
	ID          ID
	Generation  int
	Token       string        // of this attempt; the same again gets the same answer. Empty: only look
	Account     string        // of the client that will post
	Budget      time.Duration // until the permit's write deadline
	Timeout     time.Duration // of one request
	Settle      time.Duration // how long after the request must be over the records get
	Number      flowroute.E164
	Fingerprint Fingerprint // of a message
	Worker      string      // the process that will post, as in its heartbeat
	Seen        string      // of the job from which this attempt was planned; empty: it does not depend on it
	// Unread: the caller has not read the job. Its fingerprint is that of [NewJob], and
	// with [Go] the answer has the job; without one of either, it is Unread.
	Unread bool
}

// Begun is the answer to [Ledger.Begin].
type Begun struct {
	Decision  Decision
	State     State
	Left      time.Duration // Go: until the write deadline, from the moment the call was made
	Wait      time.Duration // Early: until due. Open: until the request must be over, or until ResolveAt
	Attempt   int
	ResolveAt time.Time
	Other     ID // Behind, Claimed: whose turn it is. Held: the campaign
	// FencedBefore, of Fenced: jobs created before then are; zero: all are.
	FencedBefore time.Time
	// Go, to Intent.Unread: the job as it was before, and its fingerprint as its
	// producer gave it.
	Job         *Job
	Fingerprint Fingerprint
}

// Settlement says what became of an attempt.
type Settlement struct {
	ID    ID
	Token string // of the attempt; empty ends or moves on a job that is Queued
	// To is the state to go to: Queued (nothing was accepted, try again; or a step
	// is done, its progress kept, and the next one follows), Unknown, Accepted,
	// Done, Failed, Cancelled, Blocked or Review.
	To     State
	Reason Reason
	// MDR is the record's id, `mdr2-` and 32 hex digits. Accepted without one is
	// "id pending".
	MDR string
	// Inferred: the record was found by matching, not in an answer or a receipt.
	Inferred bool
	// Uncounted: this attempt is not one of the job's posts (429, not sent, 401).
	Uncounted bool
	// Release gives the number of a purchase free: certainly refused, and never
	// uncertain before.
	Release  bool
	Detail   string
	Warning  string
	Progress []byte // replaces the job's progress when not nil
	// Seen is, without a token, of the job from which this was decided: it is a
	// Duplicate when an attempt has ended since. Empty: it does not depend on it.
	Seen string
}

// Settled is the answer to [Ledger.Settle].
type Settled struct {
	State     State
	Duplicate bool // this outcome was recorded before, or is outrun; nothing was changed
	// Displaced is a job whose inferred claim gave way; it is Unknown again.
	Displaced ID
	// Next are the jobs whose turn has come in the slots this job held.
	Next []ID
}
