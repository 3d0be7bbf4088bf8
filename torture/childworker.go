package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/resolve"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// service is what the worker process of the product runs: worker, limiter, guard,
// resolver and syncs, with shorter times.
type service struct {
	o       *workerOrder
	log     *slog.Logger
	redis   redis.UniversalClient // of what has happened already
	asks    redis.UniversalClient // of what keeps to deadlines
	api     *flowroute.Client
	limiter *ratelimit.Limiter
	jobs    *jobs.Client
}

func (w *workerOrder) run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	s := &service{o: w, log: log}
	defer s.close()
	if err := s.connect(ctx); err != nil {
		return err
	}
	runs, err := s.parts(ctx)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(map[string]bool{"ready": true}); err != nil {
		return err
	}
	return runs.run(ctx)
}

func (s *service) connect(ctx context.Context) error {
	target, err := redisconn.Parse(s.o.Redis)
	if err != nil {
		return err
	}
	s.redis, s.asks = redisconn.Pipelined(target.Worker()), target.Producer()
	if err := redisconn.Wait(ctx, s.asks, 5*time.Minute, s.log); err != nil {
		return err
	}
	s.api, err = flowroute.New(flowroute.Options{
		BaseURL: s.o.API, Timeout: s.o.Times.Timeout, Credentials: flowroute.Credentials{AccessKey: s.o.AccessKey, SecretKey: s.o.SecretKey},
	})
	if err != nil {
		return err
	}
	s.limiter, err = ratelimit.New(s.asks, ratelimit.Options{
		Account: account, Limits: s.o.Limits, Timeout: s.o.Times.Timeout, WriteWindow: s.o.Times.Window, PathDelay: s.o.Times.Path,
		Recovery: s.o.Times.Recover, FreshStart: s.o.Fresh, Logger: s.log,
	})
	if err != nil {
		return err
	}
	s.jobs, err = jobs.NewClient(s.redis, jobs.Options{Logger: s.log})
	return err
}

func (s *service) close() {
	if s.api != nil {
		s.api.Close()
	}
	for _, rdb := range []redis.UniversalClient{s.redis, s.asks} {
		if rdb != nil {
			_ = rdb.Close()
		}
	}
}

