package torture

import (
	"context"
	"fmt"
	"maps"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// compare gathers the evidence, judges it and makes the report.
func (r *run) compare(ctx context.Context) (Report, error) {
	asked, repeated, problems := r.asked()
	jobs, err := r.read(ctx, asked)
	if err != nil {
		return Report{}, fmt.Errorf("read the ledger: %w", err)
	}
	truth, err := r.remote.Truth(ctx)
	if err != nil {
		return Report{}, err
	}
	e := Evidence{Asked: asked, Jobs: jobs, Truth: truth, RolledBack: r.done[Rollback] > 0 || r.o.Fsync == FsyncEverySecond}
	if e.Owners, err = r.owners(ctx, jobs); err != nil {
		return Report{}, err
	}
	if e.Buyers, err = r.buyers(ctx, e); err != nil {
		return Report{}, err
	}
	report := newReport(r.o, e, Check(e))
	report.Repeated, report.Campaigns, report.Pauses = repeated, len(r.plan.Campaigns), r.campaigns.pauses
	for _, problem := range problems {
		report.WrongState++
		report.Findings = append(report.Findings, Finding{Kind: "producer", Text: problem})
	}
	r.tally(&report)
	return report, nil
}

// owners asks the ledger whose each record is that a job holds.
func (r *run) owners(ctx context.Context, jobs map[string]ledger.Job) (map[string]string, error) {
	owners := map[string]string{}
	for _, job := range jobs {
		for _, record := range job.MDRs {
			owner, claimed, err := r.ledger.ClaimedBy(ctx, record)
			if err != nil {
				return nil, err
			}
			if owners[record] = ""; claimed {
				owners[record] = owner.String()
			}
		}
	}
	return owners, nil
}

// buyers asks the ledger whose each number is that was sold.
func (r *run) buyers(ctx context.Context, e Evidence) (map[string]string, error) {
	buyers := map[string]string{}
	for _, p := range e.Truth.Purchases {
		number, err := flowroute.ParseE164("+" + p.Number)
		if err != nil {
			return nil, err
		}
		owner, claimed, err := r.ledger.NumberClaimedBy(ctx, number)
		if err != nil {
			return nil, err
		}
		if claimed {
			buyers[p.Number] = owner.String()
		}
	}
	return buyers, nil
}

// tally adds what was done to the report.
func (r *run) tally(report *Report) {
	report.Actions, report.Skipped = map[Action]int{}, map[Action]int{}
	report.Aimed = map[string]int{}
	for _, w := range r.workers {
		kills, aimed, ended := w.tally()
		report.Kills += kills
		for point, n := range aimed {
			report.Kills += n
			report.Aimed[point] += n
		}
		late, _ := w.api.Tally()
		report.LateRequests += late
		_, dropped := w.redis.Tally()
		report.DroppedReplies += dropped
		for _, end := range ended {
			report.Notes = append(report.Notes, "ended by itself: "+end)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(report.Actions, r.done)
	maps.Copy(report.Skipped, r.skipped)
	report.CutBytes = r.cutBytes
	report.Notes = append(report.Notes, r.notes...)
	if r.redis.clock == nil {
		report.Notes = append(report.Notes, "Redis' clock was not stepped: that takes Linux and a C compiler (cc)")
	}
}
