package campaign

import (
	"math"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/hours"
)

// forecast says when a campaign can have been sent: recipients of the same zones wait for
// the same hours, so that they are looked at together.
type forecast struct {
	clock  *hours.Clock // nil: always
	groups []group
	known  map[**time.Location]int
}

type group struct {
	one  flowroute.E164 // of them
	left float64
}

func newForecast(clocks *Clocks, spec Spec) *forecast {
	f := &forecast{known: map[**time.Location]int{}}
	if clocks != nil {
		f.clock = clocks.clock(spec.SendingHours)
	}
	return f
}

func (f *forecast) add(to flowroute.E164) {
	var zones **time.Location
	if f.clock != nil {
		zones = &f.clock.Zones(to)[0]
	}
	at, known := f.known[zones]
	if !known {
		at = len(f.groups)
		f.known[zones] = at
		f.groups = append(f.groups, group{one: to})
	}
	f.groups[at].left++
}

// outside is how many are outside their hours.
func (f *forecast) outside(at time.Time) int {
	n := 0.0
	for _, g := range f.groups {
		if opens, _ := f.opening(g, at); opens.After(at) {
			n += g.left
		}
	}
	return int(n)
}

// opening is when a group may next be sent to, and when that or the waiting for it ends;
// far away for never.
func (f *forecast) opening(g group, at time.Time) (from, changes time.Time) {
	never := at.Add(ahead)
	if f.clock == nil {
		return at, never
	}
	next, ok := f.clock.Next(at, g.one)
	switch {
	case !ok:
		return never, never
	case next.From.After(at):
		return next.From, next.From
	}
	return at, next.Until
}

// run sends to all of them from start on, at so many a second (0: at once), as many to
// each group whose hours it is as it has a share. finish is zero when that never ends;
// unsent is how many are left at the end time.
func (f *forecast) run(start, end time.Time, rate float64) (finish time.Time, unsent int) {
	at, last := start, start.Add(ahead)
	counted := end.IsZero()
	for at.Before(last) {
		open, closed, changes := 0.0, 0.0, last
		var now []int
		for i, g := range f.groups {
			if g.left <= 0 {
				continue
			}
			from, next := f.opening(g, at)
			if next.Before(changes) {
				changes = next
			}
			if from.After(at) {
				closed += g.left
				continue
			}
			open += g.left
			now = append(now, i)
		}
		if open+closed == 0 {
			return at.Truncate(time.Second), unsent
		}
		if !counted && !at.Before(end) {
			counted, unsent = true, int(math.Ceil(open+closed))
		}
		if !counted && end.Before(changes) {
			changes = end
		}
		sent := open
		if rate > 0 {
			sent = math.Min(open, rate*changes.Sub(at).Seconds())
		}
		for _, i := range now {
			if sent >= open {
				f.groups[i].left = 0
			} else {
				f.groups[i].left -= sent * f.groups[i].left / open
			}
		}
		if sent >= open && open > 0 {
			if rate > 0 {
				at = at.Add(time.Duration(math.Ceil(open / rate * float64(time.Second))))
			}
			continue
		}
		at = changes
	}
	return time.Time{}, unsent
}
