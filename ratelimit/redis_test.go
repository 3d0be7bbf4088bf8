package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// start runs a limiter against a real Redis until the test ends.
func start(t *testing.T, rdb redis.UniversalClient, o ratelimit.Options) *ratelimit.Limiter {
	t.Helper()
	o.Account = "a"
	l, err := ratelimit.New(rdb, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

func take(t *testing.T, l *ratelimit.Limiter) *ratelimit.Permit {
	t.Helper()
	p, err := l.Take(t.Context(), ratelimit.KindSMS, ratelimit.LaneNormal)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// quick has short times, for tests that wait for leases: phantoms for 1.75 s, a
// lease of 1.95 s.
func quick(n int) ratelimit.Options {
	return ratelimit.Options{WriteWindow: 200 * time.Millisecond, PathDelay: 100 * time.Millisecond,
		Timeout: 300 * time.Millisecond, Limits: ratelimit.Limits{SMS: per(n, 200*time.Millisecond)}}
}

func TestRealRedis(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	o := quick(3)
	o.FreshStart = true
	a := start(t, db.Client(), o)
	begin := time.Now()
	for range 3 {
		take(t, a).Responded()
	}
	p := take(t, a)
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("got 4 permits in %v, want the fourth after 200 ms", took)
	}
	list, err := a.Status(t.Context())
	if err != nil || len(list) != 1 || list[0].Out < 1 || list[0].Processes != 1 {
		t.Errorf("got %+v, %v, want permits out, of one process", list, err)
	}
	p.Unsent()
	keys, err := db.Client().Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, "{flowroute}:limit:a:") {
			t.Errorf("got key %q, want all of them below {flowroute}:limit:a:", key)
		}
	}
}

// TestRealRedisCaps takes the ways through the scripts that caps add: the tests in
// bubbles run them in an imitation of Redis that forgives more.
func TestRealRedisCaps(t *testing.T) {
	t.Parallel()
	srv := redistest.Own(t, redisembed.Options{})
	o := quick(100)
	o.FreshStart, o.Limits.SMS.Per = true, time.Second
	a := start(t, srv.Client(), o)
	take(t, a).Responded() // fresh, before another one joins
	b := start(t, srv.Client(), quick(50))
	capped := func(name string, n int, d time.Duration) ratelimit.Cap {
		return ratelimit.Cap{Name: name, Rate: per(n, d)}
	}
	slow, quick := capped("slow", 1, 1500*time.Millisecond), capped("quick", 2, 200*time.Millisecond)
	begin := time.Now()
	took := func(what string, least, most time.Duration) {
		t.Helper()
		if d := time.Since(begin); d < least || d > most {
			t.Errorf("got %s after %v, want %v to %v", what, d, least, most)
		}
	}
	send := func(l *ratelimit.Limiter, lane ratelimit.Lane, caps ...ratelimit.Cap) {
		t.Helper()
		p, err := l.Take(t.Context(), ratelimit.KindSMS, lane, caps...)
		if err != nil {
			t.Fatal(err)
		}
		p.Responded()
	}
	send(a, "bulk", slow)
	var all sync.WaitGroup
	for _, l := range []*ratelimit.Limiter{a, b} {
		for _, lane := range []ratelimit.Lane{"otp", "normal", "bulk"} {
			for range 4 {
				all.Go(func() { send(l, lane, quick) })
			}
		}
	}
	all.Go(func() { send(b, "normal", slow, quick) }) // waits longer than an entry lasts unless renewed
	all.Wait()
	took("all", 1500*time.Millisecond, 4*time.Second)
	srv.Kill()
	srv.Restart()
	begin = time.Now()
	send(b, "bulk", slow)
	took("one after the loss", 1200*time.Millisecond, 6*time.Second)

	daily := ratelimit.Cap{Name: "daily", PerDay: 2}
	p, err := a.Take(t.Context(), ratelimit.KindSMS, ratelimit.LaneBulk, daily)
	if err != nil {
		t.Fatal(err)
	}
	p.Unsent()
	waitFor(t, func() bool {
		p, err := b.Take(t.Context(), ratelimit.KindSMS, ratelimit.LaneBulk, daily)
		if err == nil {
			p.Responded()
		}
		return errors.Is(err, ratelimit.ErrCapUsedUp)
	})
	status, err := a.Status(t.Context())
	if err != nil || status[0].Lanes["bulk"].Granted < 3 || len(status[0].Declared) != 2 {
		t.Errorf("got %+v, %v, want three permits granted to bulk, and two that declare", status, err)
	}
	p = take(t, a)
	p.RateLimited(0)
	p.Responded()
	if status, err = b.Status(t.Context()); err != nil || status[0].Learned.IsZero() {
		t.Errorf("got %+v, %v, want a limit that has shrunk", status, err)
	}
	state := ""
	waitFor(t, func() bool {
		fields, err := srv.Client().HKeys(t.Context(), "{flowroute}:limit:a:state").Result()
		if err != nil {
			t.Fatal(err)
		}
		state = strings.Join(fields, " ")
		return !strings.Contains(state, "cap:quick") && !strings.Contains(state, "cap:daily")
	})
}

