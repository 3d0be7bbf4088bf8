package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/internal/faultproxy"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Credentials of the simulated account.
const (
	accessKey = flowroutetest.DefaultAccessKey
	secretKey = flowroutetest.DefaultSecretKey
)

// run is one run: everything that was started, and what happened so far.
type run struct {
	o         Options
	dir       string
	plan      Plan
	redis     *redisServer
	sim       *process
	simLog    *os.File
	simAddr   string
	remote    flowroutetest.Remote
	workers   []*workerProc
	perishing chan int
	producer  *producer
	campaigns *campaigner
	ledger    *ledger.Ledger
	began     time.Time
	phase     phase

	later     sync.WaitGroup // ends of trouble that lasts
	redisTurn sync.Mutex     // held while Redis is killed and started

	mu       sync.Mutex // guards what follows
	rolling  bool       // a snapshot waits to be put back
	done     map[Action]int
	skipped  map[Action]int
	cutBytes int64
	notes    []string
}

// Run is one whole run. It returns [ErrNoRedis] where there is no redis-server, and
// other errors when the run could not be carried through; what it found is in the
// report alone.
func Run(ctx context.Context, o Options) (Report, error) {
	if err := o.Validate(); err != nil {
		return Report{}, err
	}
	o.setDefaults()
	r := &run{o: o, plan: NewPlan(o), done: map[Action]int{}, skipped: map[Action]int{}}
	defer r.close()
	if err := r.setUp(ctx); err != nil {
		return Report{}, err
	}
	helping, stop := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() { r.revive(helping) })
	helpers.Go(func() { r.tell(helping) })
	helpers.Go(func() { r.campaigns.run(helping) })
	helpers.Go(func() { r.redis.sample(helping) })
	err := r.play(ctx)
	healed := time.Now()
	rested := err == nil && r.rest(ctx)
	restTook := time.Since(healed)
	stop()
	helpers.Wait()
	if err := errors.Join(err, ctx.Err()); err != nil {
		return Report{}, err
	}
	for _, w := range r.workers {
		if err := w.end(); err != nil {
			r.note("worker %d, told to end: %v", w.n, err)
		}
	}
	report, err := r.compare(ctx)
	report.Rested, report.RestSeconds, report.TroubleSeconds = rested, seconds(restTook), seconds(healed.Sub(r.began))
	return report, err
}

// setUp starts everything.
func (r *run) setUp(ctx context.Context) (err error) {
	if r.dir = r.o.Dir; r.dir != "" {
		err = os.MkdirAll(r.dir, 0o700)
	} else {
		r.dir, err = os.MkdirTemp("", "torture-")
	}
	if err != nil {
		return err
	}
	if r.redis, err = startRedis(ctx, r.dir, r.o.Fsync); err != nil {
		return err
	}
	if err := r.startSimulator(); err != nil {
		return err
	}
	if r.producer, err = newProducer(r.redis.URL(), r.plan.Items); err != nil {
		return err
	}
	if r.campaigns, err = newCampaigner(r.producer.redis, r.plan.Campaigns, &r.producer.calls); err != nil {
		return err
	}
	r.ledger = r.producer.jobs.Ledger()
	if err := r.ledger.Own(ctx, account); err != nil {
		return err
	}
	if err := r.newWorkers(ctx); err != nil {
		return err
	}
	for _, w := range r.workers {
		if err := w.start(); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) startSimulator() (err error) {
	delay := time.Duration(0)
	if r.o.Late {
		delay = 2 * r.o.times().Settle
	}
	// Flowroute's clock is not ours.
	skew := time.Duration((rand.New(rand.NewPCG(r.o.Seed, 3)).Float64() - 0.5) * float64(3*time.Second))
	o := order{Log: filepath.Join(r.dir, "simulator.log"), Simulator: &simulatorOrder{
		Seed: r.o.Seed, Limits: r.o.simulated(), Faults: steadyFaults(r.o), MDRDelay: delay, ClockSkew: skew, Jobs: max(r.o.Purchases, r.o.Routes),
	}}
	if r.simLog, err = logFile(filepath.Join(r.dir, "simulator.err")); err != nil {
		return err
	}
	r.sim, err = child(r.o.Child, o, r.simLog, func(out *bufio.Reader) error {
		var at simulatorAddress
		err := json.NewDecoder(out).Decode(&at)
		r.simAddr = at.Addr
		return err
	})
	r.remote = flowroutetest.Remote{Root: "http://" + r.simAddr}
	return err
}

// newWorkers makes the workers with their proxies; none runs yet.
func (r *run) newWorkers(ctx context.Context) error {
	r.perishing = make(chan int, 64)
	for n := range r.o.Workers {
		w := &workerProc{n: n, argv: r.o.Child, seed: r.o.Seed, aim: r.o.Kills > 0, perishing: r.perishing, aimed: map[string]int{}}
		r.workers = append(r.workers, w)
		name := fmt.Sprintf("worker-%d", n)
		var err error
		if w.log, err = logFile(filepath.Join(r.dir, name+".err")); err != nil {
			return err
		}
		if w.redis, err = faultproxy.Start(ctx, r.redis.Addr()); err != nil {
			return err
		}
		if w.api, err = faultproxy.Start(ctx, r.simAddr); err != nil {
			return err
		}
		w.order = order{Log: filepath.Join(r.dir, name+".log"), Worker: &workerOrder{
			Name: name, Redis: "redis://" + w.redis.Addr() + "/0", API: "http://" + w.api.Addr(),
			AccessKey: accessKey, SecretKey: secretKey, Limits: r.o.limits(), Times: r.o.times(), Fresh: true,
		}}
	}
	return nil
}

// play asks for the jobs while there is trouble, and then heals everything.
func (r *run) play(ctx context.Context) error {
	r.began = time.Now()
	r.phase.set("trouble")
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		r.producer.run(ctx)
	}()
	err := r.trouble(ctx, asked)
	<-asked
	r.later.Wait()
	r.producer.late(ctx)
	r.phase.set("draining")
	return errors.Join(err, r.drain(ctx), r.heal(ctx))
}

// heal ends all trouble.
func (r *run) heal(ctx context.Context) error {
	r.phase.set("healing")
	r.later.Wait()
	for _, w := range r.workers {
		w.disarm()
		w.redis.Heal()
		w.api.Heal()
		w.thaw()
	}
	err := errors.Join(r.remote.ClearFaults(ctx), r.remote.HoldRecords(ctx, 0))
	r.producer.late(ctx)
	r.phase.set("resting")
	return err
}

// note keeps a line for the report.
func (r *run) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *run) close() {
	for _, w := range r.workers {
		w.close()
	}
	if r.producer != nil {
		r.producer.close()
	}
	if r.sim != nil {
		r.sim.Kill()
	}
	if r.simLog != nil {
		_ = r.simLog.Close()
	}
	if r.redis != nil {
		_ = r.redis.Close() // what it says of the end is in its log
	}
	if r.o.Dir == "" && r.dir != "" {
		_ = os.RemoveAll(r.dir)
	}
}

// seconds are for reports: to a tenth.
func seconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Millisecond)) / float64(time.Second)
}
