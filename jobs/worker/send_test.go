package worker_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

func TestSendIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	job := b.until(b.send(jobs.Message{Body: "your table is ready"}), ledger.Accepted)
	truth := b.sim.Truth().Messages
	if len(truth) != 1 || truth[0].Body != "your table is ready" || truth[0].To != "12065550177" || !cmp.Equal(truth[0].MDRIDs, job.MDRs) {
		t.Errorf("got %+v for %+v", truth, job)
	}
}

// What each answer means for the job, and how often it is posted.
func TestSendOutcomes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault  string
		times  int
		state  ledger.State
		reason ledger.Reason
		posts  int
		taken  int
	}{
		"429, then accepted":            {fault: "429", times: 2, state: ledger.Accepted, posts: 3, taken: 1},
		"429 with Retry-After":          {fault: "429-retry-after", times: 1, state: ledger.Accepted, posts: 2, taken: 1},
		"cut after acceptance":          {fault: "accepted-then-cut", times: 1, state: ledger.Unknown, reason: ledger.ReasonNoAnswer, posts: 1, taken: 1},
		"500 after acceptance":          {fault: "accepted-then-500", times: 1, state: ledger.Unknown, reason: ledger.ReasonServerError, posts: 1, taken: 1},
		"silence after acceptance":      {fault: "accepted-then-silence", times: 1, state: ledger.Unknown, reason: ledger.ReasonNoAnswer, posts: 1, taken: 1},
		"500 before acceptance":         {fault: "500-before", times: 1, state: ledger.Unknown, reason: ledger.ReasonServerError, posts: 1},
		"503 of a proxy":                {fault: "503-before", times: 1, state: ledger.Unknown, reason: ledger.ReasonServerError, posts: 1},
		"reset before acceptance":       {fault: "reset-before", times: 1, state: ledger.Unknown, reason: ledger.ReasonNoAnswer, posts: 1},
		"redirect":                      {fault: "redirect-307", times: 1, state: ledger.Unknown, reason: ledger.ReasonUnexpected, posts: 1},
		"408":                           {fault: "408-before", times: 1, state: ledger.Unknown, reason: ledger.ReasonUnexpected, posts: 1},
		"403 of a firewall":             {fault: "bare-403-html", times: 1, state: ledger.Unknown, reason: ledger.ReasonUnexpected, posts: 1},
		"202 with garbage":              {fault: "accepted-garbage", times: 1, state: ledger.Accepted, reason: ledger.ReasonIDPending, posts: 1, taken: 1},
		"202 that breaks off":           {fault: "accepted-truncated", times: 1, state: ledger.Accepted, reason: ledger.ReasonIDPending, posts: 1, taken: 1},
		"403 of the API":                {fault: "403", times: 1, state: ledger.Failed, reason: ledger.ReasonRefused, posts: 1},
		"media too large":               {fault: "media-over-limit", times: 1, state: ledger.Failed, reason: ledger.ReasonRefused, posts: 1},
		"refused, but leaves a record":  {fault: "refused-leaves-failed-record", times: 1, state: ledger.Failed, reason: ledger.ReasonRefused, posts: 1},
		"credentials refused, then not": {fault: "401", times: 1, state: ledger.Accepted, posts: 2, taken: 1},
		"address not served, then is":   {fault: "404-url", times: 1, state: ledger.Accepted, posts: 2, taken: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{})
			b.sim.FailNext(test.fault, test.times)
			job := b.until(b.send(jobs.Message{}), test.state)
			b.stop()
			if test.reason != "" && job.Reason != test.reason {
				t.Errorf("reason: got %q, want %q", job.Reason, test.reason)
			}
			if test.state == ledger.Accepted && job.Attempts != 1 {
				t.Errorf("attempts: got %d, want 1", job.Attempts)
			}
			if got := b.posts(); got != test.posts {
				t.Errorf("posts: got %d, want %d", got, test.posts)
			}
			if got := b.taken(); got != test.taken {
				t.Errorf("the account took %d, want %d", got, test.taken)
			}
		})
	}
}

func TestOptedOutIsBlocked(t *testing.T) {
	t.Parallel()
	b := setup(t, options{sim: flowroutetest.Options{OptedOut: []flowroutetest.OptOutPair{{From: "12065550100", To: "12065550177"}}}})
	if job := b.until(b.send(jobs.Message{}), ledger.Blocked); job.Reason != ledger.ReasonOptedOut {
		t.Errorf("got %+v", job)
	}
}

