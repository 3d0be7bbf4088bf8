package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// OptOutStore is who must not be texted, a [*suppress.Store].
type OptOutStore interface {
	List(context.Context, suppress.Query) (suppress.Page, error)
	Add(context.Context, suppress.Entry) (stands suppress.Entry, added bool, err error)
	Remove(ctx context.Context, recipient, from flowroute.E164) (removed, left []suppress.Entry, err error)
	Import(context.Context, iter.Seq2[suppress.Row, error], suppress.ImportOptions, func(suppress.Answer) error) (suppress.Totals, error)
}

// OptOutView is an opt-out as JSON.
type OptOutView struct {
	Recipient string          `json:"recipient"`
	From      string          `json:"from,omitempty"` // our number; absent: all of them
	Source    suppress.Source `json:"source"`
	Time      time.Time       `json:"time"` // since when
	Note      string          `json:"note,omitempty"`
}

// ViewOptOut shows an opt-out. The recipient's number is whole: it is what the list
// is for.
func ViewOptOut(e suppress.Entry) OptOutView {
	return OptOutView{Recipient: e.Recipient.String(), From: e.From.String(), Source: e.Source, Time: e.Time.UTC(), Note: e.Note}
}

// OptOutAnswer is the answer to an opt-out that was given: the entry that stands, or
// what is wrong with it.
type OptOutAnswer struct {
	Line  int              `json:"line,omitempty"` // of a list, from 1 on
	State suppress.Verdict `json:"state"`
	*OptOutView
	Error *jobs.FieldError `json:"error,omitempty"`
}

// AnswerOptOut shows the answer to a line of a list.
func AnswerOptOut(a suppress.Answer) OptOutAnswer {
	v := OptOutAnswer{Line: a.Line, State: a.Verdict}
	if a.Problem != nil {
		v.Error = &jobs.FieldError{Field: a.Problem.Field, Code: a.Problem.Code, Message: a.Problem.Message}
		return v
	}
	v.OptOutView = new(ViewOptOut(a.Entry))
	return v
}

// OptOutRemoval is the answer to a removal.
type OptOutRemoval struct {
	Removed []OptOutView `json:"removed"`
	Left    []OptOutView `json:"left"` // entries of the recipient that still block
}

// ViewOptOutRemoval shows a removal.
func ViewOptOutRemoval(removed, left []suppress.Entry) OptOutRemoval {
	return OptOutRemoval{listOf(removed, "", ViewOptOut).Items, listOf(left, "", ViewOptOut).Items}
}

func (s *Server) getOptOuts(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r, "recipient", "limit", "cursor")
	if err != nil {
		return err
	}
	asked := suppress.Query{Recipient: q.e164("recipient"), Limit: q.limit(), Cursor: q.text("cursor")}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	page, err := s.o.OptOuts.List(ctx, asked)
	if errors.Is(err, suppress.ErrBadCursor) {
		q.refuse("cursor", jobs.CodeInvalid, "give next_cursor of the page before, as it is")
		return q.err()
	}
	if err != nil {
		return optOutProblem(ctx, err)
	}
	return writeJSON(w, http.StatusOK, listOf(page.Entries, page.Next, ViewOptOut))
}

func (s *Server) deleteOptOut(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r, "recipient", "from")
	if err != nil {
		return err
	}
	recipient, from := q.e164("recipient"), q.e164("from")
	if !q.values.Has("recipient") {
		q.refuse("recipient", jobs.CodeRequired, "give a number like +12065550100")
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	removed, left, err := s.o.OptOuts.Remove(ctx, recipient, from)
	if err != nil {
		return repeatable(optOutProblem(ctx, err))
	}
	return writeJSON(w, http.StatusOK, ViewOptOutRemoval(removed, left))
}

// e164 reads a phone number; zero when it is not given. (A + that was not escaped has
// arrived as a space.)
func (q *query) e164(name string) flowroute.E164 {
	if !q.values.Has(name) {
		return flowroute.E164{}
	}
	row := suppress.Row{Recipient: q.text(name)}
	e, err := row.Entry()
	if bad, ok := errors.AsType[*suppress.InvalidError](err); ok {
		q.refuse(name, bad.Code, bad.Message)
	}
	return e.Recipient
}

// postOptOuts takes one opt-out as JSON, or any number as NDJSON lines.
func (s *Server) postOptOuts(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && media == ndjson {
		return s.importOptOuts(w, r)
	}
	body, err := s.readJSON(w, r)
	if err != nil {
		return err
	}
	e, err := optOutRow(1, body).Entry()
	e.Source = suppress.SourcePerson
	// The request has arrived whole: from here on it does not matter whether its
	// client waits for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	if err != nil {
		return optOutProblem(ctx, err)
	}
	e, added, err := s.o.OptOuts.Add(ctx, e)
	if err != nil {
		return repeatable(optOutProblem(ctx, err))
	}
	if added {
		return writeJSON(w, http.StatusCreated, AnswerOptOut(suppress.Answer{Verdict: suppress.Added, Entry: e}))
	}
	return writeJSON(w, http.StatusOK, AnswerOptOut(suppress.Answer{Verdict: suppress.Known, Entry: e}))
}

