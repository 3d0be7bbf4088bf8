package ratelimit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// LimitStatus is what [Limiter.Status] sees of one limit of the account.
type LimitStatus struct {
	Name       string // sms, mms, lookup or numbers
	Configured Rate   // in this process
	// Effective is what holds: the lowest of all processes that live, or Learned
	// if there is one.
	Effective Rate
	// Learned is what 429s have shrunk the limit to; it grows back while none
	// come, a quarter of the limit in 50 s. Zero when there is nothing to learn.
	Learned Rate
	// Processes is how many of them declare this limit, this one included
	// if it runs.
	Processes int
	// Declared is what each of these says, by process. Where they differ, the
	// lower holds for all.
	Declared []Declaration
	// Out is the number of permits out, of all processes, cooling ones and
	// phantoms included.
	Out int
	// Phantoms is how many of these stand for permits that were lost.
	Phantoms int
	// Waiting is how many wait in this process for a permit of this limit.
	Waiting int
	// Lanes is about all processes.
	Lanes map[Lane]LaneStatus
	// PenaltyUntil is when permits are given out again after a 429; zero
	// when they are now.
	PenaltyUntil time.Time
}

// Declaration is what one process says that a limit is.
type Declaration struct {
	Process string // Options.Process and something that makes it unique
	Rate    Rate
}

// LaneStatus is what can be seen of one lane of a limit.
type LaneStatus struct {
	// Waiting is how many wait, those included that wait for a cap.
	Waiting int
	// Granted is how many permits the lane was given, ever: a counter that begins
	// anew when Redis has lost the limiter's state.
	Granted int64
}

// Status reads the state of every limit of the account that is set. It changes
// nothing.
func (l *Limiter) Status(ctx context.Context) ([]LimitStatus, error) {
	if len(l.store.limits) == 0 {
		return nil, nil
	}
	values, waiting, err := l.store.status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read limits: %w", err)
	}
	list := make([]LimitStatus, len(l.store.limits))
	for i, lim := range l.store.limits {
		list[i] = lim.status(values[i], time.Now())
	}
	for _, e := range entries(waiting) {
		for _, lim := range l.set(e.kind) {
			lanes := list[slices.Index(l.store.limits, lim)].Lanes
			lanes[e.lane] = LaneStatus{Waiting: lanes[e.lane].Waiting + e.waiting, Granted: lanes[e.lane].Granted}
		}
	}
	for _, line := range l.lines {
		for _, n := range line.counts() {
			for _, lim := range line.set {
				list[slices.Index(l.store.limits, lim)].Waiting += n
			}
		}
	}
	return list, nil
}

// set returns the limits of a kind.
func (l *Limiter) set(k Kind) []*limit {
	if line := l.lines[k]; line != nil {
		return line.set
	}
	return nil
}

// status reads what status.lua says of the limit.
func (l *limit) status(f []any, now time.Time) LimitStatus {
	n := func(v any) int64 {
		n, _ := v.(int64)
		return n
	}
	s := LimitStatus{Name: l.name, Configured: l.rate, Effective: l.rate, Out: int(n(f[0])), Phantoms: int(n(f[1])),
		Lanes: make(map[Lane]LaneStatus)}
	if left := n(f[2]); left > 0 {
		s.PenaltyUntil = now.Add(time.Duration(left) * time.Microsecond)
	}
	declared, _ := f[4].([]any)
	for i := 0; i+2 < len(declared); i += 3 {
		name, _ := declared[i].(string)
		d := Declaration{Process: name, Rate: Rate{N: int(n(declared[i+1])), Per: micros(declared[i+2])}}
		s.Declared = append(s.Declared, d)
		s.Effective.N, s.Effective.Per = min(s.Effective.N, d.Rate.N), max(s.Effective.Per, d.Rate.Per)
	}
	slices.SortFunc(s.Declared, func(a, b Declaration) int { return strings.Compare(a.Process, b.Process) })
	s.Processes = len(s.Declared)
	if share := n(f[3]); share < million {
		s.Learned = s.Effective.share(share)
		s.Effective = s.Learned
	}
	granted, _ := f[5].([]any)
	for i, lane := range Lanes() {
		if i < len(granted) {
			s.Lanes[lane] = LaneStatus{Granted: n(granted[i])}
		}
	}
	return s
}

const million = 1_000_000

// share returns so many millionths of r as limit.lua does.
func (r Rate) share(millionths int64) Rate {
	permits := int64(r.N) * millionths
	n := (permits + million - 1) / million
	return Rate{N: int(n), Per: time.Duration(float64(r.Per) * float64(n) * million / float64(permits)).Round(time.Millisecond)}
}

// entry is who waits in one line of one process.
type entry struct {
	kind    Kind
	lane    Lane
	waiting int
}

func entries(values []any) []entry {
	var list []entry
	for i := 0; i+2 < len(values); i += 3 {
		kind, _ := values[i].(string)
		lane, _ := values[i+1].(string)
		n, _ := values[i+2].(int64)
		list = append(list, entry{Kind(kind), Lane(lane), int(n)})
	}
	return list
}

// Waiting returns how many wait in each lane, for any kind, in all processes.
func (l *Limiter) Waiting(ctx context.Context) (map[Lane]int, error) {
	if len(l.store.limits) == 0 {
		return nil, nil
	}
	_, values, err := l.store.status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read waiters: %w", err)
	}
	waiting := make(map[Lane]int)
	for _, e := range entries(values) {
		waiting[e.lane] += e.waiting
	}
	return waiting, nil
}
