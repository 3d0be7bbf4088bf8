package ratelimit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// The tests start this binary again as further processes of the product.
const childEnv = "RATELIMIT_TEST_CHILD"

func TestMain(m *testing.M) {
	if order := os.Getenv(childEnv); order != "" {
		os.Exit(childMain(order))
	}
	os.Exit(m.Run())
}

// child is what one further process is to do: send as fast as it is let, until
// its standard input closes.
type child struct {
	Redis, API string
	Rate       ratelimit.Rate
	Lane       ratelimit.Lane
	Senders    int
	FreshStart bool
	// Numbers that send, in turn, and what each may; zero: none is capped.
	Numbers int
	Cap     ratelimit.Rate
	// As in ratelimit.Options; Timeout is that of a request too.
	Timeout, WriteWindow, PathDelay time.Duration
}

// tally is what a child prints at its end.
type tally struct{ Accepted, Refused, Lost int64 }

func childMain(order string) int {
	var c child
	if err := json.Unmarshal([]byte(order), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signal.Ignore(syscall.SIGINT)
	go func() {
		var b [1]byte
		_, _ = os.Stdin.Read(b[:])
		cancel()
	}()
	sum, err := c.run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(sum); err != nil {
		return 1
	}
	return 0
}

// run sends until ctx ends.
func (c *child) run(ctx context.Context) (tally, error) {
	target, err := redisconn.Parse(c.Redis)
	if err != nil {
		return tally{}, err
	}
	rdb := target.Producer()
	defer rdb.Close()
	l, err := ratelimit.New(rdb, ratelimit.Options{Account: "a", Limits: ratelimit.Limits{SMS: c.Rate},
		Timeout: c.Timeout, WriteWindow: c.WriteWindow, PathDelay: c.PathDelay, FreshStart: c.FreshStart})
	if err != nil {
		return tally{}, err
	}
	api := &http.Client{Timeout: c.Timeout, Transport: &http.Transport{MaxIdleConnsPerHost: c.Senders}}
	runCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- l.Run(runCtx) }()

	var sum struct{ accepted, refused, lost atomic.Int64 }
	var senders sync.WaitGroup
	for i := range c.Senders {
		url, caps := c.API, []ratelimit.Cap(nil)
		if c.Numbers > 0 {
			from := strconv.Itoa(i % c.Numbers)
			url, caps = c.API+"?from="+from, []ratelimit.Cap{{Name: "from:" + from, Rate: c.Cap}}
		}
		senders.Go(func() {
			for {
				p, err := l.Take(ctx, ratelimit.KindSMS, c.Lane, caps...)
				if err != nil {
					return
				}
				switch status := post(ctx, api, url, p); status {
				case http.StatusAccepted:
					sum.accepted.Add(1)
				case http.StatusTooManyRequests:
					sum.refused.Add(1)
				default:
					sum.lost.Add(1)
				}
			}
		})
	}
	senders.Wait()
	stop()
	err = <-ended
	return tally{sum.accepted.Load(), sum.refused.Load(), sum.lost.Load()}, err
}

// post sends one request as the API client does and tells the permit what
// became of it; it returns the status or 0.
func post(ctx context.Context, api *http.Client, url string, p *ratelimit.Permit) int {
	if !time.Now().Before(p.Deadline()) {
		p.Unsent()
		return 0
	}
	ctx = httptrace.WithClientTrace(context.WithoutCancel(ctx), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { p.Written(nil) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		p.Unsent()
		return 0
	}
	res, err := api.Do(req)
	if err != nil {
		p.Abandoned()
		return 0
	}
	p.Responded()
	_ = res.Body.Close()
	return res.StatusCode
}

// process is a running child.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin interface{ Close() error }
	out   strings.Builder
	once  sync.Once
	sum   tally
}

// spawn starts a child; it is killed at the end of the test if it still runs.
func spawn(t testing.TB, c child) *process {
	t.Helper()
	order, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(order))
	p.cmd.Stdout, p.cmd.Stderr = &p.out, os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// stop lets the child end in order and returns what it counted.
func (p *process) stop() tally {
	p.t.Helper()
	p.once.Do(func() {
		_ = p.stdin.Close()
		if err := p.cmd.Wait(); err != nil {
			p.t.Errorf("child: %v", err)
		}
		if err := json.Unmarshal([]byte(p.out.String()), &p.sum); err != nil {
			p.t.Errorf("child printed %q: %v", p.out.String(), err)
		}
	})
	return p.sum
}

// kill ends the child as SIGKILL does.
func (p *process) kill() {
	p.once.Do(func() {
		_ = p.cmd.Process.Kill()
		var exit *exec.ExitError
		if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
			p.t.Errorf("child: %v", err)
		}
	})
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("signal child: %v", err)
	}
}
