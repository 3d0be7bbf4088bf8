package reconcile

import (
	"context"
	"errors"
	"slices"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

func (n *run) wants(c Class) bool { return n.q.Each != nil && slices.Contains(n.q.Classes, c) }

// list gives away the items of the part that are records.
func (n *run) list(ctx context.Context) error {
	if !n.wants(Matched) && !n.wants(Differing) && !n.wants(WithoutJob) {
		return nil
	}
	waiting := map[pair]ledger.ID{}
	for _, job := range n.unresolved {
		waiting[pair{job.From.Digits(), job.To.Digits()}] = job.ID
	}
	var items []Item
	for r, err := range n.r.records.Each(ctx, mdr.Query{Since: n.from, Until: n.to}) {
		if err != nil {
			return err
		}
		key, _ := keyOf(r.ID)
		h := n.shelf.find(key)
		if h == nil || r.Direction == flowroute.Inbound {
			continue
		}
		class, ok := h.outcome.class()
		if !ok || !n.wants(class) {
			continue
		}
		item := Item{Class: class, Issues: issuesOf(h.issues), At: r.Timestamp, MDR: r.ID, From: r.From, To: r.To,
			Delivery: r.Delivery(), Status: r.Status, Code: int(h.code), Money: h.money, Segments: int(h.segments)}
		if class == WithoutJob {
			item.Issues, item.Perhaps = nil, waiting[pair{r.From, r.To}]
		}
		if items = append(items, item); len(items) == atOnce {
			if err := n.give(ctx, items); err != nil {
				return err
			}
			items = items[:0]
		}
	}
	return n.give(ctx, items)
}

type pair struct{ from, to string }

// give adds to items what the ledger knows, and gives them away.
func (n *run) give(ctx context.Context, items []Item) error {
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = item.MDR
	}
	owners, err := n.r.ledger.ClaimedByMany(ctx, ids)
	if err != nil {
		return err
	}
	jobs, errs := n.r.ledger.GetMany(ctx, owners)
	for i, item := range items {
		if item.Class != WithoutJob && !owners[i].IsZero() {
			item.Job = owners[i]
			item.Campaign, _, _ = owners[i].Row()
			switch {
			case errs[i] == nil:
				item.State, item.Reason = jobs[i].State, jobs[i].Reason
			case !errors.Is(errs[i], ledger.ErrNotFound):
				return errs[i]
			}
		}
		if err := n.q.Each(item); err != nil {
			return err
		}
	}
	return nil
}
