package ledger

import (
	"context"
	"fmt"
	"time"
)

// Breaker says whether posting is stopped for a while, for all processes: wrong
// credentials, a wrong address. It lives here with a lease and one probe at a
// time, so that no crash leaves it shut for ever.
type Breaker struct {
	Name    string
	Open    bool
	Probe   bool          // open, and this caller may make one attempt to see
	Wait    time.Duration // open: ask again after it
	Reason  string
	Since   time.Time
	Opening string // open: which opening this is; each probe that fails makes a new one
	Changed bool   // by this call
}

// CheckBreaker asks whether the caller, named by its token, may make an attempt.
// When the breaker is open and nobody probes, the caller becomes the probe for
// the lease; asking again renews it.
func (l *Ledger) CheckBreaker(ctx context.Context, name, token string, lease time.Duration) (Breaker, error) {
	return l.breaker(ctx, breakerCall{name: name, op: "check", token: token, time: lease})
}

// OpenBreaker stops attempts: the first probe comes after wait. One that is open
// stays as it is: what failed then had left before, and must not put off the next
// probe or take the breaker from the one that is on its way.
func (l *Ledger) OpenBreaker(ctx context.Context, name, reason string, wait time.Duration) (Breaker, error) {
	return l.breaker(ctx, breakerCall{name: name, op: "open", time: wait, reason: reason})
}

// ReopenBreaker is for a probe that failed: the next one comes after wait. It changes
// nothing when another has become the probe, or has closed the breaker.
func (l *Ledger) ReopenBreaker(ctx context.Context, name, token, reason string, wait time.Duration) (Breaker, error) {
	return l.breaker(ctx, breakerCall{name: name, op: "reopen", token: token, time: wait, reason: reason})
}

// LeaveBreaker is for a probe that learned nothing: the next one may come at once.
// It changes nothing when the caller is not the probe any more.
func (l *Ledger) LeaveBreaker(ctx context.Context, name, token string) (Breaker, error) {
	return l.breaker(ctx, breakerCall{name: name, op: "leave", token: token})
}

// PassBreaker is for a probe that succeeded, named by the opening that it probed:
// attempts go again. It changes nothing when a later probe has failed meanwhile.
func (l *Ledger) PassBreaker(ctx context.Context, name, opening string) (Breaker, error) {
	return l.breaker(ctx, breakerCall{name: name, op: "close", opening: opening})
}

// CloseBreaker lets attempts go again, whatever stopped them.
func (l *Ledger) CloseBreaker(ctx context.Context, name string) error {
	_, err := l.breaker(ctx, breakerCall{name: name, op: "close"})
	return err
}

// PeekBreaker reads the breaker without becoming its probe.
func (l *Ledger) PeekBreaker(ctx context.Context, name string) (Breaker, error) {
	return l.breaker(ctx, breakerCall{name: name, op: "peek"})
}

type breakerCall struct {
	name, op, token, reason, opening string
	time                             time.Duration
}

func (l *Ledger) breaker(ctx context.Context, c breakerCall) (Breaker, error) {
	r := l.run(ctx, scriptBreaker, c.name, c.op, c.token, c.time.Milliseconds(), clip(c.reason), c.opening)
	if r.err != nil {
		return Breaker{}, fmt.Errorf("%s breaker %s: %w", c.op, c.name, r.err)
	}
	b := Breaker{Name: c.name, Reason: r.text(2), Opening: r.text(4), Changed: r.int(5) == 1}
	switch r.text(0) {
	case "open":
		b.Open = true
	case "probe":
		b.Open, b.Probe = true, true
	}
	b.Wait = time.Duration(r.int(1)) * time.Millisecond
	if since := r.int(3); since > 0 {
		b.Since = time.UnixMilli(since)
	}
	return b, nil
}
