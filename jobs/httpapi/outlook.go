package httpapi

import (
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// isOpen reports whether it is not known yet what became of a job's last attempt,
// or which record it has.
func isOpen(job jobs.Job) bool {
	return job.State == ledger.Sending || job.State == ledger.Unknown ||
		job.State == ledger.Accepted && len(job.MDRs) == 0 && !job.ResolveAt.IsZero()
}

// outlook says of a job whose outcome is not certain how it will be decided, and
// by whom. Empty: there is nothing to explain.
func outlook(job jobs.Job) string {
	from := job.ResolveAt.UTC().Format("2006-01-02 15:04:05Z")
	switch {
	case job.State == ledger.Review:
		why, lookAt := Explain(job)
		return "a person decides, since " + why + ". Look at this: " + lookAt +
			". Then: flowroute-worker review resolve " + job.ID.String() + " --as accepted|not-sent"
	case job.State == ledger.Queued && !job.AbsentAt.IsZero():
		return "Flowroute's records, proven current, do not have it: it is posted again"
	case job.State == ledger.Queued && job.Parked != "":
		return "it waits for a limit of its own, that of its sending number or of MMS: flowroute-worker limits show"
	case !isOpen(job):
		return ""
	case job.State == ledger.Sending:
		return "its request may be on the wire; without an answer it becomes unknown, and is decided from " + from + " on"
	case job.State == ledger.Accepted:
		return "accepted; which record is its own is looked for from " + from + " on. It is never posted again"
	case job.Type != jobs.TypeSendMessage:
		return "the account itself shows what became of it: it is read back from " + from + " on"
	}
	text := "Flowroute's records are read from " + from + " on: its record there makes it accepted; "
	if job.NoResend {
		return text + "proven absent, it ends, since that was asked for meanwhile; undecided, it goes to review"
	}
	return text + "proven absent, it is posted again; undecided for AMBIGUOUS_MAX, it goes to review"
}
