package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// handBack is how long the work of a killed worker may rest.
const handBack = 15 * time.Second

// A worker is killed with everything in its hands that there can be: jobs that wait
// for a permit, a message on the wire, another app's task that allows no retry. All
// of it runs elsewhere or is being resolved within
// seconds, and no message is asked for twice.
func TestKilledWorkersWorkIsTakenOver(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	rdb := b.db.Client()
	limits := ratelimit.Limits{SMS: ratelimit.Rate{N: 3, Per: 2 * time.Second}}
	wire := b.sim.HoldNext(flowroutetest.OpSend, true)
	defer wire.Release()
	held := b.send(jobs.Message{Body: "on the wire"})
	kill := b.killable(limits)
	<-wire.Reached()
	ids := []string{held}
	for i := range 9 {
		ids = append(ids, b.send(jobs.Message{Body: fmt.Sprint("waits ", i)}))
	}
	b.eventually("all in the hands of the first", func() bool { return rdb.LLen(t.Context(), normalQueue+"pending").Val() == 0 })
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	servers := func() int {
		list, err := inspector.Servers()
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	alone := servers()
	b.start(options{limits: limits, worker: b.likeInUse})
	b.eventually("the second at work", func() bool { return servers() == 2*alone })
	if err := inspector.PauseQueue("normal"); err != nil { // nobody else may take it
		t.Fatal(err)
	}
	kill()
	killed := time.Now()
	b.plain(rdb, "plain", "no retry")
	take(t, rdb, killed.Add(30*time.Second))
	if err := inspector.UnpauseQueue("normal"); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, ledger.TaskID("plain").String())
	before, err := rdb.ZRangeWithScores(t.Context(), normalQueue+"lease", 0, -1).Result()
	if err != nil || len(before) < 5 {
		t.Fatalf("%d tasks in the hands of the first: %v", len(before), err)
	}
	last := map[string]time.Duration{}
	b.eventually("the tasks in other hands", func() bool {
		for _, z := range before {
			id := z.Member.(string)
			if now := rdb.ZScore(t.Context(), normalQueue+"lease", id); last[id] == 0 && (now.Err() != nil || now.Val() != z.Score) {
				last[id] = time.Since(killed)
			}
		}
		return len(last) == len(before)
	})
	slowest := time.Duration(0)
	for id, took := range last {
		if slowest = max(slowest, took); took > handBack {
			t.Errorf("task %s was handed back after %v", id, took)
		}
	}
	job := b.until(held, ledger.Unknown)
	resolving := job.History[len(job.History)-1].At.Sub(killed)
	if resolving > handBack {
		t.Errorf("the message on the wire was unknown after %v", resolving)
	}
	t.Logf("killed with %d tasks in hand: the last one given back after %v, the message on the wire resolving after %v",
		len(before), slowest.Round(10*time.Millisecond), resolving.Round(10*time.Millisecond))
	for _, id := range ids[1:] {
		b.until(id, ledger.Accepted)
	}
	b.noTwins()
}

// noTwins checks that no message was asked for twice.
func (b bundle) noTwins() {
	b.t.Helper()
	asked := map[string]int{}
	for _, r := range b.sim.Requests() {
		if r.Method == "POST" {
			asked[r.Body]++
		}
	}
	for body, n := range asked {
		if n > 1 {
			b.t.Errorf("%d requests for %s", n, body)
		}
	}
}

// longTimeout is that of a request: long after a killed worker's work must have been
// taken over, the answer could still come. Its permits rest for about as long.
const longTimeout = 20 * time.Second

// likeInUse gives a worker long timeouts and a guard.
func (b bundle) likeInUse(o *worker.Options) {
	guard, err := worker.NewGuard(worker.GuardOptions{Ledger: b.ledger})
	if err != nil {
		b.t.Fatal(err)
	}
	o.Guard, o.Timeout, o.Settle = guard, longTimeout, 2*time.Minute
}

const killableEnv = "WORKER_TEST_KILLABLE"

// child is what a killable worker process needs to know.
type child struct {
	Redis, API, AccessKey, SecretKey string
	Limits                           ratelimit.Limits
	Timeout                          time.Duration
}

// killable starts a worker process and returns the function that kills it.
func (b bundle) killable(limits ratelimit.Limits) (kill func()) {
	b.t.Helper()
	order, err := json.Marshal(child{Redis: b.db.URL, API: b.sim.URL, AccessKey: b.sim.AccessKey, SecretKey: b.sim.SecretKey, Limits: limits, Timeout: longTimeout})
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillableWorker$")
	cmd.Env = append(os.Environ(), killableEnv+"="+string(order))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // its end, with this process, ends the worker
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		_ = stdin.Close()
	}
	b.t.Cleanup(kill)
	return kill
}