func TestNumbersInErrorsAreMasked(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	job := b.until(b.send(jobs.Message{From: "+12125550123", Body: "secret text"}), ledger.Failed)
	for _, private := range []string{"12125550123", "2065550177", "secret text"} {
		if cmp.Equal(job.Detail, "") || contains(job.Detail, private) {
			t.Errorf("detail %q shows %q", job.Detail, private)
		}
	}
}

func contains(s, part string) bool {
	for i := range s {
		if len(s[i:]) >= len(part) && s[i:i+len(part)] == part {
			return true
		}
	}
	return false
}

// A task that asynq runs again, early or late, posts nothing.
func TestRunTwice(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	b.stop = b.start(options{worker: b.patient})
	nudge := func(id string, serial int) {
		parsed, err := ledger.ParseID(id)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.jobs.Nudge(t.Context(), parsed, ledger.SendMessage, ledger.QueueNormal, 1, time.Time{}, serial); err != nil {
			t.Fatal(err)
		}
	}
	done := b.send(jobs.Message{})
	b.until(done, ledger.Accepted)
	b.sim.FailNext("accepted-then-cut", 1)
	lost := b.send(jobs.Message{Body: "lost"})
	b.until(lost, ledger.Unknown)
	held := b.sim.HoldNext(flowroutetest.OpSend, false)
	onTheWire := b.send(jobs.Message{Body: "on the wire"})
	<-held.Reached()
	for serial := range 5 {
		nudge(done, serial+1)
		nudge(lost, serial+1)
		nudge(onTheWire, serial+1)
	}
	last := b.send(jobs.Message{Body: "last"}) // enqueued behind the nudges
	b.until(last, ledger.Accepted)
	held.Release()
	b.until(onTheWire, ledger.Accepted)
	b.stop()
	if got := b.posts(); got != 4 {
		t.Errorf("got %d posts, want 4: one for each message", got)
	}
}

// A worker died with its intent open: the next one to look makes the job unknown
// when the request must be over, and posts nothing.
func TestIntentOfADeadWorker(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	id := b.send(jobs.Message{})
	parsed, _ := ledger.ParseID(id)
	begun, err := b.ledger.Begin(t.Context(), ledger.Intent{ID: parsed, Generation: 1, Token: "dead", Budget: time.Millisecond, Timeout: 200 * time.Millisecond, Settle: time.Second})
	if err != nil || begun.Decision != ledger.Go {
		t.Fatal(begun, err)
	}
	stop := b.start(options{})
	if job := b.until(id, ledger.Unknown); job.Reason != ledger.ReasonWorkerLost {
		t.Errorf("got %+v", job)
	}
	stop()
	if got := b.posts(); got != 0 {
		t.Errorf("got %d posts, want none", got)
	}
}

func TestTwoWorkersPostOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	b.start(options{})
	messages := make([]jobs.Message, b.fewer(200, 40))
	for i := range messages {
		messages[i] = jobs.Message{From: ours, To: theirs, Body: "hello"}
	}
	receipts, errs := b.jobs.SendMany(t.Context(), messages)
	for i := range receipts {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		b.until(receipts[i].ID, ledger.Accepted)
	}
	if got := b.taken(); got != len(messages) {
		t.Errorf("the account took %d, want %d", got, len(messages))
	}
}

func TestExpiredIsNotPosted(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	id := b.send(jobs.Message{ExpiresAt: time.Now().Add(300 * time.Millisecond)})
	<-time.After(400 * time.Millisecond)
	b.start(options{})
	b.until(id, ledger.Expired)
	if got := b.posts(); got != 0 {
		t.Errorf("got %d posts, want none", got)
	}
}

func TestLimitIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t, options{
		sim:    flowroutetest.Options{Limits: flowroutetest.Limits{SMSPerSecond: 10, Window: flowroutetest.WindowSliding}},
		limits: ratelimit.Limits{SMS: ratelimit.Rate{N: 10, Per: time.Second}},
	})
	b.start(options{limits: ratelimit.Limits{SMS: ratelimit.Rate{N: 10, Per: time.Second}}})
	var ids []string
	for range 35 {
		ids = append(ids, b.send(jobs.Message{}))
	}
	for _, id := range ids {
		b.until(id, ledger.Accepted)
	}
	for _, stats := range b.sim.Truth().Attempts {
		if stats.Rejected > 0 {
			t.Errorf("%s: %d of %d attempts were over the limit", stats.Kind, stats.Rejected, stats.Attempts)
		}
	}
}

