package worker_test

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
)

// An idle worker does not find a message by looking: it is told.
func TestWorkerIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t, options{worker: func(o *worker.Options) { o.Poll = time.Minute }})
	b.until(b.send(jobs.Message{}), ledger.Accepted) // asynq's scripts are loaded, the bell is heard
	for _, priority := range []string{jobs.PriorityOTP, jobs.PriorityNormal, jobs.PriorityBulk} {
		for range 5 {
			started := time.Now()
			b.until(b.send(jobs.Message{Priority: priority}), ledger.Accepted)
			if took := time.Since(started); took > 2*time.Second {
				t.Errorf("%s: took %v", priority, took)
			}
		}
	}
}

// A task of an app that does not tell is found by looking, and asynq's lease on it is
// as long as it should be.
func TestPlainTaskIsFound(t *testing.T) {
	t.Parallel()
	b := setup(t, options{worker: func(o *worker.Options) { o.Poll = 50 * time.Millisecond }})
	client := asynq.NewClientFromRedisClient(b.db.Client())
	payload := []byte(`{"v":1,"from":"` + ours + `","to":"` + theirs + `","body":"plain"}`)
	info, err := client.EnqueueContext(t.Context(), asynq.NewTask("send-message", payload), asynq.Queue("bulk"))
	if err != nil {
		t.Fatal(err)
	}
	id := ledger.TaskID(info.ID).String()
	b.eventually("it is taken in", func() bool { _, err := b.jobs.Get(t.Context(), id); return err == nil })
	b.until(id, ledger.Accepted)
}
