package jobs_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// handled is a task as an asynq handler got it, with what was made of it.
type handled struct {
	taskID, queue string
	task          jobs.Task
	err           error
}

// serve runs asynq servers as a worker would, takes in what is no nudge, and
// returns what n tasks turned out to be, by the id of the task.
func (b bundle) serve(t *testing.T, n int) map[string]handled {
	t.Helper()
	var mu sync.Mutex
	got := map[string]handled{}
	all := make(chan struct{})
	handler := asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		var h handled
		h.taskID, _ = asynq.GetTaskID(ctx)
		h.queue, _ = asynq.GetQueueName(ctx)
		h.task, h.err = jobs.ParseTask(ledger.Type(task.Type()), h.taskID, h.queue, task.Payload())
		if h.err == nil && !h.task.Nudge {
			_, h.err = b.Ledger().Create(ctx, *h.task.Job)
		}
		mu.Lock()
		defer mu.Unlock()
		if got[h.taskID] = h; len(got) == n {
			close(all)
		}
		return nil
	})
	queues := map[string]int{}
	for _, queue := range ledger.Queues() {
		queues[queue] = 1
	}
	server := asynq.NewServerFromRedisClient(b.db.Worker(), asynq.Config{
		Concurrency: 4, Queues: queues, TaskCheckInterval: 20 * time.Millisecond, LogLevel: asynq.FatalLevel,
	})
	if err := server.Start(handler); err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	select {
	case <-all:
	case <-time.After(30 * time.Second):
		t.Errorf("only %d of %d tasks came", len(got), n)
	}
	return got
}

// Another app that knows only asynq: its client, our task types, our queues.
func TestPlainTasksAreTakenIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const good = `{"v":1,"from":"+12065550100","to":"(206) 555-0123","body":"hello"`
	var manyProblems strings.Builder
	manyProblems.WriteString(`{"v":1`)
	for i := range 100 {
		fmt.Fprintf(&manyProblems, `,"field%d":1`, i)
	}
	manyProblems.WriteString("}")
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	uuid := ledger.NewID().String()
	type want struct {
		state   ledger.State
		queue   string
		detail  string // part of it
		keyed   string
		numbers bool
	}
	tests := map[string]struct {
		kind, queue, payload string
		want                 want
	}{
		uuid:            {"send-message", "normal", good + `}`, want{state: ledger.Queued, queue: "normal", numbers: true}},
		"order 17":      {"send-message", "otp", good + `}`, want{state: ledger.Queued, queue: "otp", numbers: true}},
		"its lane":      {"send-message", "bulk", good + `,"priority":"otp"}`, want{state: ledger.Queued, queue: "bulk", numbers: true}},
		"own lane":      {"send-message", "sync", good + `,"priority":"otp"}`, want{state: ledger.Queued, queue: "otp", numbers: true}},
		"keyed":         {"send-message", "normal", good + `,"key":"k1"}`, want{state: ledger.Queued, queue: "normal", keyed: "k1", numbers: true}},
		"outlived":      {"send-message", "normal", good + `,"expires_at":"` + past + `"}`, want{state: ledger.Queued, queue: "normal", numbers: true}},
		"purchase":      {"purchase-number", "numbers", `{"v":1,"number":"2065550100","max_setup_cost":1.5}`, want{state: ledger.Queued, queue: "numbers"}},
		"purchase lane": {"purchase-number", "otp", `{"v":1,"search":{"state":"WA"}}`, want{state: ledger.Queued, queue: "numbers"}},
		"route":         {"route-update", "numbers", `{"v":1,"number":"2065550100","primary":{"id":"1"}}`, want{state: ledger.Queued, queue: "numbers"}},
		"sync":          {"sync-mdr", "sync", `{"v":1}`, want{state: ledger.Queued, queue: "sync"}},

		"00000000-0000-0000-0000-000000000000": {"send-message", "normal", good + `}`, want{state: ledger.Queued, queue: "normal", numbers: true}},

		"no version":    {"send-message", "normal", strings.Replace(good, `"v":1,`, "", 1) + `}`, want{state: ledger.Failed, queue: "normal", detail: `v: is missing`, numbers: true}},
		"no number":     {"send-message", "normal", `{"v":1,"from":"+12065550100","to":"bob","body":"secret 8731"}`, want{state: ledger.Failed, queue: "normal", detail: "to: "}},
		"bad key":       {"send-message", "normal", good + `,"key":"k2","boddy":"x"}`, want{state: ledger.Failed, queue: "normal", detail: "boddy: unknown field", numbers: true}},
		"empty":         {"send-message", "bulk", ``, want{state: ledger.Failed, queue: "bulk", detail: "not one JSON object"}},
		"gob":           {"send-message", "normal", "\x0f\xff\x81\x03\x01\x01\x07Message\x01\xff", want{state: ledger.Failed, queue: "normal", detail: "UTF-8"}},
		"huge":          {"send-message", "normal", good + `,"key":"` + strings.Repeat("x", 1<<20) + `"}`, want{state: ledger.Failed, queue: "normal", detail: "65536"}},
		"many problems": {"send-message", "normal", manyProblems.String(), want{state: ledger.Failed, queue: "normal", detail: "…"}},
		"bad purchase":  {"purchase-number", "bulk", `{"v":1}`, want{state: ledger.Failed, queue: "numbers", detail: "number: "}},
		"looks like us": {"send-message", "normal", `{"v":1,"job":"x","gen":1}`, want{state: ledger.Failed, queue: "normal", detail: "job: unknown field"}},
	}
	producer := asynq.NewClientFromRedisClient(b.rdb)
	for id, tt := range tests {
		if _, err := producer.Enqueue(asynq.NewTask(tt.kind, []byte(tt.payload)), asynq.Queue(tt.queue), asynq.TaskID(id)); err != nil {
			t.Fatal(err)
		}
	}
	got := b.serve(t, len(tests))
	for id, tt := range tests {
		t.Run(id, func(t *testing.T) {
			if got[id].err != nil {
				t.Fatal(got[id].err)
			}
			lookUp := id
			if tt.want.keyed != "" {
				lookUp = ledger.KeyID(ledger.Type(tt.kind), tt.want.keyed).String()
			}
			job := b.get(t, lookUp)
			if job.Type != ledger.Type(tt.kind) || job.State != tt.want.state || job.Queue != tt.want.queue {
				t.Errorf("got a %s, %s in queue %q, want a %s, %s in %q", job.Type, job.State, job.Queue, tt.kind, tt.want.state, tt.want.queue)
			}
			if !strings.Contains(job.Detail, tt.want.detail) || (tt.want.detail == "") != (job.Detail == "") {
				t.Errorf("detail: got %q, want %q in it", job.Detail, tt.want.detail)
			}
			if strings.Contains(job.Detail, "8731") || len(job.Detail) > 300 {
				t.Errorf("detail: got %q, want no body and 300 bytes at most", job.Detail)
			}
			if tt.want.numbers && (job.From != number(t, from) || job.To != number(t, to)) {
				t.Errorf("numbers: got %s to %s", job.From, job.To)
			}
		})
	}
}

