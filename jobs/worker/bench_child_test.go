package worker_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/resolve"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// benchEnv makes TestBenchChild one worker process of a benchmark: in a process of its
// own, what a worker uses can be told from what the simulated account uses.
const benchEnv = "WORKER_BENCH_CHILD"

// benchOrder is what such a process is told.
type benchOrder struct {
	Redis, API, AccessKey, SecretKey string

	Plain    bool // an asynq worker as people write it by hand
	Pooled   bool // that, with as many idle connections to the API as handlers
	Handlers int  // 0: as many as the rates ask for
	Account  ratelimit.Limits
	Sender   ratelimit.Rate // limit of each sending number
	Profile  string         // file for a CPU profile; empty: none
}

// usage is what the process has used since its start.
type usage struct {
	CPU   time.Duration // user and system
	Calls int64         // commands sent to Redis, each of a pipeline counted
}

// TestBenchChild is the process; without its orders it does nothing. It reports its
// usage when it is ready, and again for each line that it reads, of which the first
// lets it begin. It ends with its standard input.
func TestBenchChild(t *testing.T) {
	order := os.Getenv(benchEnv)
	if order == "" {
		return
	}
	var o benchOrder
	if err := json.Unmarshal([]byte(order), &o); err != nil {
		t.Fatal(err)
	}
	target, err := redisconn.Parse(o.Redis)
	if err != nil {
		t.Fatal(err)
	}
	producer, consumer := target.Producer(), target.Worker()
	var calls redisCalls
	for _, rdb := range []redis.UniversalClient{producer, consumer} {
		rdb.AddHook(&calls)
		if err := rdb.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	run := o.ours
	if o.Plain {
		run = o.plain
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	stdin, reports := bufio.NewReader(os.Stdin), json.NewEncoder(os.NewFile(3, "reports"))
	for begun := false; ; {
		_ = reports.Encode(usage{cpuTime(t), calls.Load()})
		if _, err := stdin.ReadString('\n'); err != nil {
			break
		}
		if begun {
			continue
		}
		begun = true
		if o.Profile != "" {
			file, err := os.Create(o.Profile)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if err := pprof.StartCPUProfile(file); err != nil {
				t.Fatal(err)
			}
			defer pprof.StopCPUProfile()
		}
		go func() {
			defer close(ended)
			if err := run(ctx, producer, consumer); err != nil {
				t.Error(err)
			}
		}()
	}
	pprof.StopCPUProfile() // what it does to end is of no interest
	cancel()
	<-ended
}

// cpuTime is what this process has used, user and system.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var spent syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &spent); err != nil {
		t.Fatal(err)
	}
	return time.Duration(spent.Utime.Nano() + spent.Stime.Nano())
}

// ours is a worker, resolver and limiter, put together as the command does.
func (o benchOrder) ours(ctx context.Context, producer, consumer redis.UniversalClient) error {
	debug.SetGCPercent(300)
	metrics := worker.NewMetrics(prometheus.NewRegistry())
	consumer = redisconn.Pipelined(consumer)
	api, err := flowroute.New(flowroute.Options{BaseURL: o.API, Observe: metrics.Observe,
		Credentials: flowroute.Credentials{AccessKey: o.AccessKey, SecretKey: o.SecretKey}})
	if err != nil {
		return err
	}
	defer api.Close()
	limiter, err := ratelimit.New(producer, ratelimit.Options{Account: api.Account(), Limits: o.Account, FreshStart: true})
	if err != nil {
		return err
	}
	records, err := jobs.NewClient(producer, jobs.Options{})
	if err != nil {
		return err
	}
	client, err := jobs.NewClient(consumer, jobs.Options{})
	if err != nil {
		return err
	}
	guard, err := worker.NewGuard(worker.GuardOptions{Ledger: records.Ledger()})
	if err != nil {
		return err
	}
	options := worker.Options{Redis: consumer, Jobs: client, API: api, Limiter: limiter, Guard: guard, Rates: o.Account, Concurrency: o.Handlers, Metrics: metrics}
	if !o.Sender.IsZero() {
		options.Caps = func(sender flowroute.E164) []ratelimit.Cap {
			return []ratelimit.Cap{{Name: "from:" + sender.Digits(), Rate: o.Sender}}
		}
	}
	w, err := worker.New(options)
	if err != nil {
		return err
	}
	r, err := resolve.New(resolve.Options{Ledger: records.Ledger(), Redis: producer, Account: api.Account(), Nudge: w.Resend,
		API: api.WithGate(worker.Gate(limiter, ratelimit.LaneResolve))})
	if err != nil {
		return err
	}
	limiting, stop := context.WithCancel(context.WithoutCancel(ctx))
	var work, limit sync.WaitGroup
	limit.Go(func() { _ = limiter.Run(limiting) })
	work.Go(func() { _ = w.Run(ctx) })
	work.Go(func() { _ = r.Run(ctx) })
	work.Wait()
	stop()
	limit.Wait()
	return nil
}

// plain is one asynq server and net/http, and keeps no record of what it did. net/http
// keeps two idle connections to a host, unless it is told to keep more.
func (o benchOrder) plain(ctx context.Context, producer, _ redis.UniversalClient) error {
	api := &http.Client{Timeout: time.Minute}
	if o.Pooled {
		api.Transport = &http.Transport{MaxIdleConnsPerHost: o.Handlers}
	}
	server := asynq.NewServerFromRedisClient(producer, asynq.Config{Concurrency: o.Handlers, Queues: map[string]int{plainQueue: 1}, LogLevel: asynq.FatalLevel})
	err := server.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		request, err := http.NewRequestWithContext(ctx, "POST", o.API+"/v2.1/messages", bytes.NewReader(task.Payload()))
		if err != nil {
			return err
		}
		request.SetBasicAuth(o.AccessKey, o.SecretKey)
		request.Header.Set("Content-Type", "application/vnd.api+json")
		response, err := api.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var sent struct{ Data struct{ ID string } }
		if err := json.NewDecoder(response.Body).Decode(&sent); err != nil || response.StatusCode != http.StatusAccepted {
			return fmt.Errorf("status %d: %w", response.StatusCode, err)
		}
		return nil
	}))
	if err != nil {
		return err
	}
	<-ctx.Done()
	server.Shutdown()
	return nil
}

// plainQueue is where the tasks of the worker written by hand are.
const plainQueue = "plain"

// redisCalls counts the commands that a client sends.
type redisCalls struct{ atomic.Int64 }

func (c *redisCalls) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *redisCalls) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.Add(1)
		return next(ctx, cmd)
	}
}

func (c *redisCalls) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}
