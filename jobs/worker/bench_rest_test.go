package worker_test

import (
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// BenchmarkIdle is what a process costs that has nothing to do: its share of one core,
// to be at most 1%, and the commands that it sends to Redis, to be at most 60 a second.
// They are counted where the client sends them: Redis' own count has those of scripts
// in it.
//
//	go test ./jobs/worker -run=^$ -bench=Idle -benchtime=1x -worker.for=60s
func BenchmarkIdle(b *testing.B) {
	for b.Loop() {
		r := newBenchRig(b, redistest.New(b), flowroutetest.Options{})
		p := r.spawn(benchOrder{Account: ratelimit.Limits{SMS: perSecond(5), MMS: perSecond(1), Numbers: perSecond(2), Lookups: perSecond(1), LookupsShareSMS: true}})
		p.tell()
		r.pause(2 * time.Second) // it has begun
		begun, before := time.Now(), p.tell()
		r.pause(*benchFor)
		took, after := time.Since(begun).Seconds(), p.tell()
		p.end()
		b.ReportMetric(100*(after.CPU-before.CPU).Seconds()/took, "%core")
		b.ReportMetric(float64(after.Calls-before.Calls)/took, "calls/s")
	}
}

// BenchmarkDeferredMemory is what Redis needs for messages of one number that all wait
// for its limit, as a ratio of what it needed before any worker saw them. It is to be at
// most 1.3.
//
//	go test ./jobs/worker -run=^$ -bench=Memory -benchtime=1x -worker.backlog=100000
func BenchmarkDeferredMemory(b *testing.B) {
	for b.Loop() {
		r := newBenchRig(b, &redistest.Own(b, redisembed.Options{}).DB, flowroutetest.Options{})
		memory := func() float64 { return r.info("used_memory") }
		empty := memory()
		r.enqueue(backlog(jobs.PriorityBulk, *benchBacklog, ours)...)
		waiting := memory() - empty
		if r.db.Kind == redisembed.KindInProcess {
			b.Log("no redis-server on PATH: the imitation does not tell its memory")
			continue
		}
		p := r.spawn(benchOrder{Account: ratelimit.Limits{SMS: perSecond(100)}, Sender: ratelimit.Rate{N: 1, Per: time.Hour}})
		p.tell()
		r.until(time.Minute+time.Duration(*benchBacklog)*5*time.Millisecond, func() bool {
			places, err := r.jobs.Ledger().Parked(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			parked := int64(0)
			for _, n := range places {
				parked += int64(n)
			}
			return parked+r.sim.Counts().Accepted == int64(*benchBacklog)
		})
		p.end()
		b.ReportMetric(waiting/float64(*benchBacklog), "B/msg")
		b.ReportMetric((memory()-empty)/float64(*benchBacklog), "B/parked-msg")
		b.ReportMetric((memory()-empty)/waiting, "ratio")
	}
}
