package ratelimit

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// line is who waits in this process for one kind of permit. While anybody
// does, one goroutine asks Redis for those first in it.
type line struct {
	l    *Limiter
	kind Kind
	set  []*limit      // of the account; may be none
	bell chan struct{} // wakes the goroutine

	mu      sync.Mutex
	room    room
	serving bool
	refused bool // the account had no permit for those presented last

	// What the goroutine asks with; its own.
	number int64
	asking *call // whose answer is not known: it is asked again as it was
}

// waiter is one Take.
type waiter struct {
	q     *queue
	since time.Time
	got   chan outcome // buffered: one
}

// outcome is what a waiter gets.
type outcome struct {
	p   *Permit
	err error
}

func newLine(l *Limiter, k Kind, set []*limit) *line {
	return &line{l: l, kind: k, set: set, bell: make(chan struct{}, 1), room: newRoom()}
}

// join adds a waiter. The context serves for its values only.
func (ln *line) join(ctx context.Context, lane Lane, caps []Cap) (*waiter, error) {
	w := &waiter{since: time.Now(), got: make(chan outcome, 1)}
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if !ln.serving {
		if !ln.l.start(func() { ln.serve(context.WithoutCancel(ctx)) }) {
			return nil, ErrDraining
		}
		ln.serving = true
	}
	id := queueID{lane, capsText(caps)}
	w.q = ln.room.queues[id]
	if w.q == nil {
		w.q = ln.room.queue(id, ln.l.store.caps(caps))
	}
	w.q.waiting = append(w.q.waiting, w)
	ln.room.count(w.q)
	if w.q.open() == 1 {
		// Redis does not know yet that this queue waits; while the account has no
		// permit it is enough that it knows of the lane.
		w.q.fresh = true
		if !ln.refused || ln.room.lanes[lane].Len() == 0 {
			ln.wake()
		}
		ln.room.place(w.q, w.since)
	}
	return w, nil
}

// leave removes a waiter. A permit that it was given meanwhile goes back.
func (ln *line) leave(w *waiter) {
	ln.mu.Lock()
	if i := slices.Index(w.q.waiting, w); i >= 0 {
		w.q.waiting = slices.Delete(w.q.waiting, i, i+1)
		ln.room.place(w.q, time.Now())
	}
	ln.mu.Unlock()
	select {
	case o := <-w.got:
		if o.p != nil {
			o.p.Unsent()
		}
	default:
	}
}

// wake makes the goroutine ask at once.
func (ln *line) wake() {
	select {
	case ln.bell <- struct{}{}:
	default:
	}
}

// freed tells that permits of this process are back, some of caps.
func (ln *line) freed(caps []string) {
	now := time.Now()
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if !ln.serving {
		return
	}
	for _, name := range caps {
		if g := ln.room.gates[name]; g != nil {
			g.freed = now
			ln.room.set(g, now)
		}
	}
	ln.wake()
}

// counts returns how many wait in each lane.
func (ln *line) counts() map[Lane]int {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	counts := make(map[Lane]int)
	for id, q := range ln.room.queues {
		if len(q.waiting) > 0 {
			counts[id.lane] += len(q.waiting)
		}
	}
	return counts
}

// waitingFor returns how many wait that have a cap.
func (ln *line) waitingFor(name string) int {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if g := ln.room.gates[name]; g != nil {
		return g.crowd
	}
	return 0
}

func (q *queue) has(name string) bool {
	return slices.ContainsFunc(q.limits, func(l *limit) bool { return l.name == name })
}

// serve asks for permits until nobody waits and no answer is open: a permit
// that was granted without our hearing of it would be out for its whole lease.
func (ln *line) serve(ctx context.Context) {
	for try := 0; ; {
		c, ok := ln.next()
		if !ok {
			return
		}
		sent := time.Now()
		r, err := ln.l.take(ctx, c)
		ln.l.outage.note(ctx, ln.l.o.Logger, err)
		if err != nil {
			ln.l.pause(backoff(try), nil)
			try++
			continue
		}
		try = 0
		switch r.status {
		case answerGranted:
			ln.asking = nil
			ln.granted(ctx, c, r)
			ln.heard(c, r, sent)
		case answerWait:
			ln.asking = nil
			ln.heard(c, r, sent)
			ln.rest(micros(r.rest[0]))
		case answerStale:
			ln.asking = nil
		}
		// answerEpoch and answerClock leave open whether an earlier call, whose
		// answer was lost, has been granted: ask again.
	}
}

// rest waits until it is time to ask again: when the account may have a permit
// for those who are ready, or a cap for one who is not.
func (ln *line) rest(account time.Duration) {
	ln.mu.Lock()
	ln.refused = account > 0
	d := account
	if !ln.room.ready() {
		d = renewal / 2 // who waits is known in Redis for twice as long
		if at, ok := ln.room.next(); ok {
			d = min(d, max(time.Until(at), gatePause))
		}
	}
	ln.mu.Unlock()
	if d > 0 {
		ln.l.pause(d, ln.bell)
	}
}

// gatePause is the least time between two questions about caps: it lets some
// become ready together.
const gatePause = 5 * time.Millisecond

// next makes the next call, or ends the goroutine.
func (ln *line) next() (*call, bool) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	select {
	case <-ln.bell: // what it rang for is in this call
	default:
	}
	if ln.l.ended() {
		ln.serving = false
		return nil, false
	}
	ln.number++
	if c := ln.asking; c != nil {
		c.number = ln.number
		return c, true
	}
	now := time.Now()
	c := &call{kind: ln.kind, set: ln.set, number: ln.number, asked: now}
	if c.lanes = ln.lanes(c, now); c.lanes == "" {
		ln.serving = false
		return nil, false
	}
	c.token = ln.l.store.process + "." + string(ln.kind) + "." + strconv.FormatInt(ln.number, 10)
	ln.asking, ln.refused = c, false
	return c, true
}