func TestRedisStartsAgain(t *testing.T) {
	t.Parallel()
	srv := redistest.Own(t, redisembed.Options{})
	o := quick(1)
	o.FreshStart = true
	a := start(t, srv.Client(), o)
	b := start(t, srv.Client(), quick(2))
	c := start(t, srv.Client(), quick(2))
	take(t, a) // in flight: presented, and out for its lease
	srv.Kill()
	begin := time.Now()
	srv.Restart()
	p := take(t, b) // its phantom's time is over
	if took := time.Since(begin); took < 1500*time.Millisecond {
		t.Errorf("got a permit %v after the restart, want none before 1.5 s", took)
	}
	list, err := c.Status(t.Context())
	if err != nil || list[0].Effective != o.Limits.SMS {
		t.Errorf("got %+v, %v, want an effective limit of %v", list, err, o.Limits.SMS)
	}
	p.Unsent()
}

func TestRepliesAreLost(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	proxy := db.Proxy(t)
	o := quick(5)
	o.FreshStart, o.WriteWindow, o.Timeout = true, 4*time.Second, 10*time.Second
	o.Limits.SMS.Per = 10 * time.Second
	l := start(t, proxy.Client(), o)
	take(t, l)
	for want := 2; want <= 4; want++ {
		proxy.DropReplies(1) // the client sends its command again
		take(t, l)
		if list, err := l.Status(t.Context()); err != nil || list[0].Out != want {
			t.Errorf("got %+v, %v, want %d permits out", list, err, want)
		}
	}
}

// lines collects what is logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

func TestOutage(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	proxy := db.Proxy(t)
	target, err := redisconn.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := target.Producer()
	defer rdb.Close()
	var log lines
	o := quick(2)
	o.FreshStart = true
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	l := start(t, rdb, o)
	p := take(t, l)

	proxy.Cut()
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := l.Take(short, ratelimit.KindSMS, ratelimit.LaneOTP); err == nil {
		t.Fatal("got a permit without Redis")
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("got an answer %v after the start, want it when the context ends", took)
	}
	got := make(chan error, 10)
	for range cap(got) {
		go func() {
			p, err := l.Take(t.Context(), ratelimit.KindSMS, ratelimit.LaneOTP)
			if err == nil {
				p.Responded()
			}
			got <- err
		}()
	}
	p.Responded() // goes back when Redis is there
	waitFor(t, func() bool { return log.count("redis does not answer") > 0 })
	proxy.Resume()
	for range cap(got) {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	waitFor(t, func() bool {
		list, err := l.Status(t.Context())
		return err == nil && list[0].Out == 0
	})
	if got := [2]int{log.count("redis does not answer"), log.count("redis answers")}; got != [2]int{1, 1} {
		t.Errorf("got %v lines about the outage and its end, want one each", got)
	}
}

// TestProcesses lets four processes send as fast as they can while they, and
// Redis, are stopped, killed and started again. Each number may send less than the
// account.
func TestProcesses(t *testing.T) {
	t.Parallel()
	srv := redistest.Own(t, redisembed.Options{})
	const n = 20
	c := (&counter{n: n, per: time.Second}).below(8, 3)
	order := child{Redis: srv.URL, API: serve(t, c, uneven(time.Millisecond, 60*time.Millisecond)), Senders: 16,
		Rate: per(n, time.Second), Numbers: len(c.senders), Cap: per(3, time.Second), Lane: ratelimit.LaneNormal,
		WriteWindow: 300 * time.Millisecond, PathDelay: 500 * time.Millisecond, Timeout: time.Second}
	first := order
	first.FreshStart = true
	processes := []*process{spawn(t, first)}
	counted := func(least int) {
		t.Helper()
		before, _ := c.totals()
		waitFor(t, func() bool { now, _ := c.totals(); return now-before >= least })
	}
	counted(1)
	for range 3 {
		processes = append(processes, spawn(t, order))
	}
	counted(n)
	for _, p := range processes[:2] {
		p.signal(syscall.SIGSTOP)
	}
	counted(n)
	for _, p := range processes[:2] {
		p.signal(syscall.SIGCONT)
	}
	counted(n / 2)
	processes[2].kill()
	processes[2] = spawn(t, order)
	counted(n)
	if err := srv.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	counted(n)
	srv.Kill()
	srv.Restart()
	counted(n)

	attempts, violated := c.totals()
	var sum tally
	for _, p := range processes {
		one := p.stop()
		sum.Accepted += one.Accepted
		sum.Refused += one.Refused
		sum.Lost += one.Lost
	}
	t.Logf("%d attempts; of the living: %+v", attempts, sum)
	if beyond := c.fixed(); beyond > 0 {
		t.Errorf("got %d attempts beyond the limit in fixed windows, want none", beyond)
	}
	if beyond := c.beyond(); beyond > 0 {
		t.Errorf("got %d attempts beyond what their numbers may, want none", beyond)
	}
	if violated > 0 || sum.Refused > 0 {
		t.Errorf("got %d attempts beyond the limit, %d refused, want none", violated, sum.Refused)
	}
}
