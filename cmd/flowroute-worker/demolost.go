package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// lostAnswer is one attempt whose answer did not say what became of it, and how
// that was found out.
type lostAnswer struct {
	Job     string        `json:"job"`
	To      string        `json:"to"`     // masked
	Reason  ledger.Reason `json:"reason"` // why it was unknown
	State   ledger.State  `json:"state"`  // what was decided
	By      ledger.Reason `json:"by"`     // how
	AfterMS int64         `json:"after_ms"`
}

// lostAnswers reads them from the job's history. An answer whose body could not
// be read says that the message was accepted, but not which record is its own.
func lostAnswers(job askedJob) []lostAnswer {
	var list []lostAnswer
	var open *lostAnswer
	var since time.Time
	for _, change := range job.History {
		if open != nil {
			if change.State == open.State && change.Reason == open.Reason {
				continue
			}
			open.State, open.By, open.AfterMS = change.State, change.Reason, change.At.Sub(since).Milliseconds()
			list, open = append(list, *open), nil
		}
		if change.State == ledger.Unknown || change.State == ledger.Accepted && change.Reason == ledger.ReasonIDPending {
			open, since = &lostAnswer{Job: job.ID.String(), To: job.To.Masked(), State: change.State, Reason: change.Reason}, change.At
		}
	}
	return list
}

// how says in words how an answer that was lost was made up for.
func (l lostAnswer) how() string {
	switch {
	case l.State.Final() && l.State.Succeeded() && l.Reason == ledger.ReasonIDPending:
		return "accepted, and its record found"
	case l.By == ledger.ReasonMatched:
		return "found in the records: accepted"
	case l.By == ledger.ReasonReceipt:
		return "proven by its receipt: accepted"
	case l.State == ledger.Queued:
		return "proven absent from the records: posted again"
	case l.State == ledger.Review:
		return "the records cannot decide: a person must"
	}
	return string(l.State) + " (" + string(l.By) + ")"
}

const shownLost = 24

// printLost says how each lost answer was resolved.
func printLost(out io.Writer, list []lostAnswer) error {
	if len(list) == 0 {
		return nil
	}
	counts := map[string]int{}
	for _, l := range list {
		counts[l.how()]++
	}
	fmt.Fprintln(out)
	return table(out, []string{"ANSWERS LOST", fmt.Sprint(len(list)), "RESOLVED"}, func(row func(cells ...string)) {
		var ways []string
		for how := range counts {
			ways = append(ways, how)
		}
		slices.SortFunc(ways, func(a, b string) int { return counts[b] - counts[a] })
		for _, how := range ways {
			row("", fmt.Sprint(counts[how]), how)
		}
		for i, l := range list {
			if i == shownLost {
				row("  …", "", fmt.Sprintf("and %d more", len(list)-i))
				break
			}
			row("  to "+l.To, string(l.Reason), fmt.Sprintf("%s, after %.1f s", l.how(), float64(l.AfterMS)/1000))
		}
	})
}
