package resolve_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/resolve"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

const (
	ours   = "+12065550100"
	theirs = "+12065550177"

	// Times of a minute's life, shortened in their order.
	window  = 250 * time.Millisecond
	timeout = 300 * time.Millisecond
	settle  = 500 * time.Millisecond
	idle    = 2 * time.Second
)

// bundle is a worker and resolvers against a simulated account, with a Redis
// database of its own.
type bundle struct {
	t      *testing.T
	sim    *flowroutetest.Server
	db     *redistest.DB
	jobs   *jobs.Client
	ledger *ledger.Ledger
	reg    *prometheus.Registry
}

type options struct {
	sim       flowroutetest.Options
	resolve   func(*resolve.Options)
	resolvers int // defaults to 1; negative: none
}

func setup(t *testing.T, o options) bundle {
	t.Helper()
	b := bundle{t: t, sim: flowroutetest.NewServer(t, o.sim), db: redistest.New(t), reg: prometheus.NewRegistry()}
	client, err := jobs.NewClient(b.db.Client(), jobs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.jobs, b.ledger = client, client.Ledger()
	b.work()
	for range max(o.resolvers, 1-min(-o.resolvers, 1)) {
		b.start(o.resolve)
	}
	return b
}

func (b bundle) api(patience time.Duration) *flowroute.Client {
	b.t.Helper()
	api, err := flowroute.New(flowroute.Options{BaseURL: b.sim.URL, Timeout: patience,
		Credentials: flowroute.Credentials{AccessKey: b.sim.AccessKey, SecretKey: b.sim.SecretKey}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(api.Close)
	return api
}

// run runs something long-lived until it is stopped or the test ends.
func (b bundle) run(what func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := what(ctx); err != nil && ctx.Err() == nil {
			b.t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	b.t.Cleanup(stop)
	return stop
}

// work runs a worker.
func (b bundle) work() (stop func()) {
	b.t.Helper()
	rdb, api := b.db.Worker(), b.api(timeout)
	limiter, err := ratelimit.New(rdb, ratelimit.Options{Account: api.Account(), Timeout: timeout, WriteWindow: window, FreshStart: true})
	if err != nil {
		b.t.Fatal(err)
	}
	producer, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	w, err := worker.New(worker.Options{Redis: rdb, Jobs: producer, API: api, Limiter: limiter, Timeout: timeout, Settle: settle,
		ShutdownTimeout: 10 * time.Second, Poll: 10 * time.Millisecond, Concurrency: 20})
	if err != nil {
		b.t.Fatal(err)
	}
	stop = b.run(w.Run)
	b.run(limiter.Run)
	return stop
}

// start runs a resolver.
func (b bundle) start(change func(*resolve.Options)) (stop func()) {
	b.t.Helper()
	api := b.api(10 * time.Second)
	o := resolve.Options{Ledger: b.ledger, Jobs: b.jobs, API: api, Redis: b.db.Client(), Account: api.Account(),
		Settle: settle, SettleIdle: idle, Max: time.Minute, Tick: 20 * time.Millisecond, Logger: b.logger()}
	if change != nil {
		change(&o)
	}
	r, err := resolve.New(o)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.run(r.Run)
}

// logger shows what is decided in the test's output.
func (b bundle) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{b.t, new(sync.Mutex)}, nil))
}

type testWriter struct {
	t  *testing.T
	mu *sync.Mutex
}

func (w testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t.Context().Err() == nil {
		w.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

func (b bundle) send(m jobs.Message) string {
	b.t.Helper()
	if m.From == "" {
		m.From = ours
	}
	if m.To == "" {
		m.To = theirs
	}
	if m.Body == "" {
		m.Body = "hello"
	}
	receipt, err := b.jobs.Send(b.t.Context(), m)
	if err != nil {
		b.t.Fatal(err)
	}
	return receipt.ID
}

// get reads a job.
func (b bundle) get(id string) ledger.Job {
	b.t.Helper()
	job, err := b.jobs.Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return job
}

// chat sends a message to somebody else four times a settle time, until it is
// stopped: what makes Flowroute's list prove itself current.
func (b bundle) chat() (stop func()) {
	b.t.Helper()
	end := b.run(func(ctx context.Context) error {
		tick := time.NewTicker(settle / 4)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			if _, err := b.jobs.Send(ctx, jobs.Message{From: ours, To: "+12065550111", Body: fmt.Sprintf("chat %d", n)}); err != nil && ctx.Err() == nil {
				return err
			}
		}
	})
	return func() {
		end()
		b.eventually(func() string {
			counts, err := b.ledger.Counts(b.t.Context())
			if n := counts[ledger.SendMessage]; err != nil || n[ledger.Queued]+n[ledger.Sending] > 0 {
				return fmt.Sprint("still chatting: ", n, err)
			}
			return ""
		})
	}
}

// lost sends messages of which each is accepted or not, and whose answer is lost;
// it waits until they are unknown.
func (b bundle) lost(faults []string, messages ...jobs.Message) []string {
	b.t.Helper()
	var ids []string
	for _, m := range messages {
		for _, fault := range faults {
			b.sim.FailNext(fault, 1)
		}
		id := b.send(m)
		b.until(id, ledger.Unknown)
		ids = append(ids, id)
	}
	return ids
}

// known sends a few messages of which everything is known.
func (b bundle) known() {
	b.t.Helper()
	for range 3 {
		b.until(b.send(jobs.Message{To: "+12065550111"}), ledger.Accepted)
	}
}

// until waits for the job to reach one of the states.
func (b bundle) until(id string, states ...ledger.State) ledger.Job {
	b.t.Helper()
	var job ledger.Job
	b.eventually(func() string {
		job = b.get(id)
		if slices.Contains(states, job.State) {
			return ""
		}
		return fmt.Sprintf("job is %s (%s %s), want one of %v; history %+v", job.State, job.Reason, job.Detail, states, job.History)
	})
	return job
}

// eventually waits until a condition says nothing against it.
func (b bundle) eventually(against func() string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 40*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		what := against()
		if what == "" {
			return
		}
		select {
		case <-ctx.Done():
			b.t.Fatal("did not come: " + what)
		case <-tick.C:
		}
	}
}

// pass waits for some time of the simulated life to pass.
func (b bundle) pass(d time.Duration) {
	b.t.Helper()
	select {
	case <-time.After(d):
	case <-b.t.Context().Done():
	}
}

// taken is how many messages with this text were accepted.
func (b bundle) taken(body string) int {
	n := 0
	for _, m := range b.sim.Truth().Messages {
		if m.Body == body {
			n++
		}
	}
	return n
}

func (b bundle) wantTaken(body string, want int) {
	b.t.Helper()
	if got := b.taken(body); got != want {
		b.t.Errorf("%q: got accepted %d times, want %d", body, got, want)
	}
}

// reads is how often the list was asked for.
func (b bundle) reads() int {
	n := 0
	for _, r := range b.sim.Requests() {
		if r.Method == "GET" && strings.HasSuffix(r.Path, "/messages") {
			n++
		}
	}
	return n
}
