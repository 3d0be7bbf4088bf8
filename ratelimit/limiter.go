// Package ratelimit decides when the next request to Flowroute may go, for
// all processes that share one Redis.
package ratelimit

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrDraining is returned by [Limiter.Take] after [Limiter.Drain].
var ErrDraining = errors.New("limiter is draining")

// Lane is a priority class among those that wait for a permit.
type Lane string

// The lanes, first served first.
const (
	LaneOTP     Lane = "otp"
	LaneResolve Lane = "resolve"
	LaneNormal  Lane = "normal"
	LaneBulk    Lane = "bulk"
	LaneSync    Lane = "sync"
)

// Kind says which limits a request counts against.
type Kind string

// The kinds; the words are those of flowroute.Endpoint.
const (
	KindSMS     Kind = "sms"
	KindMMS     Kind = "mms"
	KindLookup  Kind = "lookup"
	KindNumbers Kind = "numbers"
)

// Rate is N requests per Per. The zero value is no limit.
type Rate struct {
	N   int
	Per time.Duration
}

// Limits are the account's limits.
type Limits struct {
	SMS, MMS, Lookups, Numbers Rate
	LookupsShareSMS            bool
}

// Options of [New].
type Options struct {
	Account     string
	Prefix      string
	Limits      Limits
	Timeout     time.Duration
	WriteWindow time.Duration
	FreshStart  bool
	Logger      *slog.Logger
	OnWait      func(limit string, lane Lane, wait time.Duration)
}

// LimitStatus is one limit as [Limiter.Status] found it.
type LimitStatus struct {
	Name         string
	Configured   Rate
	Effective    Rate
	Out          int
	Waiting      int
	PenaltyUntil time.Time
}

// Limiter hands out permits.
type Limiter struct{}

// Permit is one allowed attempt.
type Permit struct{}

// ParseRate parses "5", "5/2", "0.5", "0.5/s" and "0".
func ParseRate(s string) (Rate, error) { panic("todo") }

// String is the inverse of [ParseRate].
func (r Rate) String() string { panic("todo") }

// New returns a limiter.
func New(rdb redis.UniversalClient, o Options) (*Limiter, error) { panic("todo") }

// Take waits for a permit.
func (l *Limiter) Take(ctx context.Context, k Kind, lane Lane) (*Permit, error) { panic("todo") }

// Penalize records a 429.
func (l *Limiter) Penalize(ctx context.Context, k Kind, retryAfter time.Duration) error {
	panic("todo")
}

// Drain ends all waiting.
func (l *Limiter) Drain() { panic("todo") }

// Run returns permits after their cool-down.
func (l *Limiter) Run(ctx context.Context) error { panic("todo") }

// Status reports every limit.
func (l *Limiter) Status(ctx context.Context) ([]LimitStatus, error) { panic("todo") }

// Deadline is the last moment at which the request may begin to leave.
func (p *Permit) Deadline() time.Time { panic("todo") }

// Written reports that the whole request was handed to the kernel.
func (p *Permit) Written(acked func() bool) { panic("todo") }

// Responded reports that the status line has arrived.
func (p *Permit) Responded() { panic("todo") }

// Abandoned reports an end without a response.
func (p *Permit) Abandoned() { panic("todo") }

// Unsent reports that no complete request left or will leave.
func (p *Permit) Unsent() { panic("todo") }

// Wait is how long Take waited.
func (p *Permit) Wait() time.Duration { panic("todo") }
