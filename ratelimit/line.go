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
// does, one goroutine asks Redis for the first.
type line struct {
	l    *Limiter
	kind Kind
	set  []int
	bell chan struct{} // wakes the goroutine

	mu      sync.Mutex
	waiting map[Lane][]*waiter // first come, first served
	booked  map[Lane]int       // permits that are granted but have not begun
	serving bool

	// What the goroutine asks with; its own.
	number int64
	token  string
	asked  time.Time // before the first call that can have been granted; zero: none open
}

// waiter is one Take.
type waiter struct {
	lane  Lane
	since time.Time
	got   chan *Permit // buffered: one permit
}

func newLine(l *Limiter, k Kind, set []int) *line {
	return &line{l: l, kind: k, set: set, bell: make(chan struct{}, 1),
		waiting: make(map[Lane][]*waiter), booked: make(map[Lane]int)}
}

// join adds a waiter. The context serves for its values only.
func (ln *line) join(ctx context.Context, lane Lane) (*waiter, error) {
	w := &waiter{lane: lane, since: time.Now(), got: make(chan *Permit, 1)}
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.waiting[lane] = append(ln.waiting[lane], w)
	switch {
	case !ln.serving:
		if !ln.l.start(func() { ln.serve(context.WithoutCancel(ctx)) }) {
			return nil, ErrDraining
		}
		ln.serving = true
	case ln.open(lane) == 1:
		ln.wake() // Redis does not know yet that this lane waits
	}
	return w, nil
}

// open returns how many wait in a lane and have no permit booked for them.
func (ln *line) open(lane Lane) int { return len(ln.waiting[lane]) - ln.booked[lane] }

// leave removes a waiter. A permit that it was given meanwhile goes back.
func (ln *line) leave(w *waiter) {
	ln.mu.Lock()
	queue := ln.waiting[w.lane]
	if i := slices.Index(queue, w); i >= 0 {
		ln.waiting[w.lane] = slices.Delete(queue, i, i+1)
	}
	ln.mu.Unlock()
	select {
	case p := <-w.got:
		p.Unsent()
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

// counts returns how many wait in each lane.
func (ln *line) counts() map[Lane]int {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	counts := make(map[Lane]int)
	for lane, queue := range ln.waiting {
		if len(queue) > 0 {
			counts[lane] = len(queue)
		}
	}
	return counts
}

// serve asks for permits until nobody waits and no answer is open: a permit
// that was granted without our hearing of it would be out for its whole lease.
func (ln *line) serve(ctx context.Context) {
	for try := 0; ; {
		c, ok := ln.next()
		if !ok {
			return
		}
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
			ln.granted(ctx, c, r, ln.asked)
			ln.token, ln.asked = "", time.Time{}
		case answerWait:
			ln.asked = time.Time{}
			ln.l.pause(micros(r.rest[0]), ln.bell)
		case answerStale:
			ln.token, ln.asked = "", time.Time{}
		}
		// answerEpoch and answerClock leave open whether an earlier call, whose
		// answer was lost, has been granted: ask again.
	}
}

// next makes the next call, or ends the goroutine.
func (ln *line) next() (call, bool) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	select {
	case <-ln.bell: // what it rang for is in this call
	default:
	}
	var lanes []string
	for lane := range ln.waiting {
		if n := ln.open(lane); n > 0 {
			lanes = append(lanes, string(lane)+"="+strconv.Itoa(n))
		}
	}
	if len(lanes) == 0 && ln.asked.IsZero() || ln.l.ended() {
		ln.serving = false
		return call{}, false
	}
	if len(lanes) == 0 {
		lanes = append(lanes, string(LaneSync)+"=1")
	}
	ln.number++
	if ln.token == "" {
		ln.token = ln.l.store.process + "." + string(ln.kind) + "." + strconv.FormatInt(ln.number, 10)
	}
	if ln.asked.IsZero() {
		ln.asked = time.Now()
	}
	return call{kind: ln.kind, set: ln.set, number: ln.number, token: ln.token, lanes: strings.Join(lanes, " ")}, true
}

// granted makes the permits of an answer and hands each out when it begins,
// which may be some milliseconds ahead.
func (ln *line) granted(ctx context.Context, c call, r reply, asked time.Time) {
	text, _ := r.rest[0].(string)
	lane, periods, begins := Lane(text), r.rest[1:1+len(ln.set)], r.rest[1+len(ln.set):]
	ln.mu.Lock()
	ln.booked[lane] += len(begins)
	ln.mu.Unlock()
	for i := range begins {
		p := &Permit{l: ln.l, ctx: ctx, kind: ln.kind, token: c.token, asked: asked, epoch: r.epoch}
		if i > 0 {
			p.token += "." + strconv.Itoa(i+1) // as in take.lua
		}
		for k, limit := range ln.set {
			p.parts = append(p.parts, part{limit: limit, period: micros(periods[k])})
			p.out = append(p.out, k)
		}
		ln.l.hold(p)
		if ahead := micros(begins[i]); ahead > 0 {
			ln.l.start(func() {
				ln.l.pause(ahead, nil)
				ln.hand(p, lane)
			})
		} else {
			ln.hand(p, lane)
		}
	}
}

// micros is a duration in an answer.
func micros(v any) time.Duration {
	n, _ := v.(int64)
	return time.Duration(n) * time.Microsecond
}

// hand gives a permit to the first in the lane it was granted to, else to the
// first there is.
func (ln *line) hand(p *Permit, lane Lane) {
	ln.mu.Lock()
	ln.booked[lane]--
	var w *waiter
	if elapsed(p.asked, time.Now()) <= ln.l.o.WriteWindow/2 { // else Redis was slow: too little is left to write in
		w = ln.first(lane)
	}
	if w != nil {
		p.waited = time.Since(w.since)
		w.got <- p
	}
	ln.mu.Unlock()
	if w == nil {
		p.Unsent()
		return
	}
	ln.l.o.Logger.LogAttrs(p.ctx, slog.LevelDebug, "permit granted", slog.String("limit_key", string(ln.kind)),
		slog.String("lane", string(w.lane)), slog.Int64("wait_ms", p.waited.Milliseconds()))
	ln.l.o.OnWait(string(ln.kind), w.lane, p.waited)
}

// first removes and returns the first waiter of a lane, else of any, else nil.
func (ln *line) first(lane Lane) *waiter {
	for _, lane := range append([]Lane{lane}, Lanes()...) {
		if queue := ln.waiting[lane]; len(queue) > 0 {
			ln.waiting[lane] = queue[1:]
			return queue[0]
		}
	}
	return nil
}
