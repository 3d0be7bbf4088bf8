package ratelimit

import (
	"sync"
	"time"
)

const (
	// jump is by how much Redis' clock may move against ours before it is no
	// longer believed.
	jump = time.Second
	// jumpMargin is what a lease is longer than the time it must cover: one
	// jump that goes unnoticed, and clocks that run unequally.
	jumpMargin = jump + 250*time.Millisecond
	// drift is by how much two clocks may run apart: 1 part in 1000.
	drift = 1000
)

// watch compares Redis' clock with this process's monotonic clock. From every
// answer it learns bounds of the difference between the two; an answer outside
// of what the bounds allow is a jump.
type watch struct {
	mu     sync.Mutex
	anchor time.Time // where our clock starts
	known  bool
	since  int64 // Redis time (µs) from which on it did not jump
	at     int64 // our time (µs) of the last answer
	lo, hi int64 // bounds of Redis' time minus ours (µs)
}

func newWatch() *watch { return &watch{anchor: time.Now()} }

func (w *watch) ours(t time.Time) int64 { return t.Sub(w.anchor).Microseconds() }

// expect returns since when Redis' clock is watched, and between which times a
// command that is sent now may find it. The upper bound leaves a command a
// second to arrive; one that takes longer is refused and may be sent again.
func (w *watch) expect(now time.Time) (since, earliest, latest int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.known {
		return 0, 0, 0
	}
	ours := w.ours(now)
	apart := (ours-w.at)/drift + jump.Microseconds()
	return w.since, w.lo + ours - apart, w.hi + ours + apart
}

// redis estimates Redis' clock.
func (w *watch) redis(now time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.known {
		return now
	}
	return time.UnixMicro(w.ours(now) + (w.lo+w.hi)/2)
}

// heard takes note of the Redis time in an answer to a command that was sent
// at before and answered at after, and reports whether the clock has jumped.
func (w *watch) heard(before, after time.Time, redis int64) (jumped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lo, hi := redis-w.ours(after), redis-w.ours(before)
	ours := w.ours(after)
	if w.known {
		apart := max(0, ours-w.at) / drift
		w.lo, w.hi = w.lo-apart, w.hi+apart
		gap := max(lo-w.hi, w.lo-hi)
		jumped = gap > jump.Microseconds()
		if !jumped {
			if gap <= 0 {
				w.lo, w.hi = max(w.lo, lo), min(w.hi, hi)
			}
			w.at = max(w.at, ours)
			return false
		}
	}
	w.known, w.since, w.at, w.lo, w.hi = true, redis, ours, lo, hi
	return jumped
}

// elapsed is how long ago t was, by the monotonic or the wall clock, whichever
// says more: the one stands still while the machine is suspended, the other
// can be set.
func elapsed(t, now time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}
