package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/ledgertest"
)

const normalTasks = "/queues/api/queues/normal/"

// acting is a server whose queue pages may act.
type acting struct {
	*bundle
	inspector *asynq.Inspector
}

func setupActing(t *testing.T) acting {
	t.Helper()
	b := setup(t, func(o *httpapi.Options) { o.QueuesWrite = true })
	return acting{b, asynq.NewInspectorFromRedisClient(b.rdb)}
}

func (b acting) message(text string, due time.Time) ledger.ID {
	b.t.Helper()
	receipt, err := b.jobs.Send(b.t.Context(), jobs.Message{From: "+12065550100", To: "+12065550123", Body: text, SendAt: due})
	if err != nil {
		b.t.Fatal(err)
	}
	id, err := ledger.ParseID(receipt.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// begun is a message that is on the wire, or whose outcome is already to.
func (b acting) begun(to ledger.State) ledger.ID {
	b.t.Helper()
	id := b.message("begun, "+string(to), time.Time{})
	begun, err := b.jobs.Ledger().Begin(b.t.Context(), ledger.Intent{ID: id, Generation: 1, Token: "t", Account: "a",
		Budget: time.Minute, Timeout: time.Minute, Settle: time.Minute})
	if err != nil || begun.Decision != ledger.Go {
		b.t.Fatalf("got %+v, %v", begun, err)
	}
	if to != ledger.Sending {
		if _, err := b.jobs.Ledger().Settle(b.t.Context(), ledger.Settlement{ID: id, Token: "t", To: to, Reason: ledger.ReasonNoAnswer}); err != nil {
			b.t.Fatal(err)
		}
	}
	return id
}

func (b acting) job(id ledger.ID) ledger.Job {
	b.t.Helper()
	job, err := b.jobs.Ledger().Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return job
}

// task is the state of a task; 0 when it is gone.
func (b acting) task(id string) asynq.TaskState {
	info, err := b.inspector.GetTaskInfo("normal", id)
	if err != nil {
		return 0
	}
	return info.State
}

func firstTask(id ledger.ID) string { return id.String() + ".1" }

func TestDeletingATaskCancelsItsJob(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		scheduled bool
		before    string // what is done to the task first
		method    string
		path      string // with %s for the task
		left      asynq.TaskState
	}{
		"delete pending":    {method: "DELETE", path: "pending_tasks/%s"},
		"archive pending":   {method: "POST", path: "pending_tasks/%s:archive", left: asynq.TaskStateArchived},
		"delete scheduled":  {scheduled: true, method: "DELETE", path: "scheduled_tasks/%s"},
		"archive scheduled": {scheduled: true, method: "POST", path: "scheduled_tasks/%s:archive", left: asynq.TaskStateArchived},
		"delete archived":   {before: "archive", method: "DELETE", path: "archived_tasks/%s"},
		// The task's state is not what the path says; asynqmon does not mind.
		"delete by another path": {method: "DELETE", path: "completed_tasks/%s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupActing(t)
			due := time.Time{}
			if c.scheduled {
				due = time.Now().Add(time.Hour)
			}
			id := b.message("to be stopped", due)
			if c.before == "archive" {
				if err := b.inspector.ArchiveTask("normal", firstTask(id)); err != nil {
					t.Fatal(err)
				}
			}
			b.do(c.method, normalTasks+fmt.Sprintf(c.path, firstTask(id)), "").want(t, http.StatusNoContent)
			if job := b.job(id); job.State != ledger.Cancelled {
				t.Errorf("the job is %s, want cancelled", job.State)
			}
			if got := b.task(firstTask(id)); got != c.left {
				t.Errorf("the task is %v, want %v", got, c.left)
			}
		})
	}
}

