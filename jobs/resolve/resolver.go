package resolve

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/internal/lease"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Options of a resolver. Ledger, API, Redis and Account are required, and Jobs or
// Nudge; for the others zero is the documented default.
type Options struct {
	Ledger *ledger.Ledger
	API    *flowroute.Client     // its requests take permits of the look-ups
	Redis  redis.UniversalClient // for the few keys of its own
	// Account is whose records API reads, as in [ledger.Intent].
	Account string
	Prefix  string // of the ledger's keys. Defaults to [ledger.DefaultPrefix].

	// Known tells which numbers the account had before Redis lost writes. Without it,
	// purchases from before wait for a person when the account has a number that fits.
	Known KnownNumbers

	// Jobs wakes the workers for jobs that are posted again, unless Nudge does.
	Jobs  *jobs.Client
	Nudge func(context.Context, ledger.Job) error

	Settle     time.Duration // how long the records get before their silence can count. Defaults to 2 minutes.
	SettleIdle time.Duration // the same when no later message proves them current. Defaults to 15 minutes.
	Max        time.Duration // after that a person decides. Defaults to 1 h.
	Reach      time.Duration // how far back a gap of Redis may be read. Defaults to 24 h.
	Horizon    time.Duration // how far back the records of a message are relied on. Defaults to 7 days.
	Hold       bool          // a message that is proven absent goes to a person as well
	PageSize   int           // records asked for in one request. Defaults to 5000.
	Tick       time.Duration // how often it looks for open outcomes. Defaults to 1 s.
	LeaseKey   string        // of the lease that keeps two from reading the same. Defaults to one beside the ledger's keys.

	Metrics *Metrics     // Defaults to ones that nobody sees.
	Logger  *slog.Logger // Defaults to none.
}

// Resolver decides messages whose outcome is unknown. Make it with [New].
type Resolver struct {
	o       Options
	log     *slog.Logger
	metrics *Metrics
	watch   *watch
	pace    *pace
	alerts  map[string]time.Time // when each was logged last

	fence   fenceWatch
	sampled time.Time // the clock was learned from messages accepted until then
}

// New checks the options and makes a resolver.
func New(o Options) (*Resolver, error) {
	switch {
	case o.Ledger == nil || o.API == nil || o.Redis == nil:
		return nil, errors.New("resolve: ledger, API and redis client are required")
	case o.Account == "":
		return nil, errors.New("resolve: no account")
	case o.Jobs == nil && o.Nudge == nil:
		return nil, errors.New("resolve: nothing to wake the workers with")
	case min(o.Settle, o.SettleIdle, o.Max, o.Reach, o.Horizon, o.Tick) < 0 || o.PageSize < 0:
		return nil, errors.New("resolve: options must not be negative")
	}
	o.Prefix = cmp.Or(o.Prefix, ledger.DefaultPrefix)
	o.Settle = cmp.Or(o.Settle, 2*time.Minute)
	o.SettleIdle = max(cmp.Or(o.SettleIdle, 15*time.Minute), o.Settle)
	o.Max = cmp.Or(o.Max, time.Hour)
	o.Reach = cmp.Or(o.Reach, 24*time.Hour)
	o.Horizon = cmp.Or(o.Horizon, 7*24*time.Hour)
	o.LeaseKey = cmp.Or(o.LeaseKey, keyLease(o.Prefix))
	o.PageSize = cmp.Or(o.PageSize, 5000)
	o.Tick = cmp.Or(o.Tick, time.Second)
	r := &Resolver{o: o, log: o.Logger, metrics: o.Metrics, watch: newWatch(), pace: newPace(o.Tick), alerts: map[string]time.Time{}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.metrics == nil {
		r.metrics = NewMetrics(nil)
	}
	if o.Nudge == nil {
		r.o.Nudge = r.nudge
	}
	return r, nil
}

// Run resolves until ctx ends, and then answers nil. Failures of Redis and of
// Flowroute are logged and waited out.
func (r *Resolver) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if err := r.tick(ctx); err != nil && ctx.Err() == nil {
			r.alert(ctx, slog.LevelWarn, "open outcomes not looked at", "err", err)
		}
		// A look that takes long is made less often.
		timer.Reset(max(r.o.Tick, 4*min(r.watch.took, 10*time.Second)))
	}
}

// tick looks at what is open, and reads the records when something is due.
func (r *Resolver) tick(ctx context.Context) error {
	if err := r.lookAtFence(ctx); err != nil {
		return err
	}
	due, err := r.scan(ctx)
	if err != nil || len(due) == 0 || !r.pace.may(time.Now()) {
		return err
	}
	err = lease.Hold(ctx, r.o.Redis, r.o.LeaseKey, lease.Options{TTL: leaseTTL}, func(ctx context.Context) error {
		return r.round(ctx, due)
	})
	if errors.Is(err, lease.ErrHeld) {
		return nil // that process decides
	}
	return err
}

const leaseTTL = 15 * time.Second

// nudge gives a job a new task.
func (r *Resolver) nudge(ctx context.Context, job ledger.Job) error {
	serial, err := r.o.Ledger.Renudge(ctx, job.ID)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.o.Jobs.Nudge(ctx, job.ID, job.Type, job.Queue, job.Generation, time.Time{}, serial)
}

// alert logs a condition that lasts once a minute.
func (r *Resolver) alert(ctx context.Context, level slog.Level, message string, args ...any) {
	if last, ok := r.alerts[message]; ok && time.Since(last) < time.Minute {
		return
	}
	r.alerts[message] = time.Now()
	r.log.Log(ctx, level, message, args...)
}
