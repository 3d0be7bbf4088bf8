package scheduler_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/scheduler"
)

// queue stands for the ledger: one job a key.
type queue struct {
	mu    sync.Mutex
	keys  []string // in order of their first enqueueing
	calls int
	fail  func(call int) error // may panic
}

func (q *queue) StartSync(ctx context.Context, t ledger.Type, key string, _ jobs.Sync) (jobs.Receipt, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls++
	if q.fail != nil {
		if err := q.fail(q.calls); err != nil {
			return jobs.Receipt{}, err
		}
	}
	known := slices.Contains(q.keys, key)
	if !known {
		q.keys = append(q.keys, key)
	}
	return jobs.Receipt{ID: ledger.KeyID(t, key).String(), Duplicate: known}, nil
}

func (q *queue) failing(fail func(call int) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail = fail
}

func (q *queue) take() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	keys := q.keys
	q.keys = nil
	slices.SortFunc(keys, func(a, b string) int { // replicas and entries race
		_, tickA, _ := strings.Cut(a, "@")
		_, tickB, _ := strings.Cut(b, "@")
		return strings.Compare(tickA, tickB)
	})
	return keys
}

type memory struct {
	mu    sync.Mutex
	ticks map[string]time.Time
	err   error
}

func (m *memory) Load(_ context.Context, name string) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ticks[name], m.err
}

func (m *memory) Store(_ context.Context, name string, tick time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ticks == nil {
		m.ticks = map[string]time.Time{}
	}
	if tick.After(m.ticks[name]) {
		m.ticks[name] = tick
	}
	return m.err
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func start(t *testing.T, q *queue, m *memory, entries ...scheduler.Entry) (stop func()) {
	t.Helper()
	s, err := scheduler.New(q, scheduler.Options{Entries: entries, LastRuns: m})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: got %v, want no error", err)
		}
	}
}

func mdrEntry(spec string) scheduler.Entry {
	return scheduler.Entry{Name: "mdr", Type: ledger.SyncMDR, Spec: spec}
}

func expect(t *testing.T, q *queue, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, q.take()); diff != "" {
		t.Errorf("enqueued (-want +got):\n%s", diff)
	}
}

// A bubble begins at midnight UTC, 2000-01-01.

func TestThreeReplicasEnqueueATickOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, m := &queue{}, &memory{}
		for i := range 3 {
			stop := start(t, q, m, mdrEntry("*/5 * * * *"), scheduler.Entry{Name: "numbers", Type: ledger.SyncNumbers, Spec: "17 * * * *"})
			defer stop()
			time.Sleep(time.Duration(i) * 900 * time.Millisecond)
		}
		expect(t, q, "numbers@1999-12-31T23:17:00Z", "mdr@2000-01-01T00:00:00Z")
		time.Sleep(21 * time.Minute)
		expect(t, q, "mdr@2000-01-01T00:05:00Z", "mdr@2000-01-01T00:10:00Z", "mdr@2000-01-01T00:15:00Z",
			"numbers@2000-01-01T00:17:00Z", "mdr@2000-01-01T00:20:00Z")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got, want := len(q.take()), 24*12+24; got != want {
			t.Errorf("a day later: got %d jobs more, want %d", got, want)
		}
	})
}

func TestMissedTicksAreMadeUpByOneRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(3*time.Hour + 2*time.Minute)
		q, m := &queue{}, &memory{}
		_ = m.Store(t.Context(), "mdr", time.Now().Add(-72*time.Hour))
		stop := start(t, q, m, mdrEntry("*/5 * * * *"))
		expect(t, q, "mdr@2000-01-01T03:00:00Z")
		stop()

		stop = start(t, q, m, mdrEntry("*/5 * * * *"))
		expect(t, q) // it ran
		time.Sleep(3 * time.Minute)
		expect(t, q, "mdr@2000-01-01T03:05:00Z")
		stop()

		time.Sleep(40 * time.Minute)
		stop = start(t, q, m, mdrEntry("*/5 * * * *"))
		expect(t, q, "mdr@2000-01-01T03:45:00Z")
		stop()
	})
}

func TestATickIsEnqueuedOnceRedisIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, m := &queue{}, &memory{}
		away := errors.New("connection refused")
		m.fail(away)
		stop := start(t, q, m, mdrEntry("*/5 * * * *"))
		defer stop()
		time.Sleep(90 * time.Second)
		expect(t, q) // whether it ran before is not known, so nothing is enqueued
		m.fail(nil)
		time.Sleep(time.Minute)
		expect(t, q, "mdr@2000-01-01T00:00:00Z")

		until := time.Now().Add(11 * time.Minute)
		q.failing(func(int) error {
			if time.Now().Before(until) {
				return away
			}
			return nil
		})
		time.Sleep(10 * time.Minute)
		expect(t, q)
		time.Sleep(2 * time.Minute)
		expect(t, q, "mdr@2000-01-01T00:10:00Z") // the latest of those missed
		time.Sleep(time.Minute)
		expect(t, q, "mdr@2000-01-01T00:15:00Z")
	})
}

func TestAPanicIsATryThatFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{fail: func(call int) error {
			if call == 1 {
				panic("boom")
			}
			return nil
		}}
		stop := start(t, q, &memory{}, mdrEntry("@hourly"))
		defer stop()
		time.Sleep(2 * time.Second)
		expect(t, q, "mdr@2000-01-01T00:00:00Z")
	})
}

func TestAForeignKeyDoesNotStopTheSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{fail: func(call int) error {
			if call == 1 {
				return jobs.ErrConflict
			}
			return nil
		}}
		stop := start(t, q, &memory{}, mdrEntry("@hourly"))
		defer stop()
		time.Sleep(59 * time.Minute)
		expect(t, q)
		time.Sleep(2 * time.Minute)
		expect(t, q, "mdr@2000-01-01T01:00:00Z")
	})
}

func TestEmptySpecIsOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{}
		stop := start(t, q, &memory{}, mdrEntry(""))
		time.Sleep(48 * time.Hour)
		expect(t, q)
		stop()
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		off := scheduler.Entry{Name: "numbers", Type: ledger.SyncNumbers}
		s, err := scheduler.New(&queue{}, scheduler.Options{Entries: []scheduler.Entry{mdrEntry("*/5 * * * *"), off}, LastRuns: m})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * time.Minute)
		_ = m.Store(t.Context(), "mdr", time.Now().Truncate(5*time.Minute))
		got, err := s.Status(t.Context())
		want := []scheduler.EntryStatus{
			{Entry: mdrEntry("*/5 * * * *"), Last: time.Date(2000, 1, 1, 0, 5, 0, 0, time.UTC), Next: time.Date(2000, 1, 1, 0, 10, 0, 0, time.UTC)},
			{Entry: off},
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("status, error %v (-want +got):\n%s", err, diff)
		}
	})
}
