package ratelimit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// The theorem. Let the server count an attempt at the moment c at which it
// sees the request. For a limit of n in a period of 1 s, any window of 1 s
// contains at most n of these moments, fixed or sliding, whatever the delays on
// the way, if
//
//  1. an attempt is counted after its permit was granted and, if it is
//     answered, before the answer arrives;
//  2. an attempt that has not been answered by then is counted at most D
//     ([Options.PathDelay]) after its last byte was handed to the kernel, and
//     at most 250 ms after the peer's kernel acknowledged that byte;
//  3. no request begins to leave after [Permit.Deadline], each is handed to
//     the kernel in one piece, and one that is given up stops sending (its
//     socket drops what it has, its kernel gives up after Timeout);
//  4. clocks run at most 1 part in 1000 apart (a clock that is being slewed by
//     more than that is none);
//  5. all who use the account's key take their permits from one Redis primary,
//     with the same WriteWindow, PathDelay and Timeout.
//
// Proof. A permit passes from hand to hand. Let an attempt counted at c hold it
// first and one counted at c' next. The permit is given back at least 1 s after
// c by the holder's clock: after an answer 1 s after that, which is after c by
// (1), whatever the way took; without one 1 s + D after the write, or 1.25 s
// after the acknowledgement, by (2). It is granted again only then, and c' is
// later than that by (1): c' ≥ c + 1 s. So each permit puts at most one moment
// into a window of 1 s, and there are n permits. With a response the proof
// needs no D; at round trip r the rate is n/(1+r).
//
// A holder that died, or was stopped, gives nothing back. Its lease in Redis
// ends no earlier than 1 s after its attempt could be counted: WriteWindow until
// the deadline (3), Timeout or D, whichever is longer, until the last byte is
// there, the period, and a margin for what Redis' clock may do. Redis' clock
// serves leases only, and only as far as a live process vouches, by its own
// monotonic clock, that it ran evenly; time that nobody watched does not count
// (common.lua).
//
// When the permits in Redis are lost, n phantoms are out. Up to n lost permits
// can still lead to attempts. Those of a live process are presented by it, one
// for one phantom, and obey the rules above. Those of a dead or cut-off one are
// counted at most WriteWindow + D after their grant, by (2) and (3), and that
// was before the loss. Phantoms last one period and a margin longer. A presented
// permit takes the place of a phantom only while it is younger than WriteWindow
// + D: then it was among those that the phantoms stand for, even if the state
// was lost more than once since its grant. An older one is added to them.
//
// A [Cap] is a limit like the account's, with permits and phantoms of its own, but
// what is known of it is removed when it is idle. That is when none of its permits
// is out, by the limiter's clock (no key that holds permits has a TTL, since Redis'
// clock may jump), and lost ones no longer matter. A cap of which nothing is known
// is therefore one without permits out, or one whose permits were lost with
// everything else: until those no longer matter it begins with phantoms. Where its
// permits alone are gone the state still says that it was born, and all counts as
// lost.
//
// A limit that 429s have shrunk has fewer permits, in a period that is longer by
// what is not a whole one: n in a second bounds it as before.
//
// The tests attack this: attacks_bubble_test.go and caps_bubble_test.go have the
// sequences of events that break it where a rule is missing; schedule_bubble_test.go
// draws others; TestProcesses stops and kills real ones. What happens without each
// assumption is counted apart, in assumptions_bubble_test.go.

const (
	// ackDelay is assumption 2's way from the peer's kernel to its counter.
	ackDelay = 250 * time.Millisecond
	// ackPoll is how often the kernel is asked for acknowledged bytes.
	ackPoll = 50 * time.Millisecond
)

// Permit is one allowed attempt, from [Limiter.Take]. It is a flowroute.Pass:
// whoever sends the request tells it what became of it, and the permit goes
// back by itself when its time has come. One that is never concluded comes back
// when its lease ends. All methods may be called from any goroutine and more
// than once; the first conclusion counts.
type Permit struct {
	l      *Limiter
	ctx    context.Context // of Take, without its end: for giving back
	kind   Kind
	token  string        // "" where no limit is set
	asked  time.Time     // before the permit was granted
	waited time.Duration // in Take
	time   int64         // the limiter's time of the grant

	mu    sync.Mutex
	fate  fate
	acked func() bool
	timer *time.Timer
	parts []part // one for each limit

	// Guarded by l.mu.
	epoch string // in which Redis knows it
	out   []int  // the parts that are not given back
}

// part is a permit of one limit. Limits differ in their periods.
type part struct {
	limit  *limit
	period time.Duration // of the cool-down; constant
	day    string        // the key of the counter it is in; "" for none
	free   bool          // on its way back, or lapsed
}

// lease is how long Redis keeps the part from the grant on.
func (p *Permit) lease(i int) time.Duration { return p.l.o.hold() + p.parts[i].period }

// fate is what is known of an attempt.
type fate struct {
	written, acked, ended time.Time
	end                   end
}

type end uint8

const (
	endNone end = iota
	endUnsent
	endResponded
	endAbandoned
)

