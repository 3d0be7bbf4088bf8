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
	Name   string
	Open   bool
	Probe  bool          // open, and this caller may make one attempt to see
	Wait   time.Duration // open: ask again after it
	Reason string
	Since  time.Time
}

// CheckBreaker asks whether the caller, named by its token, may make an attempt.
// When the breaker is open and nobody probes, the caller becomes the probe for
// the lease.
func (l *Ledger) CheckBreaker(ctx context.Context, name, token string, lease time.Duration) (Breaker, error) {
	return l.breaker(ctx, name, "check", token, lease, "")
}

// OpenBreaker stops attempts: the next probe comes after wait.
func (l *Ledger) OpenBreaker(ctx context.Context, name, reason string, wait time.Duration) (Breaker, error) {
	return l.breaker(ctx, name, "open", "", wait, clip(reason))
}

// CloseBreaker lets attempts go again.
func (l *Ledger) CloseBreaker(ctx context.Context, name string) error {
	_, err := l.breaker(ctx, name, "close", "", 0, "")
	return err
}

// PeekBreaker reads the breaker without becoming its probe.
func (l *Ledger) PeekBreaker(ctx context.Context, name string) (Breaker, error) {
	return l.breaker(ctx, name, "peek", "", 0, "")
}

func (l *Ledger) breaker(ctx context.Context, name, op, token string, d time.Duration, reason string) (Breaker, error) {
	r := l.run(ctx, scriptBreaker, name, op, token, d.Milliseconds(), reason)
	if r.err != nil {
		return Breaker{}, fmt.Errorf("%s breaker %s: %w", op, name, r.err)
	}
	b := Breaker{Name: name, Reason: r.text(2)}
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
