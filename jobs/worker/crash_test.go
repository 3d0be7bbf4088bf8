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
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
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
	t      *testing.T
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

// wakes lets it go on, and waits until it is done with the job.
func (p *crashed) wakes() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.stdin.Write([]byte("go\n")); err != nil {
		p.t.Fatal(err)
	}
	if !p.reaches(string(worker.PointDone)) {
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

// A worker is killed at each point of a message's way. The message is accepted once.
func TestWorkerKilledWithAMessage(t *testing.T) {
	t.Parallel()
	for _, point := range worker.Points() {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{stopped: true})
			id := b.send(jobs.Message{Body: "killed at " + string(point)})
			b.aim(crash{Point: point, Nth: 1}).dies()
			b.aftermath()
			b.nudge(id) // as the hand-back does a few seconds later
			job := b.until(id, ledger.Accepted, ledger.Review, ledger.Failed)
			open := slices.Contains([]worker.Point{worker.PointIntent, worker.PointBody, worker.PointAnswered}, point)
			if job.State != ledger.Accepted || len(job.MDRs) != 1 || was(job, ledger.Unknown) != open {
				t.Errorf("got %s, %s, %v, %+v", job.State, job.Reason, job.MDRs, job.History)
			}
			if got, _ := b.takenOnce(); got != 1 {
				t.Errorf("the account took %d, want 1", got)
			}
		})
	}
}

// A worker stands still at a point for longer than every time that it was given, and
// goes on when its job is resolved. It posts nothing, and what it knows is written.
func TestWorkerFrozenWithAMessage(t *testing.T) {
	t.Parallel()
	for _, point := range []worker.Point{worker.PointPermit, worker.PointIntent, worker.PointBody, worker.PointAnswered, worker.PointSettled} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{stopped: true})
			id := b.send(jobs.Message{Body: "frozen at " + string(point)})
			frozen := b.aim(crash{Point: point, Nth: 1, Hold: true})
			frozen.freezes()
			if point == worker.PointBody {
				// Whether it comes there is the kernel's business; wait until it did.
				b.eventually("the request", func() bool { return b.taken() == 1 })
			}
			b.aftermath()
			b.nudge(id)
			before := b.until(id, ledger.Accepted, ledger.Review, ledger.Failed)
			_, slept := b.takenOnce()
			frozen.wakes()
			job := b.until(id, ledger.Accepted, ledger.Review, ledger.Failed, ledger.Unknown, ledger.Queued, ledger.Sending)
			if before.State != ledger.Accepted || job.State != ledger.Accepted || !slices.Equal(job.MDRs, before.MDRs) || len(job.MDRs) != 1 {
				t.Errorf("got %s %v, afterwards %s %v", before.State, before.MDRs, job.State, job.MDRs)
			}
			if taken, posts := b.takenOnce(); posts != slept || taken != 1 {
				t.Errorf("got %d posts, %d when it slept; the account took %d", posts, slept, taken)
			}
		})
	}
}

// The same with a purchase by search, at each point of each of its steps.
func TestWorkerKilledWithAPurchase(t *testing.T) {
	t.Parallel()
	for nth, step := range []string{"buy", "alias", "create", "assign"} {
		for _, point := range worker.Points() {
			if nth > 0 && (point == worker.PointPermit || point == worker.PointDone) {
				continue // nothing of the step is there yet, or the job is over
			}
			t.Run(step+"/"+string(point), func(t *testing.T) {
				t.Parallel()
				b := setup(t, options{stopped: true})
				id := b.purchase(jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1201555"}, Alias: "desk",
					PrimaryRoute: &jobs.RouteSpec{Type: "host", Value: "sip.example.com", Alias: "office"}})
				b.aim(crash{Point: point, Nth: nth + 1}).dies()
				b.aftermath()
				if point != worker.PointDone {
					b.nudge(id)
				}
				b.wantBought(id)
			})
		}
	}
}

// wantBought waits for a purchase of one number with alias and route.
func (b bundle) wantBought(id string) {
	b.t.Helper()
	job := b.until(id, ledger.Done, ledger.Failed, ledger.Review)
	if job.State != ledger.Done || job.Warning != "" {
		b.t.Errorf("got %s, %s, %s, warning %q", job.State, job.Reason, job.Detail, job.Warning)
	}
	bought := b.bought()
	if len(bought) != 1 || !strings.Contains(string(job.Progress), bought[0]) {
		b.t.Fatalf("bought %v; the job says %s", bought, job.Progress)
	}
	truth := b.sim.Truth()
	number := truth.Numbers[bought[0]]
	made := 0
	for _, route := range truth.Routes {
		if route.Value == "sip.example.com" {
			made++
		}
	}
	if made != 1 || number.Alias != "desk" || number.PrimaryRoute == "" || number.PrimaryRoute == "0" {
		b.t.Errorf("%d routes were made; got %+v", made, number)
	}
}

