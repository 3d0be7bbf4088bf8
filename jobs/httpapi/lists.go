package httpapi

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Query is what a list was asked for.
type Query struct {
	Limit  int    // 1 to 1,000
	Cursor string // where the page before ended; empty for the first
	// Since and Until bound the time of an MDR; zero where not given.
	Since, Until time.Time
}

// Page is one page of a list. Its items become JSON as they are.
type Page struct {
	Items []any  `json:"items"`
	Next  string `json:"next_cursor,omitempty"` // empty: that was all
}

// List reads one page of what is stored. It answers a cursor that it does not
// know with a [*jobs.ValidationError].
type List func(context.Context, Query) (Page, error)

// list answers the GET of a list; names are the parameters it takes.
func (s *Server) list(read List, names ...string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		query, err := parseQuery(r.URL.RawQuery, names, time.Now())
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		page, err := read(ctx, query)
		if err != nil {
			return err
		}
		if page.Items == nil {
			page.Items = []any{}
		}
		return writeJSON(w, http.StatusOK, page)
	}
}

func parseQuery(raw string, names []string, now time.Time) (Query, error) {
	q := Query{Limit: defaultLimit}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, newProblem(http.StatusBadRequest, jobs.CodeInvalid, "The query is not name=value&name=value.")
	}
	var problems []jobs.FieldError
	refuse := func(field, code, message string) {
		problems = append(problems, jobs.FieldError{Field: field, Code: code, Message: message})
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		given := values[name]
		value, ok := given[0], false
		switch {
		case !slices.Contains(names, name):
			refuse(safeName(name), jobs.CodeUnknownField, "no such parameter")
		case len(given) > 1:
			refuse(name, jobs.CodeRepeatedField, "give it once")
		case name == "limit":
			q.Limit, err = strconv.Atoi(value)
			if err != nil || q.Limit < 1 || q.Limit > maxLimit {
				refuse(name, jobs.CodeInvalid, "give a number from 1 to 1000")
			}
		case name == "cursor":
			q.Cursor = value
		case name == "since":
			if q.Since, ok = parseWhen(value, now); !ok {
				refuse(name, jobs.CodeInvalid, whenRule)
			}
		case name == "until":
			if q.Until, ok = parseWhen(value, now); !ok {
				refuse(name, jobs.CodeInvalid, whenRule)
			}
		}
	}
	if len(problems) > 0 {
		return q, &jobs.ValidationError{Problems: problems}
	}
	return q, nil
}

const whenRule = "give a time like 2026-01-31T15:04:05Z or how long ago, like 48h"

// parseWhen reads a time, or a duration before now.
func parseWhen(value string, now time.Time) (time.Time, bool) {
	if ago, err := time.ParseDuration(value); err == nil {
		return now.Add(-ago), ago >= 0
	}
	t, err := time.Parse(time.RFC3339, value)
	return t, err == nil
}

// safeName is a name that came in, short enough to be shown.
func safeName(name string) string {
	if len(name) <= 40 {
		return strconv.Quote(name)
	}
	return strconv.Quote(name[:40]) + "…"
}

// getLimits answers with the limiter's view.
func (s *Server) getLimits(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	limits, err := s.o.Limits(ctx)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, limits)
}
