package worker_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/ledgertest"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

const normalQueue = "asynq:{normal}:"

// told keeps what a worker logs.
type told struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *told) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *told) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func sweeping(every time.Duration, l *told) options {
	return options{worker: func(o *worker.Options) {
		o.Sweep = every
		if l != nil {
			o.Logger = slog.New(slog.NewTextHandler(l, nil))
		}
	}}
}

// old makes jobs look as if they had been created an hour ago.
func (b bundle) old(rdb redis.UniversalClient, ids ...string) {
	b.t.Helper()
	for _, id := range ids {
		ledgertest.Set(b.t, rdb, id, "c", fmt.Sprint(time.Now().Add(-time.Hour).UnixMilli()))
	}
}

// take does what a worker does that takes the next task of the queue, and nothing more.
func take(t *testing.T, rdb redis.UniversalClient, lease time.Time) (task string) {
	t.Helper()
	ctx := t.Context()
	id, err := rdb.RPopLPush(ctx, normalQueue+"pending", normalQueue+"active").Result()
	if err == nil {
		err = rdb.HSet(ctx, normalQueue+"t:"+id, "state", "active").Err()
	}
	if err == nil && !lease.IsZero() {
		err = rdb.ZAdd(ctx, normalQueue+"lease", redis.Z{Score: float64(lease.Unix()), Member: id}).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Whatever way a job has lost its task, it is found and goes on, once.
func TestJobsWithoutTaskAreFound(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, ctx context.Context, rdb redis.UniversalClient, task string){
		"deleted": func(t *testing.T, _ context.Context, rdb redis.UniversalClient, task string) {
			if err := asynq.NewInspectorFromRedisClient(rdb).DeleteTask("normal", task); err != nil {
				t.Fatal(err)
			}
		},
		"archived": func(t *testing.T, _ context.Context, rdb redis.UniversalClient, task string) {
			if err := asynq.NewInspectorFromRedisClient(rdb).ArchiveTask("normal", task); err != nil {
				t.Fatal(err)
			}
		},
		// asynq's archive leaves the record of what it drops, for ever.
		"trimmed from the archive": func(t *testing.T, ctx context.Context, rdb redis.UniversalClient, task string) {
			if err := asynq.NewInspectorFromRedisClient(rdb).ArchiveTask("normal", task); err != nil {
				t.Fatal(err)
			}
			rdb.ZRem(ctx, normalQueue+"archived", task)
		},
		"record evicted": func(_ *testing.T, ctx context.Context, rdb redis.UniversalClient, task string) {
			rdb.Del(ctx, normalQueue+"t:"+task)
		},
		"list evicted": func(_ *testing.T, ctx context.Context, rdb redis.UniversalClient, _ string) {
			rdb.Del(ctx, normalQueue+"pending")
		},
		"waits for a retry that is gone": func(_ *testing.T, ctx context.Context, rdb redis.UniversalClient, task string) {
			rdb.Del(ctx, normalQueue+"pending")
			rdb.HSet(ctx, normalQueue+"t:"+task, "state", "retry")
		},
		"active without a lease": func(t *testing.T, _ context.Context, rdb redis.UniversalClient, _ string) {
			take(t, rdb, time.Time{})
		},
		"active, its lease lapsed": func(t *testing.T, _ context.Context, rdb redis.UniversalClient, _ string) {
			take(t, rdb, time.Now().Add(-5*time.Second))
		},
		"active, its lease lapsed, no record": func(t *testing.T, ctx context.Context, rdb redis.UniversalClient, _ string) {
			id := take(t, rdb, time.Now().Add(-5*time.Second))
			rdb.HDel(ctx, normalQueue+"t:"+id, "msg")
		},
		"everything of asynq's lost": func(t *testing.T, ctx context.Context, rdb redis.UniversalClient, _ string) {
			keys, err := rdb.Keys(ctx, "asynq:*").Result()
			if err != nil {
				t.Fatal(err)
			}
			rdb.Del(ctx, keys...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{stopped: true})
			rdb := b.db.Client()
			id := b.send(jobs.Message{})
			b.old(rdb, id)
			lose(t, t.Context(), rdb, id+".1")
			started := time.Now()
			b.start(sweeping(300*time.Millisecond, nil))
			b.until(id, ledger.Accepted)
			t.Logf("accepted %v after the worker's start", time.Since(started).Round(10*time.Millisecond))
			if got := b.posts(); got != 1 {
				t.Errorf("got %d posts, want 1", got)
			}
		})
	}
}