// A task that runs twice, or is enqueued twice under its id, is one job.
func TestPlainTaskTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, payload := range map[string]string{
		"good": `{"v":1,"from":"+12065550100","to":"+12065550123","body":"hello","expires_at":"` + time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano) + `"}`,
		"bad":  `{"v":1,"from":"+12065550100"}`,
	} {
		first, err := jobs.ParseTask(ledger.SendMessage, name, "normal", []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(1100 * time.Millisecond) // past the expiry of the good one
		second, err := jobs.ParseTask(ledger.SendMessage, name, "normal", []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		for i, task := range []jobs.Task{first, second} {
			created, err := b.Ledger().Create(t.Context(), *task.Job)
			if err != nil || created.Duplicate != (i == 1) || created.ID != first.ID {
				t.Errorf("%s, time %d: got %+v, %v", name, i+1, created, err)
			}
		}
	}
}

// A refused task leaves its key free for a corrected one.
func TestRefusedTaskDoesNotUseItsKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	task, err := jobs.ParseTask(ledger.SendMessage, "t1", "normal", []byte(`{"v":1,"from":"+12065550100","to":"bob","body":"hello","key":"k"}`))
	if err != nil || task.Job.Refused == "" {
		t.Fatalf("got %+v, %v, want it refused", task, err)
	}
	if _, err := b.Ledger().Create(t.Context(), *task.Job); err != nil {
		t.Fatal(err)
	}
	m := hello()
	m.Key = "k"
	if got, err := b.Send(t.Context(), m); err != nil || got.Duplicate || got.State != ledger.Queued {
		t.Errorf("corrected: got %+v, %v", got, err)
	}
}

