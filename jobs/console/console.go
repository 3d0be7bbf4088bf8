// Package console draws the pages for people: the overview at /, the campaigns at
// /campaigns, and the login page. They come whole from the server and load nothing
// from outside; a small script swaps what changes for a fresh one every few seconds,
// and without scripts the pages reload themselves.
//
// Numbers are masked, but for those that send; texts of messages are not shown, but
// for the templates of campaigns. The overview stays up when Redis does not: it says
// so, and shows what it still can.
//
// The package does not check who asks; package httpapi does. What changes something is
// taken from forms on its own pages alone, for which it looks at where a request is from.
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

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
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

	// Campaigns are looked at, paused, resumed and cancelled; nil: there are no such pages.
	Campaigns *campaign.Store

	Limits func(context.Context) ([]Limit, error)
	// Parked is where messages wait that are due, beside the queues.
	Parked func(context.Context) ([]Parked, error)
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

// Parked is messages that share a limit which others do not have, and wait for it.
type Parked struct {
	What     string    // "SMS from +12065550100", "MMS"
	Lane     string    // "otp", "normal", "bulk"; empty: of several
	Limit    string    // "1/s"; empty: not known
	Campaign ledger.ID // whose messages; zero: of none, or of any
	Held     bool      // they wait until the campaign runs again
	Messages int
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
	Link          string    // path of the page that has more; empty: none
}

// Console is the handler of / and of everything below /console/, and of /campaigns and
// everything below that. It is safe for concurrent use.
type Console struct {
	o         Options
	log       *slog.Logger
	pages     *template.Template
	inspector *asynq.Inspector
	mux       *http.ServeMux
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
	c := &Console{o: o, log: o.Logger, pages: pages, inspector: asynq.NewInspectorFromRedisClient(o.Redis), mux: http.NewServeMux()}
	c.addPages()
	return c, nil
}

// addPages says what is where. Below /console/ are the changing parts alone.
func (c *Console) addPages() {
	c.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "There is no such page.", http.StatusNotFound)
	})
	c.mux.HandleFunc("GET /{$}", c.overview("page"))
	c.mux.HandleFunc("GET /console/overview", c.overview("overview"))
	if c.o.Campaigns == nil {
		return
	}
	c.mux.HandleFunc("GET /campaigns", c.campaigns("campaigns-page"))
	c.mux.Handle("GET /campaigns/{$}", http.RedirectHandler("/campaigns", http.StatusMovedPermanently))
	c.mux.HandleFunc("GET /console/campaigns", c.campaigns("campaigns"))
	c.mux.HandleFunc("GET /campaigns/{id}", c.campaign("campaign-page"))
	c.mux.HandleFunc("GET /console/campaigns/{id}", c.campaign("campaign"))
	c.mux.HandleFunc("GET /console/campaigns/{id}/failures", c.campaign("failures"))
	c.mux.HandleFunc("GET /campaigns/{id}/cancel", c.campaign("cancel-page"))
	c.mux.HandleFunc("POST /campaigns/{id}/{op}", c.change)
}

// ServeHTTP draws a page, or its changing part alone, or does what a form on one asks.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.mux.ServeHTTP(w, r) }

// page is what the templates see.
type page struct {
	Account, Version string
	User             string
	Session          bool
	Has              struct{ Limits, Campaigns bool }
	Here             string // which of the pages in the header it is
	Title            string

	Overview  overview
	Campaigns campaignsView
	Campaign  campaignView
}

func (c *Console) page(r *http.Request, here string) page {
	p := page{Account: c.o.Account, Version: c.o.Version, Here: here, Title: here}
	p.Has.Limits, p.Has.Campaigns = c.o.Limits != nil, c.o.Campaigns != nil
	if user, ok := r.Context().Value(userKey{}).(user); ok {
		p.User, p.Session = user.name, user.session
	}
	return p
}

func (c *Console) overview(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := c.page(r, "Overview")
		p.Overview = c.gather(r.Context(), time.Now())
		c.draw(w, r, http.StatusOK, name, p)
	}
}

func (c *Console) draw(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	// Drawn whole before the first byte leaves, so that an error is one.
	var out bytes.Buffer
	if err := c.pages.ExecuteTemplate(&out, name, p); err != nil {
		c.log.ErrorContext(r.Context(), "page not drawn", slog.Any("err", err))
		http.Error(w, "The page could not be drawn; the log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
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
