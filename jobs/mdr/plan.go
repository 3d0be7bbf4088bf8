package mdr

import "time"

// window is a span of time that is read as a whole, by its number since 1970.
type window int64

const (
	windowLength = 15 * time.Minute
	// The second of the three readings that every window gets.
	secondReading = 30 * time.Minute
	// The newest window is not left alone for longer while older ones are read.
	freshFor = 5 * time.Minute
	// One reading takes at least one window and at most a week.
	longestSpan = int(week / windowLength)
)

func windowOf(t time.Time) window {
	s, length := t.Unix(), int64(windowLength/time.Second)
	if s < 0 {
		s -= length - 1
	}
	return window(s / length)
}

func (w window) start() time.Time {
	return time.Unix(int64(w)*int64(windowLength/time.Second), 0).UTC()
}
func (w window) end() time.Time { return (w + 1).start() }

// windowState is what is known of a window that was read wholly.
type windowState struct {
	read time.Time // when the last reading began
	open bool      // it held outbound messages without an end
}

// rules say how often a window is read. See the package comment.
type rules struct {
	overlap, late, openFor time.Duration
	retention              time.Duration
	// unknown: a message was posted in it of which nobody knows whether it was accepted
	unknown map[window]bool
}

// span is a row of windows, both included.
type span struct{ from, to window }

func (s span) length() int { return int(s.to-s.from) + 1 }

// due reports whether a window is to be read, in a sync that began at began. In
// one sync that is true once, but for the newest window and for what time brings.
func (r rules) due(w window, st windowState, known bool, now, began time.Time) bool {
	if !known {
		return true
	}
	end := w.end()
	if st.read.Before(end.Add(r.overlap)) {
		return st.read.Before(began) || now.Before(end) && now.Sub(st.read) >= freshFor
	}
	for _, stage := range []time.Duration{secondReading, r.late} {
		if st.read.Before(end.Add(stage)) && !now.Before(end.Add(stage)) {
			return true
		}
	}
	if !r.open(w, st) || !st.read.Before(end.Add(r.openFor)) {
		return false
	}
	next := end.Add(2 * st.read.Sub(end))
	if last := end.Add(r.openFor); next.After(last) {
		next = last
	}
	return !now.Before(next)
}

// open reports whether a window may yet bring what somebody waits for.
func (r rules) open(w window, st windowState) bool { return st.open || r.unknown[w] }

// last reports whether a reading now is one after which a window may be done. It
// must be a sure one; those before are followed by another anyway.
func (r rules) last(w window, now time.Time) bool {
	return !now.Before(w.end().Add(max(secondReading, r.late)))
}

// done reports whether a window need not be read again, ever.
func (r rules) done(w window, st windowState) bool {
	end := w.end()
	return !st.read.Before(end.Add(max(secondReading, r.late))) && (!r.open(w, st) || !st.read.Before(end.Add(r.openFor)))
}

// next is what to read now, at most longest windows; false: nothing is due. The
// newest window comes first, but never twice in a row: else it would keep a slow
// sync from everything else. Then come the windows that are due, the oldest first, and
// last those into which the copy is yet to grow, the newest first.
func (r rules) next(c coverage, now, began time.Time, longest int, before span) (span, bool) {
	due := func(w window) bool {
		st, known := c.windows[w]
		return r.due(w, st, known, now, began)
	}
	// A span is of one kind: so a recent window, where rows still come in, does not
	// spoil the last reading of an old one.
	joins := func(w, other window) bool { return due(w) && r.last(w, now) == r.last(other, now) }
	last, low := windowOf(now), r.low(c, now)
	if before.to != last && due(last) {
		s := span{last, last}
		for s.from > low && s.length() < longest && joins(s.from-1, last) {
			s.from--
		}
		return s, true
	}
	for w := low; w < last; w++ {
		if !due(w) {
			continue
		}
		s := span{w, w}
		for s.to+1 < last && s.length() < longest && joins(s.to+1, w) {
			s.to++
		}
		return s, true
	}
	return r.further(c, now, longest)
}

// further is the next span into which the copy grows. A span is of one kind: one reading
// of its windows is enough, or it is not.
func (r rules) further(c coverage, now time.Time, longest int) (span, bool) {
	goal := r.goal(c, now)
	if c.back <= goal {
		return span{}, false
	}
	kind := func(w window) [2]bool { return [2]bool{r.last(w, now), w < r.settled(now)} }
	s := span{c.back - 1, c.back - 1}
	for s.from > goal && s.length() < longest && kind(s.from-1) == kind(s.to) {
		s.from--
	}
	return s, true
}

// goal is the first window that the copy is to reach.
func (r rules) goal(c coverage, now time.Time) window {
	return max(c.first, windowOf(now.Add(-r.retention))+1)
}

// settled is the window before which one reading is enough, whatever is in them.
func (r rules) settled(now time.Time) window { return windowOf(now.Add(-r.openFor)) }

// left is how many windows were never read.
func (r rules) left(c coverage, now time.Time) (n int) {
	for w := r.low(c, now); w < windowOf(now); w++ {
		if _, known := c.windows[w]; !known {
			n++
		}
	}
	return n + max(0, int(c.back-r.goal(c, now)))
}

// low is the first window that is kept in step.
func (r rules) low(c coverage, now time.Time) window {
	return max(c.closed, c.back, windowOf(now.Add(-r.retention))+1)
}

// close moves the coverage's closed end over the windows that are done. While the copy
// grows into windows that may be open, those above must not be forgotten.
func (r rules) close(c coverage, now time.Time) window {
	if c.back > r.goal(c, now) && c.back > r.settled(now) {
		return c.back
	}
	w := r.low(c, now)
	for {
		st, known := c.windows[w]
		if !known || !r.done(w, st) {
			return w
		}
		w++
	}
}

// through is the moment before which everything was read at least once.
func (r rules) through(c coverage, now time.Time) time.Time {
	return r.front(c, now, 0)
}

// complete is the moment before which everything was read when late rows had come.
func (r rules) complete(c coverage, now time.Time) time.Time {
	return r.front(c, now, max(secondReading, r.late))
}

func (r rules) front(c coverage, now time.Time, after time.Duration) time.Time {
	for w := r.low(c, now); ; w++ {
		st, known := c.windows[w]
		if !known {
			return w.start()
		}
		if end := w.end(); st.read.Before(end.Add(after)) {
			if after == 0 {
				return st.read
			}
			return w.start()
		}
	}
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
