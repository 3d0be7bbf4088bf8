package httpapi

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	// pageTime is how long a page of messages looks for those asked for: there may be
	// millions of others.
	pageTime = 250 * time.Millisecond
	// rowsAtOnce is how many rows of a campaign are looked up in one call.
	rowsAtOnce = 500
)

// messageQuery is what a list of messages is asked for.
type messageQuery struct {
	to, from string // digits; empty: any
	state    ledger.State
	limit    int
	until    time.Time // the page ends then, as far as it has come
}

func (m messageQuery) wants(job jobs.Job) bool {
	return (m.to == "" || job.To.Digits() == m.to) && (m.from == "" || job.From.Digits() == m.from) && (m.state == "" || job.State == m.state)
}

// getMessages answers with a page of the messages that the ledger has: of all in no
// order, of a campaign in that of its rows.
func (s *Server) getMessages(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r, "to", "from", "state", "campaign", "limit", "cursor")
	if err != nil {
		return err
	}
	states := []string{}
	for _, state := range ledger.States() {
		states = append(states, string(state))
	}
	asked := messageQuery{to: q.number("to"), from: q.number("from"), state: ledger.State(q.oneOf("state", states...)), limit: q.limit(), until: time.Now().Add(pageTime)}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	of, rows, err := s.campaignAsked(ctx, q)
	if err != nil {
		return err
	}
	var found []jobs.Job
	var next string
	if q.values.Has("campaign") {
		found, next, err = s.messagesOfCampaign(ctx, asked, of, rows, q.text("cursor"))
	} else {
		found, next, err = s.messagesOfAll(ctx, asked, q.text("cursor"))
	}
	if errors.Is(err, ledger.ErrBadCursor) {
		q.refuse("cursor", jobs.CodeInvalid, "give next_cursor of the page before, as it is")
		return q.err()
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, listOf(found, next, ViewJob))
}

// messagesOfAll looks through the ledger. The cursor is that of a slice of it and, after a
// dot, the last job of the slice that has been answered with.
func (s *Server) messagesOfAll(ctx context.Context, asked messageQuery, cursor string) (found []jobs.Job, next string, err error) {
	at, last, within := strings.Cut(cursor, ".")
	var after ledger.ID
	if within {
		if after, err = ledger.ParseID(last); err != nil {
			return nil, "", ledger.ErrBadCursor
		}
	}
	for {
		slice, following, err := s.o.Jobs.Ledger().Messages(ctx, at)
		if err != nil {
			return nil, "", err
		}
		slices.SortFunc(slice, func(a, b jobs.Job) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		for _, job := range slice {
			switch {
			case !after.IsZero() && bytes.Compare(job.ID[:], after[:]) <= 0 || !asked.wants(job):
			case len(found) == asked.limit:
				return found, at + "." + found[len(found)-1].ID.String(), nil
			default:
				found = append(found, job)
			}
		}
		at, after = following, ledger.ID{}
		switch {
		case at == ledger.ScanStart:
			return found, "", nil
		case len(found) == asked.limit || time.Now().After(asked.until):
			return found, at, nil
		}
	}
}

// messagesOfCampaign looks a campaign's rows up. The cursor is the last row looked at.
// Rows that wait to be fed to the queues are no messages yet.
func (s *Server) messagesOfCampaign(ctx context.Context, asked messageQuery, of ledger.ID, rows int, cursor string) (found []jobs.Job, next string, err error) {
	last := 0
	if cursor != "" {
		if last, err = strconv.Atoi(cursor); err != nil || last < 1 {
			return nil, "", ledger.ErrBadCursor
		}
	}
	for last < rows {
		var ids []ledger.ID
		for row := last + 1; row <= min(last+rowsAtOnce, rows); row++ {
			ids = append(ids, of.OfRow(uint32(row)))
		}
		read, errs := s.o.Jobs.Ledger().GetMany(ctx, ids)
		for i, job := range read {
			switch {
			case len(found) == asked.limit:
				return found, strconv.Itoa(last), nil
			case errs[i] == nil && asked.wants(job):
				found = append(found, job)
			case errs[i] != nil && !errors.Is(errs[i], ledger.ErrNotFound):
				return nil, "", errs[i]
			}
			last++
		}
		if last < rows && time.Now().After(asked.until) {
			return found, strconv.Itoa(last), nil
		}
	}
	return found, "", nil
}
