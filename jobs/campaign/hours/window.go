package hours

import (
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

const day = 24 * time.Hour

// window is the part of the day, as jobs.SendingHours has it.
type window jobs.SendingHours

// found is what find found.
type found struct {
	asked   time.Time
	opening Opening
	ok      bool
}

// holds says whether the answer would be the same now.
func (f *found) holds(now time.Time) bool {
	if !f.ok {
		return now.Sub(f.asked).Abs() < time.Hour
	}
	return !now.Before(f.asked) && now.Before(f.opening.Until)
}

// find looks for the first time that all zones allow, and how long it goes on.
func (w window) find(now time.Time, locations []*time.Location) *found {
	// Seconds are enough: windows and changes of clocks begin on whole ones.
	t := now.Unix()
	for horizon := t + int64(Horizon/time.Second); t < horizon; {
		s := w.common(t, locations)
		if s.from >= s.until {
			t = s.until // no zone's next stretch begins before the first of these ends
			continue
		}
		// A stretch may go on beyond a change of clocks or the end of a day.
		for s.until < horizon {
			more := w.common(s.until, locations)
			if more.from > s.until {
				break
			}
			s.until = more.until
		}
		return &found{asked: now, ok: true, opening: Opening{From: time.Unix(s.from, 0).UTC(), Until: time.Unix(s.until, 0).UTC()}}
	}
	return &found{asked: now}
}

// stretch is [from, until), in seconds since 1970.
type stretch struct{ from, until int64 }

// common is where the stretches of all zones that end next after t overlap; from
// is not before until when they do not.
func (w window) common(t int64, locations []*time.Location) stretch {
	s := w.in(locations[0], t)
	for _, location := range locations[1:] {
		other := w.in(location, t)
		s.from, s.until = max(s.from, other.from), min(s.until, other.until)
	}
	return s
}

// in returns the first stretch that a zone allows and that ends after t, begun at
// t at the earliest.
func (w window) in(location *time.Location, t int64) stretch {
	const secondsPerDay = int64(day / time.Second)
	first := t
	for {
		local := time.Unix(t, 0).In(location)
		_, offset := local.Zone()
		// Until the clocks change next, the time of day is plain arithmetic.
		_, end := local.ZoneBounds()
		midnight := t + int64(offset)
		midnight -= (midnight%secondsPerDay + secondsPerDay) % secondsPerDay
		for range 2 {
			s := stretch{
				from:  max(first, t, midnight+int64(w.Start/time.Second)-int64(offset)),
				until: midnight + int64(w.End/time.Second) - int64(offset),
			}
			if !end.IsZero() {
				s.until = min(s.until, end.Unix())
			}
			if s.from < s.until {
				return s
			}
			midnight += secondsPerDay
		}
		t = end.Unix()
	}
}