// free returns when the attempt can no longer be counted together with another
// one, and whether that is known yet.
func (f fate) free(period, path time.Duration) (time.Time, bool) {
	cool := period + period/drift
	var at time.Time
	earlier := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	switch f.end {
	case endUnsent:
		earlier(f.ended)
	case endResponded:
		earlier(f.ended.Add(cool))
	case endAbandoned:
		if f.written.IsZero() {
			earlier(f.ended.Add(cool + path))
		}
	}
	if !f.acked.IsZero() {
		earlier(f.acked.Add(cool + ackDelay))
	}
	if !f.written.IsZero() {
		earlier(f.written.Add(cool + path))
	}
	return at, !at.IsZero()
}

// Kind returns what the permit was taken for.
func (p *Permit) Kind() Kind { return p.kind }

// Wait returns how long [Limiter.Take] waited.
func (p *Permit) Wait() time.Duration { return p.waited }

// Deadline is the last moment at which the request may begin to leave:
// [Options.WriteWindow] after the permit was granted. It has a monotonic
// reading; whoever checks it should check the wall clock too, since the
// monotonic clock stands still while a machine is suspended.
func (p *Permit) Deadline() time.Time { return p.asked.Add(p.l.o.WriteWindow) }

// Written reports that the whole request was handed to the kernel. If acked is
// not nil it is called now and then until the attempt ends, and returns whether
// the peer's kernel has acknowledged every byte; then a slow answer does not
// keep the permit.
func (p *Permit) Written(acked func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fate.written.IsZero() && p.fate.end == endNone {
		p.fate.written, p.acked = time.Now(), acked
		p.arm()
	}
}

// RateLimited reports that the answer is a 429 and how long it asks to wait
// (0: it does not say): nobody, in any process, gets a permit of this kind
// meanwhile, as with [Limiter.Penalize]. Somebody else uses the account, or it is
// allowed less than this process was told: the limit shrinks by a quarter in all
// processes, once for all that was granted before, and grows back while no 429
// comes ([LimitStatus.Learned]). It may wait up to 2 s for Redis.
func (p *Permit) RateLimited(retryAfter time.Duration) {
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Second)
	defer cancel()
	if err := p.l.penalize(ctx, p.kind, retryAfter, p.time); err != nil {
		p.l.o.Logger.LogAttrs(ctx, slog.LevelWarn, "a 429 pauses nobody else", slog.String("limit_key", string(p.kind)),
			slog.Any("err", err))
	}
}

// Responded reports that the status line of the response has arrived. The
// permit is back one period later.
func (p *Permit) Responded() { p.conclude(endResponded) }

// Abandoned reports that the attempt ended without a response, so that the
// request may still arrive.
func (p *Permit) Abandoned() { p.conclude(endAbandoned) }

// Unsent reports as proven that no complete request left or will leave. The
// permit is back at once. After Written this is not believed and counts as
// [Permit.Abandoned].
func (p *Permit) Unsent() { p.conclude(endUnsent) }

func (p *Permit) conclude(e end) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fate.end != endNone {
		return
	}
	if e == endUnsent && !p.fate.written.IsZero() {
		e = endAbandoned
	}
	p.fate.end, p.fate.ended, p.acked = e, time.Now(), nil
	p.arm()
}

// arm sets the timer to the next moment at which there is something to do. The
// caller holds p.mu.
func (p *Permit) arm() {
	now := time.Now()
	var next time.Time
	for i, part := range p.parts {
		if part.free {
			continue
		}
		if at := p.due(i); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if next.IsZero() {
		return
	}
	if p.acked != nil && p.fate.acked.IsZero() && now.Add(ackPoll).Before(next) {
		next = now.Add(ackPoll)
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(next.Sub(now), p.tick)
	} else {
		p.timer.Reset(next.Sub(now))
	}
}

// due returns when a part is free or its lease over. The caller holds p.mu.
func (p *Permit) due(i int) time.Time {
	at, known := p.fate.free(p.parts[i].period, p.l.o.PathDelay)
	if lapse := p.asked.Add(p.lease(i)); !known || lapse.Before(at) {
		return lapse
	}
	return at
}

// tick looks for acknowledged bytes and gives back what is free.
func (p *Permit) tick() {
	p.mu.Lock()
	acked := p.acked
	p.mu.Unlock()
	arrived := acked != nil && acked()

	p.mu.Lock()
	now := time.Now()
	if arrived && p.fate.end == endNone && p.fate.acked.IsZero() {
		p.fate.acked = now
	}
	var free []int
	for i := range p.parts {
		if !p.parts[i].free && !now.Before(p.due(i)) {
			p.parts[i].free = true
			free = append(free, i)
		}
	}
	p.arm()
	p.mu.Unlock()
	if len(free) > 0 {
		p.l.giveBack(p, free)
	}
}

// left returns how long a part must stay out from now on, if that is known.
func (p *Permit) left(i int, now time.Time) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, known := p.fate.free(p.parts[i].period, p.l.o.PathDelay)
	return max(0, at.Sub(now)), known
}

// unsent reports whether the attempt was proven not to have been made.
func (p *Permit) unsent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fate.end == endUnsent
}

// stop ends the permit's timer for good.
func (p *Permit) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
}
