package jobs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// The codes of a [FieldError].
const (
	CodeRequired      = "required"
	CodeInvalid       = "invalid"
	CodeTooLong       = "too_long"
	CodeTooMany       = "too_many"
	CodeTooLarge      = "too_large" // the whole payload
	CodeInPast        = "in_the_past"
	CodeTooFar        = "too_far_ahead"
	CodeContradiction = "contradiction" // two fields that cannot both be meant
	CodeWrongType     = "wrong_type"
	CodeUnknownField  = "unknown_field"
	CodeRepeatedField = "repeated_field"
	CodeMalformed     = "malformed_json"
	CodeNotUTF8       = "not_utf8"
	CodeControl       = "control_character"
	CodeVersion       = "unsupported_version"
	CodeNotOurs       = "not_ours" // a sender that is none of the account's numbers
)

// FieldError is one problem of what was asked.
type FieldError struct {
	// Field is the path in the JSON form, like media_urls[2] or search.state;
	// empty when the whole is meant.
	Field string `json:"field,omitempty"`
	Code  string `json:"code"` // one of the Code constants
	// Message says what to do. It shows no bodies, no URLs, and of numbers the
	// last four digits at most.
	Message string `json:"message"`
}

// Error is the field and what to do.
func (e FieldError) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return e.Field + ": " + e.Message
}

// ValidationError says all that is wrong with what was asked. Nothing was taken.
type ValidationError struct {
	Problems []FieldError // at least one, in the order of the fields
}

// Error is all problems in one line.
func (e *ValidationError) Error() string {
	texts := make([]string, len(e.Problems))
	for i, problem := range e.Problems {
		texts[i] = problem.Error()
	}
	return strings.Join(texts, "; ")
}

// maxProblems bounds the answer to 64 KiB of nonsense.
const maxProblems = 20

// door collects what is wrong with one job. Values never get into its texts.
type door struct {
	now time.Time
	// waited: the job comes out of a queue, where it may have outlived its
	// expiry. That is no mistake; the ledger ends it as expired.
	waited   bool
	of       ledger.Type // empty: any
	problems []FieldError
}

// newest is the highest version that is read.
func (d *door) newest() int64 { return newestVersion(d.of) }

func (d *door) refuse(field, code, format string, args ...any) {
	// A field that cannot be read is not empty as well.
	if len(d.problems) >= maxProblems || (field != "" && slices.ContainsFunc(d.problems, func(p FieldError) bool { return p.Field == field })) {
		return
	}
	d.problems = append(d.problems, FieldError{Field: field, Code: code, Message: fmt.Sprintf(format, args...)})
}

func (d *door) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	return &ValidationError{Problems: d.problems}
}

// number reads a required number.
func (d *door) number(field, value string) flowroute.E164 {
	if strings.TrimSpace(value) == "" {
		d.refuse(field, CodeRequired, "give a number like +12065550100")
		return flowroute.E164{}
	}
	number, err := flowroute.ParseE164(value)
	if err != nil {
		reason := "is no phone number"
		if bad, ok := errors.AsType[*flowroute.NumberError](err); ok {
			reason = bad.Reason
		}
		d.refuse(field, CodeInvalid, "%s (want a number like +12065550100)", reason)
	}
	return number
}
