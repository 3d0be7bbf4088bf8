package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// The attack starts this binary again as worker processes.
const childEnv = "WORKER_TEST_CHILD"

func TestMain(m *testing.M) {
	if order := os.Getenv(childEnv); order != "" {
		if err := childMain(order); err != nil {
			fmt.Fprintln(os.Stderr, "worker process:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is what a worker process is to do until its standard input closes.
type child struct {
	Redis, API, AccessKey, SecretKey string
	Limits                           ratelimit.Limits
	Timeout, Settle, Window          time.Duration
	FreshStart                       bool
	Log                              string // a file, appended to; empty: none
}

func childMain(order string) error {
	var c child
	if err := json.Unmarshal([]byte(order), &c); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		var b [1]byte
		_, _ = os.Stdin.Read(b[:])
		cancel()
	}()
	return c.run(ctx)
}

func (c child) logger() (*slog.Logger, error) {
	if c.Log == "" {
		return slog.New(slog.DiscardHandler), nil
	}
	f, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug})).With("pid", os.Getpid()), nil
}

func (c child) run(ctx context.Context) error {
	log, err := c.logger()
	if err != nil {
		return err
	}
	target, err := redisconn.Parse(c.Redis)
	if err != nil {
		return err
	}
	rdb := target.Worker()
	defer rdb.Close()
	api, err := flowroute.New(flowroute.Options{BaseURL: c.API, Timeout: c.Timeout,
		Credentials: flowroute.Credentials{AccessKey: c.AccessKey, SecretKey: c.SecretKey}})
	if err != nil {
		return err
	}
	defer api.Close()
	limiter, err := ratelimit.New(rdb, ratelimit.Options{Account: api.Account(), Limits: c.Limits, Timeout: c.Timeout,
		WriteWindow: c.Window, PathDelay: 100 * time.Millisecond, FreshStart: c.FreshStart, Logger: log})
	if err != nil {
		return err
	}
	producer, err := jobs.NewClient(rdb, jobs.Options{Logger: log})
	if err != nil {
		return err
	}
	w, err := worker.New(worker.Options{Redis: rdb, Jobs: producer, API: api, Limiter: limiter, Rates: c.Limits, Timeout: c.Timeout,
		Settle: c.Settle, ShutdownTimeout: 10 * time.Second, Sweep: 300 * time.Millisecond, Poll: 20 * time.Millisecond, Concurrency: 20, Logger: log})
	if err != nil {
		return err
	}
	limitCtx, limitsEnd := context.WithCancel(context.WithoutCancel(ctx))
	limits := make(chan error, 1)
	go func() { limits <- limiter.Run(limitCtx) }()
	err = w.Run(ctx)
	limitsEnd()
	return errors.Join(err, <-limits)
}

// process is a worker process that can be killed, stopped and started again.
type process struct {
	t     testing.TB
	order child

	mu      sync.Mutex
	cmd     *exec.Cmd
	stdin   interface{ Close() error }
	stopped bool
}

func (p *process) start() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	order, err := json.Marshal(p.order)
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(order))
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends the process as SIGKILL does, stopped or not.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed
	p.cmd, p.stopped = nil, false
}

// drain lets the process end in order.
func (p *process) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("worker process: %v", err)
	}
	p.cmd = nil
}

// freeze stops the process; thaw lets it go on where it was.
func (p *process) freeze() bool { return p.signal(syscall.SIGSTOP, true) }
func (p *process) thaw()        { p.signal(syscall.SIGCONT, false) }

func (p *process) signal(s syscall.Signal, stopped bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.stopped == stopped {
		return false
	}
	p.stopped = stopped
	return p.cmd.Process.Signal(s) == nil
}
