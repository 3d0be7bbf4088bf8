package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

// NumberStore is the stored copy of the account's numbers and routes, an
// [*inventory.Store].
type NumberStore interface {
	List(context.Context, inventory.Query) (inventory.Page, error)
	Routes(context.Context) ([]inventory.Route, error)
}

// MDRStore is the stored copy of the MDR set, an [*mdr.Store].
type MDRStore interface {
	List(context.Context, mdr.Query) (mdr.Page, error)
}

// list is one page of a collection.
type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next_cursor,omitempty"` // for the parameter cursor; absent: that was all
}

func listOf[S, T any](items []S, next string, view func(S) T) list[T] {
	l := list[T]{Items: make([]T, len(items)), Next: next}
	for i, item := range items {
		l.Items[i] = view(item)
	}
	return l
}

type numberView struct {
	Number           string    `json:"number"`
	Alias            string    `json:"alias,omitempty"`
	Type             string    `json:"type,omitempty"`
	RateCenter       string    `json:"rate_center,omitempty"`
	State            string    `json:"state,omitempty"`
	MessagingEnabled *bool     `json:"messaging_enabled,omitempty"`
	PrimaryRoute     string    `json:"primary_route,omitempty"`
	FailoverRoute    string    `json:"failover_route,omitempty"`
	FirstSeen        time.Time `json:"first_seen"`
	LastSeen         time.Time `json:"last_seen"`
	DetailsRead      time.Time `json:"details_read,omitzero"` // absent: its routes are not known yet
	Gone             time.Time `json:"gone,omitzero"`         // absent: ours
}

func viewNumber(n inventory.Number) numberView {
	return numberView{
		Number: n.Number.String(), Alias: n.Alias, Type: n.Type, RateCenter: n.RateCenter, State: n.State,
		MessagingEnabled: n.MessagingEnabled, PrimaryRoute: n.PrimaryRoute, FailoverRoute: n.FailoverRoute,
		FirstSeen: n.FirstSeen.UTC(), LastSeen: n.LastSeen.UTC(), DetailsRead: n.DetailsRead.UTC(), Gone: n.Gone.UTC(),
	}
}

func (s *Server) getNumbers(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r, "starts_with", "gone", "limit", "cursor")
	if err != nil {
		return err
	}
	asked := inventory.Query{
		StartsWith: q.text("starts_with"), Gone: q.oneOf("gone", "true", "false") == "true", Limit: q.limit(), Cursor: q.text("cursor"),
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	page, err := s.o.Numbers.List(ctx, asked)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, listOf(page.Numbers, page.Next, viewNumber))
}

type routeView struct {
	ID        string              `json:"id"`
	Type      flowroute.RouteType `json:"type"`
	Value     string              `json:"value,omitempty"`
	Alias     string              `json:"alias,omitempty"`
	FirstSeen time.Time           `json:"first_seen"`
}

func (s *Server) getRoutes(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	routes, err := s.o.Numbers.Routes(ctx)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, listOf(routes, "", func(route inventory.Route) routeView {
		return routeView{route.ID, route.Type, route.Value, route.Alias, route.FirstSeen.UTC()}
	}))
}

// mdrView is a record without the text of the message.
type mdrView struct {
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
	// Matched: a job of ours is known to have made it.
	Matched  bool          `json:"matched"`
	Receipts []receiptView `json:"receipts,omitempty"`
}

type receiptView struct {
	Level       int       `json:"level"`
	Status      string    `json:"status,omitempty"`
	StatusCode  *int      `json:"status_code,omitempty"`
	Description string    `json:"description,omitempty"`
	Timestamp   time.Time `json:"timestamp"`
}

func viewMDR(record mdr.Record) mdrView {
	v := mdrView{
		ID: record.ID, Direction: record.Direction, From: plus(record.From), To: plus(record.To), Timestamp: record.Timestamp.UTC(),
		Status: record.Status, Delivery: record.Delivery(), IsMMS: record.IsMMS, MessageType: record.MessageType,
		AmountNanodollars: record.AmountNanodollars, Matched: record.Matched,
	}
	for _, receipt := range record.Receipts {
		v.Receipts = append(v.Receipts, receiptView{
			receipt.Level, receipt.Status, receipt.StatusCode, receipt.Description, receipt.Timestamp.UTC(),
		})
	}
	return v
}

// plus writes a record's end as our own API does; short codes stay.
func plus(digits string) string {
	number, err := flowroute.ParseE164(digits)
	if err != nil {
		return digits
	}
	return number.String()
}

func (s *Server) getMDRs(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r, "since", "until", "number", "direction", "delivery", "limit", "cursor")
	if err != nil {
		return err
	}
	now := time.Now()
	asked := mdr.Query{
		Since: q.when("since", now), Until: q.when("until", now), Number: q.number("number"), Limit: q.limit(), Cursor: q.text("cursor"),
		Direction: flowroute.Direction(q.oneOf("direction", string(flowroute.Inbound), string(flowroute.Outbound))),
		Delivery: flowroute.Delivery(q.oneOf("delivery", string(flowroute.DeliveryPending), string(flowroute.DeliveryDelivered),
			string(flowroute.DeliveryFailed))),
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	page, err := s.o.MDRs.List(ctx, asked)
	if errors.Is(err, mdr.ErrBadCursor) {
		q.refuse("cursor", jobs.CodeInvalid, "give next_cursor of the page before, as it is")
		return q.err()
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, listOf(page.Records, page.Next, viewMDR))
}

// getLimits answers with the limiter's view.
func (s *Server) getLimits(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	limits, err := s.o.Limits(ctx)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, limits)
}
