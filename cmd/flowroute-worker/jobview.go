package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// jobView is a job as JSON, with the names of the HTTP API.
type jobView struct {
	ID        string        `json:"id"`
	Type      ledger.Type   `json:"type"`
	State     ledger.State  `json:"state"`
	From      string        `json:"from,omitempty"`   // messages
	To        string        `json:"to,omitempty"`     // messages
	Number    string        `json:"number,omitempty"` // purchases and routes, when it is fixed
	Attempts  int           `json:"attempts"`
	MDRIDs    []string      `json:"mdr_ids,omitempty"`
	Reason    ledger.Reason `json:"reason,omitempty"`
	Detail    string        `json:"detail,omitempty"`
	Warning   string        `json:"warning,omitempty"`
	CreatedAt time.Time     `json:"created_at"`
	DueAt     time.Time     `json:"due_at,omitzero"`
	ExpiresAt time.Time     `json:"expires_at,omitzero"`
	// Report is what a sync found.
	Report  json.RawMessage `json:"report,omitempty"`
	History []changeView    `json:"history"`
}

type changeView struct {
	At     time.Time     `json:"at"`
	State  ledger.State  `json:"state"`
	Reason ledger.Reason `json:"reason,omitempty"`
}

func viewJob(job jobs.Job) jobView {
	v := jobView{
		ID: job.ID.String(), Type: job.Type, State: job.State, Attempts: job.Attempts, MDRIDs: job.MDRs,
		Reason: job.Reason, Detail: job.Detail, Warning: job.Warning,
		CreatedAt: job.Created.UTC(), DueAt: job.Due.UTC(), ExpiresAt: job.Expires.UTC(),
		History: make([]changeView, len(job.History)),
	}
	switch job.Type {
	case jobs.TypeSendMessage:
		v.From, v.To = job.From.String(), job.To.String()
	case jobs.TypePurchaseNumber, jobs.TypeRouteUpdate:
		v.Number = numberOf(job).String()
	default:
		if json.Valid(job.Progress) {
			v.Report = job.Progress
		}
	}
	for i, change := range job.History {
		v.History[i] = changeView{change.At.UTC(), change.State, change.Reason}
	}
	return v
}

// numberOf is the number that a purchase or a route update is about: the one that
// was bought, or claimed, or asked for. Zero: none is fixed yet.
func numberOf(job jobs.Job) flowroute.E164 {
	var reached struct {
		Number string `json:"number"` // bought, without its plus
	}
	if json.Unmarshal(job.Progress, &reached) == nil && reached.Number != "" {
		if number, err := flowroute.ParseE164("+" + reached.Number); err == nil {
			return number
		}
	}
	if !job.Number.IsZero() {
		return job.Number
	}
	return job.To
}

// printJob shows all that is known of a job.
func printJob(out io.Writer, job jobs.Job) error {
	v := viewJob(job)
	err := table(out, nil, func(row func(cells ...string)) {
		optional := func(name, value string) {
			if value != "" {
				row(name, value)
			}
		}
		row("job", v.ID)
		row("type", string(v.Type))
		row("state", string(v.State)+meaning(v.State))
		optional("from", v.From)
		optional("to", v.To)
		optional("number", v.Number)
		row("attempts", strconv.Itoa(v.Attempts))
		optional("mdr", strings.Join(v.MDRIDs, " "))
		optional("reason", string(v.Reason))
		optional("detail", v.Detail)
		optional("warning", v.Warning)
		optional("report", string(v.Report))
		if !v.DueAt.IsZero() {
			row("due", stamp(v.DueAt))
		}
		if !job.State.Final() && !v.ExpiresAt.IsZero() {
			row("expires", stamp(v.ExpiresAt))
		}
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "\nhistory"); err != nil {
		return err
	}
	return table(out, nil, func(row func(cells ...string)) {
		for i, change := range v.History {
			since := ""
			if i > 0 {
				since = "+" + change.At.Sub(v.CreatedAt).Round(10*time.Millisecond).String()
			}
			row("  "+change.At.Format("2006-01-02 15:04:05.00Z"), since, string(change.State), string(change.Reason))
		}
	})
}

// meaning says of states that are not plain what they mean.
func meaning(s ledger.State) string {
	switch s {
	case ledger.Unknown:
		return " (no certain answer yet; nothing posts it again)"
	case ledger.Review:
		return " (the records cannot decide: a person must)"
	case ledger.Accepted:
		return " (Flowroute took it; a receipt may refine this)"
	case ledger.Blocked:
		return " (the recipient has opted out)"
	}
	return ""
}
