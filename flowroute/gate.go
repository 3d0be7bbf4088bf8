package flowroute

import (
	"context"
	"time"
)

// Endpoint names the limit that a request counts against. Flowroute limits
// requests by access key and endpoint.
type Endpoint string

const (
	EndpointSMS     Endpoint = "sms"     // POST of a text message
	EndpointMMS     Endpoint = "mms"     // POST of a message with media, or sent as MMS
	EndpointLookup  Endpoint = "lookup"  // GET of one MDR or a set of them
	EndpointNumbers Endpoint = "numbers" // everything below /v2/numbers and /v2/routes
)

// Gate lets a request through when the account's limit has room for it. It
// returns with a [Pass], or with an error when ctx ends or the gate closes; the
// request is then not made. It is called once for each request, iterators
// included, and from many goroutines at once.
type Gate func(ctx context.Context, e Endpoint) (Pass, error)

// Pass is the permission for one request, and is told how that request went, so
// that its place in the limit can be given back at the right moment.
//
// Each Pass that a [Client] has in hand gets exactly one of Responded, Abandoned
// and Unsent, once, as its last call, whatever happens. Written comes at most
// once and only before that; it may come from another goroutine, but no two
// calls overlap. The methods are called on the request's path and must be quick.
type Pass interface {
	// Deadline is the last moment at which the request may begin to leave, on
	// the wall clock and on the monotonic one. The zero time is no deadline.
	Deadline() time.Time

	// Written says that the whole request is in the kernel's hands. The function
	// reports whether the peer's kernel has acknowledged every byte; it may be
	// called from any goroutine at any later time and reports false when it can
	// no longer tell. It is nil on systems that cannot tell at all.
	Written(acked func() bool)

	// Responded says that the status line has arrived.
	Responded()

	// Abandoned says that the request ended without a response and may still
	// arrive. Its connection is closed already.
	Abandoned()

	// Unsent says that no complete request has left or ever will: proven.
	Unsent()
}

// RateLimited is what a [Pass] can be besides: it then hears of a 429, before
// Responded, and of what the answer asks for (0: nothing), so that every request
// of the account can be held back, whoever made this one. It may block for a
// moment.
type RateLimited interface {
	RateLimited(retryAfter time.Duration)
}

// Write is what travels with a call that changes something. Its zero value asks
// the client's [Gate] and has no deadline but the Pass's own.
type Write struct {
	// Pass is the permission for this request. Defaults to asking the client's
	// Gate.
	Pass Pass

	// Deadline is the last moment at which the request may begin to leave. The
	// earlier of this and Pass.Deadline counts. It is checked on the wall clock
	// and on the monotonic one when net/http first reads the request's body, and
	// again before the first byte goes to the kernel. Defaults to Pass.Deadline.
	Deadline time.Time

	// OnStatus is called with a 2xx status as soon as the header is there, when
	// the body does not come along within 50 ms: the request is accepted, and
	// whoever keeps the books should not wait for the rest to know it. It runs on
	// the caller's goroutine. May be nil.
	OnStatus func(status int)
}

// openGate is the Gate of a client without one: no limit.
func openGate(context.Context, Endpoint) (Pass, error) { return freePass{}, nil }

type freePass struct{}

func (freePass) Deadline() time.Time { return time.Time{} }
func (freePass) Written(func() bool) {}
func (freePass) Responded()          {}
func (freePass) Abandoned()          {}
func (freePass) Unsent()             {}
