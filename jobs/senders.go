package jobs

import (
	"context"
	"errors"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// NotOurs is the error of a message whose sender is none of the account's numbers; why
// says what to do.
func NotOurs(why string) *ValidationError {
	return &ValidationError{Problems: []FieldError{{Field: "from", Code: CodeNotOurs, Message: why}}}
}

// checkSenders ends the drafts whose sender is none of the account's numbers, and returns
// the places of the others. A job that exists already stays what it is: whoever asks for
// it again is told so, whatever has become of its sender since.
func (c *Client) checkSenders(ctx context.Context, drafts []draft, pending []int) []int {
	if c.senders == nil {
		return pending
	}
	var from []flowroute.E164
	for _, i := range pending {
		job := &drafts[i].job
		if drafts[i].checked() && (len(from) == 0 || from[len(from)-1] != job.From) {
			from = append(from, job.From)
		}
	}
	if len(from) == 0 {
		return pending
	}
	refused, err := c.senders(ctx, from)
	if err != nil && ctx.Err() == nil {
		c.log.DebugContext(ctx, "senders not looked up at the door", "err", err)
	}
	if err != nil || len(refused) == 0 {
		return pending
	}
	known := c.knownOf(ctx, drafts, pending, refused)
	kept := pending[:0]
	for _, i := range pending {
		d := &drafts[i]
		if why, bad := refused[d.job.From]; bad && d.checked() && !known[d.job.ID] {
			d.err = NotOurs(why)
			continue
		}
		kept = append(kept, i)
	}
	return kept
}

// checked: the draft's sender has to be the account's.
func (d *draft) checked() bool {
	return d.job.Type == ledger.SendMessage && !d.row && d.job.Refused == ""
}

// knownOf are those of the drafts with refused senders that exist already, or of which
// nobody can tell.
func (c *Client) knownOf(ctx context.Context, drafts []draft, pending []int, refused map[flowroute.E164]string) map[ledger.ID]bool {
	var ids []ledger.ID
	for _, i := range pending {
		if d := &drafts[i]; d.keyed && d.checked() && refused[d.job.From] != "" {
			ids = append(ids, d.job.ID)
		}
	}
	known := map[ledger.ID]bool{}
	if len(ids) == 0 {
		return known
	}
	_, errs := c.ledger.GetMany(ctx, ids)
	for at, id := range ids {
		known[id] = !errors.Is(errs[at], ErrNotFound)
	}
	return known
}
