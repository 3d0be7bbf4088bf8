package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// Syncer runs a sync job and returns its report as JSON.
type Syncer interface {
	Handle(ctx context.Context, job ledger.Job) ([]byte, error)
}

// Options of a worker.
type Options struct {
	// Redis serves asynq. Its commands must not end with their context: see
	// redisconn.Target.Worker. Required.
	Redis redis.UniversalClient
	// Jobs, API and Limiter are required. API needs no gate of its own.
	Jobs    *jobs.Client
	API     *flowroute.Client
	Limiter *ratelimit.Limiter
	// Account is whose limit and records this process works with. Defaults to
	// API.Account().
	Account string
	// Syncs runs the jobs of the types sync-mdr and sync-numbers.
	Syncs map[ledger.Type]Syncer
	// Numbers is told what purchases and route updates changed; may be nil.
	Numbers *inventory.Store
	// Guard gives the process's signs of life and remembers what it did; Run runs it.
	// Nil: none, and then nobody notices that Redis has lost what this process did.
	Guard *Guard
	// Callback is where the receipts of one attempt of a message are to be posted;
	// nil, or an empty answer: where the account's settings say.
	Callback func(job ledger.ID, attempt int) string
	// Trace is called when a job comes to one of the [Points], on the handler's
	// goroutine or the connection's; for tests that kill or stop the process there.
	Trace func(Point, ledger.ID)
	// OptOuts is who must not be texted: asked when a message is taken up, and again
	// before it is posted; what a carrier says of a recipient is added. nil: nobody.
	OptOuts *suppress.Store
	// Senders finds those of some sending numbers that are not the account's, and says of
	// each what to do: a plain task with such a sender becomes a failed job; nil: all pass.
	Senders func(ctx context.Context, from []flowroute.E164) (refused map[flowroute.E164]string, err error)

	Timeout     time.Duration // of one API request. Defaults to 60 s.
	Settle      time.Duration // how long the records get after a lost answer. Defaults to 2 min.
	GiveUp      time.Duration // how long an unknown purchase or route is read back before a person must look. Defaults to 1 h.
	Concurrency int           // handlers at once per message queue. Defaults to a size made from the rates.
	Rates       ratelimit.Limits
	// Caps are the limits of a sending number below the account's; nil: none have any.
	Caps func(sender flowroute.E164) []ratelimit.Cap
	// CampaignCaps are the limits of a campaign below the account's; nil: none have any.
	CampaignCaps func(campaign ledger.ID) []ratelimit.Cap
	// Closed is how long a message has to wait for the hours in which its recipient may
	// be texted, at most 0 within them; nil: there are no hours.
	Closed          func(hours string, to flowroute.E164) time.Duration
	ShutdownTimeout time.Duration // Defaults to 70 s.
	Sweep           time.Duration // how often jobs without a task are looked for. Defaults to 30 s.
	Poll            time.Duration // how often the queues are looked at for tasks of which no word came. Defaults to 125 ms.
	Metrics         *Metrics      // Defaults to metrics that nobody reads.
	Logger          *slog.Logger  // Defaults to none.
}

// Worker executes jobs. Make it with [New], start it with [Worker.Run].
type Worker struct {
	o       Options
	ledger  *ledger.Ledger
	log     *slog.Logger
	metrics *Metrics
	health  *health
	parking *parking
	behind  *behind
	crew    *crew
	optOuts optOuts
	unread  bool   // messages are posted without being read first
	guard   *Guard // nil: none
	fence   fence

	sights   sights
	searches searches

	draining chan struct{} // closed: take nothing up
	ended    chan struct{} // closed: the shutdown time is over
	over     chan struct{} // closed: Run returns
	once     sync.Once
}

