// Package console draws the pages for people.
package console

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Options of the pages. Ledger and Redis are needed; what is nil is left out of
// the page.
type Options struct {
	Ledger *ledger.Ledger
	// Redis is asked for the sizes of the queues.
	Redis redis.UniversalClient

	Limits func(context.Context) ([]Limit, error)
	Syncs  func(context.Context) ([]Sync, error)
	// Alerts are what a person should see first: open breakers, refused
	// credentials, records that are behind.
	Alerts func(context.Context) ([]Alert, error)
	// Events are the last n changes of state, the newest first.
	Events func(ctx context.Context, n int) ([]ledger.Event, error)

	Account string // shown as it is
	Version string
	Logger  *slog.Logger
}

// Limit is one limit of the account as all processes see it.
type Limit struct {
	Name      string    // "sms", "mms", "lookup", "numbers"
	Rate      string    // as configured: "5/s"; empty: none
	Permits   int       // how many there are; 0: no limit
	Out       int       // how many of them are taken now
	Waiting   int       // jobs of this process that wait for one
	Penalized time.Time // nobody gets one before; zero: not so
}

// Sync is the last run of one of the cron jobs.
type Sync struct {
	Name   string // "MDRs", "numbers"
	Last   time.Time
	OK     bool
	Detail string // "123 new", or what went wrong
	Next   time.Time
}

// Alert is one thing that needs a person's eye.
type Alert struct {
	Title, Detail string
	Since         time.Time
	Severe        bool // sending stands still
}

// Console is the handler of / and of everything below /console/.
type Console struct{ o Options }

// New checks the options.
func New(o Options) (*Console, error) { panic("todo") }

func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { panic("todo") }

// Assets serves the style sheet and the script below /assets/; they hold nothing
// worth a login.
func Assets() http.Handler { panic("todo") }

// Login is what the login page shows.
type Login struct {
	Next    string // where to go afterwards
	Message string // why the last try failed
}

// WriteLogin draws the login page.
func WriteLogin(w io.Writer, p Login) error { panic("todo") }

// WithUser tells the pages who looks at them; session: logged in by the login
// page, so that there is something to log out of.
func WithUser(ctx context.Context, name string, session bool) context.Context { panic("todo") }
