package torture

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// rest waits until nothing moves any more: every job has ended or waits for a
// person. It reports whether that came about in time.
func (r *run) rest(ctx context.Context) bool {
	return until(ctx, r.o.Rest, 500*time.Millisecond, func(ctx context.Context) bool {
		moving, err := r.moving(ctx)
		return err == nil && moving == 0
	})
}

// moving is how many jobs are neither over nor with a person. A job that is not in
// the ledger moves while the producer knows it to be there: it may be a task yet.
func (r *run) moving(ctx context.Context) (int, error) {
	counts, err := r.ledger.Counts(ctx)
	if err != nil {
		return 0, err
	}
	moving := 0
	for _, states := range counts {
		moving += int(states[ledger.Queued] + states[ledger.Sending] + states[ledger.Unknown])
	}
	campaigns, err := r.campaigns.moving(ctx)
	if err != nil || moving+campaigns > 0 {
		return moving + campaigns, err
	}
	asked, _, _ := r.asked()
	jobs, err := r.read(ctx, asked)
	if err != nil {
		return 0, err
	}
	for _, a := range asked {
		job, found := jobs[a.ID]
		if (!found && a.Plain != "" && !a.At.IsZero() && !a.Exposed) || (found && !resting(job)) {
			moving++
		}
	}
	return moving, nil
}

// asked is all that was asked for so far.
func (r *run) asked() (asked []Asked, repeated int, problems []string) {
	asked, repeated, problems = r.producer.all()
	return append(asked, r.campaigns.asked()...), repeated, append(problems, r.campaigns.problems...)
}

// resting: nothing will happen to the job any more without a person or a receipt.
func resting(job ledger.Job) bool { return job.State.Final() || job.State == ledger.Review }

// read is the ledger's jobs of what was asked for, by id.
func (r *run) read(ctx context.Context, asked []Asked) (map[string]ledger.Job, error) {
	ids := map[string]ledger.ID{}
	for _, a := range asked {
		if a.ID == "" {
			continue
		}
		id, err := ledger.ParseID(a.ID)
		if err != nil {
			return nil, err
		}
		ids[a.ID] = id
	}
	found := map[string]ledger.Job{}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(ids)), 500) {
		part := make([]ledger.ID, len(chunk))
		for i, text := range chunk {
			part[i] = ids[text]
		}
		jobs, errs := r.ledger.GetMany(ctx, part)
		for i, err := range errs {
			switch {
			case errors.Is(err, ledger.ErrNotFound):
			case err != nil:
				return nil, err
			default:
				found[chunk[i]] = jobs[i]
			}
		}
	}
	return found, nil
}
