package scheduler_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/scheduler"
)

// Three replicas start at once on one Redis, then three more: one job in the
// ledger, and one task that the queue UI shows.
func TestReplicasOnOneRedis(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	entry := scheduler.Entry{Name: "mdr", Type: ledger.SyncMDR, Spec: "0 0 1 1 *"} // no tick while the test runs, but on New Year's Eve
	for range 2 {
		ctx, stop := context.WithCancel(t.Context())
		var replicas sync.WaitGroup
		for range 3 {
			rdb := db.Client()
			client, err := jobs.NewClient(rdb, jobs.Options{})
			if err != nil {
				t.Fatal(err)
			}
			s, err := scheduler.New(client, scheduler.Options{Entries: []scheduler.Entry{entry}, LastRuns: scheduler.NewLastRuns(rdb, "")})
			if err != nil {
				t.Fatal(err)
			}
			replicas.Go(func() {
				if err := s.Run(ctx); err != nil {
					t.Errorf("run: %v", err)
				}
			})
		}
		waitForRun(t, db)
		stop()
		replicas.Wait()
	}
	ticks, err := scheduler.ParseSpec(entry.Spec)
	if err != nil {
		t.Fatal(err)
	}
	tick := ticks.Previous(time.Now())
	led, err := ledger.New(db.Client(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	job, err := led.Get(t.Context(), ledger.KeyID(ledger.SyncMDR, "mdr@"+tick.Format(time.RFC3339)))
	if err != nil || job.State != ledger.Queued {
		t.Errorf("job: got %+v, %v; want it queued", job, err)
	}
	counts, err := led.Counts(t.Context())
	if err != nil || counts[ledger.SyncMDR][ledger.Queued] != 1 {
		t.Errorf("ledger: got %v, %v; want one job", counts, err)
	}
	tasks, err := asynq.NewInspectorFromRedisClient(db.Client()).ListPendingTasks(ledger.QueueSync)
	if err != nil || len(tasks) != 1 || tasks[0].Type != string(ledger.SyncMDR) {
		t.Errorf("queue: got %d tasks, %v; want one", len(tasks), err)
	}
}

// waitForRun returns when a replica has stored the run, which it does last.
func waitForRun(t *testing.T, db *redistest.DB) {
	t.Helper()
	runs, tries := scheduler.NewLastRuns(db.Client(), ""), time.NewTicker(5*time.Millisecond)
	defer tries.Stop()
	for {
		last, err := runs.Load(t.Context(), "mdr")
		if err != nil {
			t.Fatal(err)
		}
		if !last.IsZero() {
			return
		}
		<-tries.C
	}
}