// TestKillableWorker is the worker of another process, and nothing by itself.
func TestKillableWorker(t *testing.T) {
	order := os.Getenv(killableEnv)
	if order == "" {
		return
	}
	var c child
	if err := json.Unmarshal([]byte(order), &c); err != nil {
		t.Fatal(err)
	}
	target, err := redisconn.Parse(c.Redis)
	if err != nil {
		t.Fatal(err)
	}
	rdb := target.Worker()
	api, err := flowroute.New(flowroute.Options{BaseURL: c.API, Timeout: c.Timeout, Credentials: flowroute.Credentials{AccessKey: c.AccessKey, SecretKey: c.SecretKey}})
	if err != nil {
		t.Fatal(err)
	}
	limiter, err := ratelimit.New(rdb, ratelimit.Options{Account: api.Account(), Limits: c.Limits, Timeout: c.Timeout, FreshStart: true})
	if err != nil {
		t.Fatal(err)
	}
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := bundle{t: t, ledger: client.Ledger()}
	o := worker.Options{Redis: rdb, Jobs: client, API: api, Limiter: limiter, Rates: c.Limits, Poll: 10 * time.Millisecond, Concurrency: 20}
	b.likeInUse(&o)
	w, err := worker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		cancel()
	}()
	go func() { _ = limiter.Run(ctx) }()
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// One message that asynq cannot read, its lease over, keeps asynq from giving anything
// of that queue back. It is put aside, and all else goes on.
func TestUnreadableTaskStopsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	rdb := b.db.Client()
	long := time.Now().Add(-time.Minute)
	broken, dead, cut := b.send(jobs.Message{Body: "its nudge is broken"}), b.send(jobs.Message{Body: "of a dead worker"}), b.send(jobs.Message{Body: "pending, broken"})
	lost := take(t, rdb, long)
	take(t, rdb, time.Now().Add(25*time.Second))
	for _, id := range []string{lost, cut + ".1"} {
		if err := rdb.HSet(t.Context(), normalQueue+"t:"+id, "msg", "\xff\xff not a message").Err(); err != nil {
			t.Fatal(err)
		}
	}
	b.plain(rdb, "foreign", "to be broken")
	rdb.HSet(t.Context(), normalQueue+"t:foreign", "msg", "\xff\xff nor this")
	started := time.Now()
	var lines told
	b.start(sweeping(time.Minute, &lines)) // the watch alone
	for _, id := range []string{dead, broken, cut} {
		b.until(id, ledger.Accepted)
	}
	took := time.Since(started)
	if took > handBack+5*time.Second {
		t.Errorf("it took %v", took)
	}
	t.Logf("the jobs of two unreadable tasks and the one behind them were accepted within %v", took.Round(10*time.Millisecond))
	b.eventually("the foreign one put aside", func() bool {
		kept, err := rdb.HGetAll(t.Context(), ledger.DefaultPrefix+"unreadable").Result()
		return err == nil && len(kept) == 3 && kept["normal foreign"] == "\xff\xff nor this"
	})
	if got := lines.count("it cannot be read"); got != 3 {
		t.Errorf("%d lines in the log, want 3", got)
	}
	b.noTwins()
}

// After a time without Redis nothing is known of the leases; live workers' tasks are
// not given to others.
func TestLeasesAfterAnOutage(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	proxy := b.db.Proxy(t)
	var lines told
	o := sweeping(time.Minute, &lines)
	o.limits = ratelimit.Limits{SMS: ratelimit.Rate{N: 1, Per: time.Minute}}
	o.redis = func(*redistest.DB) redis.UniversalClient { return proxy.Worker() }
	b.start(o)
	b.until(b.send(jobs.Message{}), ledger.Accepted)
	for range 5 {
		b.send(jobs.Message{})
	}
	rdb := b.db.Client()
	b.eventually("tasks in hand", func() bool { return rdb.ZCard(t.Context(), normalQueue+"lease").Val() == 5 })
	<-time.After(3 * time.Second)
	proxy.Stall()
	<-time.After(10 * time.Second)
	proxy.Resume()
	<-time.After(7 * time.Second)
	ids, err := rdb.ZRange(t.Context(), normalQueue+"lease", 0, -1).Result()
	if err != nil || len(ids) != 5 {
		t.Errorf("got %v, %v; want the five tasks where they were", ids, err)
	}
	if n := lines.count("given back"); n > 0 {
		t.Errorf("%d tasks of a live worker were given back", n)
	}
}
