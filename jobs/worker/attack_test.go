package worker_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

var (
	attackFor  = flag.Duration("attack.for", 6*time.Second, "how long TestAttack makes trouble")
	attackSeed = flag.Uint64("attack.seed", 0, "seed of TestAttack; 0 draws one")
	attackLog  = flag.String("attack.log", "", "directory for the logs of the worker processes")
	attackLeap = flag.Bool("attack.leap", true, "let asynq's leases of killed workers lapse at once, not after a minute or two")
)

const (
	attackWorkers = 4
	attackTimeout = 700 * time.Millisecond
	attackSettle  = 600 * time.Millisecond
	attackWindow  = 400 * time.Millisecond
)

// attack is several worker processes, a producer and trouble.
type attack struct {
	bundle
	redis   *redistest.Server
	rdb     redis.UniversalClient
	rng     *rand.Rand // of the troublemaker
	workers []*process
	proxies []*redistest.Proxy
	thawing sync.WaitGroup

	asked
	kills, freezes, redisKills, cuts int
	spared                           bool // Redis is not killed
}

// TestAttack kills, stops and cuts off everything but the simulated account, with
// a mixed load of jobs, and then compares what the account took with what the
// ledger says: nothing is taken twice, nothing is lost, no state is wrong.
func TestAttack(t *testing.T) {
	seed := *attackSeed
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	t.Logf("seed %d", seed)
	a := newAttack(t, seed)
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), *attackFor)
	defer cancel()
	var load sync.WaitGroup
	load.Go(func() { a.produce(ctx, rand.New(rand.NewPCG(seed, 1))) })
	a.trouble(ctx)
	load.Wait()
	a.heal()
	healed := time.Now()
	a.rest()
	a.report(seed, began, healed)
	for _, w := range a.workers {
		w.drain()
	}
	a.check()
}