// A job whose outcome is open goes on resolving, with its task, and is not sent again.
func TestDeletingTheTaskOfAnOpenJob(t *testing.T) {
	t.Parallel()
	for _, state := range []ledger.State{ledger.Sending, ledger.Unknown} {
		for verb, method := range map[string]string{"": "DELETE", ":archive": "POST"} {
			t.Run(string(state)+method, func(t *testing.T) {
				t.Parallel()
				b := setupActing(t)
				id := b.begun(state)
				a := b.do(method, normalTasks+"pending_tasks/"+firstTask(id)+verb, "").want(t, http.StatusConflict)
				for _, says := range []string{id.String(), "is " + string(state), "It will not be sent again", "flowroute-worker status"} {
					if !strings.Contains(string(a.body), says) {
						t.Errorf("got %q, want it to say %q", a.body, says)
					}
				}
				if job := b.job(id); job.State != state || !job.NoResend {
					t.Errorf("the job is %s, no resend %v", job.State, job.NoResend)
				}
				if got := b.task(firstTask(id)); got != asynq.TaskStatePending {
					t.Errorf("the task is %v, want it where it was", got)
				}
			})
		}
	}
}

func TestDeletingOtherTasks(t *testing.T) {
	t.Parallel()
	b := setupActing(t)

	over := b.begun(ledger.Failed)
	b.do("DELETE", normalTasks+"pending_tasks/"+firstTask(over), "").want(t, http.StatusNoContent)
	if job := b.job(over); job.State != ledger.Failed {
		t.Errorf("a job that is over is %s now", job.State)
	}

	// A leftover in the archive of a job that goes on by another task.
	going := b.message("goes on", time.Time{})
	if err := b.inspector.ArchiveTask("normal", firstTask(going)); err != nil {
		t.Fatal(err)
	}
	serial, err := b.jobs.Ledger().Renudge(t.Context(), going)
	if err == nil {
		err = b.jobs.Nudge(t.Context(), going, ledger.SendMessage, "normal", 1, time.Time{}, serial)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.do("DELETE", normalTasks+"archived_tasks/"+firstTask(going), "").want(t, http.StatusNoContent)
	if job := b.job(going); job.State != ledger.Queued {
		t.Errorf("the job is %s, want it to go on", job.State)
	}
	b.do("DELETE", normalTasks+"pending_tasks/"+firstTask(going)+".1", "").want(t, http.StatusNoContent)
	if job := b.job(going); job.State != ledger.Cancelled {
		t.Errorf("the job is %s, want cancelled", job.State)
	}

	newer := b.message("of tomorrow", time.Time{})
	ledgertest.Set(t, b.rdb, newer.String(), "v", "2")
	b.do("DELETE", normalTasks+"pending_tasks/"+firstTask(newer), "").want(t, http.StatusConflict)

	enqueueForeign(t, b.bundle, "foreign-1")
	b.do("DELETE", normalTasks+"pending_tasks/foreign-1", "").want(t, http.StatusNoContent)
	b.do("DELETE", normalTasks+"pending_tasks/nothing", "").want(t, http.StatusInternalServerError) // asynqmon's own
}

func TestRunningATaskStaysAllowed(t *testing.T) {
	t.Parallel()
	b := setupActing(t)
	one, two := b.message("one", time.Now().Add(time.Hour)), b.message("two", time.Now().Add(time.Hour))
	b.do("POST", normalTasks+"scheduled_tasks/"+firstTask(one)+":run", "").want(t, http.StatusNoContent)
	b.do("POST", normalTasks+"scheduled_tasks:batch_run", `{"task_ids":["`+firstTask(two)+`"]}`).want(t, http.StatusOK)
	for _, id := range []ledger.ID{one, two} {
		if got := b.task(firstTask(id)); got != asynq.TaskStatePending {
			t.Errorf("the task is %v, want pending", got)
		}
		if job := b.job(id); job.State != ledger.Queued {
			t.Errorf("the job is %s, want queued", job.State)
		}
	}
}

func TestActingOnSeveralTasks(t *testing.T) {
	t.Parallel()
	for verb, c := range map[string]struct {
		done, rest string
		left       asynq.TaskState
	}{
		"delete":  {"deleted_ids", "failed_ids", 0},
		"archive": {"archived_ids", "error_ids", asynq.TaskStateArchived},
	} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			b := setupActing(t)
			queued, sending, unknown := b.message("queued", time.Time{}), b.begun(ledger.Sending), b.begun(ledger.Unknown)
			enqueueForeign(t, b.bundle, "foreign-1")
			tasks := []string{firstTask(queued), firstTask(sending), firstTask(unknown), "foreign-1", "nothing"}
			body, err := json.Marshal(map[string]any{"task_ids": tasks})
			if err != nil {
				t.Fatal(err)
			}
			a := b.do("POST", normalTasks+"pending_tasks:batch_"+verb, string(body)).want(t, http.StatusOK)
			got := decode[map[string]any](t, a)
			if want := []any{tasks[0], tasks[3]}; !slices.Equal(got[c.done].([]any), want) {
				t.Errorf("got %v, want %v", got[c.done], want)
			}
			if rest := got[c.rest].([]any); len(rest) != 3 {
				t.Errorf("got %v left out, want three", rest)
			}
			notes, _ := got["notes"].(map[string]any)
			if len(notes) != 2 || notes[tasks[1]] == nil || notes[tasks[2]] == nil {
				t.Errorf("got notes %v, want one for each open job", notes)
			}
			if job := b.job(queued); job.State != ledger.Cancelled {
				t.Errorf("the queued job is %s", job.State)
			}
			for i, want := range []asynq.TaskState{c.left, asynq.TaskStatePending, asynq.TaskStatePending, c.left} {
				if got := b.task(tasks[i]); got != want {
					t.Errorf("task %d is %v, want %v", i, got, want)
				}
			}
			for _, id := range []ledger.ID{sending, unknown} {
				if job := b.job(id); !job.NoResend {
					t.Errorf("%s may be sent again", job.State)
				}
			}
		})
	}
	b := setupActing(t)
	b.do("POST", normalTasks+"pending_tasks:batch_delete", `{"task_ids":[],"more":1}`).want(t, http.StatusBadRequest)
}

