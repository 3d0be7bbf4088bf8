package worker

import (
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// Another app's task may allow no retries: then asynq puts it away after any error.
// So it is taken in when the worker is about to end, and when Redis is away.
func TestPlainTaskWithoutRetries(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	proxy := db.Proxy(t)
	rdb := proxy.Client()
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	api, err := flowroute.New(flowroute.Options{BaseURL: "http://127.0.0.1:1", Credentials: flowroute.Credentials{AccessKey: "a", SecretKey: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	limiter, err := ratelimit.New(rdb, ratelimit.Options{Account: api.Account()})
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(Options{Redis: rdb, Jobs: client, API: api, Limiter: limiter})
	if err != nil {
		t.Fatal(err)
	}
	w.drain()
	proxy.Cut()
	mend := time.AfterFunc(300*time.Millisecond, proxy.Resume)
	defer mend.Stop()
	id := ledger.NewID()
	task := asynq.NewTask(string(ledger.SendMessage), []byte(`{"v":1,"from":"+12065550100","to":"+12065550177","body":"hello"}`))
	if err := w.handle(t.Context(), task, id.String(), ledger.QueueNormal); err != nil {
		t.Errorf("got %v", err)
	}
	if job, err := w.ledger.Get(t.Context(), id); err != nil || job.State != ledger.Queued {
		t.Errorf("got %s, %v, want queued", job.State, err)
	}
}

// What the API says is bounded before it becomes part of a job's record.
func TestDetailIsBounded(t *testing.T) {
	t.Parallel()
	got := describe(&flowroute.APIError{Status: 422, Detail: strings.Repeat("ä", 100_000)})
	if len(got) > 310 {
		t.Errorf("got %d bytes", len(got))
	}
}
