package recipes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/internal/childproc"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

const patience = time.Minute

// stage is what a recipe needs: a Redis, a simulated account and the service,
// the last two as the processes that a user starts.
type stage struct {
	bin string // directory of the programs
	db  *redistest.DB
	sim flowroutetest.Remote
	url string // of the service
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{bin: t.TempDir(), db: redistest.New(t)}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.bin+string(filepath.Separator),
		"../cmd/flowroute-worker", "./testdata/go", "./testdata/asynq")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build.Args, err, out)
	}

	// Without limits, since a limiter that finds no state waits ten seconds.
	simulated := s.start(t, nil, "", "simulate", "--addr", "127.0.0.1:0", "--json",
		"--sms-per-second", "0", "--mms-per-second", "0", "--numbers-per-second", "0")
	s.sim = flowroutetest.Remote{Root: simulated["base_url"].(string)}
	s.url = "http://" + s.start(t, []string{
		"REDIS_URL=" + s.db.URL, "HTTP_ADDR=127.0.0.1:0", "LOG_FORMAT=json",
		"FLOWROUTE_BASE_URL=" + s.sim.Root, "FR_ACCESS_KEY=" + simulated["access_key"].(string), "FR_SECRET_KEY=" + simulated["secret_key"].(string),
		"RATE_SMS_PER_SECOND=0", "RATE_MMS_PER_SECOND=0", "RATE_NUMBERS_PER_SECOND=0", "RATE_LOOKUPS_PER_SECOND=0",
		"MDR_SYNC_CRON=", "NUMBERS_SYNC_CRON=", "SENDING_HOURS=00:00-24:00", // whenever the tests run
	}, "http listening", "run")["addr"].(string)
	return s
}

// start starts flowroute-worker in the background until the test ends, and
// returns the first JSON object that it prints, with this msg if there is one.
func (s *stage) start(t *testing.T, env []string, msg string, args ...string) map[string]any {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, "flowroute-worker"), args...)
	cmd.Env = append([]string{"TMPDIR=" + t.TempDir()}, env...)
	printed, to := io.Pipe()
	cmd.Stdout, cmd.Stderr = to, to
	process, err := childproc.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.End(func() error { return cmd.Process.Signal(os.Interrupt) }, patience); err != nil {
			t.Errorf("flowroute-worker %s: %v", args[0], err)
		}
	})
	go func() {
		<-process.Gone()
		to.Close()
	}()

	var log record
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("flowroute-worker %v:\n%s", args, log.String())
		}
	})
	found := make(chan map[string]any, 1)
	go func() {
		lines := json.NewDecoder(io.TeeReader(printed, &log))
		for {
			var v map[string]any
			if lines.Decode(&v) != nil {
				close(found)
				break
			}
			if msg == "" || v["msg"] == msg {
				found <- v
				break
			}
		}
		_, _ = io.Copy(&log, printed)
	}()
	select {
	case v, ok := <-found:
		if ok {
			return v
		}
	case <-time.After(patience):
	}
	t.Fatalf("flowroute-worker %v does not say %q:\n%s", args, msg, log.String())
	return nil
}

// record keeps what is written, for any number of goroutines.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// lossyDoor is a way to the service that loses the answers to the first posts, or to
// those after the first.
type lossyDoor struct {
	service *httputil.ReverseProxy
	before  int64 // posts that are answered before
	posts   atomic.Int64
}

// lostAnswers is how many: one of which nothing arrives, and one that breaks off.
const lostAnswers = 2

func (s *stage) lossyDoor(t *testing.T, before int) (string, *lossyDoor) {
	t.Helper()
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	d := &lossyDoor{service: httputil.NewSingleHostReverseProxy(target), before: int64(before)}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return server.URL, d
}

func (d *lossyDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	post := int64(lostAnswers + 1)
	if r.Method == http.MethodPost {
		post = d.posts.Add(1) - d.before
	}
	if post < 1 || post > lostAnswers {
		d.service.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	d.service.ServeHTTP(answer, r)
	if post == lostAnswers {
		body := answer.Body.Bytes()
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
	}
	panic(http.ErrAbortHandler) // cuts the connection
}

// accepted waits until the HTTP API shows the message as accepted.
func (s *stage) accepted(t *testing.T, id string) {
	t.Helper()
	until(t, id+" is accepted", func() bool {
		response, err := http.Get(s.url + "/v1/messages/" + id)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var message struct {
			State          jobs.State
			Reason, Detail string
		}
		if err := json.NewDecoder(response.Body).Decode(&message); err != nil {
			t.Fatal(err)
		}
		if message.State != "" && message.State.Final() && message.State != ledger.Accepted {
			t.Fatalf("%s: got %+v, want it accepted", id, message)
		}
		return message.State == ledger.Accepted
	})
}

// settle waits until nothing is queued any more.
func (s *stage) settle(t *testing.T) {
	t.Helper()
	inspector := asynq.NewInspectorFromRedisClient(s.db.Client())
	until(t, "the queues are empty", func() bool {
		names, err := inspector.Queues() // those that ever had a task
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			queue, err := inspector.GetQueueInfo(name)
			if err != nil {
				t.Fatal(err)
			}
			if queue.Size > 0 {
				return false
			}
		}
		return true
	})
}

// posted is what the simulated account took.
func (s *stage) posted(t *testing.T) []text {
	t.Helper()
	truth, err := s.sim.Truth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var texts []text
	for _, m := range truth.Messages {
		texts = append(texts, text{m.To, m.Body})
	}
	return texts
}

// until looks until it is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("not after %v: %s", patience, what)
		case <-tick.C:
		}
	}
}
