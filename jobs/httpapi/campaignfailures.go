package httpapi

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/template"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/spreadsheet"
)

// failedView is a row that failed, with all it takes to send it again.
type failedView struct {
	Row    int               `json:"row"`
	To     string            `json:"to"`
	Fields map[string]string `json:"fields"`
	State  ledger.State      `json:"state"`
	Reason ledger.Reason     `json:"reason,omitempty"`
	Detail string            `json:"detail,omitempty"`
	ID     string            `json:"id"` // of the job
}

func viewFailed(f campaign.FailedRow) failedView {
	return failedView{f.Row, f.To, f.Fields, f.Job.State, f.Job.Reason, f.Job.Detail, f.Job.ID.String()}
}

// getFailures answers with a page of the rows that failed, or with all of them as a file.
func (s *Server) getFailures(w http.ResponseWriter, r *http.Request) error {
	media := wanted(r, "application/json", textCSV, ndjson)
	known := []string{"cursor", "limit"}
	if media != "application/json" {
		known = known[:1]
	}
	q, err := readQuery(r, known...)
	if err != nil {
		return err
	}
	limit, after := q.limit(), 0
	if q.values.Has("cursor") {
		if after, err = strconv.Atoi(q.text("cursor")); err != nil || after < 1 {
			q.refuse("cursor", jobs.CodeInvalid, "give next_cursor of the page before, as it is")
		}
	}
	if err := q.err(); err != nil {
		return err
	}
	id, err := campaignID(r)
	if err != nil {
		return err
	}
	w.Header().Set("Vary", "Accept")
	if media != "application/json" {
		return s.streamFailures(w, r, media, id, after)
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	var found []campaign.FailedRow
	next := ""
	for row, err := range s.o.Campaigns.Failures(ctx, id, after) {
		if err != nil {
			return err
		}
		if len(found) == limit {
			next = strconv.Itoa(found[limit-1].Row)
			break
		}
		found = append(found, row)
	}
	return writeJSON(w, http.StatusOK, listOf(found, next, viewFailed))
}

// wanted is the first of Accept's types that there is; else the first of those there are.
func wanted(r *http.Request, there ...string) string {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		if media, _, err := mime.ParseMediaType(part); err == nil && slices.Contains(there, media) {
			return media
		}
	}
	return there[0]
}

// streamFailures writes all rows that failed.
func (s *Server) streamFailures(w http.ResponseWriter, r *http.Request, media string, id ledger.ID, after int) error {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	c, err := s.o.Campaigns.Get(ctx, id)
	cancel()
	if err != nil {
		return err
	}
	return s.stream(w, r, media, func(out io.Writer) error {
		write, end := failuresAsLines(out), func() {}
		if media == textCSV {
			if write, end, err = failuresAsCSV(out, c); err != nil {
				return err
			}
		}
		if err := s.writeFailures(s.o.Campaigns.Failures(r.Context(), id, after), s.drains.of(r), write); err != nil {
			return err
		}
		end()
		return nil
	})
}

func (s *Server) writeFailures(failures iter.Seq2[campaign.FailedRow, error], over <-chan struct{}, write func(campaign.FailedRow) error) error {
	for row, err := range failures {
		if err == nil {
			err = write(row)
		}
		if err != nil {
			return err
		}
		select {
		case <-over:
			return serverEnds()
		default:
		}
	}
	return nil
}

func failuresAsLines(out io.Writer) func(campaign.FailedRow) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return func(f campaign.FailedRow) error { return encoder.Encode(viewFailed(f)) }
}

// failuresAsCSV writes rows that can be sent as recipients again: the number is in the
// first column, whose name is looked for or can be said, then come the fields, then what
// became of the row, under names that the fields do not have.
func failuresAsCSV(out io.Writer, c *campaign.Campaign) (write func(campaign.FailedRow) error, end func(), err error) {
	text, err := template.Parse(c.Spec.Template)
	if err != nil {
		return nil, nil, err
	}
	var fields []intake.Field
	var names []string
	for _, f := range text.Fields() {
		fields, names = append(fields, intake.Field{Name: f.Name}), append(names, f.Name)
	}
	free := func(name string) bool {
		header := strings.Join(append([]string{"x9", name}, names...), ",") + "\n"
		_, err := intake.New(strings.NewReader(header), intake.Options{Format: intake.CSV, Fields: fields, Recipient: "x9"})
		return err == nil
	}
	phone := slices.IndexFunc(phoneNames(), free)
	if phone < 0 {
		return nil, nil, errors.New("the template has a field for every name that a phone number's column may have")
	}
	header := append([]string{phoneNames()[phone]}, names...)
	for _, name := range []string{"row", "state", "reason", "detail", "id"} {
		for !free(name) {
			name = "message_" + name
		}
		header = append(header, name)
	}
	table := csv.NewWriter(out)
	if err := table.Write(header); err != nil {
		return nil, nil, err
	}
	return func(f campaign.FailedRow) error {
		cells := []string{f.To} // plus and digits: a number to a spreadsheet, not a formula
		for _, name := range names {
			cells = append(cells, spreadsheet.Text(f.Fields[name]))
		}
		cells = append(cells, strconv.Itoa(f.Row), string(f.Job.State), string(f.Job.Reason), spreadsheet.Text(f.Job.Detail), f.Job.ID.String())
		return table.Write(cells)
	}, table.Flush, nil
}

// phoneNames are of columns in which recipients' numbers are looked for.
func phoneNames() []string { return []string{"phone", "recipient", "mobile", "number", "to"} }