// Jobs that rest with their task get no other one, however often they are looked at,
// nor while one of them is missing.
func TestRestingJobsAreLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	rdb := b.db.Client()
	many := b.fewer(1200, 60) // some slices, or a part of one
	messages := make([]jobs.Message, many)
	due := time.Now().Add(time.Hour)
	for i := range messages {
		messages[i] = jobs.Message{From: ours, To: theirs, Body: fmt.Sprint("rest ", i)}
		if i%2 == 0 {
			messages[i].SendAt = due
		}
	}
	receipts, errs := b.jobs.SendMany(t.Context(), messages)
	ids := make([]string, many)
	for i := range receipts {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		ids[i] = receipts[i].ID
	}
	b.old(rdb, ids...)
	lost := ids[0]
	if err := asynq.NewInspectorFromRedisClient(rdb).DeleteTask("normal", lost+".1"); err != nil {
		t.Fatal(err)
	}
	var lines told
	o := sweeping(200*time.Millisecond, &lines)
	o.limits = ratelimit.Limits{SMS: ratelimit.Rate{N: 1, Per: time.Minute}}
	stop := b.start(o)
	b.eventually("a new task for the one without", func() bool { return lines.count("job without a task found") > 0 })
	<-time.After(2 * time.Second) // ten more sweeps
	stop()
	for _, id := range ids {
		want := 0
		if id == lost {
			want = 1
		}
		parsed, err := ledger.ParseID(id)
		if err != nil {
			t.Fatal(err)
		}
		read, err := b.ledger.Get(t.Context(), parsed)
		if err != nil {
			t.Fatal(err)
		}
		if !read.State.Final() && read.Nudges != want {
			t.Fatalf("job %s has %d further tasks, want %d", id, read.Nudges, want)
		}
	}
	if got := lines.count("job without a task found"); got != 1 {
		t.Errorf("%d jobs were woken, want 1", got)
	}
}

// A plain task that allows no retry, in the hands of a worker that died: asynq puts it
// into its archive when the next worker starts. It is taken out again; what a person
// has archived is not.
func TestPlainTaskOfADeadWorkerLeavesTheArchive(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	rdb := b.db.Client()
	b.plain(rdb, "dead", "of a dead worker")
	take(t, rdb, time.Now().Add(-time.Minute))
	b.plain(rdb, "put away", "archived by a person")
	if err := asynq.NewInspectorFromRedisClient(rdb).ArchiveTask("normal", "put away"); err != nil {
		t.Fatal(err)
	}
	b.start(sweeping(300*time.Millisecond, nil))
	b.takenIn("dead")
	b.until(ledger.TaskID("dead").String(), ledger.Accepted)
	if got := b.posts(); got != 1 {
		t.Errorf("got %d posts, want 1", got)
	}
	info, err := asynq.NewInspectorFromRedisClient(rdb).GetTaskInfo("normal", "put away")
	if err != nil || info.State != asynq.TaskStateArchived {
		t.Errorf("got %+v, %v; want it archived", info, err)
	}
}

// plain enqueues what another app would, with no retry.
func (b bundle) plain(rdb redis.UniversalClient, id, body string) {
	b.t.Helper()
	payload := fmt.Sprintf(`{"v":1,"from":%q,"to":%q,"body":%q}`, ours, theirs, body)
	_, err := asynq.NewClientFromRedisClient(rdb).EnqueueContext(b.t.Context(), asynq.NewTask("send-message", []byte(payload)),
		asynq.Queue("normal"), asynq.TaskID(id), asynq.MaxRetry(0))
	if err != nil {
		b.t.Fatal(err)
	}
}

// takenIn waits until a plain task is a job.
func (b bundle) takenIn(task string) {
	b.t.Helper()
	b.eventually("a job of the task "+task, func() bool {
		_, err := b.ledger.Get(b.t.Context(), ledger.TaskID(task))
		return err == nil
	})
}
