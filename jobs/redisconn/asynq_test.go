package redisconn_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// asynq v0.26 cannot write "done" during an outage, and tries again after it
// with a context that it has cancelled itself. Without our hook the task
// stays active, its lease ends, and it runs a second time.
func TestTasksFinishedDuringOutageStayFinished(t *testing.T) {
	t.Parallel()
	const tasks = 10
	impatient := func(t *testing.T, url string, hooks ...redis.Hook) redis.UniversalClient {
		t.Helper()
		target, err := redisconn.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		o := target.Options()
		o.MaxRetries = -1 // so that asynq's own second attempt is what counts
		rdb := redis.NewUniversalClient(o)
		t.Cleanup(func() { _ = rdb.Close() })
		for _, hook := range hooks {
			rdb.AddHook(hook)
		}
		return rdb
	}
	tests := map[string]struct {
		client     func(*testing.T, *redistest.Proxy) redis.UniversalClient
		wantActive int
	}{
		"worker's client": {
			client: func(_ *testing.T, p *redistest.Proxy) redis.UniversalClient { return p.Worker() },
		},
		"the hook alone": {
			client: func(t *testing.T, p *redistest.Proxy) redis.UniversalClient {
				return impatient(t, p.URL, redisconn.Uncancelled())
			},
		},
		"without the hook (shows that this test can fail)": {
			client:     func(t *testing.T, p *redistest.Proxy) redis.UniversalClient { return impatient(t, p.URL) },
			wantActive: tasks,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := redistest.New(t)
			proxy := db.Proxy(t)
			rdb := db.Client()
			enqueue(t, rdb, tasks)

			workers := tt.client(t, proxy)
			run := startBlocked(t, workers, tasks)
			run.awaitStarted(t, tasks)
			proxy.Cut()
			close(run.release)
			<-time.After(2 * time.Second)
			proxy.Resume()
			awaitAnswer(t, workers)
			// Shutdown makes asynq write once more what it could not write.
			run.server.Shutdown()

			queue, err := asynq.NewInspectorFromRedisClient(rdb).GetQueueInfo("default")
			if err != nil {
				t.Fatal(err)
			}
			if queue.Active != tt.wantActive || queue.Size != tt.wantActive {
				t.Errorf("tasks still active after the outage: got %d of %d in the queue, want %d", queue.Active, queue.Size, tt.wantActive)
			}
			if diff := cmp.Diff(onceEach(tasks), run.snapshot()); diff != "" {
				t.Errorf("runs of each task (-want +got):\n%s", diff)
			}
		})
	}
}

func enqueue(t *testing.T, rdb redis.UniversalClient, tasks int) {
	t.Helper()
	client := asynq.NewClientFromRedisClient(rdb)
	for i := range tasks {
		task := asynq.NewTask("test", nil)
		if _, err := client.EnqueueContext(t.Context(), task, asynq.TaskID(taskID(i)), asynq.MaxRetry(3)); err != nil {
			t.Fatal(err)
		}
	}
}

func taskID(i int) string { return fmt.Sprintf("task-%d", i) }

func onceEach(tasks int) map[string]int {
	want := map[string]int{}
	for i := range tasks {
		want[taskID(i)] = 1
	}
	return want
}

// awaitAnswer returns when the client has got over the outage, which takes
// its pool up to a second.
func awaitAnswer(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for rdb.Ping(t.Context()).Err() != nil {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("no answer after the outage")
		}
	}
}

// blockedRun is an asynq server whose handlers wait to be released.
type blockedRun struct {
	server  *asynq.Server
	release chan struct{}
	started chan struct{}

	mu   sync.Mutex
	runs map[string]int
}

func startBlocked(t *testing.T, rdb redis.UniversalClient, tasks int) *blockedRun {
	t.Helper()
	r := &blockedRun{
		release: make(chan struct{}),
		started: make(chan struct{}, tasks),
		runs:    map[string]int{},
	}
	r.server = asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency:       tasks,
		TaskCheckInterval: 50 * time.Millisecond,
		LogLevel:          asynq.FatalLevel,
	})
	handler := func(ctx context.Context, _ *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		r.mu.Lock()
		r.runs[id]++
		r.mu.Unlock()
		r.started <- struct{}{}
		<-r.release
		return nil
	}
	if err := r.server.Start(asynq.HandlerFunc(handler)); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *blockedRun) awaitStarted(t *testing.T, tasks int) {
	t.Helper()
	for range tasks {
		select {
		case <-r.started:
		case <-t.Context().Done():
			t.Fatal("the test ended before all handlers had started")
		}
	}
}

func (r *blockedRun) snapshot() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.runs)
}
