package worker

import (
	"context"
	"errors"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// hold lets a row of a campaign that does not run rest in the ledger, without a task,
// until it does.
func (w *Worker) hold(ctx context.Context, job ledger.Job, campaign ledger.ID) error {
	_, err := w.ledger.Park(ctx, job.ID, job.Generation, ledger.HeldAt(campaign))
	return err
}

// releaseAtOnce is how many rows of a campaign get their tasks in one step.
const releaseAtOnce = 200

// release gives tasks to the rows that rest, once their campaign runs again or is over.
func (p *parking) release(ctx context.Context, campaign ledger.ID) {
	for ctx.Err() == nil {
		held, err := p.ledger.CampaignHeld(ctx, campaign)
		if held {
			return
		}
		var ids []ledger.ID
		if err == nil {
			ids, _, err = p.ledger.Unpark(ctx, ledger.HeldAt(campaign), releaseAtOnce, time.Time{})
		}
		for _, id := range ids {
			job, getErr := p.ledger.Get(ctx, id)
			if getErr == nil && job.State == ledger.Queued {
				getErr = p.nudgeAgain(ctx, job)
			}
			if ignoreGone(getErr) != nil {
				err = errors.Join(err, getErr) // the sweep finds it
			}
		}
		if err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "rows of a campaign that was held have no task yet, the sweep will find them", "campaign", campaign.String(), "err", err)
		}
		if err != nil || len(ids) == 0 {
			return
		}
	}
}

// closed is how long a message has to wait for its recipient's hours.
func (w *Worker) closed(spec jobs.MessageSpec) time.Duration {
	if spec.SendingHours == "" || w.o.Closed == nil {
		return 0
	}
	return w.o.Closed(spec.SendingHours, spec.To)
}
