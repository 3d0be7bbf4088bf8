package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/forward"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/reconcile"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/resolve"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
	"github.com/flowroute-worker/flowroute-worker/scheduler"
)

// redisClients are the two kinds of client that a service needs.
type redisClients struct {
	producer redis.UniversalClient // keeps to deadlines
	worker   redis.UniversalClient // carries through what has happened already
}

func openRedis(s settings) redisClients {
	return redisClients{producer: s.target.Producer(), worker: redisconn.Pipelined(s.target.Worker())}
}

func (r redisClients) close() {
	_ = r.worker.Close()
	_ = r.producer.Close()
}

// serviceOptions are what the environment does not say.
type serviceOptions struct {
	roles    roles
	listener net.Listener // with the role http

	// The rest is for the demo, which has its Redis to itself and little time.
	fresh       bool              // nobody else can hold a permit
	writeWindow time.Duration     // of a permit; 0: the limiter's default
	poll        time.Duration     // of idle queues; 0: the worker's default
	entries     []scheduler.Entry // nil: as the environment says
	firstReach  time.Duration     // of the first sync of records; 0: its default
	anySender   bool              // messages are taken from numbers that are not the account's
}

// service is everything that run runs.
type service struct {
	settings
	o       serviceOptions
	log     *slog.Logger
	redis   redisClients
	account string // empty: not known, without credentials and without jobs

	api       *flowroute.Client // nil without credentials
	limiter   *ratelimit.Limiter
	jobs      *jobs.Client // on the producer's client
	records   *mdr.Store
	numbers   *inventory.Store
	senders   checkSenders // nil: all are taken
	reconcile *reconcile.Reconciler
	optOuts   *suppress.Store
	campaigns *campaign.Store
	forward   *forward.Store // nil: nobody wants what Flowroute posts
	scheduler *scheduler.Scheduler
	registry  *prometheus.Registry
	otp       otpShare
	metrics   *worker.Metrics
	resolved  *resolve.Metrics
	access    *credentialCheck
	events    *recentEvents
}

// newService wires a service; nothing runs yet.
func newService(ctx context.Context, s settings, r redisClients, log *slog.Logger, o serviceOptions) (*service, error) {
	v := &service{settings: s, o: o, log: log, redis: r, registry: prometheus.NewRegistry()}
	v.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	v.metrics = worker.NewMetrics(v.registry)
	if o.roles.worker {
		v.resolved = resolve.NewMetrics(v.registry)
	}
	var err error
	if v.numbers, err = inventory.New(r.producer, inventory.Options{}); err != nil {
		return nil, err
	}
	if v.senders, err = v.newSenders(); err != nil {
		return nil, err
	}
	options := s.jobOptions()
	options.Logger, options.Senders = log, v.senders
	if v.jobs, err = jobs.NewClient(r.producer, options); err != nil {
		return nil, err
	}
	if v.records, err = mdr.New(r.producer, mdr.Options{Retention: s.MDRRetention}); err != nil {
		return nil, err
	}
	if v.reconcile, err = s.newReconciler(r.producer, v.jobs.Ledger(), v.records, log); err != nil {
		return nil, err
	}
	if v.optOuts, err = suppress.New(r.producer, s.optOutOptions()); err != nil {
		return nil, err
	}
	if v.campaigns, err = s.newCampaigns(r.producer, v.senders); err != nil {
		return nil, err
	}
	if err := v.connect(ctx); err != nil {
		return nil, err
	}
	if o.entries == nil {
		o.entries = s.entries()
	}
	v.scheduler, err = scheduler.New(v.jobs, scheduler.Options{Entries: o.entries, LastRuns: scheduler.NewLastRuns(r.producer, ""), Logger: log})
	if err != nil {
		return nil, err
	}
	if err := v.openForward(); err != nil {
		return nil, err
	}
	v.events = newRecentEvents(v.jobs, log)
	v.registry.MustRegister(v.lastSyncs()...)
	v.registry.MustRegister(limitMetrics{v}, newCampaignMetrics(v.campaigns, log), newReconcileMetrics(v.reconcile, log))
	return v, nil
}

// entries are the syncs and the reconciliation that the environment asks for. The names are part of the
// jobs' keys and never change.
func (s settings) entries() []scheduler.Entry {
	return []scheduler.Entry{
		{Name: "sync-mdr", Type: ledger.SyncMDR, Spec: string(s.MDRSyncCron)},
		{Name: "sync-numbers", Type: ledger.SyncNumbers, Spec: string(s.NumbersSyncCron)},
		{Name: "reconcile", Type: ledger.Reconcile, Spec: string(s.ReconcileCron)},
	}
}

// connect makes client and limiter and claims the ledger for the account. Without
// credentials the account is the one whose jobs are there.
func (v *service) connect(ctx context.Context) error {
	v.account = v.AccountAlias
	if v.hasCredentials() {
		api, err := v.client(flowroute.Options{Observe: v.metrics.Observe, Logger: v.log})
		if err != nil {
			return err
		}
		v.api, v.account = api, v.settings.account(api)
	}
	var err error
	if v.account == "" {
		v.account, err = v.jobs.Ledger().Owner(ctx)
	} else {
		err = ownLedger(ctx, v.jobs, v.account)
	}
	if err != nil || v.account == "" {
		return err
	}
	v.limiter, err = ratelimit.New(v.redis.producer, ratelimit.Options{
		Account: v.account, Limits: v.limits, Timeout: v.Timeout, Logger: v.log,
		FreshStart: v.o.fresh, WriteWindow: v.o.writeWindow,
	})
	if err != nil || v.api == nil {
		return err
	}
	v.api = v.api.WithGate(worker.Gate(v.limiter, ratelimit.LaneNormal))
	v.access = newCredentialCheck(v.api, v.log)
	return nil
}

