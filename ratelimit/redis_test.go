package ratelimit_test

import (
	"bytes"
	"context"
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
// Redis, are stopped, killed and started again.
func TestProcesses(t *testing.T) {
	t.Parallel()
	srv := redistest.Own(t, redisembed.Options{})
	const n = 20
	c := &counter{n: n, per: time.Second}
	order := child{Redis: srv.URL, API: serve(t, c, uneven(time.Millisecond, 60*time.Millisecond)), Senders: 8,
		Rate: per(n, time.Second), Lane: ratelimit.LaneNormal,
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
	if violated > 0 || sum.Refused > 0 {
		t.Errorf("got %d attempts beyond the limit, %d refused, want none", violated, sum.Refused)
	}
}
