package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
)

// Options of a [Server]. Jobs and Redis are needed; the rest has the defaults
// given.
type Options struct {
	// Jobs takes jobs in and looks them up.
	Jobs *jobs.Client
	// Redis is for the queue pages, the metrics of the queues and the readiness
	// check. It stays the caller's to close; use one that keeps to deadlines.
	Redis redis.UniversalClient

	// Tokens that programs (bearer) and people (login) may use. Without any the
	// server listens on loopback only and checks Host and Origin instead.
	Tokens []Token
	// MetricsPublic serves /metrics without a token.
	MetricsPublic bool
	// QueuesWrite lets people act in the queue pages. Defaults to looking only.
	QueuesWrite bool

	// Ready adds to /readyz what the server cannot know itself: credentials,
	// breakers. Redis it asks itself. Must be quick: cache what is dear.
	Ready func(context.Context) []Check
	// Wake makes a worker look at a job that a person has had queued again.
	// Defaults to a nudge in the job's own queue.
	Wake Waker
	// WebhookSecret is the part of their path that keeps the webhooks for Flowroute
	// alone, at least 16 letters, digits, dots, dashes and underscores. Without it
	// there are none.
	WebhookSecret string
	// Inbound is where messages go that Flowroute posts there as they arrive.
	Inbound Inbound
	// Forward writes down a post of Flowroute's, as it is, for somebody else who wants
	// it: receipts (dlr) or messages that arrive (sms, mms). It answers false when nobody
	// wants that kind. It is done before the answer. nil: nobody wants any.
	Forward func(ctx context.Context, kind, contentType string, body []byte) (wanted bool, err error)
	// Queues are ours beside those of [ledger.Queues], for the metrics.
	Queues []string
	// Registry is what /metrics shows beside queues and jobs, which come by
	// themselves (asynq_…, flowroute_worker_jobs, flowroute_worker_redis_up).
	// May be nil.
	Registry prometheus.Gatherer
	// Limits is what GET /v1/limits answers, as JSON. nil: 404.
	Limits func(context.Context) (any, error)
	// Numbers (with the routes) and MDRs are the stored copies. nil: 404.
	Numbers NumberStore
	MDRs    MDRStore
	// OptOuts is who must not be texted, to read and to change. nil: 404.
	OptOuts OptOutStore
	// Campaigns are one text to many people. nil: 404.
	Campaigns *campaign.Store
	// Forecast is what a look ahead at a campaign takes into account beside itself.
	// Defaults to nothing.
	Forecast func(campaign.Spec) campaign.PreflightOptions
	// Reconciler compares what was sent with what was recorded. nil: 404.
	Reconciler Reconciler
	// Console answers GET / and everything below /console/. nil: 404.
	Console http.Handler

	// MaxBody bounds the body of one job, in bytes. Defaults to
	// [jobs.MaxPayload].
	MaxBody int64
	// ReadTimeout bounds how long a client may take for one request; of NDJSON, whose
	// lines are answered as they come, for one line. Defaults to 30 s.
	ReadTimeout time.Duration
	// SpoolSize bounds, in bytes, what the answers to one such request take on the disk
	// while its client does not read them. Defaults to 512 MiB; negative: no disk.
	SpoolSize int64
	// SpoolDir is where they rest. Defaults to [os.TempDir].
	SpoolDir string
	// DrainTimeout bounds how long running requests are awaited at the end.
	// Defaults to 10 s.
	DrainTimeout time.Duration
	// Logger gets one line a request; those of probes and of pages that refresh
	// themselves at debug level. nil: none.
	Logger *slog.Logger
}

// Server is the HTTP side of the product: an [http.Handler] that can also run
// itself. It is safe for concurrent use.
type Server struct {
	o        Options
	log      *slog.Logger
	auth     *authority
	origins  *http.CrossOriginProtection
	queues   *queues
	webhooks *webhooks // nil: none
	counted  *prometheus.Registry
	mux      *http.ServeMux
	routes   map[string]route // by pattern
	drains   drains
	uploads  chan struct{} // one for each that runs
	// comparing holds the one comparison that runs.
	comparing chan struct{}
}

// New checks the options and makes the server; it does not listen yet.
func New(o Options) (*Server, error) {
	if o.Jobs == nil || o.Redis == nil {
		return nil, errors.New("httpapi: needs Jobs and Redis")
	}
	if o.MaxBody < 0 || o.ReadTimeout < 0 || o.DrainTimeout < 0 {
		return nil, errors.New("httpapi: bounds must not be negative")
	}
	if o.MaxBody == 0 {
		o.MaxBody = jobs.MaxPayload
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = 30 * time.Second
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Wake == nil {
		o.Wake = wakeInItsQueue(o.Jobs)
	}
	auth, err := newAuthority(o.Tokens)
	if err != nil {
		return nil, err
	}
	queues, err := newQueues(o.Jobs, o.Redis, o.QueuesWrite)
	if err != nil {
		return nil, err
	}
	s := &Server{
		o: o, log: o.Logger, auth: auth, origins: http.NewCrossOriginProtection(), queues: queues, counted: prometheus.NewRegistry(),
		uploads: make(chan struct{}, maxUploads), comparing: make(chan struct{}, 1),
	}
	if s.webhooks, err = newWebhooks(s, o.WebhookSecret, s.counted); err != nil {
		return nil, err
	}
	s.addRoutes()
	return s, nil
}

// Run listens on addr and serves until ctx ends; then it takes no more requests
// and awaits the running ones. Without tokens addr must be a loopback address.
func (s *Server) Run(ctx context.Context, addr string) error {
	if s.auth.open() && !isLoopbackName(hostOnly(addr)) {
		return fmt.Errorf("listen on %s: without tokens only a loopback address is allowed", addr)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err // it says what and where
	}
	return s.Serve(ctx, listener)
}

// Serve is [Server.Run] on a listener, which it closes. It returns when every
// connection has ended.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	// A drain lets requests end; only after it is their context cancelled.
	requests, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var connections sync.WaitGroup
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: min(10*time.Second, s.o.ReadTimeout),
		ReadTimeout:       s.o.ReadTimeout,
		// From the end of the header on: the body, Redis, and the answer.
		WriteTimeout:   2*s.o.ReadTimeout + patience,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 32 << 10,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		BaseContext:    func(net.Listener) context.Context { return requests },
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				connections.Add(1)
			case http.StateClosed, http.StateHijacked:
				connections.Done()
			}
		},
	}
	s.drains.watch(server) // a long request that comes while it shuts down has to hear of it too
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	s.log.InfoContext(ctx, "http listening", slog.String("addr", listener.Addr().String()))

	var failed error
	select {
	case err := <-ended:
		failed = fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.DrainTimeout)
		defer cancel()
		if err := server.Shutdown(drain); err != nil {
			s.log.WarnContext(ctx, "http requests cut at the end of the drain", slog.Any("err", err))
		}
		<-ended
	}
	stop()
	_ = server.Close() // what the drain has left over
	connections.Wait()
	return failed
}
