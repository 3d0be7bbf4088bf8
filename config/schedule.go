package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Cron is a cron spec of five fields, in UTC; empty means off.
type Cron string

// Off says that the job is never started by the clock.
func (c Cron) Off() bool { return c == "" }

// EnvDecode is for go-envconfig. It knows the word "off".
func (c *Cron) EnvDecode(text string) error {
	const rule = broken("must be a cron spec of five fields such as */5 * * * * (in UTC), or off")
	if text == "off" {
		*c = ""
		return nil
	}
	// The parser takes a zone in front of the fields, and panics on half a one.
	if strings.Contains(text, "=") {
		return rule
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	schedule, err := parser.Parse(text)
	if err != nil {
		return rule
	}
	if schedule.Next(time.Unix(0, 0).UTC()).IsZero() {
		return broken("must name a time that comes: this cron spec never does")
	}
	*c = Cron(text)
	return nil
}

// Hours is a part of the day, [Start, End) since midnight.
type Hours struct {
	Start, End time.Duration
}

// EnvDecode is for go-envconfig.
func (h *Hours) EnvDecode(text string) error {
	const rule = broken("must be hours of one day such as 08:00-21:00, the first before the second (24:00 is the end of the day)")
	from, to, _ := strings.Cut(text, "-")
	start, okStart := timeOfDay(from)
	end, okEnd := timeOfDay(to)
	if !okStart || !okEnd || start >= end {
		return rule
	}
	*h = Hours{Start: start, End: end}
	return nil
}

func (h Hours) String() string {
	clock := func(d time.Duration) string {
		return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
	}
	return clock(h.Start) + "-" + clock(h.End)
}

func timeOfDay(text string) (time.Duration, bool) {
	if text == "24:00" {
		return 24 * time.Hour, true
	}
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, false
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, true
}

// Zone is a time zone by its IANA name. The zero value is UTC.
type Zone struct{ location *time.Location }

// Location returns the zone for package time.
func (z Zone) Location() *time.Location {
	if z.location == nil {
		return time.UTC
	}
	return z.location
}

func (z Zone) String() string { return z.Location().String() }

// EnvDecode is for go-envconfig.
func (z *Zone) EnvDecode(text string) error {
	location, err := time.LoadLocation(text)
	// "Local" would mean another zone on each machine of one service.
	if err != nil || text == "" || text == "Local" {
		return broken("must be the IANA name of a time zone such as America/New_York")
	}
	z.location = location
	return nil
}
