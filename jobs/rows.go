package jobs

import (
	"context"
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
	s := c.Stream()
	defer s.Wait()
	return s.send(ctx, "send row", len(rows), func(now time.Time, i int) draft {
		d := door{now: now, waited: true}
		job := rows[i].Message.plan(&d)
		job.ID = rows[i].ID
		if err := d.err(); err != nil {
			job.Refused = clip(err.Error())
		}
		return draft{job: job, keyed: true, row: true}
	})
}
