package ratelimit_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/flowroute-worker/flowroute-worker/internal/race"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// world is an account, its Redis and the processes that use it, in fake time.
// What goes wrong, and when, is drawn from a seed.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	rngMu sync.Mutex
	redis *miniredis.Miniredis
	count *counter
	caps  map[string]*counter // of each sender
	o     ratelimit.Options

	rest sync.WaitGroup // what goes on without its process
	skew atomic.Int64   // of Redis' clock against ours
}

func (w *world) chance(percent int) bool { return w.draw(100) < percent }

func (w *world) draw(n int) int {
	w.rngMu.Lock()
	defer w.rngMu.Unlock()
	return w.rng.IntN(n)
}

func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.draw(int((most-least)/time.Microsecond)+1))*time.Microsecond
}

// mostly draws a short time, seldom a long one, and of these often the longest.
func (w *world) mostly(short, long time.Duration) time.Duration {
	switch {
	case w.chance(88):
		return w.between(0, short)
	case w.chance(70):
		return w.between(0, long)
	}
	return long
}

func (w *world) client() *redis.Client {
	rdb := redis.NewClient(&redis.Options{
		Dialer:   func(context.Context, string, string) (net.Conn, error) { return w.redis.Dial() },
		Protocol: 2, DisableIdentity: true, PoolSize: 8, MaxRetries: -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	rdb.AddHook(&mishaps{w: w})
	return rdb
}

var errMishap = errors.New("answer lost")

// mishaps are what can happen to a command on the way to Redis and back.
type mishaps struct{ w *world }

func (m *mishaps) DialHook(next redis.DialHook) redis.DialHook { return next }

func (m *mishaps) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (m *mishaps) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		w := m.w
		send := func(cmd redis.Cmder) error {
			time.Sleep(w.mostly(time.Millisecond, 1500*time.Millisecond))
			w.redis.SetTime(time.Now().Add(time.Duration(w.skew.Load())))
			return next(ctx, cmd)
		}
		again := func() redis.Cmder { return redis.NewCmd(ctx, cmd.Args()...) }
		switch {
		case w.chance(2): // repeated, the first answer lost
			_ = send(again())
		case w.chance(2): // repeated, the first arrives last
			w.rest.Go(func() {
				time.Sleep(w.between(0, 3*time.Second))
				_ = send(again())
			})
		case w.chance(2): // done, but we do not hear of it
			_ = send(cmd)
			cmd.SetErr(errMishap)
			return errMishap
		}
		err := send(cmd)
		time.Sleep(w.mostly(time.Millisecond, 1500*time.Millisecond))
		return err
	}
}

// process sends until ctx ends; a process that dies does so at any point.
func (w *world) process(ctx context.Context, fresh bool) {
	rdb := w.client()
	defer rdb.Close()
	o := w.o
	o.FreshStart = fresh
	l, err := ratelimit.New(rdb, o)
	if err != nil {
		w.t.Error(err)
		return
	}
	runCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	all.Go(func() {
		if err := l.Run(runCtx); err != nil {
			w.t.Error(err)
		}
	})
	var senders sync.WaitGroup
	for i := range 4 {
		senders.Go(func() {
			for ctx.Err() == nil {
				var caps []ratelimit.Cap
				sender := fmt.Sprint(w.draw(3))
				if c := w.caps[sender]; w.chance(60) {
					caps = []ratelimit.Cap{{Name: sender, Rate: ratelimit.Rate{N: c.n, Per: c.per}}}
				} else {
					sender = ""
				}
				p, err := l.Take(ctx, ratelimit.KindSMS, ratelimit.Lanes()[i], caps...)
				if err != nil {
					continue
				}
				w.attempt(p, w.caps[sender])
				if w.chance(20) {
					time.Sleep(w.mostly(time.Second, 5*time.Second))
				}
			}
		})
	}
	senders.Wait()
	if w.chance(50) {
		_ = rdb.Close() // dies: what it holds stays with its lease
	}
	stop()
	all.Wait()
}

