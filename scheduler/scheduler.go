// Package scheduler enqueues jobs at the times of cron specs, once per tick
// whatever the number of replicas.
package scheduler

import (
	"context"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Enqueuer starts a job; the same type and key again is the same job.
type Enqueuer interface {
	Enqueue(ctx context.Context, t ledger.Type, key string) error
}

// EnqueueFunc makes an Enqueuer of a function.
type EnqueueFunc func(ctx context.Context, t ledger.Type, key string) error

// Enqueue calls f.
func (f EnqueueFunc) Enqueue(ctx context.Context, t ledger.Type, key string) error {
	return f(ctx, t, key)
}

// Entry is one line of the schedule. An empty Spec is off.
type Entry struct {
	Name string
	Type ledger.Type
	Spec string
}

// LastRuns remembers the last tick of each entry that was enqueued.
type LastRuns interface {
	Load(ctx context.Context, name string) (time.Time, error)
	Store(ctx context.Context, name string, tick time.Time) error
}

// NewLastRuns keeps them in Redis.
func NewLastRuns(rdb redis.UniversalClient, prefix string) LastRuns { panic("todo") }

type Options struct {
	Entries  []Entry
	LastRuns LastRuns
	Logger   *slog.Logger
}

type Scheduler struct{}

func New(e Enqueuer, o Options) (*Scheduler, error)                    { panic("todo") }
func (s *Scheduler) Run(ctx context.Context) error                     { panic("todo") }
func (s *Scheduler) Status(ctx context.Context) ([]EntryStatus, error) { panic("todo") }

type EntryStatus struct {
	Entry
	Last, Next time.Time
}
