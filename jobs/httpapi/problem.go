package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

// The codes of problems that are not a field's; those are in package jobs.
const (
	codeUnauthorized  = "unauthorized"
	codeHostRefused   = "host_refused"
	codeOriginRefused = "origin_refused"
	codeNotFound      = "not_found"
	codeNoSuchMethod  = "method_not_allowed"
	codeContentType   = "unsupported_content_type"
	codeEncoding      = "unsupported_encoding"
	codeSlow          = "request_timeout"
	codeCut           = "incomplete_body"
	codeBadGzip       = "malformed_gzip"
	codeUnread        = "answers_not_read"
	codeConflict      = "key_conflict"
	codeTooLate       = "too_late"
	codeNotInReview   = "not_in_review"
	codeWrongState    = "wrong_state"
	codeBusy          = "upload_running"
	codeEmpty         = "no_recipients"
	codeNewer         = "newer_version"
	codeUnavailable   = "unavailable"
	codeUnconfirmed   = "unconfirmed"
	codeGone          = "client_gone"
	codeInternal      = "internal"
)

// statusClientGone is only logged: there is nobody to answer.
const statusClientGone = 499

// retryAfter is in seconds: Redis is back soon, or gone for long.
const retryAfter = 2

// problem is an answer in the form of RFC 9457, with the type about:blank.
type problem struct {
	Title  string `json:"title"` // what the status means
	Status int    `json:"status"`
	Code   string `json:"code"`             // for programs
	Detail string `json:"detail,omitempty"` // for people: what to do
	Field  string `json:"field,omitempty"`  // the first one to blame
	// Errors are all problems of the fields, when there are any.
	Errors []jobs.FieldError `json:"errors,omitempty"`
	// Repeatable says, where a job may have been taken, whether sending the same
	// again is safe.
	Repeatable *bool `json:"repeatable,omitempty"`

	header map[string]string
	cause  error // for the log
}

func (p *problem) Error() string {
	if p.cause != nil {
		return p.cause.Error()
	}
	return p.Code + ": " + p.Detail
}

func (p *problem) Unwrap() error { return p.cause }

func newProblem(status int, code, format string, args ...any) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

func (p *problem) with(header, value string) *problem {
	if p.header == nil {
		p.header = map[string]string{}
	}
	p.header[header] = value
	return p
}

func (p *problem) because(err error) *problem {
	p.cause = err
	return p
}

func (p *problem) write(w http.ResponseWriter) {
	for name, value := range p.header {
		w.Header().Set(name, value)
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // a struct of texts
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

// problemOf says what an error means to the client. ctx is the request's.
func problemOf(ctx context.Context, err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if p := campaignProblem(err); p != nil {
		return p
	}
	if invalid, ok := errors.AsType[*jobs.ValidationError](err); ok && len(invalid.Problems) > 0 {
		return invalidProblem(invalid)
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLargeProblem(tooLarge.Limit)
	}
	switch {
	case errors.Is(err, jobs.ErrConflict):
		return newProblem(http.StatusConflict, codeConflict,
			"This key belongs to a job that asks for something else. Use a new key for a new job.").because(err)
	case errors.Is(err, jobs.ErrNotFound):
		return newProblem(http.StatusNotFound, codeNotFound, "No such job, or its retention is over.")
	case errors.Is(err, ledger.ErrNewerVersion), errors.Is(err, mdr.ErrNewerVersion):
		return newProblem(http.StatusServiceUnavailable, codeNewer,
			"This process is older than the one that wrote this. Ask another one, or update it.").because(err)
	case redis.HasErrorPrefix(err, "OOM"):
		return unavailableProblem(codeUnavailable, "Redis is out of memory and took nothing: raise its maxmemory, or wait until jobs have ended.", err)
	case errors.Is(err, jobs.ErrUnconfirmed):
		return unavailableProblem(codeUnconfirmed, "Redis did not answer. The job may or may not have been taken.", err)
	case errors.Is(ctx.Err(), context.Canceled):
		return newProblem(statusClientGone, codeGone, "The client went away.").because(err)
	case isRedisTrouble(err):
		return unavailableProblem(codeUnavailable, "Redis does not answer at the moment.", err)
	}
	return newProblem(http.StatusInternalServerError, codeInternal, "Something went wrong here; the log says what.").because(err)
}

func unavailableProblem(code, detail string, err error) *problem {
	return newProblem(http.StatusServiceUnavailable, code, "%s", detail).
		with("Retry-After", strconv.Itoa(retryAfter)).because(err)
}

func tooLargeProblem(limit int64) *problem {
	return newProblem(http.StatusRequestEntityTooLarge, jobs.CodeTooLarge,
		"The body is larger than %d bytes.", limit).with("Connection", "close")
}

// invalidProblem gives bad JSON 400 and bad content 422.
func invalidProblem(invalid *jobs.ValidationError) *problem {
	first := invalid.Problems[0]
	status := http.StatusUnprocessableEntity
	switch {
	case first.Field == "" && (first.Code == jobs.CodeMalformed || first.Code == jobs.CodeNotUTF8):
		status = http.StatusBadRequest
	case first.Field == "" && first.Code == jobs.CodeTooLarge:
		status = http.StatusRequestEntityTooLarge
	}
	texts := make([]string, len(invalid.Problems))
	for i, p := range invalid.Problems {
		texts[i] = p.Error()
	}
	p := newProblem(status, first.Code, "%s", strings.Join(texts, "; "))
	p.Field, p.Errors = first.Field, invalid.Problems
	return p
}

// isRedisTrouble reports whether the error is Redis' own, or the network's on
// the way to it: nothing else here uses the network.
func isRedisTrouble(err error) bool {
	if _, ok := errors.AsType[redis.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, known := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, redis.ErrClosed, redis.ErrPoolTimeout,
		redis.ErrPoolExhausted, context.DeadlineExceeded, os.ErrDeadlineExceeded,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