// attempt is one request, from its permit to its end. The counter may see it
// after the end.
func (w *world) attempt(p *ratelimit.Permit, sender *counter) {
	time.Sleep(w.mostly(50*time.Millisecond, 2*w.o.WriteWindow)) // the intent is written, or we are stopped
	if time.Now().After(p.Deadline()) {
		p.Unsent()
		return
	}
	arrives := time.Now().Add(w.mostly(30*time.Millisecond, w.o.PathDelay))
	acked := arrives.Add(-w.between(0, 250*time.Millisecond))
	answered := make(chan struct{})
	w.rest.Go(func() {
		time.Sleep(time.Until(arrives))
		w.count.attempt(time.Now())
		if sender != nil {
			sender.attempt(time.Now())
		}
		time.Sleep(w.mostly(30*time.Millisecond, 2*w.o.Timeout))
		close(answered)
	})
	switch w.draw(4) {
	case 0:
		p.Written(nil)
	case 1:
		p.Written(func() bool { return !time.Now().Before(acked) })
	default:
		time.Sleep(w.mostly(0, 100*time.Millisecond)) // written, we hear of it late or never
		if w.chance(50) {
			p.Written(nil)
		}
	}
	patience := time.NewTimer(w.o.Timeout)
	defer patience.Stop()
	select {
	case <-answered:
		time.Sleep(w.mostly(0, 3*time.Second)) // we are stopped
		if w.chance(2) {
			p.RateLimited(0)
		}
		p.Responded()
	case <-patience.C:
		if w.chance(80) {
			p.Abandoned()
		}
	}
}

// run lets the world go on for a while, with losses and jumps, and returns how
// many attempts were counted, and how many made a second hold more than n, or
// what a sender may.
func (w *world) run(d time.Duration) (attempts, violated int) {
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	var processes sync.WaitGroup
	for i := range 4 {
		processes.Go(func() {
			first := i == 0
			for ctx.Err() == nil {
				life, end := context.WithTimeout(ctx, w.between(2*time.Second, 40*time.Second))
				w.process(life, first)
				end()
				first = false
				time.Sleep(w.mostly(100*time.Millisecond, 20*time.Second))
			}
		})
		time.Sleep(time.Second)
	}
	for ctx.Err() == nil {
		time.Sleep(w.between(0, 15*time.Second))
		switch w.draw(4) {
		case 3:
			w.redis.Del(fmt.Sprintf("{flowroute}:limit:a:out:cap:%d", w.draw(3)))
		case 0:
			w.redis.FlushAll()
		case 1:
			w.skew.Add(int64(w.between(-90*time.Second, 90*time.Second)))
		case 2:
			w.skew.Add(int64(w.between(-900*time.Millisecond, 900*time.Millisecond)))
		}
	}
	processes.Wait()
	w.rest.Wait()
	attempts, violated = w.count.totals()
	for _, c := range w.caps {
		_, beyond := c.totals()
		violated += beyond
	}
	return attempts, violated
}

func newWorld(t *testing.T, seed uint64, n int) *world {
	m := miniredis.NewMiniRedis()
	t.Cleanup(m.Close)
	o := ratelimit.Options{Account: "a", WriteWindow: time.Second, PathDelay: time.Second, Timeout: 3 * time.Second,
		Limits: ratelimit.Limits{SMS: ratelimit.Rate{N: n, Per: time.Second}}}
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), redis: m, o: o, count: &counter{n: n, per: time.Second},
		caps: make(map[string]*counter)}
	w.caps["0"], w.caps["1"] = &counter{n: 1, per: time.Second}, &counter{n: 2, per: time.Second}
	w.caps["2"] = &counter{n: 1, per: 3 * time.Second}
	return w
}

var (
	schedules   = flag.Uint64("ratelimit.schedules", 2, "how many random schedules TestTheorem runs")
	scheduleFor = flag.Duration("ratelimit.schedule", scheduleLength(), "how long each is, in fake time")
	firstSeed   = flag.Uint64("ratelimit.seed", 0, "seed of the first")
)

func scheduleLength() time.Duration {
	if race.Enabled {
		return 15 * time.Second
	}
	return 45 * time.Second
}

// TestTheorem lets random things happen and counts what the server would. More of
// it: -ratelimit.schedules=100 -ratelimit.schedule=5m -ratelimit.seed=1000.
func TestTheorem(t *testing.T) {
	t.Parallel()
	for seed := *firstSeed; seed < *firstSeed+*schedules; seed++ {
		for _, n := range []int{1, 5} {
			t.Run(fmt.Sprintf("n=%d seed=%d", n, seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, seed, n)
					attempts, violated := w.run(*scheduleFor)
					t.Logf("%d attempts", attempts)
					if violated > 0 {
						t.Errorf("got %d attempts beyond the limit of %d, want 0", violated, attempts)
					}
				})
			})
		}
	}
}
