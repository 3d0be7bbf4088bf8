package ratelimit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// renewal is how often a running limiter tells Redis that it is there:
	// it keeps its declared limits, vouches for Redis' clock, and finds out
	// about a loss early enough to present what it holds.
	renewal = 2 * time.Second
	// farewell is how long a limiter tries, at its end, to hand its permits
	// over to Redis.
	farewell = 1300 * time.Millisecond
)

var errRunning = errors.New("limiter: Run was called before")

// Run keeps the limiter's entries in Redis alive until ctx ends, then drains.
// Permits that are free in a known time are left to Redis with that time as
// their lease (a second and a quarter longer, since Redis' clock is not as
// trustworthy), all others with the lease they have; so Run is to be ended last,
// when the requests are over. It returns nil, once no goroutine of the limiter
// is left. It may be called once.
//
// A limiter works without Run as well, except that its limits bind other
// processes only while it takes permits, and that nothing is handed over: a
// short command should run it too, and end it before it exits.
func (l *Limiter) Run(ctx context.Context) error {
	if !l.running.CompareAndSwap(false, true) {
		return errRunning
	}
	ticker := time.NewTicker(renewal)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if len(l.store.limits) > 0 || l.used() {
			err := l.renew(ctx)
			if ctx.Err() == nil {
				l.outage.note(ctx, l.o.Logger, err)
			}
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	l.Drain()
	l.close(context.WithoutCancel(ctx))
	return nil
}

func (l *Limiter) renew(ctx context.Context) error {
	if err := l.acquire(ctx); err != nil {
		return err
	}
	defer l.release()
	epoch, err := l.hello(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	idle := l.idle
	l.idle = nil
	l.mu.Unlock()
	if len(idle) > 0 {
		var r reply
		if r, err = l.store.sweep(ctx, epoch, idle); err == nil {
			l.learn(r)
		}
	}
	return err
}

// used reports whether anything of this process is in Redis.
func (l *Limiter) used() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch != ""
}

// close hands over what can be handed over and waits for all goroutines.
func (l *Limiter) close(ctx context.Context) {
	l.mu.Lock()
	l.closed = true
	used := l.epoch != ""
	l.mu.Unlock()
	close(l.stopped)
	if used {
		ctx, cancel := context.WithTimeout(ctx, farewell)
		defer cancel()
		if err := l.handOver(ctx); err != nil {
			l.o.Logger.LogAttrs(ctx, slog.LevelWarn, "permits are left to their leases", slog.Any("err", err))
		}
	}
	l.work.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.held {
		p.stop()
	}
}

// handOver gives every permit back whose time is known, to be free after it.
func (l *Limiter) handOver(ctx context.Context) error {
	now := time.Now()
	var batch []returning
	l.mu.Lock()
	for p := range l.held {
		for _, i := range p.out {
			left, known := p.left(i, now)
			if !known {
				continue
			}
			if left > 0 {
				left += jumpMargin
			}
			batch = append(batch, returning{p: p, part: i, delay: left})
		}
	}
	l.mu.Unlock()
	if err := l.give(ctx, batch); err != nil {
		return err
	}
	l.mu.Lock()
	epoch := l.epoch
	l.mu.Unlock()
	_, err := l.store.bye(ctx, epoch)
	return err
}

// start runs f as one of the goroutines that Run waits for, unless it ended.
func (l *Limiter) start(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.work.Go(f)
	}
	return !l.closed
}

// ended reports whether Run has ended.
func (l *Limiter) ended() bool {
	select {
	case <-l.stopped:
		return true
	default:
		return false
	}
}

// pause waits for d, for the bell, or for the end of Run.
func (l *Limiter) pause(d time.Duration, bell <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-bell:
	case <-l.stopped:
	}
}

// backoff is the pause after the given number of failures in a row.
func backoff(failures int) time.Duration {
	return min(50*time.Millisecond<<min(failures, 10), time.Second)
}

// outage logs that Redis went away and came back, once each.
type outage struct {
	mu    sync.Mutex
	since time.Time
}

func (o *outage) note(ctx context.Context, logger *slog.Logger, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil && o.since.IsZero():
		o.since = time.Now()
		logger.LogAttrs(ctx, slog.LevelWarn, "no permits: redis does not answer", slog.Any("err", err))
	case err == nil && !o.since.IsZero():
		logger.LogAttrs(ctx, slog.LevelInfo, "permits again: redis answers",
			slog.Int64("duration_ms", time.Since(o.since).Milliseconds()))
		o.since = time.Time{}
	}
}
