package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Row is the message of one row of a campaign, under the row's id.
type Row struct {
	ID      ledger.ID
	Message Message
}

// SendRows is [Client.SendMany] for the rows of campaigns: asking for a row again is the
// same job. What a row's message is refused for makes a visible failed job of it, since
// nobody is there to correct it. Errors of a row: [ledger.ErrHeld], its campaign does not
// run; [ErrUnconfirmed]; [ledger.ErrNewerVersion].
func (c *Client) SendRows(ctx context.Context, rows []Row) ([]Receipt, []error) {
	receipts, errs := make([]Receipt, len(rows)), make([]error, len(rows))
	now := time.Now()
	for start := 0; start < len(rows); start += chunkSize {
		end := min(start+chunkSize, len(rows))
		drafts := make([]draft, end-start)
		for i, row := range rows[start:end] {
			d := door{now: now, waited: true}
			job := row.Message.plan(&d)
			job.ID = row.ID
			if err := d.err(); err != nil {
				job.Refused = clip(err.Error())
			}
			drafts[i] = draft{job: job, keyed: true}
		}
		down := c.enqueue(ctx, drafts)
		for i, draft := range drafts {
			receipts[start+i], errs[start+i] = draft.receipt, wrap("send row", draft.err)
		}
		if down != nil {
			for i := end; i < len(rows); i++ {
				errs[i] = fmt.Errorf("send row: not tried: %w", down)
			}
			break
		}
	}
	return receipts, errs
}
