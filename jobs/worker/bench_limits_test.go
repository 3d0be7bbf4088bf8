package worker_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

var (
	benchBacklog  = flag.Int("worker.backlog", 2000, "messages that wait in BenchmarkOTP, BenchmarkCappedSenders and BenchmarkDeferredMemory; 100000, 20000 and 100000 for figures to rely on")
	benchOTPs     = flag.Int("worker.otps", 8, "one-time passwords of each part of BenchmarkOTP; 300 for a figure to rely on")
	benchOTPEvery = flag.Duration("worker.otp-every", 400*time.Millisecond, "and how often one comes; 2s for a figure to rely on")
	benchFor      = flag.Duration("worker.for", 3*time.Second, "how long BenchmarkCappedSenders and BenchmarkIdle measure; 60s for a figure to rely on")
)

const benchRoundTrip = 20 * time.Millisecond

// BenchmarkOTP is how long one-time passwords take at 5 messages per second, 20 ms round
// trip: from the call that asks for one until the account has answered, with others
// waiting (to be at most 220 ms at the median, 400 ms at p99), and on an idle system
// until the request arrives (50 ms and 100 ms).
//
//	go test ./jobs/worker -run=^$ -bench=OTP -benchtime=1x -timeout=1h -worker.backlog=100000 -worker.otps=300 -worker.otp-every=2s
func BenchmarkOTP(b *testing.B) {
	for _, part := range []struct {
		name    string
		waiting int
		answer  time.Duration // counts
	}{{"behind_bulk", *benchBacklog, benchRoundTrip}, {"idle", 0, 0}} {
		b.Run(part.name, func(b *testing.B) {
			for b.Loop() {
				r := newBenchRig(b, redistest.New(b), flowroutetest.Options{Latency: benchRoundTrip, Limits: flowroutetest.Limits{SMSPerSecond: 5, Window: flowroutetest.WindowSliding}})
				r.enqueue(backlog(jobs.PriorityBulk, part.waiting, ours)...)
				p := r.spawn(benchOrder{Account: ratelimit.Limits{SMS: perSecond(5)}})
				p.tell()
				r.pause(2 * time.Second)
				asked := make([]time.Time, *benchOTPs)
				for i := range asked {
					asked[i] = time.Now()
					r.enqueue(jobs.Message{From: ours, To: theirs, Body: fmt.Sprint(otpText, i), Priority: jobs.PriorityOTP})
					// Not in step with the permits.
					r.pause(*benchOTPEvery*3/4 + rand.N(*benchOTPEvery/2))
				}
				var took []time.Duration
				r.until(time.Minute, func() bool {
					took = took[:0]
					for _, m := range r.sim.Messages(0, 0) {
						var i int
						if _, err := fmt.Sscanf(m.Body, otpText+"%d", &i); err == nil {
							took = append(took, m.At.Add(part.answer).Sub(asked[i]))
						}
					}
					return len(took) == len(asked)
				})
				p.end()
				b.ReportMetric(quantile(took, 0.5), "p50-ms")
				b.ReportMetric(quantile(took, 0.99), "p99-ms")
				b.ReportMetric(quantile(took, 1), "max-ms")
				b.ReportMetric(float64(r.sim.Counts().RateLimited), "rejected")
			}
		})
	}
}

const otpText = "your code is "

func perSecond(n int) ratelimit.Rate { return ratelimit.Rate{N: n, Per: time.Second} }

// BenchmarkCappedSenders lets twenty numbers send that may each send once per second, at
// an account with more than enough, all messages of the first number having been enqueued
// before those of the second, and so on; 20 ms round trip. From the tenth second on (with
// -worker.for that long), attempts are to be 95% or more of what the permits allow, which
// is the sum of 1/(1+r).
//
//	go test ./jobs/worker -run=^$ -bench=Capped -benchtime=1x -worker.backlog=20000 -worker.for=60s
func BenchmarkCappedSenders(b *testing.B) {
	const senders = 20
	numbers := make([]string, senders)
	for i := range numbers {
		numbers[i] = fmt.Sprint(12065550100 + i)
	}
	for b.Loop() {
		r := newBenchRig(b, redistest.New(b), flowroutetest.Options{Latency: benchRoundTrip, Owned: numbers, Limits: flowroutetest.Limits{SMSPerSecond: 100, Window: flowroutetest.WindowSliding}})
		r.enqueue(backlog(jobs.PriorityBulk, *benchBacklog/senders, numbers...)...)
		p := r.spawn(benchOrder{Account: ratelimit.Limits{SMS: perSecond(100)}, Sender: perSecond(1)})
		p.tell()
		r.pause(min(10*time.Second, *benchFor))
		before, begun := r.sim.Counts().Requests, time.Now()
		r.pause(*benchFor)
		rate := float64(r.sim.Counts().Requests-before) / time.Since(begun).Seconds()
		p.end()
		b.ReportMetric(rate, "attempts/s")
		b.ReportMetric(100*rate/(senders/(1+benchRoundTrip.Seconds())), "%share")
		b.ReportMetric(float64(r.sim.Counts().RateLimited), "rejected")
		b.ReportMetric(float64(mostOfOne(r.sim.Messages(0, 0))), "most-in-1s")
	}
}

// mostOfOne is how many messages of one number were accepted within any second.
func mostOfOne(messages []flowroutetest.AcceptedMessage) (most int) {
	slices.SortStableFunc(messages, func(a, b flowroutetest.AcceptedMessage) int { return strings.Compare(a.From, b.From) })
	first := 0
	for i, m := range messages {
		for messages[first].From != m.From || m.At.Sub(messages[first].At) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