func newAttack(t *testing.T, seed uint64) *attack {
	t.Helper()
	server := redistest.Own(t, redisembed.Options{})
	limits := ratelimit.Limits{SMS: ratelimit.Rate{N: 40, Per: time.Second}, MMS: ratelimit.Rate{N: 10, Per: time.Second},
		Numbers: ratelimit.Rate{N: 100, Per: time.Second}}
	sim := flowroutetest.NewServer(t, flowroutetest.Options{Seed: seed, Latency: 5 * time.Millisecond, Jitter: 30 * time.Millisecond,
		Inventory: attackInventory(), Routes: attackRoutes(),
		Limits: flowroutetest.Limits{SMSPerSecond: 40, MMSPerSecond: 10, NumbersPerSecond: 100, Window: flowroutetest.WindowSliding}})
	rdb := server.Client()
	client, err := jobs.NewClient(rdb, jobs.Options{Patience: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	a := &attack{bundle: bundle{t: t, sim: sim, db: &server.DB, jobs: client, ledger: client.Ledger()},
		redis: server, rdb: rdb, rng: rand.New(rand.NewPCG(seed, 2))}
	a.durable()
	a.faults()
	for i := range attackWorkers {
		proxy := server.Proxy(t)
		order := child{Redis: proxy.URL, API: sim.URL, AccessKey: sim.AccessKey, SecretKey: sim.SecretKey, Limits: limits,
			Timeout: attackTimeout, Settle: attackSettle, Window: attackWindow, FreshStart: true}
		if *attackLog != "" {
			order.Log = filepath.Join(*attackLog, strconv.FormatUint(seed, 10)+"-"+strconv.Itoa(i)+".log")
		}
		p := &process{t: t, order: order}
		t.Cleanup(p.kill)
		p.start()
		p.order.FreshStart = false
		a.workers, a.proxies = append(a.workers, p), append(a.proxies, proxy)
	}
	return a
}

func attackInventory() []flowroutetest.ForSale {
	var list []flowroutetest.ForSale
	for i := range 300 {
		list = append(list, flowroutetest.ForSale{Number: fmt.Sprintf("1206557%04d", i), RateCenter: "SEATTLE", State: "WA", SetupCost: 1, MonthlyCost: 1.25})
	}
	return list
}

// attackRoutes are the routes that updates set by id; each update has one of its own.
func attackRoutes() []flowroutetest.Route {
	var list []flowroutetest.Route
	for i := range 400 {
		list = append(list, flowroutetest.Route{ID: strconv.Itoa(1000 + i), Type: "host", Value: fmt.Sprintf("r%d.example.com", i), Alias: fmt.Sprintf("r%d", i)})
	}
	return list
}

// durable makes Redis write each change to the disk before it answers. The imitation
// keeps nothing; it is not killed.
func (a *attack) durable() {
	a.t.Helper()
	if a.redis.Kind != redisembed.KindServer {
		a.spared = true
		return
	}
	if err := a.rdb.ConfigSet(a.t.Context(), "appendfsync", "always").Err(); err != nil {
		a.t.Fatal(err)
	}
}

// faults makes a share of the requests go wrong, to the end.
func (a *attack) faults() {
	for name, p := range map[string]float64{
		"accepted-then-cut": .02, "accepted-then-500": .02, "accepted-then-silence": .01, "accepted-then-reset": .01, "accepted-late": .01,
		"accepted-garbage": .01, "accepted-truncated": .01, "accepted-empty": .01, "500-before": .01, "503-before": .01, "reset-before": .02,
		"silence-before": .01, "bare-403-html": .005, "429": .01, "redirect-307": .005, "slow-body": .02, "slow-response": .01, "split-records": .02,
		"purchase-accepted-then-cut": .15, "purchase-accepted-then-500": .1, "purchase-garbage": .05, "purchase-207": .1, "purchase-lag": .1,
		"route-accepted-then-cut": .1, "route-accepted-then-500": .1, "read-500": .02, "read-cut": .02,
	} {
		f := flowroutetest.Fault{Probability: p}
		switch name {
		case "accepted-late":
			f.Delay = attackTimeout + 200*time.Millisecond
		case "purchase-lag":
			f.Delay = attackSettle
		case "slow-body", "slow-response":
			f.Delay = 300 * time.Millisecond
		}
		a.sim.SetFault(name, f)
	}
}

// trouble goes on until ctx ends. Redis is killed after a third and two thirds.
func (a *attack) trouble(ctx context.Context) {
	began := time.Now()
	for ctx.Err() == nil {
		wait(ctx, time.Duration(100+a.rng.IntN(500))*time.Millisecond)
		if time.Since(began) > *attackFor*time.Duration(a.redisKills+1)/3 && a.redisKills < 2 && !a.spared {
			a.redisKills++
			a.redis.Kill()
			wait(ctx, time.Duration(a.rng.IntN(800))*time.Millisecond)
			a.redis.Restart()
			a.durable()
			continue
		}
		i := a.rng.IntN(len(a.workers))
		switch what := a.rng.IntN(10); {
		case what < 4:
			a.kills++
			a.workers[i].kill()
			wait(ctx, time.Duration(a.rng.IntN(300))*time.Millisecond)
			a.leap()
			a.workers[i].start()
		case what < 6:
			a.freeze(ctx, i)
		case what < 8:
			a.cuts++
			a.proxies[i].Cut()
			wait(ctx, time.Duration(a.rng.IntN(300))*time.Millisecond)
			a.proxies[i].Resume()
		default:
			a.cuts++
			a.proxies[i].DropReplies(1 + a.rng.IntN(10))
		}
	}
}

// freeze stops a worker for longer than its requests may take.
func (a *attack) freeze(ctx context.Context, i int) {
	if !a.workers[i].freeze() {
		return
	}
	a.freezes++
	long := time.Duration(500+a.rng.IntN(3000)) * time.Millisecond
	a.thawing.Go(func() {
		wait(ctx, long)
		a.workers[i].thaw()
	})
	a.leap()
}

// leap lets the leases of all tasks lapse, those of live workers too: so killed
// workers' tasks come back with the next start of a worker, and some tasks run in
// two processes at once, as after a freeze.
func (a *attack) leap() {
	if !*attackLeap {
		return
	}
	for _, queue := range ledger.Queues() {
		key := "asynq:{" + queue + "}:lease"
		tasks, err := a.rdb.ZRange(a.t.Context(), key, 0, -1).Result()
		for _, task := range tasks {
			_ = a.rdb.ZAddXX(a.t.Context(), key, redis.Z{Score: float64(time.Now().Add(-time.Minute).Unix()), Member: task}).Err()
		}
		if err != nil {
			return // Redis is down: then not
		}
	}
}

// heal ends all trouble but the spoiled answers.
func (a *attack) heal() {
	a.thawing.Wait()
	for i, w := range a.workers {
		a.proxies[i].Resume()
		a.proxies[i].DropReplies(0)
		w.thaw()
	}
	if *attackLeap {
		// Once more a start of a worker after the leases have lapsed.
		a.workers[0].kill()
		a.leap()
		a.workers[0].start()
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// plainTask enqueues a message as another app does; the task's id is the job's.
func (a *attack) plainTask(ctx context.Context, client *asynq.Client, id ledger.ID, body string) error {
	payload := fmt.Sprintf(`{"v":1,"from":%q,"to":%q,"body":%q}`, ours, theirs, body)
	_, err := client.EnqueueContext(ctx, asynq.NewTask(string(ledger.SendMessage), []byte(payload)), asynq.Queue("normal"), asynq.TaskID(id.String()))
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil
	}
	return err
}
