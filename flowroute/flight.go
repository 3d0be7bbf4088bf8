package flowroute

import (
	"errors"
	"io"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// ErrWriteDeadline is the cause of a [NotSent] whose deadline had passed before
// the request could begin to leave.
var ErrWriteDeadline = errors.New("write deadline passed")

var (
	errShut    = errors.New("request was given up")
	errOneShot = errors.New("a request goes over one connection, once")
)

// flight is one request on its way to the kernel. It exists to answer one
// question when the request fails: could a complete request have left?
//
// Two latches stand in the way of the bytes, in the order in which net/http
// passes them: body, at the first Read of the request's body, and wire, at the
// first write to the connection. Who gives the request up shuts them; if
// either was still open, then nothing complete has left and nothing ever will,
// whatever net/http's goroutines still do.
type flight struct {
	pass         ticket
	deadline     time.Time // the caller's; may be zero
	passDeadline time.Time // the Pass's; may be zero

	body latch
	wire latch
	late atomic.Bool // a latch was shut because the deadline had passed
	read atomic.Bool // net/http has read all of the body
	took bool        // the kernel took a byte; the writing goroutine's own

	conn atomic.Pointer[conn]
}

// admit gives the flight its permission.
func (f *flight) admit(p Pass) {
	f.pass.Pass = p
	f.passDeadline = p.Deadline()
}

// load makes payload the body of the flight's request. A request without one
// has only the wire before it; its body must be nil, not empty, since an empty
// reader makes net/http probe it and perhaps send the request in chunks.
func (f *flight) load(payload []byte) io.ReadCloser {
	if payload == nil {
		f.body.pass()
		f.read.Store(true)
		return nil
	}
	return &oneShot{flight: f, rest: payload}
}

// leave asks to take the step that l guards. The deadline counts only for the
// step that has not been taken yet.
func (f *flight) leave(l *latch) error {
	if l.open() && f.expired(time.Now()) {
		f.late.Store(true)
		l.shut()
	}
	switch {
	case l.pass():
		return nil
	case f.late.Load():
		return ErrWriteDeadline
	default:
		return errShut
	}
}

func (f *flight) expired(now time.Time) bool {
	return after(now, f.deadline) || after(now, f.passDeadline)
}

// after reports whether deadline is behind us on either clock: the monotonic one
// stands still while the machine is suspended, the wall clock can be set back.
func after(now, deadline time.Time) bool {
	return !deadline.IsZero() && (now.After(deadline) || now.Round(0).After(deadline.Round(0)))
}

// trace ties the flight to the connection that net/http picked for it. The rest
// of httptrace is of no use here: WroteRequest fires before anything is flushed.
func (f *flight) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if c, ok := info.Conn.(*conn); ok {
			c.board(f)
		}
	}}
}

// giveUp ends the flight of a request that got no response, and returns what is
// known about it. When the request may have left, its connection is ended first,
// so that nothing is delivered behind the caller's back.
func (f *flight) giveUp() Result {
	if f.body.shut() || f.wire.shut() {
		f.pass.end(Pass.Unsent)
		return NotSent
	}
	if c := f.conn.Load(); c != nil {
		c.abort()
	}
	f.pass.end(Pass.Abandoned)
	return OutcomeUnknown
}

// settle is for defer: it gives up a flight that has neither got its response
// nor been given up, as after a panic or before the request was formed.
func (f *flight) settle() {
	if !f.pass.over() {
		f.giveUp()
	}
}

// latch settles a race for good: of pass and shut, whichever comes first.
type latch struct{ state atomic.Uint32 }

const (
	latchOpen uint32 = iota
	latchPassed
	latchShut
)

func (l *latch) pass() bool { return l.settle(latchPassed) }
func (l *latch) shut() bool { return l.settle(latchShut) }
func (l *latch) open() bool { return l.state.Load() == latchOpen }

// undo takes a pass back: what it stood for did not happen after all.
func (l *latch) undo() { l.state.CompareAndSwap(latchPassed, latchOpen) }

func (l *latch) settle(to uint32) bool {
	return l.state.CompareAndSwap(latchOpen, to) || l.state.Load() == to
}

// ticket makes sure that a Pass hears of its request in the promised order:
// Written at most once, then one end, then nothing.
type ticket struct {
	mu             sync.Mutex
	Pass           Pass // nil before there is one
	written, ended bool
}

func (t *ticket) wrote(acked func() bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.written && !t.ended {
		t.written = true
		t.Pass.Written(acked)
	}
}

func (t *ticket) limited(retryAfter time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r, ok := t.Pass.(RateLimited); ok && !t.ended {
		r.RateLimited(retryAfter)
	}
}

func (t *ticket) end(how func(Pass)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended && t.Pass != nil {
		t.ended = true
		how(t.Pass)
	}
}

// over reports whether nothing is left to be said, or nobody to say it to.
func (t *ticket) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended || t.Pass == nil
}

// oneShot is a request body that can be read once. It has no GetBody to rewind
// it, so net/http cannot send it a second time on its own account.
type oneShot struct {
	flight *flight
	rest   []byte
}

func (b *oneShot) Read(p []byte) (int, error) {
	if err := b.flight.leave(&b.flight.body); err != nil {
		return 0, err
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	if len(b.rest) > 0 {
		return n, nil
	}
	b.flight.read.Store(true)
	return n, io.EOF
}

func (b *oneShot) Close() error { return nil }
