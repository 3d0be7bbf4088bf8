package events

import (
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// View is a change as other apps see it. IDs ascend: of two with one job, the greater
// one is the later.
type View struct {
	ID     string        `json:"id"`
	At     time.Time     `json:"at"`
	JobID  string        `json:"job_id"`
	Type   ledger.Type   `json:"type"`
	State  ledger.State  `json:"state"`
	Reason ledger.Reason `json:"reason,omitempty"`
	MDRID  string        `json:"mdr_id,omitempty"` // with the state accepted, when it is known
}

// ViewOf shows a change.
func ViewOf(e ledger.Event) View {
	return View{ID: e.ID, At: e.At.UTC(), JobID: e.Job.String(), Type: e.Type, State: e.State, Reason: e.Reason, MDRID: e.MDR}
}

// Why there is a [Gap].
const (
	// Trimmed: the stream is bounded, and the reader lagged behind by more than that.
	Trimmed = "trimmed"
	// Ahead: the stream ends before the reader's place; it was deleted, Redis lost it, or
	// the place is not one of this stream.
	Ahead = "ahead"
)

// Gap says that changes after a reader's place may be missing. Reading goes on with
// the oldest change that is kept, which may repeat some.
type Gap struct {
	After  string `json:"after"`  // the reader's place
	Oldest string `json:"oldest"` // the oldest change that is kept; 0-0: there is none
	Reason string `json:"reason"` // trimmed, ahead
}
