package worker_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
)

// Where no limit makes messages wait, their tasks are taken many at a time; those of other
// apps between them are taken in all the same, and asynq's figures count them all.
func TestExpressBesideAsynq(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	app := asynq.NewClientFromRedisClient(b.db.Client())
	nudges, plain := 0, 0
	for i := range b.fewer(200, 60) {
		to := fmt.Sprintf("+1206%07d", 2000000+i)
		if i%7 != 3 {
			b.send(jobs.Message{To: to})
			nudges++
			continue
		}
		body := `{"v":1,"job":"` + ledger.NewID().String() + `","gen":1}` // it only looks like ours
		payload, err := json.Marshal(map[string]any{"v": 1, "from": ours, "to": to, "body": body})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := app.EnqueueContext(t.Context(), asynq.NewTask("send-message", payload), asynq.Queue("normal"), asynq.MaxRetry(0)); err != nil {
			t.Fatal(err)
		}
		plain++
	}
	b.start(options{})
	b.eventually("all posted", func() bool { return b.taken() == nudges+plain })
	inspector := asynq.NewInspectorFromRedisClient(b.db.Client())
	var info *asynq.QueueInfo
	b.eventually("all over", func() bool {
		var err error
		info, err = inspector.GetQueueInfo("normal")
		return err == nil && info.Size == 0
	})
	if want := nudges + 2*plain; info.ProcessedTotal != want || info.Processed != want || info.FailedTotal != 0 { // each plain one became a nudge
		t.Errorf("got %d processed, %d today, %d failed, want %d, %d, none", info.ProcessedTotal, info.Processed, info.FailedTotal, want, want)
	}
	if left := b.db.Client().Keys(t.Context(), "asynq:{normal}:t:*").Val(); len(left) > 0 {
		t.Errorf("got records of %d tasks, want none", len(left))
	}
	texted := map[string]int{}
	for _, m := range b.sim.Truth().Messages {
		texted[m.To]++
	}
	for to, n := range texted {
		if n != 1 {
			t.Errorf("%s got %d texts, want 1", to, n)
		}
	}
}

// A queue that was paused rests until it is not.
func TestExpressHeedsPause(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	inspector := asynq.NewInspectorFromRedisClient(b.db.Client())
	b.until(b.send(jobs.Message{}), ledger.Accepted) // asynq knows the queue
	if err := inspector.PauseQueue("normal"); err != nil {
		t.Fatal(err)
	}
	resting := b.send(jobs.Message{})
	for range 5 {
		b.until(b.send(jobs.Message{Priority: jobs.PriorityOTP}), ledger.Accepted)
	}
	if job := b.until(resting, ledger.Queued, ledger.Sending, ledger.Accepted); job.State != ledger.Queued {
		t.Errorf("got %s while its queue is paused, want queued", job.State)
	}
	if err := inspector.UnpauseQueue("normal"); err != nil {
		t.Fatal(err)
	}
	b.until(resting, ledger.Accepted)
}

// Tasks that wait for a refused key to be mended keep their leases, and are given back
// when the worker ends: the next one goes on with them.
func TestExpressKeepsAndGivesBack(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	key := b.sim.SecretKey
	b.sim.SecretKey = "ffffffffffffffffffffffffffffffff"
	var ids []string
	for range 5 {
		ids = append(ids, b.send(jobs.Message{}))
	}
	var said told
	stop := b.start(sweeping(time.Minute, &said))
	b.breakerOpens()
	rdb := b.db.Client()
	lease := func() float64 {
		first, err := rdb.ZRangeWithScores(t.Context(), "asynq:{normal}:lease", 0, 0).Result()
		if err != nil || len(first) == 0 {
			return 0
		}
		return first[0].Score
	}
	var begun float64
	b.eventually("leases", func() bool { begun = lease(); return begun > 0 })
	b.eventually("longer leases", func() bool { return lease() > begun })
	if said.count("silent worker") > 0 {
		t.Error("the tasks were given back as those of a silent worker")
	}
	stop()
	if waiting := rdb.LLen(t.Context(), "asynq:{normal}:pending").Val(); waiting != 5 {
		t.Errorf("got %d tasks in the queue after the end, want 5", waiting)
	}
	if info, err := asynq.NewInspectorFromRedisClient(rdb).GetQueueInfo("normal"); err != nil || info.Pending != 5 {
		t.Errorf("got %+v, %v of asynq, want 5 that wait", info, err)
	}
	if fields := rdb.HKeys(t.Context(), rdb.Keys(t.Context(), "asynq:{normal}:t:*").Val()[0]).Val(); slices.Contains(fields, "pending_since") {
		t.Errorf("a task that was given back has %q, which asynq's own have not", fields)
	}
	if active := rdb.LLen(t.Context(), "asynq:{normal}:active").Val(); active != 0 {
		t.Errorf("got %d active ones, want none", active)
	}
	b.sim.SecretKey = key
	b.start(options{})
	for _, id := range ids {
		b.until(id, ledger.Accepted)
	}
}

// What is on the wire when the shutdown time is over is given back, and not posted again.
func TestExpressAtTheEndOfTheShutdownTime(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true, sim: flowroutetest.Options{Latency: 2 * time.Second}})
	slow := func(o *worker.Options) {
		b.patient(o)
		o.ShutdownTimeout = 100 * time.Millisecond
	}
	stop := b.start(options{worker: slow})
	id := b.send(jobs.Message{})
	b.until(id, ledger.Sending)
	stop()
	if waiting := b.db.Client().LLen(t.Context(), "asynq:{normal}:pending").Val(); waiting != 1 {
		t.Errorf("got %d tasks in the queue after the end, want 1", waiting)
	}
	b.eventually("accepted by the account", func() bool { return b.taken() == 1 })
	b.start(options{worker: b.patient})
	b.until(id, ledger.Accepted, ledger.Sending, ledger.Unknown)
	b.until(b.send(jobs.Message{}), ledger.Accepted)
	if got := b.taken(); got != 2 {
		t.Errorf("the account took %d, want 2", got)
	}
}
