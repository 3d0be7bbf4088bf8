package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// redisURL is the Redis of the examples, which have no testing.T. Tests have
// databases of their own.
var redisURL string

func TestMain(m *testing.M) {
	code, err := withRedis(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withRedis(run func() int) (int, error) {
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	server, err := redisembed.Start(ctx, redisembed.Options{})
	if err != nil {
		return 0, err
	}
	redisURL = server.URL()
	return run(), server.Close()
}

const (
	from = "+12065550100"
	to   = "+12065550123"
)

// hello is a message that is in order.
func hello() jobs.Message { return jobs.Message{From: from, To: to, Body: "hello"} }

// bundle is a client with a database of its own.
type bundle struct {
	*jobs.Client
	rdb       redis.UniversalClient
	inspector *asynq.Inspector
	db        *redistest.DB
}

func setup(t testing.TB) bundle {
	t.Helper()
	db := redistest.New(t)
	rdb := db.Client()
	return bundle{Client: newClient(t, rdb, jobs.Options{}), rdb: rdb, inspector: asynq.NewInspectorFromRedisClient(rdb), db: db}
}

func newClient(t testing.TB, rdb redis.UniversalClient, o jobs.Options) *jobs.Client {
	t.Helper()
	client, err := jobs.NewClient(rdb, o)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// nudges are the tasks of a queue, whatever their state.
func (b bundle) nudges(t testing.TB, queue string) []*asynq.TaskInfo {
	t.Helper()
	var all []*asynq.TaskInfo
	for _, list := range []func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
		b.inspector.ListPendingTasks, b.inspector.ListScheduledTasks, b.inspector.ListActiveTasks,
	} {
		tasks, err := list(queue, asynq.PageSize(2000))
		if err != nil && !errors.Is(err, asynq.ErrQueueNotFound) {
			t.Fatal(err)
		}
		all = append(all, tasks...)
	}
	return all
}

// total is the number of jobs that the ledger has, of every type and state.
func (b bundle) total(t testing.TB) (n int64) {
	t.Helper()
	counts, err := b.Ledger().Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, states := range counts {
		for _, count := range states {
			n += count
		}
	}
	return n
}

func (b bundle) get(t testing.TB, id string) jobs.Job {
	t.Helper()
	job, err := b.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("get %s: %v", id, err)
	}
	return job
}

// post moves a job to a state as a worker would: with a post and its outcome.
func (b bundle) post(t testing.TB, id ledger.ID, outcome ledger.State) {
	t.Helper()
	job, err := b.Ledger().Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	token := ledger.NewID().String()
	begun, err := b.Ledger().Begin(t.Context(), ledger.Intent{
		ID: id, Generation: job.Generation, Token: token, Account: "fr-test",
		Budget: 3 * time.Second, Timeout: time.Second, Settle: time.Minute,
	})
	if err != nil || begun.Decision != ledger.Go {
		t.Fatalf("begin: got %v, %v, want go", begun.Decision, err)
	}
	settlement := ledger.Settlement{ID: id, Token: token, To: outcome}
	if outcome == ledger.Review {
		settlement.Reason = ledger.ReasonUnresolved
	}
	if _, err := b.Ledger().Settle(t.Context(), settlement); err != nil {
		t.Fatal(err)
	}
}

// problem is a FieldError without its text.
type problem struct{ Field, Code string }

func problemsOf(t testing.TB, err error) []problem {
	t.Helper()
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*jobs.ValidationError](err)
	if !ok {
		t.Fatalf("got %T %v, want a *ValidationError", err, err)
	}
	var list []problem
	for _, p := range invalid.Problems {
		if p.Message == "" {
			t.Errorf("%s %s: no message", p.Field, p.Code)
		}
		list = append(list, problem{p.Field, p.Code})
	}
	return list
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func redistestClient(t testing.TB) redis.UniversalClient {
	t.Helper()
	return redistest.New(t).Client()
}