func TestActingOnWholeQueuesIsRefused(t *testing.T) {
	t.Parallel()
	b := setupActing(t)
	id := b.message("stays", time.Time{})
	for _, path := range []string{
		"pending_tasks:archive_all", "scheduled_tasks:archive_all", "scheduled_tasks:run_all", "retry_tasks:archive_all", "retry_tasks:run_all",
		"archived_tasks:run_all", "active_tasks:cancel_all", "groups/g/aggregating_tasks:run_all", "groups/g/aggregating_tasks:archive_all",
	} {
		b.refused("POST", path)
	}
	for _, kind := range []string{"pending", "scheduled", "retry", "archived", "completed", "groups/g/aggregating"} {
		b.refused("DELETE", kind+"_tasks:delete_all")
	}
	if job := b.job(id); job.State != ledger.Queued || b.task(firstTask(id)) != asynq.TaskStatePending {
		t.Errorf("the job is %s, its task %v", job.State, b.task(firstTask(id)))
	}
}

func (b acting) refused(method, path string) {
	b.t.Helper()
	a := b.do(method, normalTasks+path, "").want(b.t, http.StatusForbidden)
	if !strings.Contains(string(a.body), "flowroute-worker cancel JOB_ID") {
		b.t.Errorf("%s: got %s, want what to do instead", path, a.body)
	}
}

// asynqmon's pages drop the text of a call that failed: where acting is allowed, a
// script of ours shows it.
func TestAnswersToActionsAreShown(t *testing.T) {
	t.Parallel()
	const script = `<script src="/queues/static/notice.js"></script>`
	b := setupActing(t)
	for _, path := range []string{"/queues/", "/queues/queues/normal"} {
		page := b.do("GET", path, "").want(t, 200)
		if body := string(page.body); !strings.Contains(body, "<head>"+script) || strings.Index(body, script) > strings.Index(body, "chunk.js") {
			t.Errorf("%s: no script before the page's own", path)
		}
		if got := page.header.Get("Content-Type"); !strings.HasPrefix(got, "text/html") {
			t.Errorf("%s: got content type %q", path, got)
		}
	}
	if a := b.do("GET", "/queues/static/notice.js", "").want(t, 200); !strings.HasPrefix(a.header.Get("Content-Type"), "application/javascript") ||
		!strings.Contains(string(a.body), "XMLHttpRequest") {
		t.Errorf("got %s %.80s", a.header.Get("Content-Type"), a.body)
	}
	looking := setup(t)
	if page := looking.do("GET", "/queues/", "").want(t, 200); strings.Contains(string(page.body), script) {
		t.Error("the pages that only look have the script too")
	}
}
