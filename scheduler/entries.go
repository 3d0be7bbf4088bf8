package scheduler

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Entry is one line of the schedule.
type Entry struct {
	// Name is part of each job's key and must never change; one name, one entry.
	Name string
	Type ledger.Type
	// Spec is a cron spec of five fields or a descriptor like @hourly, in UTC.
	// Empty is off.
	Spec string
}

// Ticks are the moments that a cron spec names.
type Ticks struct {
	schedule cron.Schedule
	every    time.Duration // of @every, else 0
}

// ParseSpec reads a cron spec: five fields, a descriptor (@hourly, @daily, …) or
// @every with a duration. Errors: the spec cannot be read, or names no moment.
func ParseSpec(spec string) (Ticks, error) {
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return Ticks{}, fmt.Errorf("cron spec %.60q: %w", spec, err)
	}
	if every, ok := schedule.(cron.ConstantDelaySchedule); ok {
		// The parser turns what is shorter than a second, or negative, into one.
		if given, err := time.ParseDuration(strings.TrimPrefix(spec, "@every ")); err != nil || given < time.Second {
			return Ticks{}, fmt.Errorf("cron spec %.60q: at least a second", spec)
		}
		return Ticks{every: every.Delay}, nil
	}
	t := Ticks{schedule: schedule}
	if t.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Ticks{}, fmt.Errorf("cron spec %.60q: %w", spec, errNever)
	}
	return t, nil
}

var errNever = errors.New("there is no such day")

// Next is the first tick after t, in UTC.
func (k Ticks) Next(t time.Time) time.Time {
	t = t.UTC().Round(0)
	if k.every > 0 {
		return t.Truncate(k.every).Add(k.every)
	}
	next := k.schedule.Next(t)
	if next.IsZero() {
		return next
	}
	return next.UTC()
}

// Previous is the last tick at or before t, in UTC; zero when there was none in
// the eight years before.
func (k Ticks) Previous(t time.Time) time.Time {
	t = t.UTC().Round(0)
	if k.every > 0 {
		return t.Truncate(k.every)
	}
	const reach = 8 * 366 * 24 * time.Hour // a 29th of February may be that far away
	for back := time.Minute; back < 2*reach; back *= 2 {
		tick := k.Next(t.Add(-back))
		if tick.IsZero() || tick.After(t) {
			continue
		}
		for {
			next := k.Next(tick)
			if next.IsZero() || next.After(t) {
				return tick
			}
			tick = next
		}
	}
	return time.Time{}
}

// key is the key of the job of one tick.
func key(name string, tick time.Time) string {
	return name + "@" + tick.UTC().Format(time.RFC3339)
}
