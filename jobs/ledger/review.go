package ledger

import "context"

// Ruling is a person's decision on a job in review.
type Ruling string

const (
	// RuledAccepted: it was accepted (or bought, or set). Nothing is posted.
	RuledAccepted Ruling = "accepted"
	// RuledNotSent: it was not. It is posted again, unless it was cancelled or its
	// time is over.
	RuledNotSent Ruling = "not-sent"
)

// Reviews are jobs that wait for a person, those that wait longest first: at most
// limit, and the cursor of the next call, empty at the end. The first call's
// cursor is empty.
func (l *Ledger) Reviews(ctx context.Context, cursor string, limit int) ([]Job, string, error) {
	panic("not yet")
}

// Rule carries out a person's decision on a job in review and returns its state
// afterwards. done is false when the job is not in review (any more). A job that
// is queued again needs a nudge.
func (l *Ledger) Rule(ctx context.Context, id ID, r Ruling) (job Job, done bool, err error) {
	panic("not yet")
}