// The API does not answer at all: jobs wait and burn nothing, and go on later.
func TestUnreachableAPI(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	ids := []string{b.send(jobs.Message{}), b.send(jobs.Message{}), b.send(jobs.Message{})}
	url := b.sim.URL
	b.sim.URL = "http://127.0.0.1:1"
	stop := b.start(options{})
	b.breakerOpens()
	stop()
	for _, id := range ids {
		if job := b.until(id, ledger.Queued); job.Attempts != 0 {
			t.Errorf("got %d attempts, want none", job.Attempts)
		}
	}
	b.sim.URL = url
	b.start(options{})
	for _, id := range ids {
		b.until(id, ledger.Accepted)
	}
}

// Redis is cut off while requests are on the wire, for longer than a second: each
// outcome is written when it is back, nothing is posted again.
func TestRedisGoesAway(t *testing.T) {
	t.Parallel()
	var proxy *redistest.Proxy
	b := setup(t, options{stopped: true})
	b.stop = b.start(options{worker: b.patient, redis: func(db *redistest.DB) redis.UniversalClient {
		proxy = db.Proxy(t)
		return proxy.Worker()
	}})
	var holds []*flowroutetest.Hold
	var ids []string
	for range 4 {
		hold := b.sim.HoldNext(flowroutetest.OpSend, false)
		ids = append(ids, b.send(jobs.Message{}))
		<-hold.Reached()
		holds = append(holds, hold)
	}
	proxy.Cut()
	for _, hold := range holds {
		hold.Release()
	}
	b.eventually("four accepted messages", func() bool { return b.taken() == 4 })
	<-time.After(1200 * time.Millisecond)
	proxy.Resume()
	for _, id := range ids {
		b.until(id, ledger.Accepted)
	}
	after := b.send(jobs.Message{})
	b.until(after, ledger.Accepted)
	b.stop()
	if got := b.posts(); got != 5 {
		t.Errorf("got %d posts, want 5", got)
	}
}

// Plain tasks of an app that knows nothing of this module but the task's name.
func TestPlainTasks(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	app := asynq.NewClientFromRedisClient(b.db.Client())
	good, _ := json.Marshal(map[string]any{"v": 1, "from": ours, "to": "(206) 555-0177", "body": "from another app"})
	tasks := map[string]*asynq.Task{
		"good":    asynq.NewTask("send-message", good),
		"poison":  asynq.NewTask("send-message", []byte("\xff\x00 not json")),
		"empty":   asynq.NewTask("send-message", nil),
		"refused": asynq.NewTask("send-message", []byte(`{"v":1,"from":"+12065550100","to":"12","body":"x"}`)),
	}
	ids := map[string]string{}
	for name, task := range tasks {
		info, err := app.EnqueueContext(t.Context(), task, asynq.Queue("normal"), asynq.MaxRetry(0))
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = info.ID
	}
	seen := func(id string) bool { _, err := b.jobs.Get(t.Context(), id); return err == nil }
	for name, id := range ids {
		b.eventually(name+" taken in", func() bool { return seen(id) })
		want := ledger.Failed
		if name == "good" {
			want = ledger.Accepted
		}
		if job := b.until(id, want); want == ledger.Failed && (job.Reason != ledger.ReasonInvalid || job.Detail == "") {
			t.Errorf("%s: got %+v, want to be told why", name, job)
		}
	}
	if got := b.taken(); got != 1 {
		t.Errorf("the account took %d, want 1", got)
	}
}

// A slow limit of MMS does not hold the texts behind it.
func TestMMSDoNotHoldTexts(t *testing.T) {
	t.Parallel()
	limits := ratelimit.Limits{SMS: ratelimit.Rate{N: 50, Per: time.Second}, MMS: ratelimit.Rate{N: 1, Per: 2 * time.Second}}
	b := setup(t, options{stopped: true})
	for range 30 {
		b.send(jobs.Message{MediaURLs: []string{"https://example.com/a.png"}})
	}
	text := b.send(jobs.Message{})
	started := time.Now()
	b.start(options{limits: limits})
	b.until(text, ledger.Accepted)
	if took := time.Since(started); took > 8*time.Second {
		t.Errorf("a text behind 30 MMS took %v", took)
	}
}

// A job whose task was deleted is found and goes on.
func TestJobWithoutTask(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	id := b.send(jobs.Message{})
	inspector := asynq.NewInspectorFromRedisClient(b.db.Client())
	if err := inspector.DeleteTask("normal", id+".1"); err != nil {
		t.Fatal(err)
	}
	b.start(options{worker: func(o *worker.Options) { o.Sweep = 200 * time.Millisecond }})
	b.until(id, ledger.Accepted)
	if got := b.posts(); got != 1 {
		t.Errorf("got %d posts, want 1", got)
	}
}
