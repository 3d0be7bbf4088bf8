package worker_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// The defaults are for a gate that runs each benchmark once.
var (
	benchRounds   = flag.Int("worker.rounds", 1, "rounds of BenchmarkSend, whose medians are reported; 5 for a figure to rely on")
	benchMessages = flag.Int("worker.messages", 3000, "messages of each run of BenchmarkSend; 20000 for a figure to rely on")
	benchHandlers = flag.Int("worker.handlers", 64, "handlers of each worker of BenchmarkSend")
	benchProfile  = flag.String("worker.profile", "", "file for a CPU profile of the last worker process; of one written by hand with .plain at its end")
)

// sendRun is what one message needed of the worker, of Redis and of the simulated
// account. Times are CPU time in µs. others is how much of one core everything else on
// the machine had meanwhile: above some 10% the run tells little.
type sendRun struct{ rate, cpu, redis, account, calls, others float64 }

// measured is a worker that is compared with others.
type measured string

const (
	measuredPlain  measured = "plain"  // one asynq server, net/http as it comes, no ledger
	measuredPooled measured = "pooled" // the same, its connections to the API kept
	measuredOurs   measured = "ours"
)

// BenchmarkSend compares, in one run, an asynq worker as people write it by hand
// (net/http, no ledger), the same with its connections kept, and this one, each in a
// process of its own, without a limit. The simulated account answers at once and shares
// the machine with them. The ratio of messages per second is to be 1.2 or more, that of
// CPU per message 0.7 or less.
//
//	go test ./jobs/worker -run=^$ -bench=Send$ -benchtime=1x -worker.rounds=5 -worker.messages=20000
func BenchmarkSend(b *testing.B) {
	kinds := []measured{measuredPlain, measuredPooled, measuredOurs}
	columns := []struct {
		name string
		of   func(sendRun) float64
	}{
		{"msg/s", func(r sendRun) float64 { return r.rate }},
		{"cpu-µs/msg", func(r sendRun) float64 { return r.cpu }},
		{"redis-µs/msg", func(r sendRun) float64 { return r.redis }},
		{"account-µs/msg", func(r sendRun) float64 { return r.account }},
		{"calls/msg", func(r sendRun) float64 { return r.calls }},
	}
	for b.Loop() {
		runs := map[measured][]sendRun{}
		for round := range *benchRounds {
			for i := range kinds { // each is the first as often as the others
				kind := kinds[(round+i)%len(kinds)]
				run := measureSend(b, kind)
				runs[kind] = append(runs[kind], run)
				b.Logf("round %d: %-6s %5.0f msg/s, CPU of the worker %3.0f µs, of Redis %3.0f µs; other processes %2.0f%% of a core",
					round+1, kind, run.rate, run.cpu, run.redis, run.others)
			}
		}
		for _, column := range columns {
			for _, kind := range kinds {
				b.ReportMetric(medianOf(runs[kind], column.of), string(kind)+"-"+column.name)
			}
			for _, kind := range kinds[:2] {
				var ratios []float64
				for i, run := range runs[measuredOurs] {
					ratios = append(ratios, column.of(run)/column.of(runs[kind][i]))
				}
				b.ReportMetric(median(ratios), "ours/"+string(kind)+"-"+column.name)
			}
		}
		b.ReportMetric(medianOf(slices.Concat(runs[measuredPlain], runs[measuredOurs]), func(r sendRun) float64 { return r.others }), "others-%core")
	}
}

func medianOf(runs []sendRun, of func(sendRun) float64) float64 {
	var values []float64
	for _, run := range runs {
		values = append(values, of(run))
	}
	return median(values)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// measureSend lets one process send what was enqueued before.
func measureSend(b *testing.B, kind measured) sendRun {
	r := newBenchRig(b, redistest.New(b), flowroutetest.Options{})
	n := *benchMessages
	plain := kind != measuredOurs
	if plain {
		enqueuePlain(b, r.db, n)
	} else {
		r.enqueue(backlog(jobs.PriorityNormal, n, ours)...)
	}
	p := r.spawn(benchOrder{Plain: plain, Pooled: kind == measuredPooled, Handlers: *benchHandlers})
	const user, system = "used_cpu_user", "used_cpu_sys"
	redis, account, busy, started := r.info(user, system), cpuTime(b), busyTime(), time.Now()
	before := p.tell()
	r.until(time.Minute+time.Duration(n)*10*time.Millisecond, func() bool { return r.sim.Counts().Accepted >= int64(n) })
	took, after := time.Since(started), p.tell()
	redis, account, busy = r.info(user, system)-redis, cpuTime(b)-account, busyTime()-busy
	p.end()
	others := busy - (after.CPU - before.CPU + account).Seconds() - redis
	each := func(total float64) float64 { return total / float64(n) }
	return sendRun{rate: float64(n) / took.Seconds(), cpu: each(float64((after.CPU - before.CPU).Microseconds())), redis: each(redis * 1e6),
		account: each(float64(account.Microseconds())), calls: each(float64(after.Calls - before.Calls)), others: 100 * others / took.Seconds()}
}

// busyTime is how long all processors have been busy, in seconds; 0 where Linux does not
// tell it.
func busyTime() float64 {
	const perSecond = 100 // clock ticks
	stat, _ := os.ReadFile("/proc/stat")
	var user, nice, system, idle, wait, irq, soft float64
	if _, err := fmt.Sscanf(string(stat), "cpu %f %f %f %f %f %f %f", &user, &nice, &system, &idle, &wait, &irq, &soft); err != nil {
		return 0
	}
	return (user + nice + system + irq + soft) / perSecond
}

// enqueuePlain makes the tasks of the worker written by hand.
func enqueuePlain(b *testing.B, db *redistest.DB, n int) {
	const producers = 16
	client := asynq.NewClientFromRedisClient(db.Client())
	var work sync.WaitGroup
	for first := range producers {
		work.Go(func() {
			for i := first; i < n; i += producers {
				payload, _ := json.Marshal(map[string]string{"from": ours[1:], "to": theirs[1:], "body": fmt.Sprint("hello ", i)})
				if _, err := client.Enqueue(asynq.NewTask("plain", payload), asynq.Queue(plainQueue)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
}
