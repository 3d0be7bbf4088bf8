package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
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
	return writeJSON(w, http.StatusOK, listOf(page.Numbers, page.Next, ViewNumber))
}

func (s *Server) getRoutes(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	routes, err := s.o.Numbers.Routes(ctx)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, listOf(routes, "", ViewRoute))
}

func (s *Server) getMDRs(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r, "since", "until", "number", "direction", "delivery", "campaign", "limit", "cursor")
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
	if asked.Campaign, asked.CampaignRows, err = s.campaignAsked(ctx, q); err != nil {
		return err
	}
	page, err := s.o.MDRs.List(ctx, asked)
	if errors.Is(err, mdr.ErrBadCursor) {
		q.refuse("cursor", jobs.CodeInvalid, "give next_cursor of the page before, as it is")
		return q.err()
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, listOf(page.Records, page.Next, ViewMDR))
}

// campaignAsked is the campaign that the parameter names, and how many rows it has; zero
// where none is given.
func (s *Server) campaignAsked(ctx context.Context, q *query) (ledger.ID, int, error) {
	if !q.values.Has("campaign") {
		return ledger.ID{}, 0, nil
	}
	id, err := ledger.ParseID(q.text("campaign"))
	if err != nil || s.o.Campaigns == nil {
		q.refuse("campaign", jobs.CodeInvalid, "give the id of a campaign")
		return ledger.ID{}, 0, q.err()
	}
	c, err := s.o.Campaigns.Get(ctx, id)
	if errors.Is(err, campaign.ErrNotFound) {
		q.refuse("campaign", jobs.CodeInvalid, "there is no such campaign")
		return ledger.ID{}, 0, q.err()
	}
	if err != nil {
		return ledger.ID{}, 0, err
	}
	return c.ID, c.Rows, nil
}

// getLimits answers with the limiter's view.
func (s *Server) getLimits(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	limits, err := s.o.Limits(ctx)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, limits)
}
