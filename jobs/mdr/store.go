// Package mdr keeps a copy of Flowroute's message detail records.
package mdr

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

type Record struct {
	flowroute.MDR
	Matched bool // a job of ours holds it
}

type Options struct {
	Prefix    string
	Retention time.Duration
}

type Store struct{}

type PutResult struct{ New, Changed, Stale, Expired int }

func New(rdb redis.UniversalClient, o Options) (*Store, error)                     { panic("todo") }
func (s *Store) Put(ctx context.Context, batch []flowroute.MDR) (PutResult, error) { panic("todo") }
func (s *Store) Get(ctx context.Context, id string) (Record, error)                { panic("todo") }

type Query struct {
	Since, Until time.Time
	Number       string
	Direction    flowroute.Direction
	Delivery     flowroute.Delivery
	Limit        int
	Cursor       string
}

type Page struct {
	Records []Record
	Next    string
}

func (s *Store) List(ctx context.Context, q Query) (Page, error)                 { panic("todo") }
func (s *Store) Each(ctx context.Context, q Query) iter.Seq2[Record, error]      { panic("todo") }
func (s *Store) Since(ctx context.Context, t time.Time) iter.Seq2[Record, error] { panic("todo") }
func (s *Store) Coverage(ctx context.Context) (Coverage, error)                  { panic("todo") }
func (s *Store) Watermark(ctx context.Context) (time.Time, error)                { panic("todo") }
func (s *Store) LastSync(ctx context.Context) (Report, error)                    { panic("todo") }

// Coverage says which part of Flowroute's records the copy holds.
type Coverage struct {
	First    time.Time // the copy reaches back to here
	Through  time.Time // every moment before was read at least once (the watermark)
	Complete time.Time // every moment before was read long enough after it for late rows
}

type SyncerOptions struct {
	Overlap, Late, OpenFor, FirstReach time.Duration
	PageSize                           int
	Logger                             *slog.Logger
	Now                                func() time.Time
}

type Syncer struct{}

func NewSyncer(store *Store, api *flowroute.Client, led *ledger.Ledger, o SyncerOptions) (*Syncer, error) {
	panic("todo")
}

type SyncRequest struct{ Since time.Time }

type Report struct {
	Started     time.Time     `json:"started"`
	From        time.Time     `json:"from"`
	To          time.Time     `json:"to"`
	Read        int           `json:"read"`
	New         int           `json:"new"`
	Changed     int           `json:"changed"`
	Pages       int           `json:"pages"`
	Requests    int           `json:"requests"`
	JobsRefined int           `json:"jobs_refined"`
	Duration    time.Duration `json:"duration_ns"`
	Skipped     bool          `json:"skipped,omitempty"`
	Warning     string        `json:"warning,omitempty"`
}

func (s *Syncer) Sync(ctx context.Context, r SyncRequest) (Report, error)    { panic("todo") }
func (s *Syncer) Handle(ctx context.Context, job ledger.Job) ([]byte, error) { panic("todo") }
