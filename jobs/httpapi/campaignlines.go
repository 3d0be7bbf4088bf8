package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// rowTotals count what became of the recipients of one request.
type rowTotals struct {
	Rows      int `json:"rows"` // that were answered: the sum of those below
	Accepted  int `json:"accepted"`
	Duplicate int `json:"duplicate"`
	Blocked   int `json:"blocked"`
	Invalid   int `json:"invalid"`
	Segments  int `json:"segments"` // of those accepted
}

func totalOf(t campaign.Totals) rowTotals {
	return rowTotals{t.Rows(), t.Accepted, t.Duplicate, t.Blocked, t.Invalid, t.Segments}
}

// rowsBegin is the first line of the answer to a campaign with its recipients.
type rowsBegin struct {
	Campaign   campaign.View `json:"campaign"`
	Duplicate  bool          `json:"duplicate"`
	Repeatable bool          `json:"repeatable"`
}

// rowsEnd is the last line of an answer to recipients. Without it the answer is not whole;
// with an error it is not what was asked for.
type rowsEnd struct {
	Total rowTotals      `json:"total"`
	State campaign.State `json:"state,omitempty"`
	Error *lineError     `json:"error,omitempty"`
}

// rowAnswers are lines of an answer.
type rowAnswers struct{ bytes.Buffer }

func (b *rowAnswers) put(v any) {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err) // structs of texts and numbers
	}
}

// row is the answer to a row. Nearly all are accepted or duplicates, and are written by
// hand, which takes a tenth of the time.
func (b *rowAnswers) row(campaignID ledger.ID, a campaign.Answer) {
	if a.Verdict != campaign.RowAccepted && a.Verdict != campaign.RowDuplicate {
		b.put(a.View(campaignID))
		return
	}
	line := strconv.AppendInt(append(b.AvailableBuffer(), `{"line":`...), int64(a.Line), 10)
	line = append(append(append(line, `,"state":"`...), a.Verdict...), '"')
	if a.Verdict == campaign.RowAccepted {
		line = append(append(append(line, `,"id":"`...), campaignID.OfRow(uint32(a.Row)).String()...), '"')
	}
	b.Write(append(line, '}', '\n'))
}

// postCampaignLines takes a campaign with its recipients, and starts it when all of them
// have arrived.
func (s *Server) postCampaignLines(w http.ResponseWriter, r *http.Request) error {
	if err := wantContentType(r, ndjson); err != nil {
		return err
	}
	q, err := readQuery(r, "recipient", "results", "dry_run")
	if err != nil {
		return err
	}
	errorsOnly, dry := q.oneOf("results", "all", "errors") == "errors", q.oneOf("dry_run", "true", "false") == "true"
	in := campaign.Input{Format: intake.NDJSON, Recipient: q.column()}
	if err := q.err(); err != nil {
		return err
	}
	u, done, err := s.openRows(w, r, errorsOnly)
	if err != nil {
		return err
	}
	defer done()
	spec, rest, line, err := u.readHead(int(s.o.MaxBody))
	if err != nil {
		return u.fail(err)
	}
	in.FirstLine = line + 1
	if dry {
		return u.preflight(w, spec, rest, in)
	}
	return u.create(spec, rest, in)
}

// readHead reads the first line, which is the campaign. rest is what comes after it.
func (u *rows) readHead(most int) (spec campaign.Spec, rest io.Reader, line int, err error) {
	head := newLines(u.in, most, func() {})
	var text []byte
	for len(text) == 0 {
		switch text, err = head.next(); {
		case errors.Is(err, errLineTooLong):
			return spec, nil, 0, tooLargeProblem(int64(most))
		case errors.Is(err, io.EOF):
			return spec, nil, 0, newProblem(http.StatusUnprocessableEntity, jobs.CodeRequired,
				"There are no lines: send the campaign as the first one, and a recipient on each line after it.")
		case err != nil:
			return spec, nil, 0, err
		}
	}
	if spec, err = readSpec(text); err != nil {
		return spec, nil, 0, err
	}
	if err := headerKey(u.r, &spec.Key); err != nil {
		return spec, nil, 0, err
	}
	return spec, io.MultiReader(bytes.NewReader(head.buf[head.at:]), u.in), head.number, nil
}

// create makes the campaign, takes its recipients in, and starts it.
func (u *rows) create(spec campaign.Spec, rest io.Reader, in campaign.Input) error {
	taken, err := u.s.createCampaign(u.ctx, spec)
	if err == nil {
		u.id, err = ledger.ParseID(taken.ID)
	}
	if err != nil {
		return u.fail(err)
	}
	if taken.State != campaign.Draft {
		return u.exists(taken)
	}
	u.starts, u.keyed = true, taken.Repeatable
	u.first = rowsBegin{taken.View, taken.Duplicate, taken.Repeatable}
	if err := u.upload(rest, in); err != nil {
		if wrong, ok := errors.AsType[*campaign.StateError](err); ok && !u.begun && taken.Duplicate {
			taken.State = wrong.State // the same request has started it just now
			return u.exists(taken)
		}
		return u.fail(err)
	}
	ctx, cancel := context.WithTimeout(u.ctx, patience)
	defer cancel()
	state, err := u.s.o.Campaigns.Start(ctx, u.id)
	end := rowsEnd{Total: totalOf(u.totals), State: state}
	switch {
	case err == nil:
		return u.finish(end, nil)
	case errors.Is(err, campaign.ErrEmpty):
		return u.finish(end, newProblem(http.StatusConflict, codeEmpty, "No recipient is left, so that the campaign was not started: it stays a draft, "+
			"and ends after a day unless recipients are added."))
	}
	p := problemOf(ctx, err)
	if p.Status >= 500 {
		end.State = campaign.Draft
		p.Detail += " All recipients were taken, and it is not known whether the campaign was started. Starting it again is safe."
	}
	return u.finish(end, p)
}

// exists answers a request for a campaign that was started before: nothing is added.
func (u *rows) exists(taken campaignTaken) error {
	if taken.State == campaign.Cancelled || taken.State == campaign.Failed {
		return u.fail(newProblem(http.StatusConflict, codeWrongState,
			"The campaign of this key is %s: nothing was added, and nothing is sent. Use a new key for a new campaign.", taken.State))
	}
	u.first = rowsBegin{taken.View, true, taken.Repeatable}
	return u.finish(rowsEnd{State: taken.State}, nil)
}

// preflight says what a campaign would do; nothing is written.
func (u *rows) preflight(w http.ResponseWriter, spec campaign.Spec, rest io.Reader, in campaign.Input) error {
	var o campaign.PreflightOptions
	if u.s.o.Forecast != nil {
		o = u.s.o.Forecast(spec)
	}
	found, err := u.s.o.Campaigns.Preflight(u.ctx, spec, rest, in, o, nil)
	if err != nil {
		return u.fail(err)
	}
	u.in.Stop()
	u.d.Abandon()
	return writeJSON(w, http.StatusOK, found)
}