// close frees what is not a part.
func (v *service) close() {
	if v.api != nil {
		v.api.Close()
	}
}

// run runs the roles until ctx ends: what takes jobs in ends first, then the
// worker, and the limiter last, when every request is over.
func (v *service) run(ctx context.Context) error {
	var intake, work, limits []part
	if v.o.roles.http {
		server, err := v.httpServer()
		if err != nil {
			return err
		}
		intake = append(intake,
			part{"http", func(ctx context.Context) error { return server.Serve(ctx, v.o.listener) }},
			part{"events", v.events.run})
		if v.access != nil {
			intake = append(intake, part{"credentials", v.access.run})
		}
	}
	if v.o.roles.scheduler {
		intake = append(intake, part{"scheduler", v.scheduler.Run})
	}
	if v.o.roles.worker {
		w, feeder, err := v.newWorker()
		if err != nil {
			return err
		}
		intake = append(intake, part{"feeder", feeder.Run})
		r, err := v.newResolver(w.Resend)
		if err != nil {
			return err
		}
		work = append(work, part{"worker", w.Run}, part{"resolver", r.Run})
	}
	if v.limiter != nil && v.api != nil {
		limits = append(limits, part{"limiter", v.limiter.Run})
	}
	// The webhook last: so it tells of what the drain has brought to its end.
	if webhook, err := v.newWebhook(); err != nil {
		return err
	} else if webhook != nil && v.o.roles.scheduler {
		limits = append(limits, part{"webhook", webhook.Run})
	}
	if v.o.roles.scheduler {
		forwarders, err := v.forwarders()
		if err != nil {
			return err
		}
		limits = append(limits, forwarders...)
	}
	v.log.InfoContext(ctx, "running", "account", v.account, "roles", v.o.roles.String())
	return stages{intake, work, limits}.run(ctx, v.log)
}

// heed takes note of the STOP and START words among records.
func (v *service) heed(ctx context.Context, records []flowroute.MDR) error {
	applied, err := v.optOuts.ApplyInbound(ctx, records)
	if err == nil && applied.Added+applied.TakenBack > 0 {
		v.log.InfoContext(ctx, "recipients opted out or in by their own words", "added", applied.Added, "taken_back", applied.TakenBack)
	}
	return err
}

func (v *service) newWorker() (*worker.Worker, *campaign.Feeder, error) {
	options := v.jobOptions()
	options.Logger = v.log
	client, err := jobs.NewClient(v.redis.worker, options)
	if err != nil {
		return nil, nil, err
	}
	api := v.api.WithGate(worker.Gate(v.limiter, ratelimit.LaneSync))
	draining := func(err error) bool { return errors.Is(err, ratelimit.ErrDraining) }
	records, err := mdr.NewSyncer(v.records, api, v.jobs.Ledger(), mdr.SyncerOptions{
		Logger: v.log, FirstReach: v.o.firstReach, Late: v.MDRLate, GiveUp: draining, Inbound: v.heed,
	})
	if err != nil {
		return nil, nil, err
	}
	numbers, err := inventory.NewSyncer(v.numbers, api, inventory.SyncerOptions{Logger: v.log, GiveUp: draining})
	if err != nil {
		return nil, nil, err
	}
	guard, err := worker.NewGuard(worker.GuardOptions{
		Ledger: v.jobs.Ledger(), Window: v.o.writeWindow, Timeout: v.Timeout, Settle: v.AmbiguousSettle, Logger: v.log,
	})
	if err != nil {
		return nil, nil, err
	}
	clocks, err := campaign.NewClocks(v.SendingZone.Location())
	if err != nil {
		return nil, nil, err
	}
	feeder, err := v.newFeeder(client, clocks)
	if err != nil {
		return nil, nil, err
	}
	capped := &campaignCaps{store: v.campaigns, known: map[ledger.ID][]ratelimit.Cap{}}
	w, err := worker.New(worker.Options{
		Redis: v.redis.worker, Jobs: client, API: v.api, Limiter: v.limiter, Account: v.account,
		Syncs: map[ledger.Type]worker.Syncer{ledger.SyncMDR: records, ledger.SyncNumbers: numbers, ledger.Reconcile: v.reconcile}, Numbers: v.numbers, OptOuts: v.optOuts,
		Guard: guard, Callback: v.receiptURL(), Senders: v.senders,
		Timeout: v.Timeout, Settle: v.AmbiguousSettle, GiveUp: v.AmbiguousMax, Concurrency: v.WorkerConcurrency,
		Rates: v.limits, Caps: v.caps.of(), CampaignCaps: capped.of, Closed: clocks.Closed, ShutdownTimeout: v.ShutdownTimeout, Poll: v.o.poll, Metrics: v.metrics, Logger: v.log,
	})
	return w, feeder, err
}
