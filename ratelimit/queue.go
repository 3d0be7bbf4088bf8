package ratelimit

import (
	"container/heap"
	"strconv"
	"strings"
	"time"
)

// queue is who waits in one lane of a line for the same caps, first come first
// served. It is presented to Redis when each of its caps is believed to have a
// permit, and until then parked at the cap that will be the last to have one.
type queue struct {
	id      queueID
	limits  []*limit // the caps
	gates   []*gate  // where it is parked, one for each cap
	waiting []*waiter
	booked  int  // permits that are granted but have not begun
	fresh   bool // Redis does not know that it waits
	counted int  // in room.open
	crowd   int  // counted at its gates

	in    *order // where it is: in its lane, or at a gate; nil: nowhere
	at    *gate  // whose order that is, if it is parked
	index int
}

// queueID is a lane and the text of some caps.
type queueID struct {
	lane Lane
	caps string
}

// open returns how many wait and have no permit booked for them.
func (q *queue) open() int { return len(q.waiting) - q.booked }

func (q *queue) head() time.Time { return q.waiting[0].since }

// capsText is the same for the same caps only.
func capsText(caps []Cap) string {
	if len(caps) == 0 {
		return ""
	}
	var b strings.Builder
	for _, c := range caps {
		for _, s := range []string{c.Name, strconv.Itoa(c.Rate.N), c.Rate.Per.String(), strconv.Itoa(c.PerDay), c.zone().String()} {
			b.WriteString(s)
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// gate is what this process believes of a cap: from when on it has a permit.
type gate struct {
	ready  time.Time
	freed  time.Time       // when a permit of this process came back last
	parked map[Lane]*order // queues that wait for it
	users  int             // queues that have it
	crowd  int             // who waits in these
	index  int             // among the gates that have somebody parked; -1: nobody
}

func (g *gate) empty() bool {
	for _, o := range g.parked {
		if o.Len() > 0 {
			return false
		}
	}
	return true
}

// order is a heap of queues, longest waiting first.
type order []*queue

func (o order) Len() int           { return len(o) }
func (o order) Less(i, j int) bool { return o[i].head().Before(o[j].head()) }
func (o order) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].index, o[j].index = i, j
}

// Push is for package heap.
func (o *order) Push(x any) {
	q := x.(*queue)
	q.in, q.index = o, len(*o)
	*o = append(*o, q)
}

// Pop is for package heap.
func (o *order) Pop() any {
	old := *o
	q := old[len(old)-1]
	old[len(old)-1] = nil
	*o = old[:len(old)-1]
	q.in = nil
	return q
}

// gates is a heap of those that have somebody parked, next ready first.
type gates []*gate

func (g gates) Len() int           { return len(g) }
func (g gates) Less(i, j int) bool { return g[i].ready.Before(g[j].ready) }
func (g gates) Swap(i, j int) {
	g[i], g[j] = g[j], g[i]
	g[i].index, g[j].index = i, j
}

// Push is for package heap.
func (g *gates) Push(x any) {
	one := x.(*gate)
	one.index = len(*g)
	*g = append(*g, one)
}

// Pop is for package heap.
func (g *gates) Pop() any {
	old := *g
	one := old[len(old)-1]
	old[len(old)-1] = nil
	*g = old[:len(old)-1]
	one.index = -1
	return one
}

// room holds the queues of a line. What a call costs does not grow with them.
type room struct {
	queues map[queueID]*queue
	open   map[Lane]int     // how many wait and have no permit booked for them
	lanes  map[Lane]*order  // queues that are believed ready
	gates  map[string]*gate // by name of the cap
	asleep gates
}

// shown is how many queues of a lane one call presents.
const shown = 12

func newRoom() room {
	r := room{queues: make(map[queueID]*queue), open: make(map[Lane]int), lanes: make(map[Lane]*order),
		gates: make(map[string]*gate)}
	for _, lane := range Lanes() {
		r.lanes[lane] = new(order)
	}
	return r
}

// queue returns the queue of id, which has the given caps.
func (r *room) queue(id queueID, caps []*limit) *queue {
	if q := r.queues[id]; q != nil {
		return q
	}
	q := &queue{id: id, limits: caps}
	for _, c := range caps {
		g := r.gates[c.name]
		if g == nil {
			g = &gate{parked: make(map[Lane]*order), index: -1}
			r.gates[c.name] = g
		}
		g.users++
		q.gates = append(q.gates, g)
	}
	r.queues[id] = q
	return q
}

// count takes note of how many wait in a queue.
func (r *room) count(q *queue) {
	now := max(0, q.open())
	r.open[q.id.lane] += now - q.counted
	q.counted = now
	for _, g := range q.gates {
		g.crowd += len(q.waiting) - q.crowd
	}
	q.crowd = len(q.waiting)
}

// place puts a queue where it belongs after something about it has changed.
func (r *room) place(q *queue, now time.Time) {
	r.count(q)
	r.remove(q)
	if q.open() <= 0 {
		if len(q.waiting) == 0 && q.booked == 0 {
			r.forget(q)
		}
		return
	}
	var last *gate
	for _, g := range q.gates {
		if g.ready.After(now) && (last == nil || g.ready.After(last.ready)) {
			last = g
		}
	}
	if last == nil || q.fresh {
		heap.Push(r.lanes[q.id.lane], q)
		return
	}
	o := last.parked[q.id.lane]
	if o == nil {
		o = new(order)
		last.parked[q.id.lane] = o
	}
	heap.Push(o, q)
	q.at = last
	if last.index < 0 {
		heap.Push(&r.asleep, last)
	}
}

// remove takes a queue from where it is.
func (r *room) remove(q *queue) {
	if q.in == nil {
		return
	}
	heap.Remove(q.in, q.index)
	if g := q.at; g != nil {
		q.at = nil
		if g.index >= 0 && g.empty() {
			heap.Remove(&r.asleep, g.index)
		}
	}
}

func (r *room) forget(q *queue) {
	if r.queues[q.id] != q {
		return
	}
	delete(r.queues, q.id)
	for i, g := range q.gates {
		if g.users--; g.users == 0 {
			delete(r.gates, q.limits[i].name)
		}
	}
}

// set says when a cap is believed to have a permit.
func (r *room) set(g *gate, ready time.Time) {
	g.ready = ready
	if g.index >= 0 {
		heap.Fix(&r.asleep, g.index)
	}
}

// pick returns the queues to present in each lane, first served first. At a cap
// that many are parked at, few wake at a time: it has few permits.
func (r *room) pick(now time.Time) map[Lane][]*queue {
	var crowded []*gate
	for len(r.asleep) > 0 && !r.asleep[0].ready.After(now) {
		g := r.asleep[0]
		for _, o := range g.parked {
			for range min(shown, o.Len()) {
				q := (*o)[0]
				r.place(q, now)
			}
		}
		if g.index >= 0 {
			heap.Remove(&r.asleep, g.index)
			crowded = append(crowded, g)
		}
	}
	for _, g := range crowded {
		heap.Push(&r.asleep, g)
	}
	picked := make(map[Lane][]*queue)
	for lane, o := range r.lanes {
		for o.Len() > 0 && len(picked[lane]) < shown {
			q := (*o)[0]
			if r.place(q, now); q.in == o {
				heap.Remove(o, q.index)
				picked[lane] = append(picked[lane], q)
			}
		}
		for _, q := range picked[lane] {
			heap.Push(o, q)
		}
	}
	return picked
}

// next returns when a queue that is parked should wake, and whether there is any.
func (r *room) next() (time.Time, bool) {
	if len(r.asleep) == 0 {
		return time.Time{}, false
	}
	return r.asleep[0].ready, true
}

// ready reports whether any queue is believed ready.
func (r *room) ready() bool {
	for _, o := range r.lanes {
		if o.Len() > 0 {
			return true
		}
	}
	return false
}
