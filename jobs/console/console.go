// Package console draws the pages for people: the overview at / and the login
// page. They come whole from the server and load nothing from outside; a small
// script swaps the overview for a fresh one every few seconds, and without
// scripts the page reloads itself.
//
// Numbers are masked, texts of messages are not shown. The overview stays up
// when Redis does not: it says so, and shows what it still can.
//
// The package does not check who asks; package httpapi does.
package console

import (
	"bytes"
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Options of the pages. Ledger and Redis are needed; what is nil is left out of
// the page.
type Options struct {
	Ledger *ledger.Ledger
	// Redis is asked for the sizes of the queues. It stays the caller's.
	Redis redis.UniversalClient

	// Queues are shown beside those of [ledger.Queues] while something is in them.
	Queues []string

	Limits func(context.Context) ([]Limit, error)
	Syncs  func(context.Context) ([]Sync, error)
	// Alerts are what a person should see first: open breakers, refused
	// credentials, records that are behind.
	Alerts func(context.Context) ([]Alert, error)
	// Events are the last n changes of state, the newest first.
	Events func(ctx context.Context, n int) ([]ledger.Event, error)
	// Explain says why a job in review waits for a person, and what to look at.
	Explain func(ledger.Job) (why, lookAt string)

	Account string // shown as it is
	Version string
	Logger  *slog.Logger // nil: none
}

// Limit is one limit of the account as all processes see it.
type Limit struct {
	Name      string    // "sms", "mms", "lookup", "numbers"
	Rate      string    // as configured: "5/s"; empty: no limit
	Permits   int       // how many there are; 0: no limit
	Out       int       // how many of them are taken now
	Waiting   int       // jobs of this process that wait for one
	Penalized time.Time // nobody gets one before; zero: not so
}

// Sync is the last run of one of the cron jobs.
type Sync struct {
	Name   string    // "MDRs", "numbers"
	Last   time.Time // zero: never
	OK     bool
	Detail string    // "123 new", or what went wrong
	Next   time.Time // zero: off
}

// Alert is one thing that needs a person's eye.
type Alert struct {
	Title, Detail string
	Since         time.Time // zero: not known
	Severe        bool      // sending stands still
}

// Console is the handler of / and of everything below /console/. It is safe for
// concurrent use.
type Console struct {
	o         Options
	log       *slog.Logger
	pages     *template.Template
	inspector *asynq.Inspector
}

// New checks the options.
func New(o Options) (*Console, error) {
	if o.Ledger == nil || o.Redis == nil {
		return nil, errors.New("console: needs Ledger and Redis")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	pages, err := parsePages()
	if err != nil {
		return nil, err
	}
	return &Console{o: o, log: o.Logger, pages: pages, inspector: asynq.NewInspectorFromRedisClient(o.Redis)}, nil
}

// ServeHTTP draws the page, or for /console/overview its changing part alone.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		c.draw(w, r, "page")
	case "/console/overview":
		c.draw(w, r, "overview")
	default:
		http.Error(w, "There is no such page.", http.StatusNotFound)
	}
}

// page is what the templates see.
type page struct {
	Account, Version string
	User             string
	Session          bool
	Overview         overview
}

func (c *Console) draw(w http.ResponseWriter, r *http.Request, name string) {
	p := page{Account: c.o.Account, Version: c.o.Version, Overview: c.gather(r.Context(), time.Now())}
	if user, ok := r.Context().Value(userKey{}).(user); ok {
		p.User, p.Session = user.name, user.session
	}
	// Drawn whole before the first byte leaves, so that an error is one.
	var out bytes.Buffer
	if err := c.pages.ExecuteTemplate(&out, name, p); err != nil {
		c.log.ErrorContext(r.Context(), "page not drawn", slog.Any("err", err))
		http.Error(w, "The page could not be drawn; the log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(out.Bytes()) // the browser may be gone
}

type userKey struct{}

type user struct {
	name    string
	session bool
}

// WithUser tells the pages who looks at them; session: logged in by the login
// page, so that there is something to log out of.
func WithUser(ctx context.Context, name string, session bool) context.Context {
	return context.WithValue(ctx, userKey{}, user{name, session})
}