// lanes picks the queues that a call presents and returns the text of who waits.
func (ln *line) lanes(c *call, now time.Time) string {
	picked := ln.room.pick(now)
	var text []string
	for _, lane := range Lanes() {
		if ln.room.open[lane] <= 0 {
			continue
		}
		held := time.Duration(0)
		if at, ok := ln.room.next(); ok && len(picked[lane]) == 0 {
			held = max(0, at.Sub(now))
		}
		text = append(text, string(lane)+"="+strconv.Itoa(ln.room.open[lane])+"@"+strconv.FormatInt(held.Microseconds(), 10))
		for _, q := range picked[lane] {
			c.present(q, now)
		}
	}
	return strings.Join(text, " ")
}

// heard takes note of what an answer says of caps.
func (ln *line) heard(c *call, r reply, sent time.Time) {
	refused, _ := r.rest[1].([]any)
	spent, _ := r.rest[2].([]any)
	now := time.Now()
	ln.mu.Lock()
	defer ln.mu.Unlock()
	for i := 0; i+2 < len(refused); i += 3 {
		q, name := c.queues[number(refused[i])], c.caps[number(refused[i+1])].name
		q.fresh = false
		if g := ln.room.gates[name]; g != nil && !g.freed.After(sent) {
			ln.room.set(g, now.Add(micros(refused[i+2])))
		}
		ln.room.place(q, now)
	}
	for _, v := range spent {
		ln.used(c.caps[number(v)], r.now)
	}
}

// used ends the waiting of all who have a cap that is used up for today. The
// caller holds ln.mu.
func (ln *line) used(lim *limit, now time.Time) {
	err := &CapError{Cap: lim.cap.Name, Until: lim.cap.midnight(now)}
	for _, q := range ln.room.queues {
		if !q.has(lim.name) {
			continue
		}
		for _, w := range q.waiting {
			w.got <- outcome{err: err}
		}
		q.waiting = nil
		ln.room.place(q, time.Now())
	}
}

// granted makes the permits of an answer and hands each out when it begins,
// which may be some milliseconds ahead.
func (ln *line) granted(ctx context.Context, c *call, r reply) {
	grants, _ := r.rest[0].([]any)
	now, _ := r.rest[3].(int64)
	for i, v := range grants {
		g, _ := v.([]any)
		q := c.queues[number(g[0])]
		p := &Permit{l: ln.l, ctx: ctx, kind: ln.kind, token: c.token, asked: c.asked, time: now, epoch: r.epoch}
		if i > 0 {
			p.token += "." + strconv.Itoa(i+1) // as in take.lua
		}
		for k, lim := range slices.Concat(ln.set, q.limits) {
			part := part{limit: lim, period: micros(g[2+k])}
			if lim.cap != nil && lim.cap.PerDay > 0 {
				second, _ := g[2+k+len(q.limits)].(int64)
				part.day = c.days[lim.name][second]
			}
			p.parts = append(p.parts, part)
			p.out = append(p.out, k)
		}
		ln.l.hold(p)
		ln.mu.Lock()
		q.booked++
		q.fresh = false
		ln.room.place(q, time.Now())
		ln.mu.Unlock()
		if ahead := micros(g[1]); ahead > 0 {
			ln.l.start(func() {
				ln.l.pause(ahead, nil)
				ln.hand(p, q)
			})
		} else {
			ln.hand(p, q)
		}
	}
}

// micros is a duration in an answer.
func micros(v any) time.Duration {
	n, _ := v.(int64)
	return time.Duration(n) * time.Microsecond
}

// number is a number in an answer that counts from 1, for a slice.
func number(v any) int {
	n, _ := v.(int64)
	return int(n) - 1
}

// hand gives a permit to the first in the queue it was granted to, else to the
// first of another lane with the same caps.
func (ln *line) hand(p *Permit, q *queue) {
	ln.mu.Lock()
	q.booked--
	var w *waiter
	if elapsed(p.asked, time.Now()) <= ln.l.o.WriteWindow/2 { // else Redis was slow: too little is left to write in
		w = ln.first(q)
	}
	if w != nil {
		p.waited = time.Since(w.since)
		w.got <- outcome{p: p}
	}
	ln.room.place(q, time.Now())
	ln.mu.Unlock()
	if w == nil {
		p.Unsent()
		return
	}
	ln.l.o.Logger.LogAttrs(p.ctx, slog.LevelDebug, "permit granted", slog.String("limit_key", string(ln.kind)),
		slog.String("lane", string(w.q.id.lane)), slog.Int64("wait_ms", p.waited.Milliseconds()))
	ln.l.o.OnWait(string(ln.kind), w.q.id.lane, p.waited)
}

// first removes and returns the first waiter of a queue, else of another lane's,
// else nil.
func (ln *line) first(q *queue) *waiter {
	all := []*queue{q}
	for _, lane := range Lanes() {
		all = append(all, ln.room.queues[queueID{lane, q.id.caps}])
	}
	for _, other := range all {
		if other != nil && len(other.waiting) > 0 {
			w := other.waiting[0]
			other.waiting = other.waiting[1:]
			ln.room.place(other, time.Now())
			return w
		}
	}
	return nil
}
