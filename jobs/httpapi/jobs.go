package httpapi

import (
	"context"
	"net/http"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

func (s *Server) getJob(w http.ResponseWriter, r *http.Request) error {
	job, err := s.readJob(r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, ViewJob(job))
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
		return writeJSON(w, http.StatusOK, ViewJob(job))
	}
}

func (s *Server) readJob(r *http.Request) (jobs.Job, error) {
	if err := noQuery(r); err != nil {
		return jobs.Job{}, err
	}
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
