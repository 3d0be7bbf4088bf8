package httpapi_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
)

func enqueueForeign(t *testing.T, b *bundle, id string) {
	t.Helper()
	client := asynq.NewClientFromRedisClient(b.rdb)
	task := asynq.NewTask("send-message", []byte(`{"v":1,"from":"+12065550100","to":"+12065550123","body":"the secret word is swordfish"}`))
	if _, err := client.EnqueueContext(t.Context(), task, asynq.Queue("normal"), asynq.TaskID(id)); err != nil {
		t.Fatal(err)
	}
}

type queueTask struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Payload string `json:"payload"`
}

func pendingTasks(t *testing.T, b *bundle) map[string]queueTask {
	t.Helper()
	a := b.do("GET", "/queues/api/queues/normal/pending_tasks", "").want(t, 200)
	if strings.Contains(string(a.body), "swordfish") || strings.Contains(string(a.body), "2065550") {
		t.Errorf("a text or number is shown: %s", a.body)
	}
	tasks := map[string]queueTask{}
	for _, task := range decode[struct{ Tasks []queueTask }](t, a).Tasks {
		tasks[task.ID] = task
	}
	return tasks
}

func TestQueuePagesShowEachLiveJobMasked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	receipt := decode[jobs.Receipt](t, b.do("POST", "/v1/messages", goodMessage).want(t, 202))
	enqueueForeign(t, b, "foreign-1")

	tasks := pendingTasks(t, b)
	var foreign struct{ From, To, Hidden string }
	if err := json.Unmarshal([]byte(tasks["foreign-1"].Payload), &foreign); err != nil {
		t.Fatalf("%v: %+v", err, tasks)
	}
	if !strings.HasSuffix(foreign.From, "0100") || !strings.HasSuffix(foreign.To, "0123") || foreign.Hidden == "" {
		t.Errorf("got %+v, want masked ends", foreign)
	}
	delete(tasks, "foreign-1")
	if len(tasks) != 1 {
		t.Fatalf("got %+v, want one nudge", tasks)
	}
	for _, task := range tasks {
		var nudge struct {
			Job        string
			Generation int
		}
		if err := json.Unmarshal([]byte(task.Payload), &nudge); err != nil {
			t.Fatal(err)
		}
		if task.Type != "send-message" || nudge.Job != receipt.ID || nudge.Generation != 1 {
			t.Errorf("got %+v, want job %s", task, receipt.ID)
		}
		b.do("GET", "/v1/jobs/"+nudge.Job, "").want(t, 200)
	}
}

