package httpapi

import (
	"encoding/json"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

// What jobs, numbers, routes and records look like as JSON, here and in the output
// of the commands.

// JobView is a job as clients see it. The text of a message is not in it.
type JobView struct {
	ID        string        `json:"id"`
	Type      ledger.Type   `json:"type"`
	State     ledger.State  `json:"state"`
	From      string        `json:"from,omitempty"`   // messages
	To        string        `json:"to,omitempty"`     // messages
	Number    string        `json:"number,omitempty"` // purchases and routes, when it is fixed
	Attempts  int           `json:"attempts"`
	MDRIDs    []string      `json:"mdr_ids,omitempty"`
	Reason    ledger.Reason `json:"reason,omitempty"`
	Detail    string        `json:"detail,omitempty"`
	Warning   string        `json:"warning,omitempty"`
	CreatedAt time.Time     `json:"created_at"`
	DueAt     time.Time     `json:"due_at,omitzero"`
	ExpiresAt time.Time     `json:"expires_at,omitzero"`
	// ResolveAt is from when on Flowroute's records may decide, while the outcome
	// is open.
	ResolveAt time.Time `json:"resolve_at,omitzero"`
	// Next says what happens to a job whose outcome is not certain, and what a
	// person may do.
	Next string `json:"next,omitempty"`
	// Report is what a sync found.
	Report  json.RawMessage `json:"report,omitempty"`
	History []ChangeView    `json:"history"`
}

// ChangeView is one line of a job's history.
type ChangeView struct {
	At     time.Time     `json:"at"`
	State  ledger.State  `json:"state"`
	Reason ledger.Reason `json:"reason,omitempty"`
}

// ViewJob shows a job.
func ViewJob(job jobs.Job) JobView {
	v := JobView{
		ID: job.ID.String(), Type: job.Type, State: job.State, Attempts: job.Attempts, MDRIDs: job.MDRs,
		Reason: job.Reason, Detail: job.Detail, Warning: job.Warning,
		CreatedAt: job.Created.UTC(), DueAt: job.Due.UTC(), ExpiresAt: job.Expires.UTC(),
		History: make([]ChangeView, len(job.History)),
	}
	if isOpen(job) {
		v.ResolveAt = job.ResolveAt.UTC()
	}
	v.Next = outlook(job)
	switch job.Type {
	case jobs.TypeSendMessage:
		v.From, v.To = job.From.String(), job.To.String()
	case jobs.TypePurchaseNumber, jobs.TypeRouteUpdate:
		v.Number = jobs.NumberOf(job).String()
	default:
		if json.Valid(job.Progress) {
			v.Report = job.Progress
		}
	}
	for i, change := range job.History {
		v.History[i] = ChangeView{change.At.UTC(), change.State, change.Reason}
	}
	return v
}

// NumberView is one of the account's numbers.
type NumberView struct {
	Number           string    `json:"number"`
	Alias            string    `json:"alias,omitempty"`
	Type             string    `json:"type,omitempty"`
	RateCenter       string    `json:"rate_center,omitempty"`
	State            string    `json:"state,omitempty"`
	MessagingEnabled *bool     `json:"messaging_enabled,omitempty"`
	PrimaryRoute     string    `json:"primary_route,omitempty"`
	FailoverRoute    string    `json:"failover_route,omitempty"`
	FirstSeen        time.Time `json:"first_seen,omitzero"`
	LastSeen         time.Time `json:"last_seen,omitzero"`
	DetailsRead      time.Time `json:"details_read,omitzero"` // absent: its routes are not known yet
	Gone             time.Time `json:"gone,omitzero"`         // absent: ours
}

// ViewNumber shows a number of the stored copy.
func ViewNumber(n inventory.Number) NumberView {
	return NumberView{
		Number: n.Number.String(), Alias: n.Alias, Type: n.Type, RateCenter: n.RateCenter, State: n.State,
		MessagingEnabled: n.MessagingEnabled, PrimaryRoute: n.PrimaryRoute, FailoverRoute: n.FailoverRoute,
		FirstSeen: n.FirstSeen.UTC(), LastSeen: n.LastSeen.UTC(), DetailsRead: n.DetailsRead.UTC(), Gone: n.Gone.UTC(),
	}
}

// RouteView is an inbound voice route.
type RouteView struct {
	ID        string              `json:"id"`
	Type      flowroute.RouteType `json:"type"`
	Value     string              `json:"value,omitempty"`
	Alias     string              `json:"alias,omitempty"`
	FirstSeen time.Time           `json:"first_seen,omitzero"`
}

// ViewRoute shows a route of the stored copy.
func ViewRoute(r inventory.Route) RouteView {
	return RouteView{ID: r.ID, Type: r.Type, Value: r.Value, Alias: r.Alias, FirstSeen: r.FirstSeen.UTC()}
}

// MDRView is a message record.
type MDRView struct {
	ID                string              `json:"id"`
	Direction         flowroute.Direction `json:"direction"`
	From              string              `json:"from"`
	To                string              `json:"to"`
	Timestamp         time.Time           `json:"timestamp"`
	Status            string              `json:"status,omitempty"`
	Delivery          flowroute.Delivery  `json:"delivery"`
	IsMMS             bool                `json:"is_mms"`
	MessageType       string              `json:"message_type,omitempty"`
	AmountNanodollars int64               `json:"amount_nanodollars"`
	Matched           bool                `json:"matched"`        // a job of ours is known to have made it
	Body              string              `json:"body,omitempty"` // only where it was asked for
	Receipts          []ReceiptView       `json:"receipts,omitempty"`
}

// ReceiptView is a delivery receipt of a record.
type ReceiptView struct {
	Level       int       `json:"level"`
	Status      string    `json:"status,omitempty"`
	StatusCode  *int      `json:"status_code,omitempty"`
	Description string    `json:"description,omitempty"`
	Timestamp   time.Time `json:"timestamp"`
}

// ViewMDR shows a record, without the text of the message.
func ViewMDR(record mdr.Record) MDRView {
	v := MDRView{
		ID: record.ID, Direction: record.Direction, From: plus(record.From), To: plus(record.To), Timestamp: record.Timestamp.UTC(),
		Status: record.Status, Delivery: record.Delivery(), IsMMS: record.IsMMS, MessageType: record.MessageType,
		AmountNanodollars: record.AmountNanodollars, Matched: record.Matched,
	}
	for _, receipt := range record.Receipts {
		v.Receipts = append(v.Receipts, ReceiptView{
			receipt.Level, receipt.Status, receipt.StatusCode, receipt.Description, receipt.Timestamp.UTC(),
		})
	}
	return v
}

// plus writes a record's end as our own API does; short codes stay.
func plus(digits string) string {
	number, err := flowroute.ParseE164("+" + digits)
	if err != nil {
		return digits
	}
	return number.String()
}
