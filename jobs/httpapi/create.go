package httpapi

import (
	"context"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// patience bounds what one request may ask of Redis.
const patience = 8 * time.Second

// kind is one type of job that can be asked for, and where.
type kind struct {
	name ledger.Type
	path string // of the collection
}

func kinds() []kind {
	return []kind{
		{jobs.TypeSendMessage, "/v1/messages"},
		{jobs.TypePurchaseNumber, "/v1/number-purchases"},
		{jobs.TypeRouteUpdate, "/v1/route-updates"},
	}
}

// order is how one type of job is read and asked for.
type order[T any] struct {
	path   string
	decode func([]byte) (T, error)
	key    func(*T) *string
	submit func(context.Context, T) (jobs.Receipt, error)
}

// postMessage takes one message as JSON, or any number as NDJSON lines.
func (s *Server) postMessage(w http.ResponseWriter, r *http.Request) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && media == ndjson {
		return s.postMessageLines(w, r)
	}
	return create(s, w, r, order[jobs.Message]{
		"/v1/messages", jobs.DecodeMessage, func(m *jobs.Message) *string { return &m.Key }, s.o.Jobs.Send,
	})
}

func (s *Server) postPurchase(w http.ResponseWriter, r *http.Request) error {
	return create(s, w, r, order[jobs.Purchase]{
		"/v1/number-purchases", jobs.DecodePurchase, func(p *jobs.Purchase) *string { return &p.Key }, s.o.Jobs.Purchase,
	})
}

func (s *Server) postRouteUpdate(w http.ResponseWriter, r *http.Request) error {
	return create(s, w, r, order[jobs.RouteUpdate]{
		"/v1/route-updates", jobs.DecodeRouteUpdate, func(u *jobs.RouteUpdate) *string { return &u.Key }, s.o.Jobs.UpdateRoute,
	})
}

func create[T any](s *Server, w http.ResponseWriter, r *http.Request, o order[T]) error {
	if err := noQuery(r); err != nil {
		return err
	}
	body, err := s.readJSON(w, r)
	if err != nil {
		return err
	}
	asked, err := o.decode(body)
	if err != nil {
		return err
	}
	key := o.key(&asked)
	if err := headerKey(r, key); err != nil {
		return err
	}
	// The request has arrived whole: from here on it does not matter whether its
	// client waits for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	receipt, err := o.submit(ctx, asked)
	if err != nil {
		return unconfirmed(problemOf(ctx, err), *key != "")
	}
	w.Header().Set("Location", o.path+"/"+receipt.ID)
	return writeJSON(w, http.StatusAccepted, receipt)
}

// unconfirmed adds to an answer that leaves it open whether the job was taken
// what the client may do about it.
func unconfirmed(p *problem, keyed bool) *problem {
	if p.Status < 500 {
		return p
	}
	p.Repeatable = &keyed
	if keyed {
		p.Detail += " Send the same again: its key makes that safe."
	} else {
		p.Detail += " Sending it again without a key may make a second job."
	}
	return p
}

// headerKey takes the key from Idempotency-Key where the body has none. The
// draft standard quotes it, most clients do not.
func headerKey(r *http.Request, key *string) error {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return nil
	}
	given := values[0]
	if len(given) >= 2 && strings.HasPrefix(given, `"`) && strings.HasSuffix(given, `"`) {
		given = given[1 : len(given)-1]
	}
	switch {
	case len(values) > 1:
		return keyProblem(jobs.CodeRepeatedField, "Idempotency-Key is given more than once: give it once")
	case given == "":
		return keyProblem(jobs.CodeRequired, "Idempotency-Key is empty: leave it out or give a key")
	case *key != "" && *key != given:
		return keyProblem(jobs.CodeContradiction, "differs from the header Idempotency-Key: give one of them, or both the same")
	}
	*key = given
	return nil
}

func keyProblem(code, message string) error {
	return &jobs.ValidationError{Problems: []jobs.FieldError{{Field: "key", Code: code, Message: message}}}
}
