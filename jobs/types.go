package jobs

import (
	"errors"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// What the ledger keeps is shown as it is.
type (
	// Job is one job as the ledger knows it.
	Job = ledger.Job
	// State says where a job is.
	State = ledger.State
	// Event is one change of a job's state.
	Event = ledger.Event
	// Cancellation is the answer to [Client.Cancel].
	Cancellation = ledger.Cancellation
)

// The types of jobs, which are the asynq task types as well.
const (
	TypeSendMessage    = ledger.SendMessage
	TypePurchaseNumber = ledger.PurchaseNumber
	TypeRouteUpdate    = ledger.RouteUpdate
	TypeSyncMDR        = ledger.SyncMDR
	TypeSyncNumbers    = ledger.SyncNumbers
	TypeReconcile      = ledger.Reconcile
)

// The priorities of a message, each a queue of its own. An OTP never waits for
// more than one message of the others.
const (
	PriorityOTP    = ledger.QueueOTP
	PriorityNormal = ledger.QueueNormal // the default
	PriorityBulk   = ledger.QueueBulk
)

// Errors that callers branch on. Bad input is a [*ValidationError].
var (
	// ErrNotFound: no such job, or the ledger's retention is over.
	ErrNotFound = ledger.ErrNotFound
	// ErrConflict: the key belongs to a job that asks for something else.
	ErrConflict = ledger.ErrConflict
	// ErrUnconfirmed: Redis failed, and the job may or may not have been taken.
	// With a key, repeat the call; without one a repetition may be a second job.
	ErrUnconfirmed = errors.New("unconfirmed: redis failed, the job may or may not have been taken")
)

// Receipt is the answer to a job that was taken.
type Receipt struct {
	ID    string `json:"id"`
	State State  `json:"state"`
	// Duplicate: the job existed already. Its State may be any, [ledger.Failed]
	// too.
	Duplicate bool `json:"duplicate"`
	// Repeatable: asking once more is safe, since a key was given. Else a
	// repetition is another job.
	Repeatable bool `json:"repeatable"`
	// KeyRetention is for how many seconds after the job's end, at least, its key
	// stays taken; 0 without a key. Afterwards the key makes a new job.
	KeyRetention int64 `json:"key_retention_seconds,omitempty"`
}
