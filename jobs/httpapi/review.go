package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// ReviewView is a job that waits for a person: what is known of it, and what to
// look at before deciding.
type ReviewView struct {
	ID       string        `json:"id"`
	Type     ledger.Type   `json:"type"`
	Since    time.Time     `json:"since"`
	From     string        `json:"from,omitempty"` // masked
	To       string        `json:"to,omitempty"`   // masked
	Number   string        `json:"number,omitempty"`
	Attempts int           `json:"attempts"`
	Reason   ledger.Reason `json:"reason"`
	Why      string        `json:"why"`     // the reason in words
	LookAt   string        `json:"look_at"` // what decides
	Detail   string        `json:"detail,omitempty"`
	// FirstTried and LastTried say where in Flowroute's records to look.
	FirstTried time.Time `json:"first_tried,omitzero"`
	LastTried  time.Time `json:"last_tried,omitzero"`
	// Evidence is what the records showed, candidates among it.
	Evidence json.RawMessage `json:"evidence,omitempty"`
}

// ViewReview shows a job in review. Numbers are masked; GET /v1/jobs/{id} has
// them whole.
func ViewReview(job jobs.Job) ReviewView {
	v := ReviewView{
		ID: job.ID.String(), Type: job.Type, Since: job.Updated().UTC(), Attempts: job.Attempts, Reason: job.Reason, Detail: job.Detail,
		FirstTried: job.FirstTried.UTC(),
	}
	v.Why, v.LookAt = Explain(job)
	switch job.Type {
	case jobs.TypeSendMessage:
		v.From, v.To = job.From.Masked(), job.To.Masked()
	default:
		if number := jobs.NumberOf(job); !number.IsZero() {
			v.Number = number.Masked()
		}
	}
	for _, change := range job.History {
		if change.State == ledger.Sending {
			v.LastTried = change.At.UTC()
		}
	}
	if v.LastTried.Before(v.FirstTried) { // the history is to 10 ms
		v.LastTried = v.FirstTried
	}
	if json.Valid(job.Evidence) {
		v.Evidence = job.Evidence
	}
	return v
}

// Explain says why a job waits for a person, and what that person should look at.
func Explain(job jobs.Job) (why, lookAt string) {
	if job.Type == jobs.TypePurchaseNumber {
		return "the account does not show for certain whether the number was bought",
			"is the number on the account (manage.flowroute.com, or: flowroute-worker numbers list)? Yes is accepted, no is not-sent"
	}
	if job.Type == jobs.TypeRouteUpdate {
		return "the account does not show for certain whether the route or the alias was set",
			"are the number's routes and alias those that were asked for? Yes is accepted; not-sent ends the job, so that it can be asked for again"
	}
	const theRecords = "look for the message in Flowroute's records (manage.flowroute.com, or: flowroute-worker mdr list) from its first attempt on: " +
		"there is accepted, not there is not-sent"
	switch job.Reason {
	case ledger.ReasonNearMatch:
		return "there is a record between the same two numbers, but its text is not quite the one that was sent",
			"compare the candidate records with the message: if one of them is it, accepted; if all are others, not-sent"
	case ledger.ReasonNotCurrent:
		return "Flowroute's records lacked messages that were accepted, so that their silence proves nothing", theRecords
	case ledger.ReasonNoRecord:
		return "Flowroute answered that it accepted the message, but no record of it has appeared",
			"look for its record once more; without one, ask the recipient or Flowroute. accepted closes it; not-sent posts it again although Flowroute said yes"
	case ledger.ReasonOtherAccount:
		return "it was posted with the key or address of another account, whose records cannot be read here",
			"look into the records of that account: there is accepted, not there is not-sent"
	case ledger.ReasonForeignTraffic:
		return "something else sends the same texts with this account, so that a record may be its own", theRecords
	case ledger.ReasonBeyondReach:
		return "its attempt is older than what Flowroute's records, or our own, reach back to", theRecords
	case ledger.ReasonUsedUpUnknown, ledger.ReasonAttemptsUsedUp:
		return "its posts are used up, and of one of them it is not certain whether it was accepted", theRecords
	case ledger.ReasonHeld:
		return "Flowroute's records, proven current, do not have it, and AMBIGUOUS_ACTION=review leaves posting it again to a person",
			"not-sent posts it again; accepted closes it"
	case ledger.ReasonRedisLost:
		return "Redis had lost writes, and what was found of them is not quite this message", theRecords
	}
	return "the records could not decide", theRecords
}

func (s *Server) getReview(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, cursor := q.limit(), q.text("cursor")
	if strings.Trim(cursor, "0123456789") != "" || len(cursor) > 15 {
		q.refuse("cursor", jobs.CodeInvalid, "give next_cursor of the page before, as it is")
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	waiting, next, err := s.o.Jobs.Ledger().Reviews(ctx, cursor, limit)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, listOf(waiting, next, ViewReview))
}

