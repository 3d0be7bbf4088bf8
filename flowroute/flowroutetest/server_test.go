package flowroutetest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

// witness is a testing.TB that notes failures and runs its clean-ups when told.
type witness struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func (w *witness) Errorf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, fmt.Sprintf(format, args...))
}

func (w *witness) Cleanup(f func()) { w.cleanups = append(w.cleanups, f) }

func TestUnknownPathFailsTheTest(t *testing.T) {
	t.Parallel()
	w := &witness{TB: t}
	s := flowroutetest.NewServer(w, flowroutetest.Options{BasePath: "/other/base"})
	get := func(path string) {
		t.Helper()
		resp, err := http.Get(s.Root + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	get("/other/base/v2/numbers") // known: 401
	if len(w.failures) != 0 {
		t.Errorf("known path: got failures %q", w.failures)
	}
	get("/v2/numbers") // without the base path
	get("/other/base/v2/lunch")
	if len(w.failures) != 2 || !strings.Contains(w.failures[1], "GET /other/base/v2/lunch") {
		t.Errorf("got failures %q, want two that name the paths", w.failures)
	}
	s.AllowUnknownPaths()
	get("/other/base/v2/lunch")
	if len(w.failures) != 2 {
		t.Errorf("allowed: got failures %q", w.failures[2:])
	}
	for _, f := range w.cleanups {
		f()
	}
	if _, err := http.Get(s.Root); err == nil {
		t.Error("still listening after the test")
	}
}

// TestCloseEndsHeldRequests: nothing waits for a request that is never
// answered, or late, and none of them is taken for answered.
func TestCloseEndsHeldRequests(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]flowroutetest.Options{
		"silence-before":        {Faults: flowroutetest.Faults{"silence-before": {Count: 1}}},
		"accepted-then-silence": {Faults: flowroutetest.Faults{"accepted-then-silence": {Count: 1}}},
		"slow-response":         {Faults: flowroutetest.Faults{"slow-response": {Count: 1, Delay: time.Hour}}},
		"slow-body":             {Faults: flowroutetest.Faults{"slow-body": {Count: 1, Delay: time.Hour}}},
		"accepted-late":         {Faults: flowroutetest.Faults{"accepted-late": {Count: 1, Delay: time.Hour}}},
		"latency":               {Latency: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			closeWhileHeld(t, o, func(c flowroutetest.Counts) bool { return c.Faults[name] == 1 || name == "latency" && c.Accepted == 1 })
		})
	}
}

func closeWhileHeld(t *testing.T, o flowroutetest.Options, held func(flowroutetest.Counts) bool) {
	t.Helper()
	w := &witness{TB: t}
	s := flowroutetest.NewServer(w, o)
	done := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/v2.1/messages", strings.NewReader(message("x")))
		if err != nil {
			done <- err
			return
		}
		req.SetBasicAuth(s.AccessKey, s.SecretKey)
		resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		done <- err
	}()
	if err := s.WaitFor(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	for _, f := range w.cleanups {
		f()
	}
	if err := <-done; err == nil {
		t.Error("got an answer, want a closed connection")
	}
	if err := s.WaitFor(t.Context(), func(flowroutetest.Counts) bool { return false }); !errors.Is(err, flowroutetest.ErrClosed) {
		t.Errorf("waiting on a closed simulator: got %v, want ErrClosed", err)
	}
}

func TestWaitForEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := flowroutetest.New(flowroutetest.Options{})
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.WaitFor(ctx, func(flowroutetest.Counts) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestNewPanicsOnBadOptions(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("got no panic")
		}
	}()
	flowroutetest.New(flowroutetest.Options{FailShare: -1})
}

// TestConcurrentUse: with everything going on at once the truth stays exact.
// It earns its keep under the race detector.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	b := setup(t, flowroutetest.Options{
		MDRDelay: time.Millisecond, DeliverAfter: 2 * time.Millisecond, FailShare: 0.2, KeepRequests: 50, KeepMessages: 1,
		Limits: flowroutetest.Limits{SMSPerSecond: 1_000_000, Window: flowroutetest.WindowSliding},
		Faults: flowroutetest.Faults{"accepted-then-500": {Probability: 0.1}, "500-before": {Probability: 0.1}, "split-records": {Probability: 0.1},
			"mdr-lag": {Probability: 0.1, Delay: time.Millisecond}, "read-500": {Probability: 0.1}},
	})
	const workers, each = 8, 40
	var mu sync.Mutex
	told := map[int]int{}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				body := fmt.Sprintf(`{"to":"%s","from":"%s","body":"%d/%d","dlr_callback":"%s/x"}`, theirs, ours, w, i, h.URL)
				if i%10 != 0 {
					body = message(fmt.Sprint(w, "/", i))
				}
				a, err := b.try("POST", "/v2.1/messages", body)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				told[a.status]++
				mu.Unlock()
				for _, path := range []string{"/v2.1/messages?start_date=2020-01-01&limit=50", "/v2/numbers"} {
					if _, err := b.try("GET", path, ""); err != nil {
						t.Error(err)
					}
				}
				_, _ = b.try("PATCH", "/v2/numbers/"+ours, `{"type":"number","alias":"x"}`)
				_ = b.Truth()
				_ = b.Requests()
			}
		})
	}
	wg.Wait()
	truth := b.Truth()
	accepted, spoiled := 0, 0
	for _, m := range truth.Messages {
		accepted++
		if m.Fault != "" {
			spoiled++
		}
	}
	if accepted != told[202]+spoiled || told[202]+told[500] != workers*each || truth.Counts.Accepted != int64(accepted) {
		t.Errorf("got %d accepted, %d of them spoiled, told %v, counted %d", accepted, spoiled, told, truth.Counts.Accepted)
	}
	if rows := b.Complete(); rows < 0 {
		t.Errorf("got %d", rows)
	}
}
