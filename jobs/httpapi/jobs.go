package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// jobView is a job as clients see it. The text of a message is not in it.
type jobView struct {
	ID        string        `json:"id"`
	Type      ledger.Type   `json:"type"`
	State     ledger.State  `json:"state"`
	From      string        `json:"from,omitempty"`   // messages
	To        string        `json:"to,omitempty"`     // messages
	Number    string        `json:"number,omitempty"` // purchases and routes, when it is fixed
	Attempts  int           `json:"attempts"`
	MDRIDs    []string      `json:"mdr_ids,omitempty"`
	Reason    ledger.Reason `json:"reason,omitempty"`
	Detail    string        `json:"detail,omitempty"`
	Warning   string        `json:"warning,omitempty"`
	CreatedAt time.Time     `json:"created_at"`
	DueAt     time.Time     `json:"due_at,omitzero"`
	ExpiresAt time.Time     `json:"expires_at,omitzero"`
	History   []changeView  `json:"history"`
}

type changeView struct {
	At     time.Time     `json:"at"`
	State  ledger.State  `json:"state"`
	Reason ledger.Reason `json:"reason,omitempty"`
}

func viewJob(job jobs.Job) jobView {
	v := jobView{
		ID: job.ID.String(), Type: job.Type, State: job.State, Attempts: job.Attempts, MDRIDs: job.MDRs,
		Reason: job.Reason, Detail: job.Detail, Warning: job.Warning,
		CreatedAt: job.Created.UTC(), DueAt: job.Due.UTC(), ExpiresAt: job.Expires.UTC(),
		History: make([]changeView, len(job.History)),
	}
	if job.Type == jobs.TypeSendMessage {
		v.From, v.To = job.From.String(), job.To.String()
	} else {
		v.Number = job.To.String()
	}
	for i, change := range job.History {
		v.History[i] = changeView{change.At.UTC(), change.State, change.Reason}
	}
	return v
}

func (s *Server) getJob(w http.ResponseWriter, r *http.Request) error {
	job, err := s.readJob(r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, viewJob(job))
}

// getOf is [Server.getJob] for jobs of one type.
func (s *Server) getOf(k kind) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		job, err := s.readJob(r)
		if err != nil {
			return err
		}
		if job.Type != k.name {
			return elsewhere(job)
		}
		return writeJSON(w, http.StatusOK, viewJob(job))
	}
}

func (s *Server) readJob(r *http.Request) (jobs.Job, error) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	return s.o.Jobs.Get(ctx, r.PathValue("id"))
}

// elsewhere says where the job is that was asked for at the wrong place.
func elsewhere(job jobs.Job) *problem {
	path := "/v1/jobs"
	for _, k := range kinds() {
		if k.name == job.Type {
			path = k.path
		}
	}
	return newProblem(http.StatusNotFound, codeNotFound, "That job is a %s: it is at %s/%s.", job.Type, path, job.ID)
}

// deleteMessage cancels while that is possible: 200 when the message will never
// be posted, 202 when it may have been and will not be again, 409 when it is
// too late.
func (s *Server) deleteMessage(w http.ResponseWriter, r *http.Request) error {
	job, err := s.readJob(r)
	if err != nil {
		return err
	}
	if job.Type != jobs.TypeSendMessage {
		return elsewhere(job)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	done, err := s.o.Jobs.Cancel(ctx, job.ID.String())
	if err != nil {
		return err
	}
	answer := struct {
		ID    string       `json:"id"`
		State ledger.State `json:"state"`
		// Cancelled: it has not been posted and never will be.
		Cancelled bool `json:"cancelled"`
	}{job.ID.String(), done.State, done.State == ledger.Cancelled}
	switch {
	case answer.Cancelled:
		return writeJSON(w, http.StatusOK, answer)
	case done.Requested:
		return writeJSON(w, http.StatusAccepted, answer)
	}
	return newProblem(http.StatusConflict, codeTooLate, "Too late to cancel: the message is %s.", done.State)
}
