package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/console"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/resolve"
)

// waitsForDisk reports whether writes that count are to be on the disk before
// they are relied on.
func (s settings) waitsForDisk() bool { return s.RedisDurability == "aof" }

// problems judges the Redis with what the settings ask of it.
func (s settings) problems(f redisconn.Facts) []redisconn.Finding {
	found := f.Problems()
	if one, bad := f.DurabilityProblem(s.waitsForDisk()); bad {
		found = append(found, one)
	}
	return found
}

// silent is after how long a worker that gives no sign of life is one that died.
const silent = 10 * time.Second

// examineWorkers counts the workers by their signs of life.
func (d *desk) examineWorkers(ctx context.Context, f *findings) {
	beats, err := d.jobs.Ledger().Beats(ctx)
	if err != nil {
		f.warn("workers", "could not be counted: "+err.Error(), "")
		return
	}
	alive := 0
	for _, beat := range beats {
		if beat.Age <= silent {
			alive++
			continue
		}
		f.warn("workers", fmt.Sprintf("%s gave its last sign of life %s ago and did not stop in good order", clean(beat.Worker), beat.Age.Round(time.Second)),
			"its jobs are taken over; if it still runs, it is cut off from Redis, or frozen")
	}
	if alive == 0 {
		f.warn("workers", "none is running: jobs wait", "start one with flowroute-worker run")
		return
	}
	f.ok("workers", "%s running, the latest sign of life %s ago", plural(alive, "worker"), beats[0].Age.Round(10*time.Millisecond))
}

// examineFence says whether Redis is known to have lost writes.
func (d *desk) examineFence(ctx context.Context, f *findings, now time.Time) {
	fence, err := d.jobs.Ledger().FenceState(ctx)
	switch {
	case err != nil:
		f.fail("fence", err.Error(), "")
	case fence.Restarted():
		f.warn("fence", fenceText(fence), "wait, or start a worker; flowroute-worker review fence shows who is waited for")
	case fence.Up && fence.At.Sub(fence.From) > reach:
		f.fail("fence", fenceText(fence), "that is longer than the records are read: flowroute-worker review fence says what a person can do")
	case fence.Up:
		f.warn("fence", fenceText(fence), fmt.Sprintf("a running worker lowers it by itself from %s on; see flowroute-worker review fence", stamp(fence.Ready)))
	default:
		f.ok("fence", "%s", fenceText(fence))
	}
}

// reach is how far back the records are read for a fence.
const reach = 24 * time.Hour

// examineRecords says how Flowroute's clock and records are behaving.
func (d *desk) examineRecords(ctx context.Context, f *findings, now time.Time) {
	state, err := resolve.Status(ctx, d.rdb, "")
	if err != nil {
		f.fail("records", err.Error(), "")
		return
	}
	switch c := state.Clock; {
	case c.Samples == 0:
		f.ok("clock", "Flowroute's is not known yet: no message has met its record")
	case state.ClockOff():
		f.warn("clock", fmt.Sprintf("Flowroute's is %s that of Redis: nothing unknown is decided", apart(c.Offset)), "let NTP set the clock of Redis' machine")
	default:
		f.ok("clock", "Flowroute's is %s that of Redis (%s)", apart(c.Offset), plural(c.Samples, "sample"))
	}
	switch {
	case 2*state.Lag >= d.AmbiguousSettle:
		f.warn("records", fmt.Sprintf("in the last day one came %s late: with AMBIGUOUS_SETTLE at %s their silence proves nothing", state.Lag.Round(time.Second), d.AmbiguousSettle),
			"unknown jobs may end in review; raise AMBIGUOUS_SETTLE above twice that if it stays so")
	case state.Lag > 0:
		f.ok("records", "in the last day they came at most %s late", state.Lag.Round(10*time.Millisecond))
	}
	if last := state.Last; !last.At.IsZero() {
		text := fmt.Sprintf("read last at %s for %s: %d decided", stamp(last.At), plural(last.Open, "group"), last.Decided)
		if last.Error != "" && now.Sub(last.At) < time.Hour {
			f.warn("records", text+"; "+clean(last.Error), "the worker's log says more")
			return
		}
		f.ok("records", "%s", text)
	}
}

// apart says how far a clock is from another one.
func apart(offset time.Duration) string {
	rounded := offset.Abs().Round(10 * time.Millisecond).String()
	if offset < 0 {
		return rounded + " behind"
	}
	return rounded + " ahead of"
}

// examineUnknown says when unknown jobs are decided.
func (d *desk) examineUnknown(ctx context.Context, f *findings, n int64, now time.Time) {
	text := plural(int(n), "job") + " unknown: an answer was lost, and nothing posts them again until Flowroute's records tell"
	open, err := d.jobs.Ledger().Unresolved(ctx, 1000)
	if err != nil {
		f.fail("jobs", err.Error(), "")
		return
	}
	var next, oldest time.Time
	for _, job := range open {
		if job.State != ledger.Unknown {
			continue
		}
		if next.IsZero() || job.ResolveAt.Before(next) {
			next = job.ResolveAt
		}
		if at := job.Updated(); oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	switch {
	case next.IsZero():
		f.ok("jobs", "%s", text)
	case now.Sub(oldest) > d.AmbiguousMax:
		f.warn("jobs", text+"; the oldest since "+stamp(oldest), "is a worker running, and are the credentials good? The lines about records and sending say more")
	default:
		f.ok("jobs", "%s, the first of them from %s on; by %s they are decided or in review", text, stamp(next), stamp(oldest.Add(d.AmbiguousMax)))
	}
}

// safetyAlerts are what keeps jobs from being posted, or from being decided.
func (v *service) safetyAlerts(ctx context.Context) ([]console.Alert, error) {
	var list []console.Alert
	fence, err := v.jobs.Ledger().FenceState(ctx)
	switch {
	case err != nil:
	case fence.Restarted():
		list = append(list, console.Alert{Title: "Redis was restarted", Detail: sentence(fenceText(fence)), Since: fence.Noticed})
	case fence.Up:
		list = append(list, console.Alert{
			Title: "The fence is up", Detail: sentence(fenceText(fence)) + " flowroute-worker review fence says more.", Since: fence.At, Severe: true,
		})
	}
	state, stateErr := resolve.Status(ctx, v.redis.producer, "")
	if stateErr == nil && state.ClockOff() {
		list = append(list, console.Alert{
			Title: "The clocks are too far apart", Severe: true,
			Detail: "Flowroute's is " + apart(state.Clock.Offset) + " that of Redis: nothing unknown is decided. Let NTP set the clock of Redis' machine.",
		})
	}
	return list, errors.Join(err, stateErr)
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }
