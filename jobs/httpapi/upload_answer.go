package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// totals count what became of the lines. All but the empty ones are counted once.
type totals struct {
	Lines       int `json:"lines"`       // that were looked at
	Accepted    int `json:"accepted"`    // new jobs
	Duplicate   int `json:"duplicate"`   // were there already, by their keys
	Blocked     int `json:"blocked"`     // the recipient opted out
	Invalid     int `json:"invalid"`     // refused
	Unconfirmed int `json:"unconfirmed"` // may or may not have been taken
	NotTaken    int `json:"not_taken"`   // for certain: not tried, or Redis is full
}

// lineTaken is the answer to a line that was taken.
type lineTaken struct {
	Line int `json:"line"`
	jobs.Receipt
}

// lineRefused is the answer to a line that was not, or not for certain.
type lineRefused struct {
	Line       int       `json:"line"`
	ID         string    `json:"id,omitempty"` // of the job that may be there
	Error      lineError `json:"error"`
	Repeatable *bool     `json:"repeatable,omitempty"`
}

// lineError is a [problem] within an answer.
type lineError struct {
	Code    string            `json:"code"`
	Message string            `json:"message"`
	Field   string            `json:"field,omitempty"`
	Errors  []jobs.FieldError `json:"errors,omitempty"` // when there is more than one
}

// uploadTotal is the last line of an answer. Without it the answer is not whole; with an
// error it is not what was asked for.
type uploadTotal struct {
	Total totals     `json:"total"`
	Error *lineError `json:"error,omitempty"`
}

func (u *upload) summary() uploadTotal {
	last := uploadTotal{Total: u.total}
	if u.trouble != nil {
		last.Error = &lineError{Code: u.trouble.Code, Message: u.trouble.Detail}
	}
	return last
}

func (u *upload) put(answer any) {
	encoder := json.NewEncoder(&u.answer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		panic(err) // structs of texts and numbers
	}
}

func (u *upload) accept(r *row, receipt jobs.Receipt) {
	switch {
	case receipt.Duplicate:
		u.total.Duplicate++
	case receipt.State == ledger.Blocked:
		u.total.Blocked++
	default:
		u.total.Accepted++
	}
	if !u.errorsOnly {
		u.put(lineTaken{r.line, receipt})
	}
}

// refuse answers a row that was not taken, or not for certain.
// id is that of the job that may be there all the same.
func (u *upload) refuse(ctx context.Context, r *row, id string, err error) {
	if invalid, ok := errors.AsType[*jobs.ValidationError](err); ok && len(invalid.Problems) == 1 {
		first := invalid.Problems[0] // nearly all of them, and without the texts of a whole answer
		u.total.Invalid++
		u.put(lineRefused{Line: r.line, Error: lineError{Code: first.Code, Message: first.Message, Field: first.Field}})
		return
	}
	p := unconfirmed(problemOf(ctx, err), r.message.Key != "")
	answer := lineRefused{Line: r.line, Repeatable: p.Repeatable, Error: lineError{Code: p.Code, Message: p.Detail, Field: p.Field}}
	answer.Error.Errors = p.Errors
	switch {
	case p.Status < 500:
		u.total.Invalid++
	case p.Code == codeUnconfirmed:
		u.total.Unconfirmed++
		answer.ID = id
	default:
		u.total.NotTaken++
	}
	if u.trouble == nil && errors.Is(err, jobs.ErrUnconfirmed) {
		u.trouble = newProblem(p.Status, p.Code, "Redis failed at line %d. Lines after it that are not answered otherwise were not tried.", r.line).because(err)
	}
	u.put(answer)
}

// invalid refuses a row that was not tried, if it never can be taken.
func (u *upload) invalid(ctx context.Context, r *row) bool {
	err := r.message.Validate(time.Now())
	if err != nil {
		u.refuse(ctx, r, "", err)
	}
	return err != nil
}

// notTried is for the lines after one at which Redis failed.
const notTried = "Not tried, since Redis failed before. Send it again."

func unreadProblem(line int) *problem {
	return newProblem(http.StatusInsufficientStorage, codeUnread, "The answers were not read, and there is no more room for them. Lines from %d on "+
		"were not tried, and are not answered one by one. Read while you send, or ask for results=errors.", line)
}
