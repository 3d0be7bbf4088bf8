package httpapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// rows is one request that brings recipients.
type rows struct {
	s          *Server
	d          *duplex
	in         *inflow
	ctx        context.Context // the request's, which does not end when its client goes away
	r          *http.Request
	errorsOnly bool

	id     ledger.ID // zero: there is no campaign yet
	starts bool      // the campaign is to be started when all rows have come
	keyed  bool      // and may be asked for again
	answer rowAnswers
	first  any // what is told before the rows
	begun  bool
	last   int // the line that was answered last
	totals campaign.Totals
}

// errUnread: there is no more room for answers.
var errUnread = errors.New("httpapi: the answers are not read")

// openRows begins a request with recipients; done must be called.
func (s *Server) openRows(w http.ResponseWriter, r *http.Request, errorsOnly bool) (u *rows, done func(), err error) {
	select {
	case s.uploads <- struct{}{}:
	default:
		return nil, nil, newProblem(http.StatusServiceUnavailable, codeTooManyStreams,
			"%d clients send lines to this server already. Try again, or ask another server.", maxUploads).with("Retry-After", "5")
	}
	over := s.drains.of(r)
	d, err := s.openDuplex(w, r, ndjson)
	if err != nil {
		<-s.uploads
		return nil, nil, err
	}
	u = &rows{s: s, d: d, in: newInflow(d, over), ctx: context.WithoutCancel(r.Context()), r: r, errorsOnly: errorsOnly}
	return u, func() { <-s.uploads }, nil
}

// postRecipients adds recipients to a draft.
func (s *Server) postRecipients(w http.ResponseWriter, r *http.Request) error {
	in, err := recipientsType(r)
	if err != nil {
		return err
	}
	q, err := readQuery(r, "recipient", "latin1", "results")
	if err != nil {
		return err
	}
	errorsOnly := q.oneOf("results", "all", "errors") == "errors"
	in.Latin1 = q.oneOf("latin1", "true", "false") == "true"
	in.Recipient = q.column()
	if err := q.err(); err != nil {
		return err
	}
	id, err := campaignID(r)
	if err != nil {
		return err
	}
	u, done, err := s.openRows(w, r, errorsOnly)
	if err != nil {
		return err
	}
	defer done()
	u.id = id
	if err := u.upload(u.in, in); err != nil {
		return u.fail(err)
	}
	return u.finish(rowsEnd{Total: totalOf(u.totals)}, nil)
}

// recipientsType reads how recipients are written.
func recipientsType(r *http.Request) (campaign.Input, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if err == nil && (charset == "" || charset == "utf-8") {
		switch media {
		case ndjson:
			return campaign.Input{Format: intake.NDJSON}, nil
		case textCSV:
			return campaign.Input{Format: intake.CSV}, nil
		}
	}
	return campaign.Input{}, newProblem(http.StatusUnsupportedMediaType, codeContentType,
		"Send Content-Type: %s or %s, in UTF-8. (For a CSV in Latin-1 say so with latin1=true.)", ndjson, textCSV).with("Accept", ndjson+", "+textCSV)
}

const textCSV = "text/csv"

// column reads the name of the column with the number.
func (q *query) column() string {
	name := q.text("recipient")
	if q.values.Has("recipient") && strings.TrimSpace(name) == "" {
		q.refuse("recipient", jobs.CodeRequired, "give the name of a column, or leave it out")
	}
	return name
}

// upload takes recipients in and answers each.
func (u *rows) upload(source io.Reader, in campaign.Input) (err error) {
	in.Waiting = func() error {
		if isClosed(u.in.over) {
			return http.ErrServerClosed
		}
		return nil
	}
	u.totals, err = u.s.o.Campaigns.Upload(u.ctx, u.id, &toldFirst{u, source}, in, u.take)
	if sent := u.send(); err == nil {
		err = sent
	}
	return err
}

// toldFirst has told what there is to tell before it reads more.
type toldFirst struct {
	u *rows
	r io.Reader
}

func (t *toldFirst) Read(p []byte) (int, error) {
	if err := t.u.ready(); err != nil {
		return 0, err
	}
	return t.r.Read(p)
}

// ready tells what there is to tell before more is taken in, and waits for room for what
// there will be to tell.
func (u *rows) ready() error {
	u.begin()
	if err := u.send(); err != nil {
		return err
	}
	if !u.d.Answers.WaitRoom(u.ctx, u.d.idle/2) {
		return errUnread
	}
	return nil
}

