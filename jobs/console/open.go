package console

import (
	"context"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// openTable has jobs whose outcome is not certain.
type openTable struct {
	Jobs []openView
	More bool // there are others
}

// openView is one of them.
type openView struct {
	Job    string
	Type   ledger.Type
	Number string // masked
	State  ledger.State
	Tone   string
	Since  time.Time
	Ago    string
	Reason ledger.Reason
	// Why and LookAt are for a person who decides.
	Why, LookAt string
	// Decided is from when on the records may decide: "in 2 min".
	Decided   string
	DecidedAt time.Time
}

func viewOpen(job ledger.Job, now time.Time) openView {
	v := openView{
		Job: job.ID.String(), Type: job.Type, State: job.State, Tone: tone(job.State), Since: job.Updated(), Ago: ago(job.Updated(), now), Reason: job.Reason,
	}
	switch {
	case !job.Number.IsZero():
		v.Number = job.Number.Masked()
	case !job.To.IsZero():
		v.Number = job.To.Masked()
	}
	return v
}

// readReviews lists what waits for a person, those that wait longest first.
func (c *Console) readReviews(ctx context.Context, now time.Time) (openTable, error) {
	waiting, next, err := c.o.Ledger.Reviews(ctx, "", mostReviews)
	table := openTable{More: next != ""}
	for _, job := range waiting {
		v := viewOpen(job, now)
		if c.o.Explain != nil {
			v.Why, v.LookAt = c.o.Explain(job)
		}
		table.Jobs = append(table.Jobs, v)
	}
	return table, err
}

// readOpen lists what is unknown, or accepted without its record, those first that
// may be decided first. What is on the wire is left out.
func (c *Console) readOpen(ctx context.Context, now time.Time) (openTable, error) {
	open, err := c.o.Ledger.Unresolved(ctx, 10*mostOpen)
	var table openTable
	for _, job := range open {
		if job.State == ledger.Sending {
			continue
		}
		if len(table.Jobs) == mostOpen {
			table.More = true
			break
		}
		v := viewOpen(job, now)
		v.DecidedAt, v.Decided = job.ResolveAt, "being decided"
		if left := job.ResolveAt.Sub(now); left > 0 {
			v.Decided = "in " + span(left)
		}
		table.Jobs = append(table.Jobs, v)
	}
	return table, err
}
