package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// broken is a client whose way to Redis can be cut, and a sound one to look with.
func broken(t *testing.T, o jobs.Options) (bundle, *redistest.Proxy, *jobs.Client) {
	t.Helper()
	b := setup(t)
	proxy := b.db.Proxy(t)
	return b, proxy, newClient(t, proxy.Client(), o)
}

// The reply to each of the first commands is lost after Redis has executed them:
// one job and one nudge, whoever repeats: go-redis, or the client with its
// patience.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "k"} {
		for drops := 1; drops <= 9; drops++ {
			t.Run(fmt.Sprintf("key %q drops %d", key, drops), func(t *testing.T) {
				t.Parallel()
				b, proxy, client := broken(t, jobs.Options{Patience: 30 * time.Second})
				m := hello()
				m.Key = key
				proxy.DropReplies(drops)
				receipt, err := client.Send(t.Context(), m)
				if err != nil {
					t.Fatal(err)
				}
				if job := b.get(t, receipt.ID); job.State != ledger.Queued {
					t.Errorf("job: got %+v", job)
				}
				if key == "" && receipt.Duplicate {
					t.Error("the call's own job counts as a duplicate")
				}
				if n := b.total(t); n != 1 {
					t.Errorf("jobs: got %d, want 1", n)
				}
				tasks := b.nudges(t, ledger.QueueNormal)
				if len(tasks) != 1 || tasks[0].ID != receipt.ID+".1" {
					t.Errorf("nudges: got %d, want that of the job", len(tasks))
				}
			})
		}
	}
}

func TestLostRepliesOfMany(t *testing.T) {
	t.Parallel()
	b, proxy, client := broken(t, jobs.Options{Patience: 30 * time.Second})
	messages := make([]jobs.Message, 700)
	for i := range messages {
		messages[i] = hello()
	}
	proxy.DropReplies(20)
	receipts, errs := client.SendMany(t.Context(), messages)
	ids := map[string]bool{}
	for i := range receipts {
		if errs[i] != nil {
			t.Fatalf("%d: %v", i, errs[i])
		}
		ids[receipts[i].ID] = true
	}
	if got, nudges := b.total(t), len(b.nudges(t, ledger.QueueNormal)); len(ids) != 700 || got != 700 || nudges != 700 {
		t.Errorf("got %d ids, %d jobs, %d nudges, want 700 of each", len(ids), got, nudges)
	}
}

func TestOutageIsRiddenOut(t *testing.T) {
	t.Parallel()
	b, proxy, client := broken(t, jobs.Options{Patience: time.Minute})
	proxy.Cut()
	go func() {
		<-time.After(time.Second)
		proxy.Resume()
	}()
	receipt, err := client.Send(t.Context(), hello())
	if err != nil {
		t.Fatal(err)
	}
	b.get(t, receipt.ID)
}

func TestOutageEndsPatience(t *testing.T) {
	t.Parallel()
	b, proxy, client := broken(t, jobs.Options{Patience: 200 * time.Millisecond})
	proxy.Cut()
	m := hello()
	m.Key = "k"
	receipt, err := client.Send(t.Context(), m)
	if !errors.Is(err, jobs.ErrUnconfirmed) || receipt.ID == "" {
		t.Errorf("got %+v, %v, want ErrUnconfirmed and the id", receipt, err)
	}
	messages := make([]jobs.Message, 5000)
	for i := range messages {
		messages[i] = hello()
	}
	start := time.Now()
	_, errs := client.SendMany(t.Context(), messages)
	for i, err := range errs {
		if err == nil || errors.Is(err, jobs.ErrUnconfirmed) != (i < 500) {
			t.Fatalf("%d: got %v, want only what was tried to be unconfirmed", i, err)
		}
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v, want one patience", took)
	}

	proxy.Resume()
	again, err := client.Send(t.Context(), m)
	if err != nil || again.ID != receipt.ID {
		t.Errorf("repeated: got %+v, %v, want job %s", again, err, receipt.ID)
	}
	if n := b.total(t); n != 1 {
		t.Errorf("jobs: got %d, want 1", n)
	}
}

func TestContextEndsACall(t *testing.T) {
	t.Parallel()
	b, proxy, client := broken(t, jobs.Options{Patience: time.Minute})
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := client.Send(ended, hello()); !errors.Is(err, context.Canceled) || errors.Is(err, jobs.ErrUnconfirmed) {
		t.Errorf("ended before: got %v, want context.Canceled alone", err)
	}
	proxy.Stall()
	short, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	start := time.Now()
	// It ends while the opt-outs are read: nothing was written down yet.
	if _, err := client.Send(short, hello()); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, jobs.ErrUnconfirmed) {
		t.Errorf("stalled: got %v, want context.DeadlineExceeded alone", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("took %v, want about 0.3 s", took)
	}
	proxy.Resume()
	for range b.SendAll(ended, func(yield func(jobs.Message) bool) { yield(hello()) }) {
	}
}

// A job that is written down is taken, even if nobody could be told.
func TestJobWithoutNudgeIsTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	// Redis refuses what asynq does: its list of queues is no set.
	if err := b.rdb.Set(ctx, "asynq:queues", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	receipt, err := b.Send(ctx, hello())
	if err != nil || receipt.State != ledger.Queued {
		t.Errorf("got %+v, %v, want it queued", receipt, err)
	}
	if err := b.rdb.Del(ctx, "asynq:queues").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.inspector.GetTaskInfo(ledger.QueueNormal, receipt.ID+".1"); !errors.Is(err, asynq.ErrQueueNotFound) {
		t.Errorf("nudge: got %v, want none", err)
	}
}

func TestWaitRidesOutAnOutage(t *testing.T) {
	t.Parallel()
	b, proxy, client := broken(t, jobs.Options{})
	receipt, err := client.Send(t.Context(), hello())
	if err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	done := make(chan error, 1)
	go func() {
		job, err := client.Wait(t.Context(), receipt.ID)
		if err == nil && job.State != ledger.Cancelled {
			err = fmt.Errorf("state %s", job.State)
		}
		done <- err
	}()
	if _, err := b.Cancel(t.Context(), receipt.ID); err != nil {
		t.Fatal(err)
	}
	<-time.After(300 * time.Millisecond)
	proxy.Resume()
	if err := <-done; err != nil {
		t.Errorf("wait: %v", err)
	}
}
