package flowroutetest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Simulator is one Flowroute account behind its HTTP API. It is safe for
// concurrent use. Close ends its goroutines.
type Simulator struct {
	o       Options
	log     *slog.Logger
	secrets map[string]string // by access key
	api     *http.ServeMux
	admin   *http.ServeMux

	shift  atomic.Int64 // what Advance added, in nanoseconds
	faults *faultSet
	limits *limiter
	errIDs *idSource
	held   holds
	seen   requestLog
	counts counters

	unknown atomic.Pointer[func(*http.Request)] // told about requests to unknown paths

	mu   sync.Mutex // guards acct
	acct *account

	hooks  *dispatcher
	closed chan struct{}
	once   sync.Once
}

// New returns a Simulator; it panics when o is not valid (see
// [Options.Validate]).
func New(o Options) *Simulator {
	if err := o.Validate(); err != nil {
		panic("flowroutetest: " + err.Error())
	}
	o = o.withDefaults()
	s := &Simulator{
		o:       o,
		log:     o.Logger,
		secrets: map[string]string{o.AccessKey: o.SecretKey},
		faults:  newFaultSet(o.Seed, o.Faults),
		errIDs:  newIDSource(o.Seed, 1),
		closed:  make(chan struct{}),
	}
	for _, k := range o.Keys {
		s.secrets[k.AccessKey] = k.SecretKey
	}
	s.limits = newLimiter(o.Limits, s.now)
	s.faults.woken = s.counts.changed
	s.seen.keep = o.KeepRequests
	s.acct = newAccount(o, s.now())
	s.hooks = newDispatcher(s)
	s.api = s.apiRoutes()
	s.admin = s.adminRoutes()
	return s
}

// ServeHTTP serves the API below Options.BasePath and the administration
// surface below /_sim/.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.o.NoAdmin && strings.HasPrefix(r.URL.Path, adminPrefix) {
		s.serveAdmin(w, r)
		return
	}
	s.api.ServeHTTP(w, r)
}

// Close ends held requests, stops posting callbacks and waits for both.
func (s *Simulator) Close() {
	s.once.Do(func() { close(s.closed) })
	s.hooks.wait()
}

// Advance moves the simulator's clock forward by d.
func (s *Simulator) Advance(d time.Duration) {
	s.shift.Add(int64(max(d, 0)))
	s.hooks.prod()
	s.counts.changed()
}

// Now returns the time by the simulator's clock, which Advance moves. The
// timestamps it gives out are ahead of it by Options.ClockSkew.
func (s *Simulator) Now() time.Time { return s.now() }

// Reset forgets everything that happened: messages, purchases, routes,
// attempts, counts and requests. Faults and limits stay as they are now.
func (s *Simulator) Reset() {
	s.hooks.clear()
	s.limits.reset()
	s.seen.reset()
	s.counts.reset()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acct = newAccount(s.o, s.now())
}

// SetLimits replaces the limits; what was counted so far stays counted.
func (s *Simulator) SetLimits(l Limits) error {
	if err := l.validate(); err != nil {
		return err
	}
	s.limits.set(l)
	return nil
}

// Limits returns the limits in force.
func (s *Simulator) Limits() Limits { return s.limits.get() }

// WaitFor returns when ok holds for the counts, which change with each
// request, each callback and each Advance. It ends with ctx's error, or
// with [ErrClosed].
func (s *Simulator) WaitFor(ctx context.Context, ok func(Counts) bool) error {
	for {
		changed := s.counts.next()
		if ok(s.Counts()) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closed:
			return ErrClosed
		}
	}
}

// ErrClosed is returned by waits that the end of the simulator cut short.
var ErrClosed = errors.New("flowroutetest: simulator closed")

func (s *Simulator) now() time.Time {
	return s.o.Now().Add(time.Duration(s.shift.Load()))
}

// pause waits for d of real time; false means that the request or the
// simulator ended first.
func (s *Simulator) pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-s.closed:
	}
	return false
}

// holdOpen waits until the client or the simulator goes away.
func (s *Simulator) holdOpen(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-s.closed:
	}
}
