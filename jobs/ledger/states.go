package ledger

// State says where a job is. The words are the same in Redis, in the commands,
// in the HTTP API, in the console and in metrics.
type State string

// The states of a job.
const (
	// Queued: nothing is on the wire; a worker may take it.
	Queued State = "queued"
	// Sending: an intent is written; the request may be on the wire.
	Sending State = "sending"
	// Unknown: the request may or may not have been accepted; nothing posts it again.
	Unknown State = "unknown"
	// Accepted: Flowroute took the message. Final; a receipt refines it.
	Accepted State = "accepted"
	// Delivered refines Accepted.
	Delivered State = "delivered"
	// Undelivered refines Accepted: the carrier reported a failure.
	Undelivered State = "undelivered"
	// Done: a purchase, a route update or a sync is confirmed.
	Done State = "done"
	// Failed: refused, and proven not accepted.
	Failed State = "failed"
	// Expired: its time was over before it was posted.
	Expired State = "expired"
	// Cancelled: stopped before it was posted.
	Cancelled State = "cancelled"
	// Blocked: the recipient opted out.
	Blocked State = "blocked"
	// Review: the records cannot decide; a person must.
	Review State = "review"
)

// stateCodes pairs each state, in the order of a job's life, with its one byte in
// Redis.
var stateCodes = [...]struct {
	state State
	code  byte
}{
	{Queued, 'q'}, {Sending, 's'}, {Unknown, 'u'}, {Review, 'r'}, {Accepted, 'a'}, {Delivered, 'd'},
	{Undelivered, 'n'}, {Done, 'o'}, {Failed, 'f'}, {Expired, 'x'}, {Cancelled, 'c'}, {Blocked, 'b'},
}

// States lists every state in the order of a job's life.
func States() []State {
	var states []State
	for _, pair := range stateCodes {
		states = append(states, pair.state)
	}
	return states
}

// Final reports whether a job in this state has ended. [Review] is not final: it
// waits for a person.
func (s State) Final() bool {
	switch s {
	case Queued, Sending, Unknown, Review:
		return false
	}
	return true
}

// Succeeded reports whether the job did what was asked.
func (s State) Succeeded() bool {
	return s == Accepted || s == Delivered || s == Done
}

func (s State) code() byte {
	for _, pair := range stateCodes {
		if pair.state == s {
			return pair.code
		}
	}
	panic("ledger: no such state: " + string(s))
}

// StateOf is the state that a letter in Redis stands for.
func StateOf(code byte) State {
	for _, pair := range stateCodes {
		if pair.code == code {
			return pair.state
		}
	}
	return State("state-" + string(rune(code)))
}

// Type says what a job does. It is the asynq task type as well; none is a prefix
// of another, since asynq's mux matches prefixes.
type Type string

// The types of jobs.
const (
	SendMessage    Type = "send-message"
	PurchaseNumber Type = "purchase-number"
	RouteUpdate    Type = "route-update"
	SyncMDR        Type = "sync-mdr"
	SyncNumbers    Type = "sync-numbers"
	Reconcile      Type = "reconcile"
)

// typeCodes pairs each type with its one byte in Redis.
var typeCodes = [...]struct {
	kind Type
	code byte
}{{SendMessage, 'm'}, {PurchaseNumber, 'p'}, {RouteUpdate, 'r'}, {SyncMDR, 's'}, {SyncNumbers, 'i'}, {Reconcile, 'c'}}

// Types lists every type of job.
func Types() []Type {
	types := make([]Type, 0, len(typeCodes))
	for _, pair := range typeCodes {
		types = append(types, pair.kind)
	}
	return types
}

// Known reports whether there is such a type of job.
func (t Type) Known() bool {
	for _, pair := range typeCodes {
		if pair.kind == t {
			return true
		}
	}
	return false
}

func (t Type) code() byte {
	for _, pair := range typeCodes {
		if pair.kind == t {
			return pair.code
		}
	}
	panic("ledger: no such type: " + string(t))
}

func typeOf(code byte) Type {
	for _, pair := range typeCodes {
		if pair.code == code {
			return pair.kind
		}
	}
	return Type("type-" + string(rune(code)))
}

// The queues, each served by its own asynq server.
const (
	QueueOTP     = "otp"
	QueueNormal  = "normal"
	QueueBulk    = "bulk"
	QueueNumbers = "numbers"
	QueueSync    = "sync"
)

// Queues lists every queue, the most urgent first.
func Queues() []string {
	return []string{QueueOTP, QueueNormal, QueueBulk, QueueNumbers, QueueSync}
}