// parts makes everything that runs.
func (s *service) parts(ctx context.Context) (parts, error) {
	t := s.o.Times
	syncs, numbers, err := s.syncs()
	if err != nil {
		return nil, err
	}
	punctual, err := jobs.NewClient(s.asks, jobs.Options{Logger: s.log})
	if err != nil {
		return nil, err
	}
	guard, err := worker.NewGuard(worker.GuardOptions{
		Ledger: punctual.Ledger(), ID: fmt.Sprintf("%s.%d", s.o.Name, os.Getpid()), Window: t.Window, Timeout: t.Timeout, Settle: t.Settle,
		ExplainFor: t.Explain, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	campaigns, err := campaign.New(s.asks, campaign.Options{})
	if err != nil {
		return nil, err
	}
	clocks, err := campaign.NewClocks(time.UTC)
	if err != nil {
		return nil, err
	}
	w, err := worker.New(worker.Options{
		Redis: s.redis, Jobs: s.jobs, API: s.api, Limiter: s.limiter, Account: account, Syncs: syncs, Numbers: numbers,
		Guard: guard, Callback: callback, Trace: s.o.Die.trace(),
		Rates: s.o.Limits, CampaignCaps: capsOf(ctx, campaigns), Closed: clocks.Closed, Timeout: t.Timeout, Settle: t.Settle, GiveUp: t.Max, ShutdownTimeout: 10 * time.Second,
		Sweep: time.Second, Poll: 20 * time.Millisecond, Concurrency: 24, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	feeder, err := campaign.NewFeeder(campaign.FeederOptions{Store: campaigns, Jobs: s.jobs, Clocks: clocks, Rate: s.o.Limits.SMS.PerSecond(), Logger: s.log})
	if err != nil {
		return nil, err
	}
	resolver, err := resolve.New(resolve.Options{
		Ledger: punctual.Ledger(), API: s.api.WithGate(worker.Gate(s.limiter, ratelimit.LaneResolve)), Redis: s.asks, Account: account, Known: numbers.KnownBefore, Nudge: w.Resend,
		Settle: t.Settle, SettleIdle: t.Idle, Max: t.Max, Tick: t.Settle / 8, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	return parts{{feeder.Run}, {w.Run, resolver.Run}, {s.limiter.Run}}, nil
}

func (s *service) syncs() (map[ledger.Type]worker.Syncer, *inventory.Store, error) {
	api := s.api.WithGate(worker.Gate(s.limiter, ratelimit.LaneSync))
	draining := func(err error) bool { return errors.Is(err, ratelimit.ErrDraining) }
	records, err := mdr.New(s.asks, mdr.Options{})
	if err != nil {
		return nil, nil, err
	}
	numbers, err := inventory.New(s.asks, inventory.Options{})
	if err != nil {
		return nil, nil, err
	}
	syncRecords, err := mdr.NewSyncer(records, api, s.jobs.Ledger(), mdr.SyncerOptions{FirstReach: time.Hour, Logger: s.log, GiveUp: draining})
	if err != nil {
		return nil, nil, err
	}
	syncNumbers, err := inventory.NewSyncer(numbers, api, inventory.SyncerOptions{Logger: s.log, GiveUp: draining})
	if err != nil {
		return nil, nil, err
	}
	return map[ledger.Type]worker.Syncer{ledger.SyncMDR: syncRecords, ledger.SyncNumbers: syncNumbers}, numbers, nil
}

// capsOf gives the worker the limits of campaigns.
func capsOf(ctx context.Context, campaigns *campaign.Store) func(ledger.ID) []ratelimit.Cap {
	var known sync.Map
	return func(id ledger.ID) []ratelimit.Cap {
		if caps, ok := known.Load(id); ok {
			return caps.([]ratelimit.Cap)
		}
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		c, err := campaigns.Get(ctx, id)
		if err != nil {
			return nil
		}
		var caps []ratelimit.Cap
		if c.Spec.Rate > 0 {
			caps = []ratelimit.Cap{{Name: "campaign:" + id.String(), Rate: ratelimit.Rate{N: int(c.Spec.Rate), Per: time.Second}}}
		}
		known.Store(id, caps)
		return caps
	}
}

// callback is an address to which the simulator posts nothing, so that receipts
// prove nothing here; it tells the comparison which attempt of which job a message
// came from.
func callback(job ledger.ID, attempt int) string {
	return fmt.Sprintf("https://receipts.invalid/%s.%d", job, attempt)
}

// trace makes the process kill itself at its point. What a dying process had handed
// to the kernel is the kernel's.
func (d death) trace() func(worker.Point, ledger.ID) {
	if d.Point == "" {
		return nil
	}
	var passed atomic.Int64
	return func(at worker.Point, _ ledger.ID) {
		if string(at) != d.Point || passed.Add(1) <= int64(d.After) {
			return
		}
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill()
		}
		select {} // the handler goes no further, however long the signal takes
	}
}

// parts run together: the stages end in order, each when all before it have ended.
type parts [][]func(context.Context) error

// run returns when ctx has ended and all parts have, or when one has ended by itself.
func (p parts) run(ctx context.Context) error {
	ended := make([]chan error, len(p))
	stops := make([]context.CancelFunc, len(p))
	early := make(chan struct{}, 1)
	for i, stage := range p {
		stageCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		stops[i], ended[i] = stop, make(chan error, len(stage))
		for _, run := range stage {
			go func() {
				ended[i] <- run(stageCtx)
				select {
				case early <- struct{}{}:
				default:
				}
			}()
		}
	}
	var errs []error
	select {
	case <-ctx.Done():
	case <-early:
		errs = append(errs, errors.New("a part ended by itself"))
	}
	for i, stage := range p {
		stops[i]()
		for range stage {
			if err := <-ended[i]; !errors.Is(err, context.Canceled) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
