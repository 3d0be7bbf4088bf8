// Package hours says when a message may be sent, by the clock of whoever gets it.
//
//	clock, err := hours.New(sendingHours, newYork)
//	opening, ok := clock.Next(now, number)
//	// send from opening.From on, and no later than just before opening.Until
//
// The time zones of a number are those of libphonenumber for its first digits,
// as embedded in github.com/nyaruka/phonenumbers: nothing is asked of anybody
// while it runs. Most North American numbers have one by area code and exchange,
// a few have two. They are those of the place that the number was given out for:
// people who moved and kept their number are not seen.
//
// Where a number may be in more than one zone, all of them must allow the moment.
// More than [MaxZones] say too little about the place, as for toll-free numbers,
// which have all of North America, and some of Australia and Russia: then the
// fallback zone counts instead. So it does where nothing is known.
//
// A moment is allowed if the wall clock then shows a time within the window, on
// the days when clocks change too: an hour that is skipped is not made up for,
// and one that comes twice is allowed both times.
package hours

import (
	"errors"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// MaxZones is how many zones of a number are looked at.
const MaxZones = 4

// Horizon is how far ahead a [Clock] looks, for the beginning of an opening and
// for its end: as far as a message may be scheduled.
const Horizon = 366 * 24 * time.Hour

// Clock tells for each number when it may be sent to. Many goroutines may use it
// at once.
type Clock struct {
	window window
	zones  *zones
}

// New makes a clock for one window of hours. fallback is the zone of numbers that do not
// tell theirs. Time zones come from the system, or from time/tzdata in the
// program; New fails where there are none.
func New(hours jobs.SendingHours, fallback *time.Location) (*Clock, error) {
	if err := hours.Check(); err != nil {
		return nil, err
	}
	if fallback == nil {
		return nil, errors.New("sending hours need a zone for numbers that do not tell theirs")
	}
	zones, err := newZones(fallback)
	if err != nil {
		return nil, err
	}
	return &Clock{window: window(hours), zones: zones}, nil
}

// Opening is a stretch of time in which sending is allowed: From is part of it,
// Until is not.
type Opening struct {
	From, Until time.Time
}

// Contains says whether t is within the opening.
func (o Opening) Contains(t time.Time) bool { return !t.Before(o.From) && t.Before(o.Until) }

// Next returns when the number may next be sent to: from the earliest allowed
// moment that is not before now (now itself, when that is allowed), for as long
// as it goes on, both in UTC. Until is never more than [Horizon] and a day ahead.
//
// ok is false when no moment within the [Horizon] is allowed by all zones of the
// number, which takes a window shorter than they are apart.
//
// It is cheap for a million numbers in a row: what was found for a prefix, and
// for a set of zones, holds until the opening ends.
func (c *Clock) Next(now time.Time, number flowroute.E164) (next Opening, ok bool) {
	set := c.zones.of(number)
	found := set.found.Load()
	if found == nil || !found.holds(now) {
		found = c.window.find(now, set.locations)
		set.found.Store(found)
	}
	if !found.ok {
		return Opening{}, false
	}
	next = found.opening
	if now.After(next.From) {
		next.From = now.UTC()
	}
	return next, true
}

// Zones returns the zones that count for a number: at least one, at most
// [MaxZones]. The slice is shared: do not change it.
func (c *Clock) Zones(number flowroute.E164) []*time.Location { return c.zones.of(number).locations }