func TestParseTaskLeavesWhatIsNewer(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		`{"v":2,"job":"` + ledger.NewID().String() + `","gen":1,"why":"later"}`,
		`{"v":2,"from":{"number":"+12065550100"},"to":"+12065550123","text":"hello"}`,
	} {
		if task, err := jobs.ParseTask(ledger.SendMessage, "x", "normal", []byte(payload)); !errors.Is(err, ledger.ErrNewerVersion) {
			t.Errorf("%s: got %+v, %v, want ErrNewerVersion", payload, task, err)
		}
	}
	if _, err := jobs.ParseTask("send-fax", "x", "normal", []byte(`{"v":1}`)); err == nil || errors.Is(err, ledger.ErrNewerVersion) {
		t.Errorf("unknown type: got %v, want an error", err)
	}
}

// The hash that tells whether a key is used for something else must be the same
// in every version.
func TestContentStaysTheSame(t *testing.T) {
	t.Parallel()
	tests := []struct {
		kind    ledger.Type
		payload string
		want    string // in hex
	}{
		{ledger.SendMessage, `{"v":1,"from":"+12065550100","to":"+12065550123","body":"hello"}`, "e6c77cd31bdfcb07"},
		{ledger.SendMessage, `{"v":1,"from":"+12065550100","to":"+12065550123","body":"héllo 👋","media_urls":["https://example.com/a","https://example.com/b"],"send_at":"2026-11-22T18:00:00.5Z","expires_at":"2026-11-23T18:00:00Z","priority":"otp","campaign":"c","key":"k"}`, "1387ee6bb0cd1112"},
		{ledger.PurchaseNumber, `{"v":1,"number":"+12065550100"}`, "03a046fdc1d7a8b6"},
		{ledger.PurchaseNumber, `{"v":1,"search":{"starts_with":"206","contains":"5","ends_with":"0","rate_center":"Seattle","state":"WA","number_type":"longcode"},"max_setup_cost":1,"max_monthly_cost":"1.25","alias":"a","messaging_enabled":false,"primary_route":{"id":"1"},"failover_route":{"type":"host","value":"a.com"},"key":"k"}`, "4f4b624e70b65840"},
		{ledger.RouteUpdate, `{"v":1,"number":"+12065550100","primary":{"type":"uri","value":"sip:a@b.com","alias":"b"},"failover":{"id":"0"}}`, "e2f50c8fd88dd39c"},
		{ledger.SyncMDR, `{"v":1,"since":"2026-11-20T00:00:00Z"}`, "c6c08d2ba17c2806"},
	}
	for _, tt := range tests {
		task, err := jobs.ParseTask(tt.kind, "x", "normal", []byte(tt.payload))
		if err != nil || task.Job.Refused != "" {
			t.Errorf("%s: %v %+v", tt.payload, err, task.Job)
			continue
		}
		if got := hex.EncodeToString(task.Job.Content[:]); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.payload, got, tt.want)
		}
	}
}

func FuzzParseTask(f *testing.F) {
	for _, seed := range []string{
		"", `{"v":1,"job":"00000000-0000-0000-0000-000000000000","gen":1}`, `{"v":1,"job":"0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e5f","gen":1}`, `{"v":1,"number":"2065550100","primary":{"id":"1"}}`,
		`{"v":1,"from":"+12065550100","to":"+12065550123","body":"hello"}`, `{"v":1,"search":{"state":"WA"},"max_setup_cost":1e2}`, `{"v":1,"since":null}`,
	} {
		for i := range ledger.Types() {
			f.Add(i, "normal", []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, kind int, queue string, payload []byte) {
		types := ledger.Types()
		want := types[uint(kind)%uint(len(types))]
		task, err := jobs.ParseTask(want, "id", queue, payload)
		if err != nil {
			if !errors.Is(err, ledger.ErrNewerVersion) {
				t.Errorf("got %v", err)
			}
			return
		}
		if task.Nudge == (task.Job != nil) || task.ID.IsZero() {
			t.Fatalf("neither nudge nor plain: %+v", task)
		}
		if task.Nudge {
			return
		}
		if task.Job.ID != task.ID || task.Job.Type != want || (task.Job.Refused == "") != (len(task.Job.Payload) > 0) || len(task.Job.Refused) > 300 {
			t.Errorf("job: got %+v", task.Job)
		}
	})
}

// What only looks like a nudge is another app's task, and becomes a visible job.
func TestLooksLikeANudge(t *testing.T) {
	t.Parallel()
	payload := []byte(`{"v":1,"job":"0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e5f","gen":1,"from":"+12065550100","to":"+12065550123","body":"hi"}`)
	task, err := jobs.ParseTask(ledger.SendMessage, "0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e60", "normal", payload)
	if err != nil || task.Nudge || task.Job == nil || task.Job.Refused == "" {
		t.Errorf("got %+v, %v, want a refused job", task, err)
	}
}
