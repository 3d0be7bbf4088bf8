// Package inventory keeps a copy of the account's numbers and routes.
package inventory

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

type Options struct {
	Prefix     string
	GoneFor    time.Duration
	ChangesMax int64
}

type Store struct{}

type Number struct {
	Number                  flowroute.E164
	Alias                   string
	Type, RateCenter, State string
	MessagingEnabled        *bool
	PrimaryRoute            string
	FailoverRoute           string
	FirstSeen, LastSeen     time.Time
	DetailsRead             time.Time // zero: routes not known yet
	Gone                    time.Time // zero: ours
}

type Route struct {
	flowroute.Route
	FirstSeen time.Time
}

type ChangeKind string

type Change struct {
	Cursor   string
	At       time.Time
	Kind     ChangeKind
	Number   flowroute.E164
	Route    string
	Old, New string
}

type Query struct {
	StartsWith string
	Gone       bool
	Limit      int
	Cursor     string
}

type Page struct {
	Numbers []Number
	Next    string
}

func New(rdb redis.UniversalClient, o Options) (*Store, error)              { panic("todo") }
func (s *Store) Get(ctx context.Context, n flowroute.E164) (Number, error)  { panic("todo") }
func (s *Store) List(ctx context.Context, q Query) (Page, error)            { panic("todo") }
func (s *Store) Each(ctx context.Context, q Query) iter.Seq2[Number, error] { panic("todo") }
func (s *Store) Routes(ctx context.Context) ([]Route, error)                { panic("todo") }
func (s *Store) Changes(ctx context.Context, since time.Time, after string, limit int) ([]Change, error) {
	panic("todo")
}
func (s *Store) LastSync(ctx context.Context) (Report, error)                    { panic("todo") }
func (s *Store) Touch(ctx context.Context, n flowroute.E164) error               { panic("todo") }
func (s *Store) PutDetails(ctx context.Context, d flowroute.NumberDetails) error { panic("todo") }

type SyncerOptions struct {
	Rereads, FirstReads int
	Logger              *slog.Logger
}

type Syncer struct{}

func NewSyncer(store *Store, api *flowroute.Client, o SyncerOptions) (*Syncer, error) { panic("todo") }

type Report struct {
	Started      time.Time     `json:"started"`
	Numbers      int           `json:"numbers"`
	Added        int           `json:"added"`
	Removed      int           `json:"removed"`
	AliasChanged int           `json:"alias_changed"`
	Rerouted     int           `json:"rerouted"`
	Routes       int           `json:"routes"`
	DetailsRead  int           `json:"details_read"`
	DetailsDue   int           `json:"details_due"`
	Duration     time.Duration `json:"duration_ns"`
	Skipped      bool          `json:"skipped,omitempty"`
	Warning      string        `json:"warning,omitempty"`
}

func (s *Syncer) Sync(ctx context.Context) (Report, error)                   { panic("todo") }
func (s *Syncer) Handle(ctx context.Context, job ledger.Job) ([]byte, error) { panic("todo") }
