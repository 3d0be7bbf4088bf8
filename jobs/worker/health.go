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

// health is this process' view of the API, and its access to the breaker that all
// processes share.
type health struct {
	ledger   *ledger.Ledger
	lease    time.Duration
	draining <-chan struct{}
	log      *slog.Logger

	mu           sync.Mutex
	checked      time.Time // until a second later the breaker counts as closed
	opened       int       // times in a row this process opened it
	serverErrors int
	foreign      int
	forbidden    map[flowroute.E164]bool
}

func newHealth(l *ledger.Ledger, lease time.Duration, draining <-chan struct{}, log *slog.Logger) *health {
	return &health{ledger: l, lease: lease, draining: draining, log: log, forbidden: map[flowroute.E164]bool{}}
}

// enter waits while the breaker is open. It reports whether the caller is the
// probe: then the outcome of its attempt, or [health.leave], decides.
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

// leave gives a probe back that was not used.
func (h *health) leave(ctx context.Context) {
	if b, err := h.ledger.PeekBreaker(ctx, BreakerName); err == nil && b.Open {
		_, _ = h.ledger.OpenBreaker(ctx, BreakerName, b.Reason, time.Millisecond)
	}
}

// observe takes an attempt's outcome into account. It returns true when it has
// opened the breaker: then the job itself was not at fault.
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
	if b, err := h.ledger.PeekBreaker(ctx, BreakerName); err == nil && b.Open && !probe {
		return true // one that left before it opened: the next probe is not put off
	}
	h.mu.Lock()
	wait := min(2*time.Second<<min(h.opened, 6), 2*time.Minute)
	h.opened++
	h.checked = time.Time{}
	h.mu.Unlock()
	if _, openErr := h.ledger.OpenBreaker(ctx, BreakerName, reason, wait); openErr != nil {
		h.log.WarnContext(ctx, "breaker not opened", "err", openErr)
	}
	h.log.ErrorContext(ctx, "sending stopped until a probe succeeds", "reason", reason, "wait_ms", wait.Milliseconds())
	return true
}

func (h *health) closed(ctx context.Context) {
	h.mu.Lock()
	h.opened = 0
	h.checked = time.Now()
	h.mu.Unlock()
	if err := h.ledger.CloseBreaker(ctx, BreakerName); err != nil {
		h.log.WarnContext(ctx, "breaker not closed", "err", err)
		return
	}
	h.log.InfoContext(ctx, "sending goes on")
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
