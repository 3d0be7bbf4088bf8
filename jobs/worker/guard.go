package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// ErrUnfit is why a worker takes nothing up: Redis has not acknowledged its sign of
// life lately, so that nobody could tell what it did if Redis lost writes now.
var ErrUnfit = errors.New("no recent sign of life in redis")

// GuardOptions of a guard. The zero value is the documented default, but Ledger is
// required.
type GuardOptions struct {
	Ledger *ledger.Ledger
	ID     string // of this process. Defaults to host name and a drawn part.
	// Window is the longest write deadline of a permit, Timeout and Settle are as in
	// [Options]: together, how long after a loss the records may decide.
	Window     time.Duration // Defaults to 15 s.
	Timeout    time.Duration // Defaults to 60 s.
	Settle     time.Duration // Defaults to 2 min.
	Every      time.Duration // between two signs of life. Defaults to 1 s.
	ExplainFor time.Duration // how long workers are waited for before a fence is raised. Defaults to 10 s.
	Keep       time.Duration // how long what was done is remembered. Defaults to 10 min.
	Most       int           // and how much of it. Defaults to 50,000 attempts.
	Logger     *slog.Logger  // Defaults to none.
}

// Guard gives this process's signs of life to Redis, remembers what it did in the
// last minutes, and writes that down again when Redis has lost it.
type Guard struct {
	id string
}

// NewGuard makes a guard.
func NewGuard(o GuardOptions) (*Guard, error) {
	panic("not yet")
}

// Run beats until ctx ends, and then takes the sign of life away. ctx is to end
// after the last outcome was written.
func (g *Guard) Run(ctx context.Context) error {
	panic("not yet")
}

// ID names this process, for [ledger.Intent].
func (g *Guard) ID() string { return g.id }

// Fit reports [ErrUnfit] while no intent may be written.
func (g *Guard) Fit() error {
	panic("not yet")
}

// Began remembers an intent: to be called with the decision Go, before the request.
// job is as it was read.
func (g *Guard) Began(job ledger.Job, in ledger.Intent, b ledger.Begun) {
	panic("not yet")
}

// Settled remembers an outcome: to be called before it is written.
func (g *Guard) Settled(s ledger.Settlement) {
	panic("not yet")
}

// TakenIn remembers a job made from another app's task: to be called once it is
// written.
func (g *Guard) TakenIn(job ledger.NewJob) {
	panic("not yet")
}

// Skew is how far this process's clock is ahead of Redis' (negative: behind), as the
// last beats showed; zero before the first one.
func (g *Guard) Skew() time.Duration {
	panic("not yet")
}
