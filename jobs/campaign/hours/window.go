package hours

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Window is a part of the day, [Start, End) by the wall clock, in whole minutes
// since midnight. It lies within one day: a window over midnight is refused,
// since nobody means to text people through the night, and 21:00-08:00 is the
// window of every day read the wrong way round.
type Window struct {
	Start, End time.Duration
}

// ErrWindow is what [ParseWindow] and [New] say about a window that is none.
var ErrWindow = errors.New("must be hours of one day such as 08:00-21:00, the first before the second (24:00 is the end of the day)")

// ParseWindow reads a window like "08:00-21:00"; "00:00-24:00" is always. Errors:
// [ErrWindow].
func ParseWindow(text string) (Window, error) {
	from, to, _ := strings.Cut(text, "-")
	start, okStart := timeOfDay(from)
	end, okEnd := timeOfDay(to)
	w := Window{Start: start, End: end}
	if !okStart || !okEnd {
		return Window{}, ErrWindow
	}
	if err := w.check(); err != nil {
		return Window{}, err
	}
	return w, nil
}

// String is what [ParseWindow] reads.
func (w Window) String() string {
	clock := func(d time.Duration) string { return fmt.Sprintf("%02d:%02d", d/time.Hour, d%time.Hour/time.Minute) }
	return clock(w.Start) + "-" + clock(w.End)
}

func (w Window) check() error {
	whole := w.Start%time.Minute == 0 && w.End%time.Minute == 0
	if w.Start < 0 || w.Start >= w.End || w.End > day || !whole {
		return ErrWindow
	}
	return nil
}

func timeOfDay(text string) (time.Duration, bool) {
	if text == "24:00" {
		return day, true
	}
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, false
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, true
}

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
func (w Window) find(now time.Time, locations []*time.Location) *found {
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
func (w Window) common(t int64, locations []*time.Location) stretch {
	s := w.in(locations[0], t)
	for _, location := range locations[1:] {
		other := w.in(location, t)
		s.from, s.until = max(s.from, other.from), min(s.until, other.until)
	}
	return s
}

// in returns the first stretch that a zone allows and that ends after t, begun at
// t at the earliest.
func (w Window) in(location *time.Location, t int64) stretch {
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
