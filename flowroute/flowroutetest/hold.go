package flowroutetest

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Hold is one request that is stopped inside the simulator.
type Hold struct {
	op      Op
	after   bool
	reached chan struct{}
	release chan struct{}
	once    sync.Once
}

// Reached is closed once a request has arrived at the hold.
func (h *Hold) Reached() <-chan struct{} { return h.reached }

// Release lets the request go on. It may be called before it arrived.
func (h *Hold) Release() { h.once.Do(func() { close(h.release) }) }

// HoldNext stops the next request of op: before it takes effect, or after it
// did and before it is answered. The request stays held, whatever its client
// does, until Release or Close. It has been counted by the limits already.
func (s *Simulator) HoldNext(op Op, after bool) *Hold {
	h := &Hold{op: op, after: after, reached: make(chan struct{}), release: make(chan struct{})}
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	s.held.list = append(s.held.list, h)
	s.held.any.Store(true)
	return h
}

type holds struct {
	any  atomic.Bool
	mu   sync.Mutex
	list []*Hold
}

func (l *holds) stop(op Op, after bool, closed <-chan struct{}) {
	if !l.any.Load() {
		return
	}
	l.mu.Lock()
	i := slices.IndexFunc(l.list, func(h *Hold) bool { return h.op == op && h.after == after })
	if i < 0 {
		l.mu.Unlock()
		return
	}
	h := l.list[i]
	l.list = slices.Delete(l.list, i, i+1)
	l.any.Store(len(l.list) > 0)
	l.mu.Unlock()

	close(h.reached)
	select {
	case <-h.release:
	case <-closed:
	}
}
