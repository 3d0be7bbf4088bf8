package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// rig is a Redis in fake time, for a test in a bubble, whose commands can be
// tampered with. It may sleep, being used in bubbles only.
type rig struct {
	t     *testing.T
	redis *miniredis.Miniredis
	o     ratelimit.Options
	start time.Time
}

// newRig has a limit of n per second, and the durations of the theorem as 1 s
// (WriteWindow), 2 s (PathDelay) and 10 s (Timeout).
func newRig(t *testing.T, n int) *rig {
	m := miniredis.NewMiniRedis()
	t.Cleanup(m.Close)
	return &rig{t: t, redis: m, start: time.Now(), o: ratelimit.Options{Account: "a",
		WriteWindow: time.Second, PathDelay: 2 * time.Second, Timeout: 10 * time.Second,
		Limits: ratelimit.Limits{SMS: ratelimit.Rate{N: n, Per: time.Second}}}}
}

const (
	rigLease    = 1*time.Second + 10*time.Second + 1*time.Second // what a lease must cover: window, timeout, period
	rigPhantoms = 1*time.Second + 2*time.Second + 1*time.Second  // window, path, period
	rigMargin   = 1500 * time.Millisecond                        // how much longer it may take
)

// party is one process.
type party struct {
	*ratelimit.Limiter
	r    *rig
	rdb  *redis.Client
	stop func() // ends Run and waits for it

	mu   sync.Mutex
	next func(cmd redis.Cmder, send func(redis.Cmder) error) error // tampers with one script call
	off  bool                                                      // cut off from Redis
	sent int                                                       // script calls
}

var errCut = errors.New("cut off")

func (r *rig) client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Dialer:   func(context.Context, string, string) (net.Conn, error) { return r.redis.Dial() },
		Protocol: 2, DisableIdentity: true, PoolSize: 8, MaxRetries: -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// join starts a process; the first of a test finds a fresh Redis.
func (r *rig) join(fresh bool) *party {
	r.t.Helper()
	p := &party{r: r, rdb: r.client()}
	p.rdb.AddHook(tamper{p})
	o := r.o
	o.FreshStart = fresh
	var err error
	if p.Limiter, err = ratelimit.New(p.rdb, o); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		_ = p.rdb.Close()
	})
	r.t.Cleanup(p.stop)
	synctest.Wait() // it has made itself known
	return p
}

type tamper struct{ p *party }

func (h tamper) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h tamper) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h tamper) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.p.mu.Lock()
		off, twist := h.p.off, h.p.next
		h.p.sent++
		send := func(cmd redis.Cmder) error { return next(ctx, cmd) }
		isTake := len(cmd.Args()) > 6 && strings.Contains(fmt.Sprint(cmd.Args()[6]), ":call:")
		if !isTake || twist != nil && !cached(ctx, cmd, next) {
			twist = nil
		}
		if twist != nil {
			h.p.next = nil
		}
		h.p.mu.Unlock()
		if off {
			cmd.SetErr(errCut)
			return errCut
		}
		if twist != nil {
			return twist(cmd, send)
		}
		return send(cmd)
	}
}

// cached reports whether a command runs a script, and is not about to be told that
// Redis does not have it yet.
func cached(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) bool {
	if cmd.Args()[0] != "evalsha" {
		return true
	}
	exists := redis.NewBoolSliceCmd(ctx, "script", "exists", cmd.Args()[1])
	return next(ctx, exists) == nil && exists.Val()[0]
}

// twist tampers with the next take that the process sends.
func (p *party) twist(f func(cmd redis.Cmder, send func(redis.Cmder) error) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = f
}

// cut separates the process from Redis, or joins them again.
func (p *party) cut(off bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = off
}

// calls returns how many calls of Redis the process has made.
func (p *party) calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

func again(cmd redis.Cmder) redis.Cmder { return redis.NewCmd(context.Background(), cmd.Args()...) }

// take takes a permit, however long it waits.
func (p *party) take() *ratelimit.Permit {
	p.r.t.Helper()
	permit, err := p.Take(p.r.t.Context(), ratelimit.KindSMS, ratelimit.LaneNormal)
	if err != nil {
		p.r.t.Fatal(err)
	}
	return permit
}

// none fails the test if a permit can be had within d.
func (p *party) none(d time.Duration) {
	p.r.t.Helper()
	ctx, cancel := context.WithTimeout(p.r.t.Context(), d)
	defer cancel()
	if _, err := p.Take(ctx, ratelimit.KindSMS, ratelimit.LaneNormal); err == nil {
		p.r.t.Fatalf("got a permit %v after the start, want none for %v", time.Since(p.r.start), d)
	}
}

// flood keeps several waiters of one kind and lane waiting until ctx ends. Each
// permit is used for 20 ms. It returns when each was granted.
func (p *party) flood(ctx context.Context, k ratelimit.Kind, lane ratelimit.Lane, waiters int) func() []time.Duration {
	var mu sync.Mutex
	var grants []time.Duration
	var all sync.WaitGroup
	for range waiters {
		all.Go(func() {
			for {
				permit, err := p.Take(ctx, k, lane)
				if err != nil {
					return
				}
				mu.Lock()
				grants = append(grants, time.Since(p.r.start))
				mu.Unlock()
				time.Sleep(20 * time.Millisecond)
				permit.Responded()
			}
		})
	}
	return func() []time.Duration {
		all.Wait()
		return grants
	}
}

// status returns the status of one limit.
func (p *party) status(limit string) ratelimit.LimitStatus {
	p.r.t.Helper()
	list, err := p.Status(p.r.t.Context())
	if err != nil {
		p.r.t.Fatal(err)
	}
	for _, s := range list {
		if s.Name == limit {
			return s
		}
	}
	p.r.t.Fatalf("no limit %q in %v", limit, list)
	return ratelimit.LimitStatus{}
}

// out returns how many SMS permits are out.
func (p *party) out() int { return p.status("sms").Out }

// within fails the test unless the time since the start is between the two.
func (r *rig) within(least, most time.Duration) {
	r.t.Helper()
	if got := time.Since(r.start); got < least || got > most {
		r.t.Fatalf("got a permit %v after the start, want %v to %v", got, least, most)
	}
}