// RulingView is the answer to a person's decision.
type RulingView struct {
	ID    string       `json:"id"`
	State ledger.State `json:"state"` // of the job now
	// Says is what that means.
	Says string `json:"says"`
}

// NotInReviewError says that a job cannot be decided by a person.
type NotInReviewError struct{ Job jobs.Job }

func (e *NotInReviewError) Error() string {
	if e.Job.State == ledger.Review {
		return "the purchase had not fixed a number, so it cannot have bought one: decide not-sent"
	}
	return "job " + e.Job.ID.String() + " is " + string(e.Job.State) + ", not in review: there is nothing to decide"
}

// Rule carries out a person's decision on the job with this id, and has wake look
// after it when it is to be posted again. Errors: [jobs.ErrNotFound],
// [*NotInReviewError], or Redis' own.
func Rule(ctx context.Context, client *jobs.Client, wake Waker, id string, ruling ledger.Ruling) (RulingView, error) {
	job, err := client.Get(ctx, id)
	if err != nil {
		return RulingView{}, err
	}
	job, done, err := client.Ledger().Rule(ctx, job.ID, ruling)
	switch {
	case err != nil:
		return RulingView{}, err
	case !done:
		return RulingView{}, &NotInReviewError{job}
	}
	if job.State == ledger.Queued {
		_ = wake(ctx, job) // the decision stands: without a nudge the sweep finds the job, later
	}
	return RulingView{ID: job.ID.String(), State: job.State, Says: ruled(job)}, nil
}

// Waker makes a worker look at a job that is queued again.
type Waker func(ctx context.Context, job jobs.Job) error

// wakeInItsQueue is a [Waker] that puts the job behind those of its queue.
func wakeInItsQueue(client *jobs.Client) Waker {
	return func(ctx context.Context, job jobs.Job) error {
		serial, err := client.Ledger().Renudge(ctx, job.ID)
		if err != nil {
			return err
		}
		return client.Nudge(ctx, job.ID, job.Type, job.Queue, job.Generation, job.Due, serial)
	}
}

func ruled(job jobs.Job) string {
	switch {
	case job.State == ledger.Queued && job.Type == jobs.TypePurchaseNumber && job.Progress != nil:
		return "the number counts as bought; what was asked for it is set up now"
	case job.State == ledger.Queued:
		return "it is posted again, as soon as it is its turn"
	case job.State.Succeeded():
		return "it counts as " + string(job.State) + "; nothing is posted"
	case job.State == ledger.Cancelled:
		return "it was cancelled meanwhile, so it is not posted again"
	case job.State == ledger.Expired:
		return "its time is over, so it is not posted again"
	}
	return "it has ended; nothing is posted. Enqueue it anew if it is still wanted"
}

func (s *Server) postReview(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	body, err := s.readJSON(w, r)
	if err != nil {
		return err
	}
	ruling, err := readRuling(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	answer, err := Rule(ctx, s.o.Jobs, s.o.Wake, r.PathValue("id"), ruling)
	if refused, ok := errors.AsType[*NotInReviewError](err); ok {
		return newProblem(http.StatusConflict, codeNotInReview, "Nothing was changed: %s.", refused.Error())
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// ParseRuling reads a decision as it is typed.
func ParseRuling(text string) (ledger.Ruling, error) {
	for _, r := range []ledger.Ruling{ledger.RuledAccepted, ledger.RuledNotSent} {
		if text == string(r) {
			return r, nil
		}
	}
	return "", errors.New("give accepted, if Flowroute took it, or not-sent, if it surely did not")
}

func readRuling(body []byte) (ledger.Ruling, error) {
	refuse := func(field, code, message string) (ledger.Ruling, error) {
		return "", &jobs.ValidationError{Problems: []jobs.FieldError{{Field: field, Code: code, Message: message}}}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return refuse("", jobs.CodeMalformed, `send one JSON object: {"as":"accepted"} or {"as":"not-sent"}`)
	}
	for name := range fields {
		if name != "as" {
			return refuse(shortName(name), jobs.CodeUnknownField, "no such field: there is as")
		}
	}
	var text string
	if raw, given := fields["as"]; !given || json.Unmarshal(raw, &text) != nil || text == "" {
		return refuse("as", jobs.CodeRequired, "give accepted, if Flowroute took it, or not-sent, if it surely did not")
	}
	ruling, err := ParseRuling(text)
	if err != nil {
		return refuse("as", jobs.CodeInvalid, err.Error())
	}
	return ruling, nil
}