// A worker is killed while it reads back what an earlier attempt came to.
func TestWorkerKilledWhileReadingBack(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]string{"was bought": "purchase-accepted-then-cut", "was not": "500-before"} {
		for nth, point := range map[int]worker.Point{2: worker.PointAnswered, 3: worker.PointSettled} {
			t.Run(name+"/"+string(point), func(t *testing.T) {
				t.Parallel()
				b := setup(t, options{stopped: true})
				b.sim.FailNext(fault, 1)
				id := b.purchase(jobs.Purchase{Number: forSale, Alias: "desk", PrimaryRoute: &jobs.RouteSpec{Type: "host", Value: "sip.example.com"}})
				// The attempt that becomes unknown passes each point once itself.
				b.aim(crash{Point: point, Nth: min(nth, 2)}).dies()
				b.aftermath()
				b.nudge(id)
				b.wantBought(id)
			})
		}
	}
}

// The same with an update of both routes of a number, one of which has to be made.
func TestWorkerKilledWithARoute(t *testing.T) {
	t.Parallel()
	for nth, step := range []string{"create", "assign", "assign failover"} {
		for _, point := range []worker.Point{worker.PointIntent, worker.PointBody, worker.PointAnswered, worker.PointSettled} {
			t.Run(step+"/"+string(point), func(t *testing.T) {
				t.Parallel()
				b := setup(t, options{stopped: true})
				id := b.updateRoute(jobs.RouteUpdate{Primary: &jobs.RouteSpec{Type: "host", Value: "sip.example.com"}, Failover: &jobs.RouteSpec{ID: "0"}})
				b.aim(crash{Point: point, Nth: nth + 1}).dies()
				b.aftermath()
				b.nudge(id)
				if job := b.until(id, ledger.Done, ledger.Failed, ledger.Review); job.State != ledger.Done {
					t.Errorf("got %s, %s, %s", job.State, job.Reason, job.Detail)
				}
				truth := b.sim.Truth()
				made := 0
				for _, route := range truth.Routes {
					if route.Value == "sip.example.com" {
						made++
					}
				}
				if got := truth.Numbers["12065550100"]; made != 1 || got.PrimaryRoute == "" || got.PrimaryRoute == "0" || got.FailoverRoute != "0" {
					t.Errorf("%d routes were made; got %+v", made, got)
				}
			})
		}
	}
}

// A worker stands still with the answer that a number was bought in hand, and the
// account does not show it for long: others post again, are refused, and a person is
// asked. Then it wakes up, and the proof counts.
func TestWorkerFrozenWithAPurchase(t *testing.T) {
	t.Parallel()
	const lag = 14 * time.Second
	for _, point := range []worker.Point{worker.PointIntent, worker.PointBody, worker.PointAnswered} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{stopped: true})
			b.sim.SetFault("purchase-lag", flowroutetest.Fault{Count: 1, Delay: lag})
			id := b.purchase(jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1201555"}, Alias: "desk",
				PrimaryRoute: &jobs.RouteSpec{Type: "host", Value: "sip.example.com"}})
			frozen := b.aim(crash{Point: point, Nth: 1, Hold: true})
			frozen.freezes()
			if point == worker.PointBody {
				b.eventually("the request", func() bool { return len(b.bought()) == 1 })
			}
			b.aftermath()
			b.nudge(id)
			job := b.until(id, ledger.Done, ledger.Failed, ledger.Review)
			if want := map[bool]ledger.State{true: ledger.Done, false: ledger.Review}[point == worker.PointIntent]; job.State != want {
				t.Errorf("got %s, %s, %s, want %s", job.State, job.Reason, job.Detail, want)
			}
			purchases := func() int { return b.requests("POST", b.bought()[0]) }
			posts := purchases()
			b.eventually("the number shows", func() bool { return time.Since(job.FirstTried) > lag+time.Second })
			frozen.wakes()
			if point == worker.PointAnswered {
				b.until(id, ledger.Done)
				b.wantBought(id)
				return
			}
			if got := purchases(); got != posts || len(b.bought()) != 1 {
				t.Errorf("got %d posts, %d when it slept; bought %v", got, posts, b.bought())
			}
		})
	}
}

// The number is bought, but its messaging could not be switched on (207), which is
// known from the header alone: it is written down before anything else.
func TestWorkerKilledAfterA207(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	b.sim.FailNext("purchase-207", 1)
	b.sim.SetFault("slow-body", flowroutetest.Fault{Count: 1, On: []flowroutetest.Op{flowroutetest.OpPurchase}, Delay: 5 * time.Second})
	id := b.purchase(jobs.Purchase{Number: forSale})
	b.aim(crash{Point: worker.PointAnswered, Nth: 1}).dies()
	b.aftermath()
	b.nudge(id)
	job := b.until(id, ledger.Done, ledger.Failed, ledger.Review)
	if got := b.bought(); job.State != ledger.Done || job.Warning == "" || was(job, ledger.Unknown) || len(got) != 1 {
		t.Errorf("got %s, warning %q, %+v; bought %v", job.State, job.Warning, job.History, got)
	}
}