const (
	ndjson = "application/x-ndjson"
	// maxOptOuts bounds a list, in bytes without compression: a hundred thousand lines or
	// more.
	maxOptOuts = 8 << 20
)

// importOptOuts takes a list whose lines are JSON objects. It is read to its end
// before the first answer, so that a client may write all of it before it reads.
func (s *Server) importOptOuts(w http.ResponseWriter, r *http.Request) error {
	if err := wantContentType(r, ndjson); err != nil {
		return err
	}
	if r.ContentLength > maxOptOuts {
		return tooLargeProblem(maxOptOuts) // before a byte of it is read
	}
	text, err := unpacked(r, http.MaxBytesReader(w, r.Body, maxOptOuts))
	if err != nil {
		return err
	}
	body, err := readWhole(text, maxOptOuts)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.o.ReadTimeout)
	defer cancel()
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	begun, gone := false, false
	_, err = s.o.OptOuts.Import(ctx, optOutRows(body), suppress.ImportOptions{}, func(a suppress.Answer) error {
		if !begun {
			w.Header().Set("Content-Type", ndjson)
		}
		begun = true
		gone = gone || out.Encode(AnswerOptOut(a)) != nil // the rest is taken all the same
		return nil
	})
	switch {
	case err == nil && !begun:
		return newProblem(http.StatusUnprocessableEntity, jobs.CodeRequired, "There are no lines: send one JSON object on each.")
	case err == nil:
		return nil
	case !begun:
		return repeatable(optOutProblem(ctx, err))
	}
	failed := repeatable(optOutProblem(ctx, err))
	_ = out.Encode(struct {
		Error jobs.FieldError `json:"error"`
	}{jobs.FieldError{Code: failed.Code, Message: "the lines from here on were not answered. " + failed.Detail}})
	return failed
}

// optOutRows are the lines of a list; empty ones are left out.
func optOutRows(body []byte) iter.Seq2[suppress.Row, error] {
	return func(yield func(suppress.Row, error) bool) {
		number := 0
		for text := range bytes.Lines(body) {
			number++
			if text = bytes.TrimSpace(text); len(text) > 0 && !yield(optOutRow(number, text), nil) {
				return
			}
		}
	}
}

// optOutRow reads a JSON object with the fields of an opt-out.
func optOutRow(line int, text []byte) suppress.Row {
	row := suppress.Row{Line: line}
	fields := map[string]*string{"recipient": &row.Recipient, "from": &row.From, "time": &row.Time, "note": &row.Note}
	refuse := func(field, code, message string) suppress.Row {
		return suppress.Row{Line: line, Broken: &suppress.InvalidError{Field: field, Code: code, Message: message}}
	}
	const want = `send one JSON object like {"recipient":"+12065550123"}`
	if !json.Valid(text) {
		return refuse("", jobs.CodeMalformed, want)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if opening, err := decoder.Token(); err != nil || opening != json.Delim('{') {
		return refuse("", jobs.CodeWrongType, want)
	}
	for seen := map[string]bool{}; decoder.More(); {
		token, _ := decoder.Token() // it is valid
		name, _ := token.(string)
		target, known := fields[name]
		switch {
		case !known:
			return refuse(shortName(name), jobs.CodeUnknownField, "no such field: known are recipient, from, time, note")
		case seen[name]:
			return refuse(name, jobs.CodeRepeatedField, "given twice: give it once")
		}
		seen[name] = true
		var value *string
		if decoder.Decode(&value) != nil {
			return refuse(name, jobs.CodeWrongType, "want a string in double quotes")
		}
		if value != nil {
			*target = strings.TrimSpace(*value)
		}
	}
	return row
}

// optOutProblem says what an error of the opt-outs means to the client.
func optOutProblem(ctx context.Context, err error) *problem {
	if bad, ok := errors.AsType[*suppress.InvalidError](err); ok {
		return invalidProblem(&jobs.ValidationError{Problems: []jobs.FieldError{{Field: bad.Field, Code: bad.Code, Message: bad.Message}}})
	}
	if errors.Is(err, suppress.ErrNewerVersion) {
		return newProblem(http.StatusServiceUnavailable, codeNewer,
			"This process is older than the one that wrote this. Ask another one, or update it.").because(err)
	}
	if errors.Is(err, ledger.ErrNotDurable) {
		return unavailableProblem(codeUnconfirmed, "Redis does not report the change to be on its disk. It may or may not last.", err)
	}
	return problemOf(ctx, err)
}

// repeatable adds to an answer that leaves it open whether a change was made that it
// may be asked for again.
func repeatable(p *problem) *problem {
	if p.Status >= 500 {
		p.Repeatable = new(true)
		p.Detail += " Sending the same again is safe."
	}
	return p
}
