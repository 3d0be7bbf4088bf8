package ledger_test

import (
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// A move that comes too late changes nothing, whoever makes it.
func TestBreakerMovesAreAtomic(t *testing.T) {
	t.Parallel()
	const name, lease = "api", time.Minute
	type breaker = ledger.Breaker
	for title, late := range map[string]struct {
		move func(b bundle, first breaker) (breaker, error)
		// held: by "second", who became the probe after "first" had left it.
		held bool
		want string
	}{
		"the probe of before leaves": {
			move: func(b bundle, _ breaker) (breaker, error) { return b.LeaveBreaker(t.Context(), name, "first") }, held: true, want: "held"},
		"the probe of before fails": {
			move: func(b bundle, _ breaker) (breaker, error) {
				return b.ReopenBreaker(t.Context(), name, "first", "x", lease)
			}, held: true, want: "held"},
		"one that left before it opened fails": {
			move: func(b bundle, _ breaker) (breaker, error) { return b.OpenBreaker(t.Context(), name, "x", lease) }, held: true, want: "held"},
		"the probe of before succeeds": {
			move: func(b bundle, first breaker) (breaker, error) { return b.PassBreaker(t.Context(), name, first.Opening) }, held: true, want: "closed"},
		"a probe leaves what another closed": {
			move: func(b bundle, _ breaker) (breaker, error) { return b.LeaveBreaker(t.Context(), name, "second") }, want: "closed"},
		"a probe fails when another has closed": {
			move: func(b bundle, _ breaker) (breaker, error) {
				return b.ReopenBreaker(t.Context(), name, "second", "x", lease)
			}, want: "closed"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			check := func(token string) breaker {
				got, err := b.CheckBreaker(t.Context(), name, token, lease)
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			if got, err := b.OpenBreaker(t.Context(), name, "401", 0); err != nil || !got.Changed {
				t.Fatalf("got %+v, %v", got, err)
			}
			first := check("first")
			if !first.Probe {
				t.Fatalf("got %+v, want the probe", first)
			}
			if _, err := b.LeaveBreaker(t.Context(), name, "first"); err != nil {
				t.Fatal(err)
			}
			if got := check("second"); !got.Probe {
				t.Fatalf("got %+v, want the probe at once", got)
			}
			if !late.held {
				if err := b.CloseBreaker(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			got, err := late.move(b, first)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case late.want == "closed" && got.Open, late.want == "held" && (got.Changed || !check("second").Probe || check("third").Probe):
				t.Errorf("got %+v, want %s", got, late.want)
			}
		})
	}
}

// A success of before the last failure proves nothing any more.
func TestBreakerPassedTooLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.OpenBreaker(t.Context(), "api", "401", 0); err != nil {
		t.Fatal(err)
	}
	slow, err := b.CheckBreaker(t.Context(), "api", "slow", time.Millisecond)
	if err != nil || !slow.Probe {
		t.Fatalf("got %+v, %v", slow, err)
	}
	<-time.After(10 * time.Millisecond)
	if got, err := b.CheckBreaker(t.Context(), "api", "next", time.Minute); err != nil || !got.Probe {
		t.Fatalf("got %+v, %v; want its lease over", got, err)
	}
	if got, err := b.ReopenBreaker(t.Context(), "api", "next", "401 again", time.Minute); err != nil || !got.Changed || got.Reason != "401 again" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got, err := b.PassBreaker(t.Context(), "api", slow.Opening); err != nil || !got.Open {
		t.Errorf("got %+v, %v; want it open", got, err)
	}
}

// A live probe keeps its lease by asking again.
func TestBreakerLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.OpenBreaker(t.Context(), "api", "401", 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := b.CheckBreaker(t.Context(), "api", "probe", time.Minute); err != nil || !got.Probe {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	if got, err := b.CheckBreaker(t.Context(), "api", "other", time.Minute); err != nil || got.Probe || got.Wait < 50*time.Second {
		t.Errorf("got %+v, %v; want to wait for the lease", got, err)
	}
}
