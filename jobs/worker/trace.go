package worker

import (
	"sync"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// Point is a place in a job's way at which a process may die or be stopped.
type Point string

// The points, in the order in which an attempt passes them; without limits the task of a
// message that was accepted may end before its outcome is written. A read that decides the
// outcome of an earlier attempt passes the last three.
const (
	PointPermit   Point = "permit"   // the permit is taken, nothing is written
	PointIntent   Point = "intent"   // the intent is written, nothing has left
	PointBody     Point = "body"     // the whole request is in the kernel's hands
	PointAnswered Point = "answered" // the outcome is in hand, not yet written
	PointSettled  Point = "settled"  // the outcome is written, the task not yet over
	PointDone     Point = "done"     // the task is about to end
)

// Points lists all points.
func Points() []Point {
	return []Point{PointPermit, PointIntent, PointBody, PointAnswered, PointSettled, PointDone}
}

// at tells who watches that the job has come to a point.
func (w *Worker) at(p Point, job ledger.ID) {
	if w.o.Trace != nil {
		w.o.Trace(p, job)
	}
}

// pass is the attempt's permit for the client.
func (w *Worker) pass(a *attempt, job ledger.ID) flowroute.Pass {
	if w.o.Trace == nil {
		return a.permit
	}
	return &tracedPass{Permit: a.permit, left: func() { w.o.Trace(PointBody, job) }}
}

// tracedPass tells when the request has left. An answer may be faster than the word
// that it was written.
type tracedPass struct {
	*ratelimit.Permit
	once sync.Once
	left func()
}

func (p *tracedPass) Written(acked func() bool) {
	p.Permit.Written(acked)
	p.once.Do(p.left)
}

func (p *tracedPass) Responded() {
	p.once.Do(p.left)
	p.Permit.Responded()
}

func (p *tracedPass) Abandoned() {
	p.once.Do(p.left)
	p.Permit.Abandoned()
}
