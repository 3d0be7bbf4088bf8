package ratelimit

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// books is what a limiter knows of its permits and of the epoch that Redis is
// in. Guarded by Limiter.mu.
type books struct {
	epoch  string // joined; "" before the first answer
	seen   string // last heard of
	greet  bool   // the epoch must be joined, or a permit presented, before anything else
	fresh  bool   // Options.FreshStart, until the first answer
	jumped bool   // Redis' clock has jumped since the epoch was joined
	idle   []any  // names of caps that may be idle, from the last hello

	held   map[*Permit]struct{} // not given back yet
	back   []returning          // to be given back now
	giving bool                 // a goroutine is at it
	closed bool                 // Run has ended: nothing is given back any more
}

// returning is a part of a permit that goes back, after a delay if there is one.
type returning struct {
	p     *Permit
	part  int
	delay time.Duration
}

func (r returning) limit() *limit { return r.p.parts[r.part].limit }

// learn takes note of what an answer says besides its contents.
func (l *Limiter) learn(r reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = r.epoch
	l.jumped = l.jumped || r.jumped
	l.greet = l.greet || l.jumped || l.seen != l.epoch
}

// acquire waits for the turn to say hello or to give back: no permit may be
// presented after it was given back.
func (l *Limiter) acquire(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Limiter) release() { <-l.turn }

// join returns the epoch that this process has joined. Where Redis is in
// another one it joins that and presents all permits it holds.
func (l *Limiter) join(ctx context.Context) (string, error) {
	l.mu.Lock()
	epoch, greet := l.epoch, l.greet
	l.mu.Unlock()
	if !greet {
		return epoch, nil
	}
	if err := l.acquire(ctx); err != nil {
		return "", err
	}
	defer l.release()
	return l.hello(ctx)
}

// hello joins the epoch that Redis is in and presents permits, until all of
// them are known there. The caller has the turn.
func (l *Limiter) hello(ctx context.Context) (string, error) {
	for {
		l.mu.Lock()
		target, joined, mode := l.seen, l.epoch, ""
		switch {
		case l.fresh:
			mode = "fresh"
		case l.jumped:
			mode, l.jumped = "jumped", false
		}
		held, list := l.unknown(target)
		l.mu.Unlock()

		r, err := l.store.hello(ctx, mode, joined, list)
		if err != nil {
			l.mu.Lock()
			l.jumped = l.jumped || mode == "jumped"
			l.mu.Unlock()
			return "", err
		}
		l.learn(r)
		if l.joined(r, target, held) {
			if r.epoch != joined {
				l.logEpoch(ctx, r, joined == "")
			}
			return r.epoch, nil
		}
	}
}

// joined takes note that permits were presented in the epoch of r, if that is
// the one they were meant for, and reports whether none is left to present.
func (l *Limiter) joined(r reply, target string, held []*Permit) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fresh = false
	l.idle, _ = r.rest[0].([]any)
	if r.epoch == target {
		for _, p := range held {
			p.epoch = r.epoch
		}
	}
	if _, unknown := l.unknown(r.epoch); len(unknown) > 0 {
		return false
	}
	l.epoch = r.epoch
	l.greet = l.jumped || l.seen != l.epoch
	return true
}

// unknown lists the permits that Redis does not know in an epoch and whose
// lease still runs. The caller holds l.mu.
func (l *Limiter) unknown(epoch string) (held []*Permit, list []presented) {
	now := time.Now()
	for p := range l.held {
		if p.epoch == epoch {
			continue
		}
		held = append(held, p)
		age := elapsed(p.asked, now)
		for _, i := range p.out {
			if left := p.lease(i) - age; left > 0 {
				list = append(list, presented{
					token: p.token, limit: p.parts[i].limit, left: left,
					swap: age < l.o.WriteWindow+l.o.PathDelay, // why: the theorem's last paragraph
				})
			}
		}
	}
	return held, list
}

// logEpoch tells of a loss, in the process that found it.
func (l *Limiter) logEpoch(ctx context.Context, r reply, first bool) {
	level := slog.LevelDebug
	switch {
	case !strings.HasSuffix(r.epoch, "."+l.store.process), first && l.o.FreshStart:
	case first:
		level = slog.LevelInfo
	default:
		level = slog.LevelWarn
	}
	l.o.Logger.LogAttrs(ctx, level, "limiter state began anew: what may be under way counts as permits out",
		slog.String("reason", r.reason), slog.Int64("at_most_ms", l.o.reach().Milliseconds()))
}

// hold takes a granted permit into the books.
func (l *Limiter) hold(p *Permit) {
	l.mu.Lock()
	l.held[p] = struct{}{}
	l.greet = l.greet || p.epoch != l.epoch
	l.mu.Unlock()
	p.mu.Lock()
	p.arm()
	p.mu.Unlock()
}

// giveBack sees to it that parts of a permit that are free, or whose lease is
// over, are given back in the background.
func (l *Limiter) giveBack(p *Permit, parts []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	for _, i := range parts {
		l.back = append(l.back, returning{p: p, part: i})
	}
	if !l.giving {
		l.giving = true
		l.work.Go(func() { l.giveAll(p.ctx) })
	}
}

// giveAll gives back until nothing is left to give.
func (l *Limiter) giveAll(ctx context.Context) {
	for try := 0; ; try++ {
		l.mu.Lock()
		batch := slices.Clone(l.back)
		l.giving = len(batch) > 0 && !l.closed
		ended := !l.giving
		l.mu.Unlock()
		if ended {
			return
		}
		err := l.give(ctx, batch)
		l.outage.note(ctx, l.o.Logger, err)
		if err != nil {
			l.pause(backoff(try), nil)
			continue
		}
		try = 0
		l.mu.Lock()
		l.back = l.back[len(batch):]
		l.mu.Unlock()
		var caps []string
		for _, r := range batch {
			if lim := r.limit(); lim.cap != nil {
				caps = append(caps, lim.name)
			}
		}
		for _, line := range l.lines {
			line.freed(caps)
		}
	}
}

// give gives back, one call for some permits of any limits.
func (l *Limiter) give(ctx context.Context, batch []returning) error {
	if err := l.acquire(ctx); err != nil {
		return err
	}
	defer l.release()
	for some := range slices.Chunk(batch, 500) {
		list := make([]returned, len(some))
		for i, r := range some {
			list[i] = returned{token: r.p.token, limit: r.limit(), delay: r.delay}
			if r.p.unsent() {
				list[i].day = r.p.parts[r.part].day
			}
		}
		if err := l.giveSome(ctx, list); err != nil {
			return err
		}
		l.given(some)
	}
	return nil
}

// given takes note that parts are back. The caller still has the turn: a part
// that is back must not be presented again.
func (l *Limiter) given(parts []returning) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range parts {
		r.p.out = slices.DeleteFunc(r.p.out, func(i int) bool { return i == r.part })
		if len(r.p.out) == 0 {
			delete(l.held, r.p)
		}
	}
}

// giveSome gives back in the epoch that Redis is in. The caller has the turn.
func (l *Limiter) giveSome(ctx context.Context, list []returned) error {
	for {
		l.mu.Lock()
		epoch, greet := l.epoch, l.greet
		l.mu.Unlock()
		if greet {
			var err error
			if epoch, err = l.hello(ctx); err != nil {
				return err
			}
		}
		r, err := l.store.give(ctx, epoch, list)
		if err != nil {
			return err
		}
		l.learn(r)
		if r.status == answerOK {
			return nil
		}
	}
}
