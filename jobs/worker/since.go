package worker

import (
	"fmt"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// What a job's history says of the step it is at.

// stepSince is when the step that the job is at was begun: when the one before it was
// done, or a person has sent the job on, else with the first attempt of all. Zero
// before that.
func stepSince(job ledger.Job) time.Time {
	for i := len(job.History) - 1; i > 0; i-- {
		change := job.History[i]
		if change.State != ledger.Queued {
			continue
		}
		switch change.Reason {
		case ledger.ReasonNone, ledger.ReasonBought, ledger.ReasonReadBack, ledger.ReasonLateProof, ledger.ReasonRuled, ledger.ReasonSuperseded:
			return change.At
		}
	}
	return job.FirstTried
}

// open is the line of history with which an unknown job became so.
func open(job ledger.Job) ledger.Change {
	for i := len(job.History) - 1; i > 0; i-- {
		if change := job.History[i]; change.State == ledger.Unknown && change.Reason != ledger.ReasonCancelRequested {
			return change
		}
	}
	return ledger.Change{At: job.FirstTried}
}

// sentAt is when the last intent was written, on Redis' clock.
func sentAt(job ledger.Job) time.Time {
	for i := len(job.History) - 1; i > 0; i-- {
		if job.History[i].State == ledger.Sending {
			return job.History[i].At
		}
	}
	return job.ResolveAt
}

func openSince(job ledger.Job) time.Time   { return open(job).At }
func openFor(job ledger.Job) ledger.Reason { return open(job).Reason }

// tooOld ends a job that has tried for a day to do its first step.
func tooOld(job ledger.Job, p plan) *end {
	since := stepSince(job)
	if since.IsZero() || !p.reached().nothing() || time.Since(since) < oldest {
		return nil
	}
	e := &end{State: ledger.Failed, Reason: ledger.ReasonTooLate, Detail: "tried for a day without success: " + job.Detail, Release: true}
	if job.Uncertain {
		e.State, e.Release, e.Detail = ledger.Review, false, evidence(job, "tried for a day without a certain answer")
	}
	return e
}

// evidence is why a person must decide, and what there is to decide it by: when each
// attempt was made and what came of it.
func evidence(job ledger.Job, why string) string {
	var b strings.Builder
	b.WriteString(clipped(why, 120))
	if !job.Number.IsZero() {
		fmt.Fprintf(&b, "; number …%s", job.Number.Digits()[7:])
	}
	attempt := 0
	for _, change := range job.History {
		switch change.State {
		case ledger.Sending:
			format := time.DateTime
			if attempt++; attempt > 1 {
				format = time.TimeOnly
			}
			fmt.Fprintf(&b, "; post %d at %s", attempt, change.At.UTC().Format(format))
		case ledger.Unknown:
			if change.Reason != ledger.ReasonCancelRequested {
				fmt.Fprintf(&b, " %s", change.Reason)
			}
		}
	}
	return b.String()
}
