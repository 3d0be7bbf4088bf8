package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// printJob shows all that is known of a job.
func printJob(out io.Writer, job jobs.Job) error {
	v := httpapi.ViewJob(job)
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
		optional("next", v.Next)
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
