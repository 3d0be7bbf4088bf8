package worker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/resolve"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// crashEnv makes TestCrashChild a worker process that dies, or stands still, at one
// point of a job's way.
const crashEnv = "WORKER_TEST_CRASH"

const (
	crashTimeout = 400 * time.Millisecond
	crashSettle  = 300 * time.Millisecond
	crashWindow  = 400 * time.Millisecond
)

// crash is what such a process is told.
type crash struct {
	Redis, API, AccessKey, SecretKey string

	Point worker.Point
	Nth   int  // time that the point is reached, counted from 1
	Hold  bool // stand still until told to go on; else die
}

// TestCrashChild is the process; without its orders it does nothing.
func TestCrashChild(t *testing.T) {
	order := os.Getenv(crashEnv)
	if order == "" {
		return
	}
	var c crash
	if err := json.Unmarshal([]byte(order), &c); err != nil {
		t.Fatal(err)
	}
	c.run(t, os.NewFile(3, "points"), bufio.NewReader(os.Stdin))
}

func (c crash) run(t *testing.T, points *os.File, stdin *bufio.Reader) {
	target, err := redisconn.Parse(c.Redis)
	if err != nil {
		t.Fatal(err)
	}
	rdb := target.Worker()
	defer rdb.Close()
	api, err := flowroute.New(flowroute.Options{BaseURL: c.API, Timeout: crashTimeout, Credentials: flowroute.Credentials{AccessKey: c.AccessKey, SecretKey: c.SecretKey}})
	if err != nil {
		t.Fatal(err)
	}
	limiter, err := ratelimit.New(rdb, ratelimit.Options{Account: api.Account(), Timeout: crashTimeout, WriteWindow: crashWindow, FreshStart: true})
	if err != nil {
		t.Fatal(err)
	}
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	goOn := make(chan struct{})
	go func() {
		if _, err := stdin.ReadString('\n'); err == nil {
			close(goOn)
			_, _ = stdin.ReadString('\n') // until the other end closes
		}
		cancel()
	}()
	var reached atomic.Int64
	var aimedAt ledger.ID // only the points of the job that stood still are told
	w, err := worker.New(worker.Options{Redis: rdb, Jobs: client, API: api, Limiter: limiter, Timeout: crashTimeout, Settle: crashSettle,
		Poll: 10 * time.Millisecond, Concurrency: 4, Trace: func(p worker.Point, job ledger.ID) {
			if p == c.Point && reached.Add(1) == int64(c.Nth) {
				if !c.Hold {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
					select {}
				}
				aimedAt = job
				fmt.Fprintln(points, "held")
				<-goOn
			}
			if c.Hold && job == aimedAt {
				fmt.Fprintln(points, string(p))
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Run(ctx)
}

// crashed is a worker process that an aim is taken at.
type crashed struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdin  interface{ Write([]byte) (int, error) }
	points *bufio.Scanner
	late   atomic.Bool // it did not come to its end in time
}

// aim starts a process that dies or stands still at a point.
func (b bundle) aim(c crash) *crashed {
	b.t.Helper()
	c.Redis, c.API, c.AccessKey, c.SecretKey = b.db.URL, b.sim.URL, b.sim.AccessKey, b.sim.SecretKey
	order, err := json.Marshal(c)
	if err != nil {
		b.t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	p := &crashed{t: b.t, cmd: exec.Command(os.Args[0], "-test.run=^TestCrashChild$"), points: bufio.NewScanner(read)}
	p.cmd.Env = append(os.Environ(), crashEnv+"="+string(order))
	p.cmd.Stderr, p.cmd.ExtraFiles = os.Stderr, []*os.File{write}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	p.stdin = stdin
	if err := p.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	_ = write.Close() // the child has it
	patience := time.AfterFunc(time.Minute, func() {
		p.late.Store(true)
		_ = p.cmd.Process.Kill()
	})
	b.t.Cleanup(func() {
		patience.Stop()
		_ = p.cmd.Process.Kill() // it may have died as it was to
		_ = p.cmd.Wait()
		_ = read.Close()
	})
	return p
}

// reaches waits until the process says that it is at a point; false when it ends.
func (p *crashed) reaches(point string) bool {
	for p.points.Scan() {
		if p.points.Text() == point {
			return true
		}
	}
	return false
}

// dies waits for the end of the process.
func (p *crashed) dies() {
	p.t.Helper()
	p.reaches("")
	err := p.cmd.Wait()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || p.late.Load() || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		p.t.Fatalf("the process ended with %v before it came to the point", err)
	}
}

// freezes stops the process at its point.
func (p *crashed) freezes() {
	p.t.Helper()
	if !p.reaches("held") {
		p.t.Fatal("the process did not come to the point")
	}
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
}

// wakes lets it go on, and waits until it has come to a point with the job.
func (p *crashed) wakes(until worker.Point) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.stdin.Write([]byte("go\n")); err != nil {
		p.t.Fatal(err)
	}
	if !p.reaches(string(until)) {
		p.t.Fatal("the process ended before it was done")
	}
}

// aftermath is what is there when a process has died: other workers, a resolver, and
// other people's messages, which show that the records are current.
func (b bundle) aftermath() {
	b.t.Helper()
	b.start(options{worker: func(o *worker.Options) { o.Sweep = time.Hour }})
	b.resolver()
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			if _, err := b.jobs.Send(ctx, jobs.Message{From: ours, To: others, Body: fmt.Sprint("hello ", i)}); err != nil && ctx.Err() == nil {
				b.t.Error(err)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	b.t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// others are not the recipient of the message that a test is about.
const others = "+12065550199"

// takenOnce is how many messages the account took that are not to the others, and how
// many requests there were for it.
func (b bundle) takenOnce() (taken, posts int) {
	for _, m := range b.sim.Truth().Messages {
		if "+"+m.To != others {
			taken++
		}
	}
	for _, r := range b.sim.Requests() {
		if r.Method == "POST" && strings.Contains(r.Body, theirs[1:]) {
			posts++
		}
	}
	return taken, posts
}

// resolver decides messages whose outcome is unknown, at once when it may.
func (b bundle) resolver() {
	b.t.Helper()
	rdb := b.db.Worker()
	api, err := flowroute.New(flowroute.Options{BaseURL: b.sim.URL, Gate: func(context.Context, flowroute.Endpoint) (flowroute.Pass, error) { return noPass{}, nil },
		Credentials: flowroute.Credentials{AccessKey: b.sim.AccessKey, SecretKey: b.sim.SecretKey}})
	if err != nil {
		b.t.Fatal(err)
	}
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := resolve.New(resolve.Options{Ledger: b.ledger, API: api, Redis: rdb, Account: api.Account(), Settle: crashSettle, SettleIdle: 2 * crashSettle,
		Tick: 20 * time.Millisecond, Nudge: func(ctx context.Context, job ledger.Job) error { return worker.Resend(ctx, client, job) }})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := r.Run(ctx); err != nil {
			b.t.Error(err)
		}
	}()
	b.t.Cleanup(func() {
		cancel()
		<-ended
		api.Close()
	})
}

// was reports whether the job was once in a state.
func was(job ledger.Job, state ledger.State) bool {
	return slices.ContainsFunc(job.History, func(c ledger.Change) bool { return c.State == state })
}