// New makes a worker.
func New(o Options) (*Worker, error) {
	if o.Redis == nil || o.Jobs == nil || o.API == nil || o.Limiter == nil {
		return nil, errors.New("worker: Redis, Jobs, API and Limiter are required")
	}
	if o.Account == "" {
		o.Account = o.API.Account()
	}
	defaults(&o.Timeout, 60*time.Second)
	defaults(&o.Settle, 2*time.Minute)
	defaults(&o.GiveUp, time.Hour)
	defaults(&o.ShutdownTimeout, 70*time.Second)
	defaults(&o.Sweep, 30*time.Second)
	defaults(&o.Poll, 125*time.Millisecond)
	if o.Concurrency == 0 {
		o.Concurrency = size(o.Rates)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Worker{
		o: o, ledger: o.Jobs.Ledger(), log: o.Logger, metrics: o.Metrics, guard: o.Guard,
		draining: make(chan struct{}), ended: make(chan struct{}), over: make(chan struct{}),
	}
	w.health = newHealth(w.ledger, o.Timeout+10*time.Second, w.draining, o.Logger)
	w.unread = o.Rates.SMS.IsZero() && o.Rates.MMS.IsZero() && o.Caps == nil
	w.optOuts.store = o.OptOuts
	w.parking = newParking(w)
	w.behind = newBehind(w)
	w.crew = newCrew(w.over)
	return w, nil
}

// size is how many handlers keep the permits of a limit busy: answers of up to
// four seconds, and some that wait.
func size(rates ratelimit.Limits) int {
	if rates.SMS.N == 0 {
		return 64
	}
	perSecond := float64(rates.SMS.N) / max(rates.SMS.Per.Seconds(), 0.001)
	return min(max(int(4*perSecond)+8, 10), 200)
}

func defaults(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// Run works until ctx ends, then drains: nothing new is taken up, no permit is
// waited for, what is on the wire is awaited for up to ShutdownTimeout. The
// limiter is drained too. The signs of life go on until the last outcome is written.
func (w *Worker) Run(ctx context.Context) error {
	// What a worker that died has left is looked for at once; the handlers may have to
	// wait until the others have noticed this one.
	var loops sync.WaitGroup
	looking, stopLooking := context.WithCancel(ctx)
	defer func() {
		stopLooking()
		loops.Wait()
	}()
	loops.Go(func() { w.sweep(looking) })
	loops.Go(func() { w.watch(looking) })
	pickup := w.pickup(ctx)
	loops.Go(func() { pickup.look(looking, w.o.Poll) })
	loops.Go(func() { pickup.listen(looking, w.o.Jobs.Bell()) })
	defer w.beat(ctx)()
	loops.Go(func() { w.parking.run(looking) })
	servers := w.servers(pickup)
	defer close(w.over)
	handler := w.handler()
	for i, server := range servers {
		if err := server.Start(handler); err != nil {
			stop(servers[:i])
			return err
		}
	}
	var expresses sync.WaitGroup
	for _, e := range pickup.express {
		expresses.Go(func() { e.run(ctx) })
	}
	<-ctx.Done()
	for _, server := range servers {
		server.Stop()
	}
	w.drain()
	// Handlers end by themselves in this time; what has not is given up.
	deadline := time.AfterFunc(w.o.ShutdownTimeout, func() { close(w.ended) })
	defer deadline.Stop()
	stop(servers)
	expresses.Wait()
	w.parking.wait()
	w.behind.wait()
	return nil
}

// pickup is how tasks are taken: those of messages that no limit makes wait by an express.
func (w *Worker) pickup(ctx context.Context) *pickup {
	p := newPickup(w.o.Redis, ctx.Done())
	if w.unread {
		p.express = map[string]*express{}
		for _, queue := range []string{ledger.QueueOTP, ledger.QueueNormal, ledger.QueueBulk} {
			p.express[queue] = newExpress(w, queue, func() { p.wake(queue) })
		}
	}
	return p
}

// fitWait is how long the other processes have to notice a new one before its
// handlers begin all the same, and rest.
const fitWait = 10 * time.Second

// beat runs the guard. It returns once the process may post, or soon when it may not
// yet, with the function that ends the guard.
func (w *Worker) beat(ctx context.Context) (end func()) {
	if w.guard == nil {
		return func() {}
	}
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := w.guard.Run(beating); err != nil && !errors.Is(err, context.Canceled) {
			w.log.ErrorContext(ctx, "no more signs of life", "err", err)
		}
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for started := time.Now(); w.guard.Fit() != nil && ctx.Err() == nil && time.Since(started) < fitWait; {
		<-tick.C
	}
	return func() {
		stop()
		<-ended
	}
}

func (w *Worker) drain() {
	w.once.Do(func() {
		close(w.draining)
		w.o.Limiter.Drain()
	})
}

type stopper interface{ Shutdown() }

func stop[S stopper](servers []S) {
	var wg sync.WaitGroup
	for _, server := range servers {
		wg.Go(server.Shutdown)
	}
	wg.Wait()
}
