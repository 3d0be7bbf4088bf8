package ratelimit_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

var benchFor = flag.Duration("ratelimit.for", 3*time.Second, "how long BenchmarkProcesses sends at each rate")

// BenchmarkProcesses lets four processes send as fast as they are let, 20 ms
// round trip, against a window that slides. It reports what was accepted and
// rejected, and the share of n/(1+r), which is what the permits allow.
//
//	go test ./ratelimit -run=^$ -bench=Processes -benchtime=1x -ratelimit.for=60s
func BenchmarkProcesses(b *testing.B) {
	for _, n := range []int{5, 50, 500} {
		b.Run(fmt.Sprintf("%d_per_second", n), func(b *testing.B) {
			for b.Loop() {
				benchProcesses(b, &counter{n: n, per: time.Second}, 20*time.Millisecond, n,
					child{Rate: per(n, time.Second), Senders: max(4, n/4)})
			}
		})
	}
}

// BenchmarkCapped lets four processes send for numbers that may send once per second
// each, below an account of 100 per second: twenty, for whom that is more than
// enough, and a thousand, of whom few can send at a time. It reports the share of
// what the permits allow: the sum of 1/(1+r), or n/(1+r).
func BenchmarkCapped(b *testing.B) {
	const account, roundTrip = 100, 20 * time.Millisecond
	for _, numbers := range []int{20, 1000} {
		b.Run(fmt.Sprintf("%d_numbers", numbers), func(b *testing.B) {
			for b.Loop() {
				c := (&counter{n: account, per: time.Second}).below(numbers, 1)
				benchProcesses(b, c, roundTrip, min(numbers, account), child{Rate: per(account, time.Second),
					Senders: max(60, numbers), Numbers: numbers, Cap: per(1, time.Second)})
				if beyond := c.beyond(); beyond > 0 {
					b.Errorf("got %d attempts beyond what their numbers may, want none", beyond)
				}
			}
		})
	}
}

// benchProcesses runs four processes as ordered, which may make so many attempts per
// second at most if those took no time.
func benchProcesses(b *testing.B, c *counter, roundTrip time.Duration, most int, order child) {
	order.API = serve(b, c, fixed(roundTrip/2, roundTrip/2))
	db := redistest.New(b)
	order.Redis, order.Lane, order.Timeout = db.URL, ratelimit.LaneBulk, 10*time.Second
	processes := make([]*process, 4)
	for i := range processes {
		order.FreshStart = i == 0
		processes[i] = spawn(b, order)
		if i == 0 {
			waitFor(b, func() bool { attempts, _ := c.totals(); return attempts > 0 })
		}
	}
	waitFor(b, func() bool { attempts, _ := c.totals(); return attempts > 2*most })
	stats := func() string { return db.Client().Info(b.Context(), "commandstats").Val() }
	calls := stats()
	before, _ := c.totals()
	start := time.Now()
	after(*benchFor)
	now, _ := c.totals()
	took := time.Since(start)
	spent := scripts(stats(), calls)
	var sum tally
	for _, p := range processes {
		one := p.stop()
		sum.Accepted += one.Accepted
		sum.Refused += one.Refused
	}
	attempts := float64(now - before)
	rate := attempts / took.Seconds()
	b.ReportMetric(float64(sum.Accepted), "accepted")
	b.ReportMetric(float64(sum.Refused), "rejected")
	b.ReportMetric(rate, "attempts/s")
	b.ReportMetric(100*rate/(float64(most)/(1+roundTrip.Seconds())), "%share")
	b.ReportMetric(float64(spent.calls)/attempts, "calls/attempt")
	b.ReportMetric(float64(spent.usec)/attempts, "redis-µs/attempt")
}

// cost is what scripts have cost Redis.
type cost struct{ calls, usec int64 }

// scripts reads it from two answers to INFO commandstats.
func scripts(now, before string) cost {
	read := func(info string) (c cost) {
		for line := range strings.Lines(info) {
			if rest, ok := strings.CutPrefix(line, "cmdstat_evalsha:"); ok {
				_, _ = fmt.Sscanf(rest, "calls=%d,usec=%d,", &c.calls, &c.usec)
			}
		}
		return c
	}
	a, b := read(now), read(before)
	return cost{a.calls - b.calls, a.usec - b.usec}
}

// BenchmarkTake takes a permit from an idle limit and gives it back: what the
// limiter adds to an attempt, two scripts and their way to Redis and back.
func BenchmarkTake(b *testing.B) {
	for name, rate := range map[string]ratelimit.Rate{"limit": per(ratelimit.MaxN, time.Second), "no_limit": {}} {
		b.Run(name, func(b *testing.B) {
			l, err := ratelimit.New(redistest.New(b).Client(), ratelimit.Options{Account: "a", FreshStart: true,
				Limits: ratelimit.Limits{SMS: rate}})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				p, err := l.Take(b.Context(), ratelimit.KindSMS, ratelimit.LaneOTP)
				if err != nil {
					b.Fatal(err)
				}
				p.Unsent()
			}
		})
	}
}

// waitFor polls until ok holds.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	patience := time.NewTimer(20 * time.Second)
	defer patience.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-patience.C:
			t.Fatal("waited too long")
		}
	}
}
