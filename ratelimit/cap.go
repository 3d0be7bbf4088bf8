package ratelimit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Cap is a limit below the account that only some requests count against: those
// of a sending number, of a campaign. Its permits obey the theorem at [Permit] as
// those of the account do. What it leaves in Redis goes away when nothing is out
// and nobody waits.
//
// Where two processes give one name different values, the lower holds while both
// use it.
type Cap struct {
	// Name says what is capped, for example "from:12065550100" or
	// "campaign:7": up to 100 bytes, printable, without space.
	Name string
	// Rate is what the cap allows; zero is any rate.
	Rate Rate
	// PerDay is how many attempts may be made from midnight to midnight in Zone,
	// by Redis' clock; zero is any number. A permit counts when it is granted,
	// and no longer when it turns out [Permit.Unsent]. The count is as durable as
	// what Redis holds.
	PerDay int
	// Zone defaults to UTC.
	Zone *time.Location
}

// ErrCapUsedUp is what every [*CapError] is.
var ErrCapUsedUp = errors.New("cap is used up for today")

// CapError is returned by [Limiter.Take] when the day's number of a cap is used
// up: waiting for it is the caller's.
type CapError struct {
	Cap   string    // its name
	Until time.Time // midnight in its zone
}

func (e *CapError) Error() string {
	return fmt.Sprintf("cap %s is used up until %s", e.Cap, e.Until.Format(time.RFC3339))
}

// Is reports whether target is [ErrCapUsedUp].
func (e *CapError) Is(target error) bool { return target == ErrCapUsedUp }

const maxCapName = 100

// invalid returns why c cannot be used, or "".
func (c *Cap) invalid() string {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("{}|", r) }
	switch {
	case c.Name == "" || len(c.Name) > maxCapName || strings.IndexFunc(c.Name, bad) >= 0:
		return fmt.Sprintf("name not of 1 to %d printable bytes without space, braces and bar", maxCapName)
	case c.PerDay < 0:
		return "negative number a day"
	case !c.Rate.IsZero():
		return c.Rate.invalid()
	}
	return ""
}

// zone is where the cap's day ends.
func (c *Cap) zone() *time.Location {
	if c.Zone == nil {
		return time.UTC
	}
	return c.Zone
}

// midnight returns when the day of now ends.
func (c *Cap) midnight(now time.Time) time.Time {
	y, m, d := now.In(c.zone()).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, c.zone())
}

// capped sorts caps by name, leaves out those that allow everything, and checks
// the rest.
func capped(caps []Cap) ([]Cap, error) {
	var set []Cap
	for _, c := range caps {
		if c.Rate.IsZero() && c.PerDay == 0 {
			continue
		}
		if reason := c.invalid(); reason != "" {
			return nil, fmt.Errorf("limiter: cap %q: %s", c.Name, reason)
		}
		set = append(set, c)
	}
	slices.SortFunc(set, func(a, b Cap) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(set); i++ {
		if set[i].Name == set[i-1].Name {
			return nil, fmt.Errorf("limiter: cap %q is given twice", set[i].Name)
		}
	}
	return set, nil
}