func TestPayloadsAreMasked(t *testing.T) {
	t.Parallel()
	for name, payload := range map[string]string{
		"message":       `{"from":"+12065550100","to":"2065550123","body":"swordfish","media_urls":["https://swordfish"]}`,
		"odd numbers":   `{"from":"swordfish","to":"+1206555swordfish"}`,
		"wrong types":   `{"from":12065550100,"body":"swordfish"}`,
		"no JSON":       `swordfish 12065550100`,
		"binary":        "\x00\xffswordfish",
		"empty":         "",
		"job and more":  `{"v":1,"job":"0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e5f","gen":3,"body":"swordfish","to":"+12065550123"}`,
		"job that lies": `{"v":1,"job":"swordfish 12065550100"}`,
	} {
		got := httpapi.FormatPayload("send-message", []byte(payload))
		if strings.Contains(got, "swordfish") || strings.Contains(got, "206555") || !json.Valid([]byte(got)) {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestQueuePagesNeedNothingFromOutside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	page := b.do("GET", "/queues/", "").want(t, 200)
	policy := page.header.Get("Content-Security-Policy")
	scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllSubmatch(page.body, -1)
	if len(scripts) == 0 {
		t.Fatal("no inline scripts; is this asynqmon's page?")
	}
	for _, script := range scripts {
		sum := sha256.Sum256(script[1])
		if !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("the policy %q stops the page's script %.60s…", policy, script[1])
		}
	}
	for _, source := range regexp.MustCompile(`src="([^"]+)"`).FindAllSubmatch(page.body, -1) {
		path := string(source[1])
		if !strings.HasPrefix(path, "/queues/static/") {
			t.Errorf("the page takes a script from %s", path)
		}
		script := b.do("GET", path, "").want(t, 200)
		if got := script.header.Get("Content-Type"); !strings.HasPrefix(got, "application/javascript") {
			t.Errorf("%s: got content type %q", path, got)
		}
		logo := regexp.MustCompile(`static/media/[a-z.0-9-]+\.svg`).Find(script.body)
		if logo == nil {
			continue
		}
		if got := b.do("GET", "/queues/"+string(logo), "").want(t, 200).header.Get("Content-Type"); got != "image/svg+xml" {
			t.Errorf("%s: got content type %q", logo, got)
		}
	}
	// Browsers ask for it without the cookie.
	b.do("GET", "/queues/manifest.json", "", "Authorization", "").want(t, 200)
	to := b.do("GET", "/queues", "")
	if to.status < 300 || to.status > 399 || to.header.Get("Location") != "/queues/" {
		t.Errorf("got %d to %q, want to be sent to /queues/", to.status, to.header.Get("Location"))
	}
}

func TestQueuePagesOnlyLook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	enqueueForeign(t, b, "foreign-1")
	for method, path := range map[string]string{
		"POST":   "/queues/api/queues/normal:pause",
		"DELETE": "/queues/api/queues/normal/pending_tasks/foreign-1",
	} {
		b.do(method, path, "").want(t, http.StatusMethodNotAllowed)
	}
	if tasks := pendingTasks(t, b); len(tasks) != 1 {
		t.Errorf("got %+v, want the task left alone", tasks)
	}
}

func TestQueuePagesMayAct(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpapi.Options) { o.QueuesWrite = true })
	_, session := b.logIn(t, "ops", opsToken)
	for _, id := range []string{"foreign-1", "foreign-2"} {
		enqueueForeign(t, b, id)
	}
	const one, all = "/queues/api/queues/normal/pending_tasks/foreign-1", "/queues/api/queues/normal/pending_tasks:"
	foreign := []string{"Authorization", "", "Cookie", session, "Sec-Fetch-Site", "cross-site", "Content-Type", "text/plain"}
	b.do("DELETE", one, "", foreign...).wantProblem(t, 403, "origin_refused")
	b.do("POST", "/queues/api/queues/normal:pause", "", foreign...).wantProblem(t, 403, "origin_refused")
	for method, path := range map[string]string{"DELETE": all + "delete_all", "POST": all + "archive_all"} {
		a := b.do(method, path, "").want(t, http.StatusForbidden)
		if !strings.Contains(string(a.body), "flowroute-worker cancel JOB_ID") {
			t.Errorf("got %s, want what to do instead", a.body)
		}
	}
	for _, path := range []string{"scheduled_tasks:run_all", "retry_tasks:archive_all", "active_tasks:cancel_all"} {
		b.do("POST", "/queues/api/queues/normal/"+path, "").want(t, http.StatusForbidden)
	}
	if tasks := pendingTasks(t, b); len(tasks) != 2 {
		t.Errorf("got %+v, want both tasks left alone", tasks)
	}
	b.do("DELETE", one, "", "Authorization", "", "Cookie", session, "Sec-Fetch-Site", "same-origin").want(t, http.StatusNoContent)
	if tasks := pendingTasks(t, b); len(tasks) != 1 {
		t.Errorf("got %+v, want one task left", tasks)
	}
}

func TestQueuePagesShareTheClient(t *testing.T) {
	t.Parallel()
	b := setup(t)
	uses := func() uint32 { stats := b.rdb.PoolStats(); return stats.Hits + stats.Misses }
	for _, path := range []string{"/queues/api/queues", "/queues/api/redis_info", "/queues/api/servers", "/queues/api/scheduler_entries"} {
		before := uses()
		b.do("GET", path, "").want(t, 200)
		if uses() == before {
			t.Errorf("%s did not go through our client", path)
		}
	}
}
