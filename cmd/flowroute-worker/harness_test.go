package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// bundle is an environment of its own for one test: an empty Redis database, a
// simulated account without limits, and variables that lead to both.
type bundle struct {
	t   *testing.T
	db  *redistest.DB
	sim *flowroutetest.Server
	env map[string]string
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return setupWith(t, flowroutetest.Options{})
}

func setupWith(t *testing.T, o flowroutetest.Options) *bundle {
	t.Helper()
	db, sim := redistest.New(t), flowroutetest.NewServer(t, o)
	return &bundle{t: t, db: db, sim: sim, env: map[string]string{
		"REDIS_URL": db.URL, "FLOWROUTE_BASE_URL": sim.URL, "FR_ACCESS_KEY": sim.AccessKey, "FR_SECRET_KEY": sim.SecretKey,
		"HTTP_ADDR": "127.0.0.1:0", "FLOWROUTE_TIMEOUT": "5s", "SHUTDOWN_TIMEOUT": "10s", "AMBIGUOUS_SETTLE": "100ms",
		// Without limits, since a limiter that finds no state waits ten seconds.
		"RATE_SMS_PER_SECOND": "0", "RATE_MMS_PER_SECOND": "0", "RATE_NUMBERS_PER_SECOND": "0", "RATE_LOOKUPS_PER_SECOND": "0",
		"MDR_SYNC_CRON": "", "NUMBERS_SYNC_CRON": "", "RECONCILE_CRON": "",
	}}
}

// with is the bundle with other variables.
func (b *bundle) with(pairs ...string) *bundle {
	other := *b
	other.env = maps.Clone(b.env)
	for i := 0; i < len(pairs); i += 2 {
		other.env[pairs[i]] = pairs[i+1]
	}
	return &other
}

type result struct {
	code      int
	out, errs string
}

// run runs one command to its end.
func (b *bundle) run(args ...string) result {
	b.t.Helper()
	return b.runWith(b.t.Context(), strings.NewReader(""), args...)
}

func (b *bundle) runWith(ctx context.Context, in io.Reader, args ...string) result {
	b.t.Helper()
	var out, errs bytes.Buffer
	code := run(ctx, args, world{env: envconfig.MapLookuper(b.env), environ: b.environ(), in: in, out: &out, errs: &errs})
	return result{code, out.String(), errs.String()}
}

// environ is the environment as the operating system gives it.
func (b *bundle) environ() []string {
	var list []string
	for name, value := range b.env {
		list = append(list, name+"="+value)
	}
	return list
}

// want fails the test unless the command ended with this code, and standard
// output and standard error hold these texts.
func (r result) want(t *testing.T, code int, out, errs string) result {
	t.Helper()
	if r.code != code || !strings.Contains(r.out, out) || !strings.Contains(r.errs, errs) {
		t.Fatalf("got code %d, want %d\nstdout: %s\nwant %q\nstderr: %s\nwant %q", r.code, code, r.out, out, r.errs, errs)
	}
	return r
}

// json reads standard output.
func (r result) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("stdout is no JSON object: %v\n%s\n%s", err, r.out, r.errs)
	}
	return v
}

func (r result) id() string { return strings.Fields(r.out + " -")[0] }

// service is a command that runs in the background.
type background struct {
	t    *testing.T
	stop context.CancelFunc
	errs *lines
	done chan struct{}
	code int
	out  *lines
}

// start runs a command until it is stopped, at the latest with the test.
func (b *bundle) start(args ...string) *background {
	b.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &background{t: b.t, stop: stop, out: newLines(), errs: newLines(), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.code = run(ctx, args, world{
			env: envconfig.MapLookuper(b.env), environ: b.environ(), in: strings.NewReader(""), out: s.out, errs: s.errs,
		})
	}()
	b.t.Cleanup(func() { stop(); <-s.done })
	return s
}

// end stops the command and returns its exit code.
func (s *background) end() int {
	s.t.Helper()
	s.stop()
	return s.wait()
}

const patience = 30 * time.Second

func (s *background) wait() int {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatalf("the command has not ended\n%s", s.errs)
	}
	return s.code
}

// log waits for a line of the log and returns it.
func (s *background) log(msg string) map[string]any {
	s.t.Helper()
	var found map[string]any
	ok := s.errs.await(s.t, s.done, func(line string) bool {
		var v map[string]any
		if json.Unmarshal([]byte(line), &v) != nil || v["msg"] != msg {
			return false
		}
		found = v
		return true
	})
	if !ok {
		s.t.Fatalf("no line %q in the log:\n%s", msg, s.errs)
	}
	return found
}

// url is where the service listens.
func (s *background) url() string {
	s.t.Helper()
	return "http://" + s.log("http listening")["addr"].(string)
}

// lines collects what is written, line by line, for any number of goroutines.
type lines struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newLines() *lines { return &lines{changed: make(chan struct{})} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits until one of the lines is the one. It reports false when the
// command ended, or took too long.
func (l *lines) await(t *testing.T, done <-chan struct{}, is func(line string) bool) bool {
	t.Helper()
	late := time.After(patience)
	for ended := false; ; {
		l.mu.Lock()
		text, changed := l.text.String(), l.changed
		l.mu.Unlock()
		for line := range strings.Lines(text) {
			if is(line) {
				return true
			}
		}
		if ended {
			return false
		}
		select {
		case <-changed:
		case <-done:
			ended = true
		case <-late:
			ended = true
		}
	}
}

// client asks the ledger beside the commands.
func (b *bundle) client() *jobs.Client {
	b.t.Helper()
	client, err := jobs.NewClient(b.db.Client(), jobs.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	return client
}

// sent are the flags of a message that the simulated account takes.
func sent(more ...string) []string {
	return append([]string{"send", "--from", "+12065550100", "--to", "+12065550123", "--body", "Hello"}, more...)
}
