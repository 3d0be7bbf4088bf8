package suppress

import (
	"cmp"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// record is all that is kept of one recipient: a slot for each of our numbers, and
// one for all of them, in the order of the numbers.
type record struct{ slots []slot }

// slot is what is kept of a recipient and one of our numbers.
//
// Two things can make an entry of it, and they do not touch each other: what
// somebody has entered, and what the recipient has asked for. Of the recipient's
// own words only the times count, not when they were seen.
type slot struct {
	from flowroute.E164 // zero: all our numbers

	entered *entered // by a person or an import

	// stopped is there while the last STOP is not older than the last START.
	stopped *stopped
	// started is the time of the last START, 0: none. A STOP before it counts no more,
	// so it stays when nothing else is left.
	started millis
}

type entered struct {
	source Source
	at     millis
	note   string
}

// stopped is the first and the last that is known of the STOPs since the last
// START. The last decides, the first is what made the entry.
type stopped struct{ first, last ask }

// ask is a STOP, or a carrier's answer that there was one.
type ask struct {
	at      millis
	carrier bool
}

// millis is a time in ms since 1970.
type millis int64

func millisOf(t time.Time) millis { return millis(t.UnixMilli()) }

func (m millis) time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// at is the slot of one of our numbers, made when there is none.
func (r *record) at(from flowroute.E164) *slot {
	i, found := slices.BinarySearchFunc(r.slots, from, func(s slot, from flowroute.E164) int {
		return cmp.Compare(s.from.Uint64(), from.Uint64())
	})
	if !found {
		r.slots = slices.Insert(r.slots, i, slot{from: from})
	}
	return &r.slots[i]
}

// add takes an entry in. It reports whether the pair had none.
func (r *record) add(e Entry) bool {
	s := r.at(e.From)
	before := s.blocks()
	switch e.Source {
	case SourceCarrier, SourceStop:
		s.stop(ask{millisOf(e.Time), e.Source == SourceCarrier})
	default:
		s.enter(entered{e.Source, millisOf(e.Time), e.Note})
	}
	return !before && s.blocks()
}

// enter keeps the earliest of what was entered; a note is not lost to one without.
func (s *slot) enter(e entered) {
	if s.entered == nil {
		s.entered = &e
		return
	}
	note := cmp.Or(s.entered.note, e.note)
	if e.at < s.entered.at {
		s.entered.source, s.entered.at = e.source, e.at
		note = cmp.Or(e.note, s.entered.note)
	}
	s.entered.note = note
}

func (s *slot) stop(a ask) {
	switch {
	case s.started != 0 && a.at < s.started:
	case s.stopped == nil:
		s.stopped = &stopped{a, a}
	case a.at < s.stopped.first.at:
		s.stopped.first = a
	case a.at > s.stopped.last.at:
		s.stopped.last = a
	}
}

// start takes back the STOPs before it.
func (s *slot) start(at millis) {
	if s.started == 0 || at > s.started {
		s.started = at
	}
	switch {
	case s.stopped == nil:
	case s.stopped.last.at < at:
		s.stopped = nil
	case s.stopped.first.at < at:
		// Of the STOPs in between nothing is known but the last.
		s.stopped.first = s.stopped.last
	}
}

// remove takes back everything that is known: to the STOPs it is a START right
// after the last of them, so that seeing them again brings nothing back.
func (s *slot) remove() {
	s.entered = nil
	if s.stopped != nil {
		s.start(s.stopped.last.at + 1)
	}
}

func (s *slot) blocks() bool { return s.entered != nil || s.stopped != nil }

func (s *slot) isEmpty() bool { return !s.blocks() && s.started == 0 }

// entry is the slot as it is shown: the earliest of what makes it block.
func (s *slot) entry(recipient flowroute.E164) Entry {
	e := Entry{Recipient: recipient, From: s.from}
	if s.entered != nil {
		e.Source, e.Time, e.Note = s.entered.source, s.entered.at.time(), s.entered.note
	}
	if s.stopped == nil {
		return e
	}
	if first := s.stopped.first; s.entered == nil || first.at < s.entered.at {
		e.Source, e.Time, e.Note = SourceStop, first.at.time(), ""
		if first.carrier {
			e.Source = SourceCarrier
		}
	}
	return e
}

// tidy drops the slots of which nothing is left.
func (r *record) tidy() {
	r.slots = slices.DeleteFunc(r.slots, func(s slot) bool { return s.isEmpty() })
}

// entries counts what blocks.
func (r *record) entries() int {
	n := 0
	for i := range r.slots {
		if r.slots[i].blocks() {
			n++
		}
	}
	return n
}

// blocking is the earliest entry that forbids to text from this number of ours,
// or from any of them.
func (r *record) blocking(recipient, from flowroute.E164, pairOnly bool) (Entry, bool) {
	var first Entry
	found := false
	for i := range r.slots {
		s := &r.slots[i]
		if !s.blocks() || pairOnly && !from.IsZero() && !s.from.IsZero() && s.from != from {
			continue
		}
		if e := s.entry(recipient); !found || e.Time.Before(first.Time) {
			first, found = e, true
		}
	}
	return first, found
}
