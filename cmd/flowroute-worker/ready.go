package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
)

const (
	// accessFresh is how long an answer about the credentials is remembered.
	accessFresh = 5 * time.Minute
	// accessAgain is the pause after a check that failed, for whatever reason.
	accessAgain = 30 * time.Second
	// accessPatience bounds one check: a permit may be long in coming.
	accessPatience = 2 * time.Minute
)

// credentialCheck knows whether Flowroute takes the credentials. It asks with one
// cheap request, and only when somebody wants to know and the answer is old.
type credentialCheck struct {
	api  *flowroute.Client
	log  *slog.Logger
	want chan struct{}

	mu      sync.Mutex
	checked time.Time // zero: never
	err     error
}

func newCredentialCheck(api *flowroute.Client, log *slog.Logger) *credentialCheck {
	c := &credentialCheck{api: api, log: log, want: make(chan struct{}, 1)}
	c.want <- struct{}{} // once at the start
	return c
}

// run checks when it is wanted.
func (c *credentialCheck) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.want:
		}
		err := c.ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.mu.Lock()
		before := c.err
		c.checked, c.err = time.Now(), err
		c.mu.Unlock()
		switch {
		case errors.Is(err, flowroute.ErrUnauthorized) && !errors.Is(before, flowroute.ErrUnauthorized):
			c.log.ErrorContext(ctx, "credentials refused: check FR_ACCESS_KEY and FR_SECRET_KEY", "err", err)
		case err != nil && before == nil:
			c.log.WarnContext(ctx, "credentials not checked", "err", err)
		}
	}
}

func (c *credentialCheck) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, accessPatience)
	defer cancel()
	return checkCredentials(ctx, c.api)
}

// checkCredentials makes one cheap request.
func checkCredentials(ctx context.Context, api *flowroute.Client) error {
	for _, err := range api.Numbers(ctx, flowroute.NumberQuery{Limit: 1}) {
		return err
	}
	return nil
}

// last is the latest answer; asked: there is one. When it is old, a new one is
// asked for and will be there next time.
func (c *credentialCheck) last() (err error, asked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	age := time.Since(c.checked)
	if age > accessFresh || c.err != nil && age > accessAgain {
		select {
		case c.want <- struct{}{}:
		default: // wanted already
		}
	}
	return c.err, !c.checked.IsZero()
}

// check is the line of /readyz. Only a refusal makes the service not ready: when
// Flowroute cannot be reached, jobs can be taken all the same.
func (c *credentialCheck) check() httpapi.Check {
	line := httpapi.Check{Name: "credentials"}
	switch err, asked := c.last(); {
	case !asked:
		line.Detail = "not checked yet"
	case errors.Is(err, flowroute.ErrUnauthorized):
		line.Detail = "Flowroute refuses them (401): check FR_ACCESS_KEY and FR_SECRET_KEY"
	case err != nil:
		line.OK, line.Detail = true, "could not be checked: Flowroute did not answer as it should"
	default:
		line.OK = true
	}
	return line
}

// ready is what /readyz says beside Redis.
func (v *service) ready(ctx context.Context) []httpapi.Check {
	var lines []httpapi.Check
	if v.access != nil {
		lines = append(lines, v.access.check())
	}
	line := httpapi.Check{Name: "sending", OK: true}
	switch breaker, err := v.jobs.Ledger().PeekBreaker(ctx, worker.BreakerName); {
	case err != nil:
		line = httpapi.Check{Name: "sending", Detail: "not known: redis does not answer"}
	case breaker.Open:
		line = httpapi.Check{Name: "sending", Detail: "stopped until a probe succeeds: " + breaker.Reason}
	}
	return append(lines, line)
}
