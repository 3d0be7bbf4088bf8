package resolve

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// KnownNumbers are the numbers that the account is known to have had before a moment.
// ok is false when nothing is known of that time.
type KnownNumbers func(ctx context.Context, before time.Time) (known map[flowroute.E164]bool, ok bool, err error)

// lostPurchase is a purchase that is queued, and may have been made before Redis lost
// writes.
type lostPurchase struct {
	job  ledger.Job
	spec jobs.PurchaseSpec
}

// matchPurchases compares the account's numbers with the purchases that are queued: a
// number that came in the gap, and is nobody's, was bought by one of them or by one
// that is lost. Those that fit none are kept for purchases that are asked for again.
func (r *Resolver) matchPurchases(ctx context.Context, gap ledger.Fence) error {
	waiting, err := r.lostPurchases(ctx, gap)
	if err != nil {
		return err
	}
	fresh, sure, err := r.unexplained(ctx, gap)
	if err != nil {
		return err
	}
	// Those that asked for one number first: others may have any.
	slices.SortStableFunc(waiting, func(a, b lostPurchase) int { return searches(a) - searches(b) })
	for _, p := range waiting {
		at := slices.IndexFunc(fresh, p.spec.Fits)
		if at < 0 {
			continue
		}
		if !sure {
			// It may have been the account's before, or bought by this purchase.
			if err := r.holdPurchase(ctx, p, fresh[at]); err != nil {
				return err
			}
			continue
		}
		done, err := r.o.Ledger.ClaimPurchase(ctx, p.job.ID, fresh[at])
		if err != nil {
			return fmt.Errorf("match purchases: %w", err)
		}
		if done {
			fresh = slices.Delete(fresh, at, at+1)
		}
	}
	return r.o.Ledger.OrphanNumbers(ctx, fresh, !sure, orphanTTL)
}

func searches(p lostPurchase) int {
	if p.spec.Search == nil {
		return 0
	}
	return 1
}

func (r *Resolver) holdPurchase(ctx context.Context, p lostPurchase, n flowroute.E164) error {
	_, err := r.o.Ledger.HoldPurchase(ctx, p.job.ID, n, ledger.ReasonRedisLost, "Redis lost writes, and "+string(n.Masked())+
		" is on the account since nobody knows when: it may be what this purchase has bought", nil)
	return err
}

// lostPurchases are the purchases that were asked for before the fence was raised, and
// have bought nothing as far as the ledger knows.
func (r *Resolver) lostPurchases(ctx context.Context, gap ledger.Fence) ([]lostPurchase, error) {
	var list []lostPurchase
	for cursor := "0"; ; {
		open, next, err := r.o.Ledger.OpenJobs(ctx, cursor, 500)
		if err != nil {
			return nil, err
		}
		for _, job := range open {
			if job.Type != ledger.PurchaseNumber || job.State != ledger.Queued || len(job.Progress) > 0 || job.Created.After(gap.At) {
				continue
			}
			if spec, err := jobs.PurchaseOf(job); err == nil {
				list = append(list, lostPurchase{job, spec})
			}
		}
		if cursor = next; cursor == "0" {
			return slices.CompactFunc(list, func(a, b lostPurchase) bool { return a.job.ID == b.job.ID }), nil
		}
	}
}

// unexplained are the account's numbers that no purchase has claimed and that were not
// known before the gap. sure is false when nothing is known of that time.
func (r *Resolver) unexplained(ctx context.Context, gap ledger.Fence) (fresh []flowroute.E164, sure bool, err error) {
	var known map[flowroute.E164]bool
	if r.o.Known != nil {
		if known, sure, err = r.o.Known(ctx, gap.From); err != nil {
			return nil, false, err
		}
	}
	for n, err := range r.o.API.Numbers(ctx, flowroute.NumberQuery{}) {
		if err != nil {
			return nil, false, fmt.Errorf("read numbers: %w", err)
		}
		if known[n.Number] {
			continue
		}
		_, claimed, err := r.o.Ledger.NumberClaimedBy(ctx, n.Number)
		if err != nil {
			return nil, false, err
		}
		if !claimed {
			fresh = append(fresh, n.Number)
		}
	}
	return fresh, sure, nil
}
