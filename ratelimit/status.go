package ratelimit

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// LimitStatus is what [Limiter.Status] sees of one limit.
type LimitStatus struct {
	Name       string // sms, mms, lookup or numbers
	Configured Rate   // in this process
	// Effective is what holds: the lowest of all processes that live.
	Effective Rate
	// Processes is how many of them declare this limit, this one included
	// if it runs.
	Processes int
	// Out is the number of permits out, of all processes, cooling ones and
	// phantoms included.
	Out int
	// Phantoms is how many of these stand for permits that were lost.
	Phantoms int
	// Waiting is how many wait in this process for a permit of this limit.
	Waiting int
	// PenaltyUntil is when permits are given out again after a 429; zero
	// when they are now.
	PenaltyUntil time.Time
}

// Status reads the state of every limit that is set. It changes nothing.
func (l *Limiter) Status(ctx context.Context) ([]LimitStatus, error) {
	if len(l.store.limits) == 0 {
		return nil, nil
	}
	values, err := l.store.status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read limits: %w", err)
	}
	now := time.Now()
	list := make([]LimitStatus, len(l.store.limits))
	for i, lim := range l.store.limits {
		s := LimitStatus{Name: lim.name, Configured: lim.rate, Effective: lim.rate}
		fields, _ := values[i].([]any)
		var f [6]int64
		for k := range min(len(f), len(fields)) {
			f[k], _ = fields[k].(int64)
		}
		if f[0] > 0 {
			s.Effective.N = min(s.Effective.N, int(f[0]))
			s.Effective.Per = max(s.Effective.Per, time.Duration(f[1])*time.Microsecond)
		}
		s.Out, s.Phantoms, s.Processes = int(f[2]), int(f[3]), int(f[5])
		if f[4] > 0 {
			s.PenaltyUntil = now.Add(time.Duration(f[4]) * time.Microsecond)
		}
		list[i] = s
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

// Waiting returns how many wait in each lane, for any kind, in all processes.
func (l *Limiter) Waiting(ctx context.Context) (map[Lane]int, error) {
	if len(l.store.limits) == 0 {
		return nil, nil
	}
	values, err := l.store.status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read waiters: %w", err)
	}
	waiting := make(map[Lane]int)
	pairs, _ := values[len(values)-1].([]any)
	for i := 0; i+1 < len(pairs); i += 2 {
		lane, _ := pairs[i].(string)
		n, _ := pairs[i+1].(int64)
		waiting[Lane(lane)] += int(n)
	}
	return waiting, nil
}
