package httpapi

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
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
	// Registry is what /metrics shows beside queues and jobs, which come by
	// themselves. May be nil.
	Registry prometheus.Gatherer
	// Limits is what GET /v1/limits answers, as JSON. nil: 404.
	Limits func(context.Context) (any, error)
	// Numbers, Routes and MDRs read the stored copies. nil: 404.
	Numbers, Routes, MDRs List
	// Console answers GET / and everything below /console/. nil: 404.
	Console http.Handler

	// MaxBody bounds the body of one job, in bytes. Defaults to 64 KiB.
	MaxBody int64
	// ReadTimeout bounds how long a client may take for one request.
	// Defaults to 30 s.
	ReadTimeout time.Duration
	// DrainTimeout bounds how long running requests are awaited at the end.
	// Defaults to 10 s.
	DrainTimeout time.Duration
	// Logger gets one line a request. nil: none.
	Logger *slog.Logger
}

// Server is the HTTP side of the product: an [http.Handler] that can also run
// itself. It is safe for concurrent use.
type Server struct{ o Options }

// New checks the options and makes the server; it does not listen yet.
func New(o Options) (*Server, error) { panic("todo") }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { panic("todo") }

// Run listens on addr and serves until ctx ends; then it takes no more requests
// and awaits the running ones.
func (s *Server) Run(ctx context.Context, addr string) error { panic("todo") }

// Serve is [Server.Run] on a listener, which it closes.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error { panic("todo") }

// Token is one login: a program sends the secret as bearer token, a person logs
// in with name and secret.
type Token struct{ Name, Secret string }

// Check is one line of /readyz, which is open to everybody: no secrets, no
// addresses.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// Query is what a list was asked for.
type Query struct {
	Limit        int       // 1 to 1,000
	Cursor       string    // where the page before ended; empty for the first
	Since, Until time.Time // MDRs: zero where not given
}

// Page is one page of a list. Items become JSON as they are.
type Page struct {
	Items []any  `json:"items"`
	Next  string `json:"next_cursor,omitempty"` // empty: that was all
}

// List reads one page of something that is stored.
type List func(context.Context, Query) (Page, error)
