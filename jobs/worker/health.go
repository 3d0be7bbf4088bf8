package worker

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// BreakerName is the one breaker of an account's API in the ledger.
const BreakerName = "api"

// When single outcomes add up to "it is not the job, it is the API".
const (
	manyServerErrors = 5 // in a row
	manyForeign      = 3 // answers that are not the API's, in a row
	manySenders      = 3 // different senders refused with 403, nothing accepted in between
)

var errDraining = errors.New("draining")

// probeLease is how long a probe whose process died keeps others from probing. A
// live one renews it, however long it waits for a permit.
const probeLease = 10 * time.Second

// health is this process' view of the API, and its access to the breaker that all
// processes share.
type health struct {
	ledger   *ledger.Ledger
	lease    time.Duration
	draining <-chan struct{}
	log      *slog.Logger

	mu           sync.Mutex
	probe        *probe
	checked      time.Time // until a second later the breaker counts as closed
	opened       int       // times in a row this process opened it
	serverErrors int
	foreign      int
	forbidden    map[flowroute.E164]bool
}

// probe is the leave to make one attempt while the breaker is open.
type probe struct {
	token, opening string
	over           context.CancelFunc
}

func newHealth(l *ledger.Ledger, lease time.Duration, draining <-chan struct{}, log *slog.Logger) *health {
	return &health{ledger: l, lease: min(lease, probeLease), draining: draining, log: log, forbidden: map[flowroute.E164]bool{}}
}

// enter waits while the breaker is open. It reports whether the caller is the
// probe: then the outcome of its attempt, or [health.leave], decides. A probe of
// which neither is heard is given back when ctx ends.
func (h *health) enter(ctx context.Context) (probe bool, err error) {
	token := uuid.NewString()
	for {
		h.mu.Lock()
		fresh := time.Since(h.checked) < time.Second
		h.mu.Unlock()
		if fresh {
			return false, nil
		}
		b, err := h.ledger.CheckBreaker(ctx, BreakerName, token, h.lease)
		if err != nil {
			return false, err
		}
		if !b.Open {
			h.mu.Lock()
			h.checked = time.Now()
			h.mu.Unlock()
			return false, nil
		}
		if b.Probe {
			h.hold(ctx, token, b.Opening)
			return true, nil
		}
		select {
		case <-h.draining:
			return false, errDraining
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(min(b.Wait+10*time.Millisecond, 2*time.Second)):
		}
	}
}

// hold keeps the lease of a probe until it is over, and gives it back if that is
// the end of its task.
func (h *health) hold(ctx context.Context, token, opening string) {
	held, over := context.WithCancel(context.WithoutCancel(ctx))
	h.mu.Lock()
	h.probe = &probe{token: token, opening: opening, over: over}
	h.mu.Unlock()
	go func() {
		defer over()
		tick := time.NewTicker(h.lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-ctx.Done():
				h.giveBack(held, token)
				return
			case <-tick.C:
				if b, err := h.ledger.CheckBreaker(held, BreakerName, token, h.lease); err == nil && !b.Probe {
					return
				}
			}
		}
	}()
}

// done ends this process' probe and returns what it was; nil: there is none.
func (h *health) done() *probe {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.probe
	if p != nil {
		p.over()
	}
	h.probe = nil
	return p
}

// leave gives a probe back that was not used.
func (h *health) leave(ctx context.Context) {
	if p := h.done(); p != nil {
		h.giveBack(ctx, p.token)
	}
}

func (h *health) giveBack(ctx context.Context, token string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = h.ledger.LeaveBreaker(ctx, BreakerName, token) // else its lease runs out
}

// observe takes an attempt's outcome into account. It returns true when that stops
// everybody: then the job itself was not at fault.
func (h *health) observe(ctx context.Context, v verdict, err error, sender flowroute.E164, probe bool) bool {
	reason := h.blame(v, err, sender)
	if reason == "" {
		if probe && v.State != ledger.Unknown && !v.Unreachable && v.Reason != ledger.ReasonRateLimited {
			h.closed(ctx)
		} else if probe {
			h.leave(ctx)
		}
		return false
	}
	h.mu.Lock()
	wait := min(2*time.Second<<min(h.opened, 6), 2*time.Minute)
	h.checked = time.Time{}
	h.mu.Unlock()
	var b ledger.Breaker
	var openErr error
	if p := h.probing(probe); p != nil {
		b, openErr = h.ledger.ReopenBreaker(ctx, BreakerName, p.token, reason, wait)
	} else {
		b, openErr = h.ledger.OpenBreaker(ctx, BreakerName, reason, wait)
	}
	switch {
	case openErr != nil:
		h.log.WarnContext(ctx, "breaker not opened", "err", openErr)
	case b.Changed:
		h.mu.Lock()
		h.opened++
		h.mu.Unlock()
		h.log.ErrorContext(ctx, "sending stopped until a probe succeeds", "reason", reason, "wait_ms", wait.Milliseconds())
	}
	return true
}

func (h *health) probing(is bool) *probe {
	if !is {
		return nil
	}
	return h.done()
}

// closed is for a probe that succeeded.
func (h *health) closed(ctx context.Context) {
	p := h.done()
	if p == nil {
		return
	}
	b, err := h.ledger.PassBreaker(ctx, BreakerName, p.opening)
	switch {
	case err != nil:
		h.log.WarnContext(ctx, "breaker not closed", "err", err)
		return
	case b.Open:
		return // a later probe has failed
	}
	h.mu.Lock()
	h.opened = 0
	h.checked = time.Now()
	h.mu.Unlock()
	if b.Changed {
		h.log.InfoContext(ctx, "sending goes on")
	}
}

// blame counts what single outcomes add up to. Empty: nothing to stop for.
func (h *health) blame(v verdict, err error, sender flowroute.E164) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v.Breaker != "" {
		return v.Breaker
	}
	if v.Unreachable {
		return "Flowroute cannot be reached: " + v.Detail
	}
	api, answered := errors.AsType[*flowroute.APIError](err)
	if !answered {
		if err == nil {
			h.serverErrors, h.foreign = 0, 0
			clear(h.forbidden)
		}
		return ""
	}
	switch {
	case api.Status >= 500:
		h.serverErrors++
	case v.Reason == ledger.ReasonUnexpected:
		h.foreign++
	default:
		h.serverErrors, h.foreign = 0, 0
	}
	if api.Status == http.StatusForbidden && v.State == ledger.Failed && !sender.IsZero() {
		h.forbidden[sender] = true
	}
	switch {
	case h.serverErrors >= manyServerErrors:
		return "Flowroute answers with server errors, the last one: " + v.Detail
	case h.foreign >= manyForeign:
		return "something other than Flowroute's API answers: " + v.Detail
	case len(h.forbidden) >= manySenders:
		return "every sender is refused (403): check that they belong to this account"
	}
	return ""
}