func (u *rows) begin() {
	if u.first != nil {
		u.answer.put(u.first)
		u.first, u.begun = nil, true
	}
}

// take answers a row.
func (u *rows) take(a campaign.Answer) error {
	u.last, u.begun = a.Line, true
	if u.errorsOnly && a.Verdict != campaign.RowInvalid {
		return nil
	}
	u.answer.row(u.id, a)
	if u.answer.Len() < answerPiece {
		return nil
	}
	return u.send()
}

func (u *rows) send() error {
	if u.answer.Len() == 0 {
		return nil
	}
	defer u.answer.Reset()
	if _, err := u.d.Answers.Write(u.answer.Bytes()); err != nil {
		return errGone
	}
	return nil
}

// finish ends the answer with its last line. The client hears it at once, also one that
// goes on sending what nobody wants.
func (u *rows) finish(last rowsEnd, trouble *problem) error {
	u.begin()
	if trouble != nil {
		last.Error = &lineError{Code: trouble.Code, Message: trouble.Detail, Field: trouble.Field}
	}
	u.answer.put(last)
	_ = u.send() // the client may be gone
	u.in.Rest(0)
	u.in.Stop()
	if err := u.d.Finish(); err != nil {
		return newProblem(statusClientGone, codeGone, "The client went away.").because(err)
	}
	if trouble != nil {
		return trouble
	}
	return nil
}

// fail ends a request that could not be done as asked: with a problem if nothing was told
// yet, else with a total that has it.
func (u *rows) fail(err error) error {
	if errors.Is(err, errGone) {
		u.in.Stop()
		u.d.Answers.Close()
		_ = u.d.Finish()
		return newProblem(statusClientGone, codeGone, "The client went away.").because(err)
	}
	p := u.problem(err)
	if u.begun {
		last := rowsEnd{Total: totalOf(u.totals)}
		if wrong, ok := errors.AsType[*campaign.StateError](err); ok && u.starts {
			last.State = wrong.State
		} else if u.starts {
			last.State = campaign.Draft
		}
		return u.finish(last, p)
	}
	if u.in.ended != nil || u.r.Header.Get("Expect") == "" {
		u.in.Rest(min(u.d.idle, bodyPatience))
	}
	u.in.Stop()
	u.d.Abandon()
	return p
}

// problem says what ended the taking in of recipients, and what is true of them.
func (u *rows) problem(err error) *problem {
	so := u.sofar(true)
	input, isInput := errors.AsType[*inputError](err)
	switch {
	case isInput:
		return inputProblem(input.err, so)
	case errors.Is(err, http.ErrServerClosed):
		return newProblem(http.StatusServiceUnavailable, codeUnavailable, "This server ends. %s", so).with("Retry-After", strconv.Itoa(retryAfter))
	case errors.Is(err, errUnread):
		return newProblem(http.StatusInsufficientStorage, codeUnread,
			"The answers were not read, and there is no more room for them. %s Read while you send, or ask for results=errors.", so)
	}
	p := problemOf(u.ctx, err)
	so = u.sofar(p.Status < 500)
	switch {
	case u.id.IsZero(): // who says so knows what is true
	case p.Status >= 500:
		p.Detail += " " + so
		p.Repeatable = new(!u.starts || u.keyed)
	case u.begun:
		p.Detail += " " + so
	}
	return p
}

// sofar says what was done when something went wrong, and how to go on. certain: no row
// was taken that is not answered.
func (u *rows) sofar(certain bool) string {
	var so string
	switch {
	case u.id.IsZero():
		return "Nothing was taken."
	case u.last == 0:
		so = "No recipient was taken"
	default:
		so = "Recipients were taken up to line " + strconv.Itoa(u.last)
	}
	if !certain {
		so += ", or some more"
	}
	so += "."
	switch {
	case !u.starts:
		return so + " Sending all of them again adds nobody twice."
	case u.keyed:
		return so + " The campaign was not started. Send the same request again: it adds nobody twice, and starts the campaign."
	}
	return so + " The campaign was not started. Send all recipients again to " + recipientsPath(u.id) + ", which adds nobody twice, and start it."
}

func recipientsPath(id ledger.ID) string { return "/v1/campaigns/" + id.String() + "/recipients" }
