package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// desk is what a command works with: the settings and Redis.
type desk struct {
	settings
	rdb     redis.UniversalClient
	jobs    *jobs.Client
	senders checkSenders
}

// redisPatience is how long a command waits for Redis. A service waits for
// REDIS_START_TIMEOUT, but a person wants an answer.
const redisPatience = 3 * time.Second

// atDesk reads the environment, connects to Redis and does what a command does.
func (w world) atDesk(ctx context.Context, needs need, do func(ctx context.Context, d *desk) error) error {
	s, err := w.settings(ctx, needs)
	if err != nil {
		return err
	}
	d := &desk{settings: s, rdb: s.target.Producer()}
	defer d.rdb.Close()
	if err := redisconn.Wait(ctx, d.rdb, redisPatience, nil); err != nil {
		return fmt.Errorf("%s: %w", s.target, err)
	}
	if d.senders, err = d.newSenders(w.errs, d.lookUpNumber); err != nil {
		return err
	}
	options := s.jobOptions()
	options.Senders = d.senders
	if d.jobs, err = jobs.NewClient(d.rdb, options); err != nil {
		return err
	}
	return do(ctx, d)
}

func (s settings) jobOptions() jobs.Options {
	return jobs.Options{Retention: s.LedgerRetention, EventsMax: int64(s.EventsMaxLen), Durable: s.waitsForDisk(), OptOutsOfPair: s.optOutOptions().PairOnly}
}

// permitNotice is after how long a command says that it waits for a permit.
const permitNotice = 2 * time.Second

// withAPI gives do a client whose requests take permits of the shared limit, and
// hands what is left of them over to Redis at the end.
func (d *desk) withAPI(ctx context.Context, errs io.Writer, do func(ctx context.Context, api *flowroute.Client) error) error {
	api, err := d.client(flowroute.Options{})
	if err != nil {
		return err
	}
	defer api.Close()
	limiter, err := ratelimit.New(d.rdb, ratelimit.Options{Account: d.account(api), Limits: d.limits, Timeout: d.Timeout})
	if err != nil {
		return err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { _ = limiter.Run(background) }) // it says nothing but that it ran before
	err = do(ctx, api.WithGate(patient(worker.Gate(limiter, ratelimit.LaneNormal), errs)))
	stop()
	running.Wait()
	return err
}

// patient says so when a permit is long in coming.
func patient(gate flowroute.Gate, errs io.Writer) flowroute.Gate {
	var once sync.Once
	return func(ctx context.Context, e flowroute.Endpoint) (flowroute.Pass, error) {
		notice := time.AfterFunc(permitNotice, func() {
			once.Do(func() {
				fmt.Fprintf(errs, "waiting for a permit of the account's rate limit (%s) …\n", e)
			})
		})
		defer notice.Stop()
		return gate(ctx, e)
	}
}

// explainAPI says of errors of the API what to do about them.
func explainAPI(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, flowroute.ErrUnauthorized):
		return fmt.Errorf("credentials refused: check FR_ACCESS_KEY and FR_SECRET_KEY: %w", err)
	case errors.Is(err, flowroute.ErrRateLimited):
		return fmt.Errorf("somebody else uses this key's limit, or RATE_… is set too high: %w", err)
	}
	if api, ok := errors.AsType[*flowroute.APIError](err); ok && api.StringStatus {
		return fmt.Errorf("the address is not Flowroute's API: check FLOWROUTE_BASE_URL: %w", err)
	}
	return err
}
