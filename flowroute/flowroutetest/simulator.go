package flowroutetest

import (
	"context"
	"net/http"
	"testing"
	"time"
)

const adminPrefix = "/_sim/"

// Simulator is one Flowroute account behind its HTTP API. It is safe for
// concurrent use. Close ends its goroutines.
type Simulator struct{}

// New returns a Simulator; it panics when o is not valid (see
// [Options.Validate]).
func New(o Options) *Simulator { panic("todo") }

// ServeHTTP serves the API below Options.BasePath and the administration
// surface below /_sim/.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { panic("todo") }

// Close ends held requests, stops posting callbacks and waits for both.
func (s *Simulator) Close() { panic("todo") }

// Truth returns what really happened so far.
func (s *Simulator) Truth() Truth { panic("todo") }

// SetFault replaces the named fault; the zero Fault switches it off.
func (s *Simulator) SetFault(name string, f Fault) error { panic("todo") }

// FailNext makes the named fault happen to the next n requests it applies to.
func (s *Simulator) FailNext(name string, n int) error { panic("todo") }

// ClearFaults switches all faults off. What earlier ones did (a hold on the
// MDR listing) stays.
func (s *Simulator) ClearFaults() { panic("todo") }

// SetLimits replaces the limits; what was counted so far stays counted.
func (s *Simulator) SetLimits(l Limits) error { panic("todo") }

// Advance moves the simulator's clock forward by d.
func (s *Simulator) Advance(d time.Duration) { panic("todo") }

// Complete ends all messages that are still "message buffered", and returns
// how many there were.
func (s *Simulator) Complete() int { panic("todo") }

// Inbound has a message arrive from outside at one of our numbers. STOP and
// UNSTOP change the opt-outs. It returns the MDR id.
func (s *Simulator) Inbound(from, to, body string, mediaURLs ...string) (string, error) {
	panic("todo")
}

// OptOut records that recipient `to` sent STOP to our number `from`.
func (s *Simulator) OptOut(from, to string) { panic("todo") }

// OptIn forgets it.
func (s *Simulator) OptIn(from, to string) { panic("todo") }

// Plant adds a record that no request of ours made, for example one of another system.
func (s *Simulator) Plant(r Record) (id string, err error) { panic("todo") }

// Requests returns the latest requests, oldest first (Options.KeepRequests).
func (s *Simulator) Requests() []Request { panic("todo") }

// WaitFor returns when ok holds for the counts, which change with each request.
func (s *Simulator) WaitFor(ctx context.Context, ok func(Counts) bool) error { panic("todo") }

// Server is a Simulator listening on loopback for one test.
type Server struct {
	*Simulator
	URL                  string // base URL with the base path; no slash at the end
	AccessKey, SecretKey string
}

// NewServer starts a Simulator for the test t and stops it when t ends. The
// base path defaults to "/flowroute". A request to a path that the API does
// not have fails t, unless AllowUnknownPaths was called.
func NewServer(t testing.TB, o Options) *Server { panic("todo") }

// FailNext is [Simulator.FailNext]; an unknown name fails the test.
func (s *Server) FailNext(name string, n int) { panic("todo") }

// SetFault is [Simulator.SetFault]; an unknown name fails the test.
func (s *Server) SetFault(name string, f Fault) { panic("todo") }

// AllowUnknownPaths lets requests to unknown paths pass without failing the test.
func (s *Server) AllowUnknownPaths() { panic("todo") }
