package lease_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/internal/lease"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func TestOneHolderAtATime(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	var inside, ran atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			err := lease.Hold(t.Context(), rdb, "k", lease.Options{TTL: 300 * time.Millisecond, Wait: true}, func(context.Context) error {
				if n := inside.Add(1); n != 1 {
					t.Errorf("got %d holders at once, want 1", n)
				}
				ran.Add(1)
				inside.Add(-1)
				return nil
			})
			if err != nil {
				t.Errorf("got %v, want the lease", err)
			}
		})
	}
	all.Wait()
	if got := ran.Load(); got != 8 {
		t.Errorf("got %d runs, want 8", got)
	}
}

func TestHeldIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	err := lease.Hold(t.Context(), rdb, "k", lease.Options{}, func(ctx context.Context) error {
		err := lease.Hold(ctx, rdb, "k", lease.Options{}, func(context.Context) error {
			t.Error("second holder ran")
			return nil
		})
		if !errors.Is(err, lease.ErrHeld) {
			t.Errorf("second holder: got %v, want ErrHeld", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if n := rdb.Exists(t.Context(), "k").Val(); n != 0 {
		t.Errorf("after its end: got %d leases, want it released", n)
	}
}

func TestItIsRenewed(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	ttl := 150 * time.Millisecond
	err := lease.Hold(t.Context(), rdb, "k", lease.Options{TTL: ttl}, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(6 * ttl):
			return nil
		}
	})
	if err != nil {
		t.Errorf("after six times its length: got %v, want it held", err)
	}
}

func TestWorkEndsWithTheLease(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	err := lease.Hold(t.Context(), rdb, "k", lease.Options{TTL: 150 * time.Millisecond}, func(ctx context.Context) error {
		rdb.Set(ctx, "k", "another", 0)
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, lease.ErrLost) {
		t.Errorf("taken over: got %v, want ErrLost", err)
	}
	if got := rdb.Get(t.Context(), "k").Val(); got != "another" {
		t.Errorf("got holder %q, want the other's left alone", got)
	}
}

func TestWorkEndsWhenRedisIsAwayForTooLong(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	proxy := db.Proxy(t)
	err := lease.Hold(t.Context(), proxy.Client(), "k", lease.Options{TTL: 200 * time.Millisecond}, func(ctx context.Context) error {
		proxy.Cut()
		<-ctx.Done()
		proxy.Resume()
		return ctx.Err()
	})
	if !errors.Is(err, lease.ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
}

func TestStopReleases(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	ctx, cancel := context.WithCancel(t.Context())
	err := lease.Hold(ctx, rdb, "k", lease.Options{}, func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, lease.ErrLost) {
		t.Errorf("got %v, want the caller's own end", err)
	}
	if n := rdb.Exists(t.Context(), "k").Val(); n != 0 {
		t.Error("the lease is still there")
	}
}
