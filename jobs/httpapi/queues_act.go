package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const queuesAPI = queuesRoot + "/api/"

// What a person may do with a task that matters to its job.
const (
	verbDelete  = "delete"
	verbArchive = "archive"
)

// deed is what a request to the pages' API does, as far as it matters to jobs.
type deed struct {
	queue, verb string
	task        string // empty: a batch, its tasks are in the body
}

// deedOf reads a request that is not GET. all: it acts on a whole queue; ok: it
// deletes or archives tasks.
func deedOf(r *http.Request) (d deed, all, ok bool) {
	rest, below := strings.CutPrefix(r.URL.Path, queuesAPI+"queues/")
	parts := strings.Split(rest, "/")
	if !below || len(parts) < 2 {
		return deed{}, false, false
	}
	d.queue = parts[0]
	last := parts[len(parts)-1]
	if kind, verb, found := strings.Cut(last, ":"); found && strings.HasSuffix(kind, "_tasks") {
		d.verb = strings.TrimPrefix(verb, "batch_")
		return d, strings.HasSuffix(verb, "_all"), verb == "batch_"+verbDelete || verb == "batch_"+verbArchive
	}
	if len(parts) < 3 || !strings.HasSuffix(parts[len(parts)-2], "_tasks") {
		return deed{}, false, false
	}
	if r.Method == http.MethodDelete {
		d.verb, d.task = verbDelete, last
		return d, false, true
	}
	d.verb = verbArchive
	d.task, ok = strings.CutSuffix(last, ":"+verbArchive)
	return d, false, ok
}

// act lets a person act on tasks. What is done to the task of a job is done to the
// job first: one that is queued is cancelled, and its task goes as was asked; one
// whose outcome is open keeps its task, and the answer says what becomes of it.
func (q *queues) act(w http.ResponseWriter, r *http.Request) error {
	if done := refuseAll(w, r); done {
		return nil
	}
	d, _, ok := deedOf(r)
	switch {
	case !ok:
		q.pages.ServeHTTP(w, r)
		return nil
	case d.task == "":
		return q.actOnMany(w, r, d)
	}
	if says := q.keep(r.Context(), d.queue, d.task); says != nil {
		text(w, says.status, says.text)
		return nil
	}
	q.pages.ServeHTTP(w, r)
	return nil
}

// refuseAll answers what acts on a whole queue.
func refuseAll(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || !strings.HasSuffix(r.URL.Path, "_all") || !strings.Contains(r.URL.Path, ":") {
		return false
	}
	text(w, http.StatusForbidden, wholeQueueRefused)
	return true
}

const wholeQueueRefused = "Acting on a whole queue at once is off: it stops Redis for seconds, and of a long queue " +
	"asynq's archive keeps only 10,000 tasks. To stop a job use `flowroute-worker cancel JOB_ID`; " +
	"tasks that are in the way can be selected and acted on page by page.\n"

// text answers in the form in which asynqmon's own errors come.
func text(w http.ResponseWriter, status int, says string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, says)
}

// held says why a task stays where it is.
type held struct {
	status int
	text   string
}

// keep does to a task's job what is about to be done to the task, and says why the
// task is to stay, if it is.
func (q *queues) keep(ctx context.Context, queue, task string) *held {
	info, err := q.tasks.GetTaskInfo(queue, task)
	if err != nil || info.State == asynq.TaskStateActive {
		return nil // asynqmon says why this cannot be done
	}
	nudge, err := jobs.ParseTask(ledger.Type(info.Type), task, queue, info.Payload)
	if err != nil || !nudge.Nudge {
		return nil
	}
	// Once begun it is done to its end: a page that is closed must not leave a job
	// that is cancelled with a task, or the other way round.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	job, err := q.jobs.Ledger().Get(ctx, nudge.ID)
	if err == nil && over(info) && job.Generation >= nudge.Generation && task != latestTask(job) {
		return nil // a leftover: the job goes on by another task
	}
	var done jobs.Cancellation
	if err == nil {
		done, err = q.jobs.Cancel(ctx, nudge.ID.String())
	}
	switch {
	case errors.Is(err, ledger.ErrNotFound), err == nil && (done.Cancelled || done.State.Final()):
		return nil
	case errors.Is(err, ledger.ErrNewerVersion):
		return &held{http.StatusConflict, fmt.Sprintf("Job %s was written by a newer version: this one does not touch it or its task.", nudge.ID)}
	case err != nil:
		return &held{http.StatusServiceUnavailable, fmt.Sprintf("Nothing was done: job %s could not be cancelled now. Try again.", nudge.ID)}
	case done.Requested:
		return &held{http.StatusConflict, fmt.Sprintf("Job %s is %s: it may have been sent already. It will not be sent again. "+
			"Its task stays, and the job ends once its outcome is known; `flowroute-worker status %s` shows it.", nudge.ID, done.State, nudge.ID)}
	}
	return &held{http.StatusConflict, fmt.Sprintf("Job %s is %s and cannot be cancelled any more: a step that cannot be undone was made. Its task stays.", nudge.ID, done.State)}
}

// over: nothing runs the task as it is.
func over(info *asynq.TaskInfo) bool {
	return info.State == asynq.TaskStateArchived || info.State == asynq.TaskStateCompleted
}

// latestTask is the id of the job's latest task.
func latestTask(job ledger.Job) string {
	id := fmt.Sprintf("%s.%d", job.ID, job.Generation)
	if job.Nudges > 0 {
		id = fmt.Sprintf("%s.%d", id, job.Nudges)
	}
	return id
}

// batch is the body of a request on several tasks, and batched its answer: the one
// list is of those that it was done to, the other of the rest.
type batch struct {
	Tasks []string `json:"task_ids"`
}

// maxBatch is asynqmon's own bound, in bytes.
const maxBatch = 1_000_000

func (q *queues) actOnMany(w http.ResponseWriter, r *http.Request, d deed) error {
	var asked batch
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBatch))
	body.DisallowUnknownFields()
	if err := body.Decode(&asked); err != nil {
		text(w, http.StatusBadRequest, "The list of tasks cannot be read.")
		return nil
	}
	notes := map[string]string{}
	free := batch{Tasks: []string{}}
	for _, task := range asked.Tasks {
		if says := q.keep(r.Context(), d.queue, task); says != nil {
			notes[task] = says.text
			continue
		}
		free.Tasks = append(free.Tasks, task)
	}
	b, err := json.Marshal(free)
	if err != nil {
		return err
	}
	pass := r.Clone(r.Context())
	pass.Body, pass.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	done := &answer{header: http.Header{}}
	q.pages.ServeHTTP(done, pass)
	said := map[string]any{}
	if done.status != http.StatusOK || json.Unmarshal(done.body.Bytes(), &said) != nil {
		text(w, done.status, done.body.String())
		return nil
	}
	rest := "failed_ids" // as asynqmon calls them
	if d.verb == verbArchive {
		rest = "error_ids"
	}
	failed, _ := said[rest].([]any)
	for _, task := range asked.Tasks {
		if notes[task] != "" {
			failed = append(failed, task)
		}
	}
	said[rest] = failed
	if len(notes) > 0 {
		said["notes"] = notes
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(said)
}
