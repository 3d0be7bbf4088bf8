package ratelimit

import "time"

// Timeline is what becomes of one attempt, as durations after its grant. Zero
// is never.
type Timeline struct {
	Written, Acked, Responded, Abandoned, Unsent time.Duration
}

// Free returns when the permit of such an attempt is free.
func (tl Timeline) Free(period, path time.Duration) (time.Duration, bool) {
	start := time.Now()
	at := func(d time.Duration) time.Time {
		if d == 0 {
			return time.Time{}
		}
		return start.Add(d)
	}
	f := fate{written: at(tl.Written), acked: at(tl.Acked)}
	switch {
	case tl.Responded > 0:
		f.end, f.ended = endResponded, at(tl.Responded)
	case tl.Abandoned > 0:
		f.end, f.ended = endAbandoned, at(tl.Abandoned)
	case tl.Unsent > 0:
		f.end, f.ended = endUnsent, at(tl.Unsent)
	}
	free, known := f.free(period, path)
	return free.Sub(start), known
}

// Watch is what the limiter knows of Redis' clock, with all times as durations
// after some start.
type Watch struct {
	w     *watch
	start int64
}

// NewWatch starts a watch.
func NewWatch() *Watch { return &Watch{newWatch(), time.Now().UnixMicro()} }

// Heard is an answer to a command sent at before and answered at after, in
// which Redis' clock showed redis.
func (w *Watch) Heard(before, after, redis time.Duration) (jumped bool) {
	at := func(d time.Duration) time.Time { return w.w.anchor.Add(d) }
	return w.w.heard(at(before), at(after), w.start+redis.Microseconds())
}

// Expects returns between which times a command sent at now may find Redis' clock.
func (w *Watch) Expects(now time.Duration) (earliest, latest time.Duration) {
	_, lo, hi := w.w.expect(w.w.anchor.Add(now))
	return time.Duration(lo-w.start) * time.Microsecond, time.Duration(hi-w.start) * time.Microsecond
}
