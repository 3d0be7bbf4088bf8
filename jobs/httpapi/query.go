package httpapi

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// query reads the parameters of a request and collects what is wrong with them, as
// strictly as a body: what is not known is refused, or a misspelt filter would
// answer with everything.
type query struct {
	values   url.Values
	problems []jobs.FieldError
}

func readQuery(r *http.Request, known ...string) (*query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, newProblem(http.StatusBadRequest, jobs.CodeInvalid, "The query is not name=value&name=value.")
	}
	q := &query{values: values}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case !slices.Contains(known, name):
			message := "no such parameter: there are none here"
			if len(known) > 0 {
				message = "no such parameter: known are " + strings.Join(known, ", ")
			}
			q.refuse(shortName(name), jobs.CodeUnknownField, message)
		case len(values[name]) > 1:
			q.refuse(name, jobs.CodeRepeatedField, "given twice: give it once")
		}
	}
	return q, nil
}

// noQuery refuses parameters where there are none.
func noQuery(r *http.Request) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	return q.err()
}

func (q *query) refuse(field, code, message string) {
	q.problems = append(q.problems, jobs.FieldError{Field: field, Code: code, Message: message})
}

func (q *query) err() error {
	if len(q.problems) == 0 {
		return nil
	}
	return &jobs.ValidationError{Problems: q.problems}
}

func (q *query) text(name string) string { return q.values.Get(name) }

func (q *query) limit() int {
	if !q.values.Has("limit") {
		return defaultLimit
	}
	n, err := strconv.Atoi(q.text("limit"))
	if err != nil || n < 1 || n > maxLimit {
		q.refuse("limit", jobs.CodeInvalid, "give a number from 1 to "+strconv.Itoa(maxLimit))
	}
	return n
}

func (q *query) oneOf(name string, words ...string) string {
	value := q.text(name)
	if q.values.Has(name) && !slices.Contains(words, value) {
		q.refuse(name, jobs.CodeInvalid, "give one of "+strings.Join(words, ", "))
	}
	return value
}

// number reads a phone number, or a short code, as its digits. (A + that was not
// escaped has arrived as a space.)
func (q *query) number(name string) string {
	value := strings.TrimSpace(q.text(name))
	if number, err := flowroute.ParseE164(value); err == nil {
		return number.Digits()
	}
	if q.values.Has(name) && (value == "" || len(value) > 15 || strings.Trim(value, "0123456789") != "") {
		q.refuse(name, jobs.CodeInvalid, "give a number like +12065550100")
	}
	return value
}

// when reads a time, or a duration before now; zero when it is not given.
func (q *query) when(name string, now time.Time) time.Time {
	if !q.values.Has(name) {
		return time.Time{}
	}
	value := q.text(name)
	if ago, err := time.ParseDuration(value); err == nil && ago >= 0 {
		return now.Add(-ago)
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		q.refuse(name, jobs.CodeInvalid, "give a time like 2026-01-31T15:04:05Z, or how long ago like 48h")
	}
	return t
}

// shortName is a name that came in, bounded and safe to show.
func shortName(name string) string {
	quoted := strconv.QuoteToASCII(name)
	quoted = quoted[1 : len(quoted)-1]
	return quoted[:min(40, len(quoted))]
}
