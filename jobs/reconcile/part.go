package reconcile

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

// run is one reconciliation at work.
type run struct {
	r        *Reconciler
	q        Request
	window   Window
	coverage Coverage
	now      time.Time
	claims   time.Time // before it claims may have lapsed

	// Of the part of the window that is compared, from until to.
	from, to   time.Time
	shelf      shelf
	texts      map[recordKey]string // the ids that a key does not tell
	candidates []ledger.Job         // posted in the part, and no record of it is there
	unresolved []ledger.Job         // of those the ones whose outcome is not known, some

	// Of the whole run.
	senders, statuses names
	prices            map[priceKey]int64
	missing           map[ledger.ID]bool // candidates, since a message may be read twice
	mains             mains
	totals            totals
}

// part compares the latest part of the window that ends at until.
func (n *run) part(ctx context.Context, until time.Time) error {
	n.to = until
	n.shelf.clear()
	clear(n.texts)
	n.unresolved = n.unresolved[:0]
	if err := n.load(ctx); err != nil {
		return err
	}
	// One may have ended some time before its record's.
	ended := n.from.Add(-time.Hour)
	for cursor := ledger.ScanStart; ; {
		jobs, next, err := n.r.ledger.PostedMessages(ctx, cursor, ended)
		if err != nil {
			return err
		}
		for _, job := range jobs {
			// Of another time, as most are; were a record of it here all the same, its
			// claim would tell.
			if job.Created.After(n.to.Add(skew)) || job.Updated().Before(ended) {
				continue
			}
			if err := n.message(ctx, job); err != nil {
				return err
			}
		}
		if len(n.candidates) >= atOnce {
			if err := n.settleCandidates(ctx); err != nil {
				return err
			}
		}
		if next == ledger.ScanStart {
			break
		}
		cursor = next
	}
	if err := n.settleCandidates(ctx); err != nil {
		return err
	}
	if err := n.settleRest(ctx); err != nil {
		return err
	}
	return n.list(ctx)
}

// atOnce is of how many records or messages Redis is asked in one round trip.
const atOnce = 500

// load holds the records of the part, and finds where it begins. The first time it goes
// on to the window's beginning for the prices: what is usual is so for all of it.
func (n *run) load(ctx context.Context) error {
	n.from = n.window.Since
	var last time.Time
	full, first := false, n.to.Equal(n.window.Until)
	for r, err := range n.r.records.Each(ctx, mdr.Query{Since: n.window.Since, Until: n.to}) {
		if err != nil {
			return err
		}
		// Those of one time stay together: the next part ends where this one begins.
		if !full && n.shelf.n >= n.r.o.Held && r.Timestamp.Before(last) {
			full, n.from = true, last
		}
		if full && !first {
			break
		}
		last = r.Timestamp
		switch {
		case r.Direction != flowroute.Inbound:
			h := n.hold(r)
			if !full {
				n.shelf.add(h)
			}
			if k := h.price(); first && (n.prices[k] > 0 || len(n.prices) < mostKnownPrices) {
				n.prices[k]++
			}
		case !full:
			n.totals.inbound(r)
		}
	}
	n.shelf.sort()
	if first {
		n.weigh()
	}
	return nil
}

// message compares a message of ours with its records.
func (n *run) message(ctx context.Context, job ledger.Job) error {
	var own [4]*heldRecord
	found, absent := own[:0], 0
	for _, id := range job.MDRs {
		key, _ := keyOf(id)
		if h := n.shelf.find(key); h != nil {
			found = append(found, h)
		} else {
			absent++
		}
	}
	if len(found) == 0 {
		n.candidate(job)
		return nil
	}
	var there flowroute.Delivery
	for _, h := range found {
		there = best(there, deliveries[h.delivery])
	}
	if absent > 0 {
		for _, id := range job.MDRs { // the others are of another time
			r, err := n.r.records.Get(ctx, id)
			if err != nil && !errors.Is(err, mdr.ErrNotFound) {
				return err
			}
			if err == nil {
				there = best(there, r.Delivery())
			}
		}
	}
	first, _ := keyOf(job.MDRs[0])
	campaign, _, _ := job.ID.Row()
	for _, h := range found {
		if h.outcome != open {
			continue // the message was read twice
		}
		if disagree(job.State, there) {
			h.issues |= bitState
		}
		h.issues |= n.judgePrice(*h)
		h.outcome = matched
		if h.issues != 0 {
			h.outcome = differing
		}
		n.totals.record(h, campaign)
		if h.key == first {
			n.totals.figures(h.outcome).Messages++
		}
	}
	return nil
}

// best is what a message came to, of what two of its records say.
func best(a, b flowroute.Delivery) flowroute.Delivery {
	switch {
	case a == flowroute.DeliveryDelivered || b == flowroute.DeliveryDelivered:
		return flowroute.DeliveryDelivered
	case a == flowroute.DeliveryFailed || b == flowroute.DeliveryFailed:
		return flowroute.DeliveryFailed
	}
	return flowroute.DeliveryPending
}

// disagree reports whether a message that has a record is something else here than
// there. A receipt may have told us of an end before the copy was read again.
func disagree(here ledger.State, there flowroute.Delivery) bool {
	switch here {
	case ledger.Delivered:
		return there == flowroute.DeliveryFailed
	case ledger.Undelivered:
		return there == flowroute.DeliveryDelivered
	case ledger.Accepted:
		return there != flowroute.DeliveryPending
	}
	return true // it is not even known to be accepted
}

// posted is when a message was posted: of one that was accepted the last time before
// that, else the last time.
func posted(job ledger.Job) (at time.Time) {
	for _, change := range job.History {
		switch change.State {
		case ledger.Sending:
			at = change.At
		case ledger.Accepted, ledger.Delivered, ledger.Undelivered:
			if at.IsZero() {
				return change.At
			}
			return at
		}
	}
	return at
}

// mayBeAccepted: a record of it is to be expected.
func mayBeAccepted(s ledger.State) bool {
	switch s {
	case ledger.Accepted, ledger.Delivered, ledger.Undelivered, ledger.Unknown, ledger.Review, ledger.Sending:
		return true
	}
	return false
}

// candidate notes a message of which no record is in this part.
func (n *run) candidate(job ledger.Job) {
	at := posted(job)
	if at.IsZero() || !mayBeAccepted(job.State) || n.missing[job.ID] {
		return
	}
	const enough = 10_000
	if len(job.MDRs) == 0 && at.Before(n.to.Add(skew)) && !at.Before(n.from.Add(-skew)) && len(n.unresolved) < enough {
		n.unresolved = append(n.unresolved, job)
	}
	if at.Before(n.from) || !at.Before(n.to) {
		return
	}
	n.missing[job.ID] = true
	n.candidates = append(n.candidates, job)
}

// settleCandidates looks for their records in all of the copy.
func (n *run) settleCandidates(ctx context.Context) error {
	for some := range slices.Chunk(n.candidates, atOnce) {
		var ids []string
		for _, job := range some {
			ids = append(ids, job.MDRs...)
		}
		held, err := n.r.records.Holds(ctx, ids, n.from.Add(-skew))
		if err != nil {
			return err
		}
		for _, job := range some {
			own := held[:len(job.MDRs)]
			held = held[len(job.MDRs):]
			if slices.Contains(own, true) {
				continue // it counts where its record is
			}
			if err := n.withoutRecord(job); err != nil {
				return err
			}
		}
	}
	n.candidates = n.candidates[:0]
	return nil
}

func (n *run) withoutRecord(job ledger.Job) error {
	at := posted(job)
	campaign, _, _ := job.ID.Row()
	told := n.coverage.has(at) && !n.now.Before(at.Add(n.r.o.Settle))
	n.totals.message(at, campaign, n.senders.index(job.From.Digits(), 1<<20), told)
	if !told || !n.wants(WithoutRecord) {
		return nil
	}
	return n.q.Each(Item{Class: WithoutRecord, At: at, Job: job.ID, State: job.State, Reason: job.Reason, Campaign: campaign,
		MDR: firstOf(job.MDRs), From: job.From.Digits(), To: job.To.Digits()})
}

func firstOf(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}

// has reports whether the record of a message that was posted then would be in the copy.
func (c Coverage) has(at time.Time) bool {
	return !c.First.IsZero() && !at.Add(-skew).Before(c.First) && !at.Add(skew).After(c.Complete)
}

// settleRest decides the records that no message that was read has: by their claims.
func (n *run) settleRest(ctx context.Context) error {
	var rest []*heldRecord
	for i := range n.shelf.parts {
		for j := range n.shelf.parts[i] {
			if h := &n.shelf.parts[i][j]; h.outcome == open {
				rest = append(rest, h)
			}
		}
		if len(rest) >= atOnce {
			if err := n.settleByClaim(ctx, rest); err != nil {
				return err
			}
			rest = rest[:0]
		}
	}
	return n.settleByClaim(ctx, rest)
}

func (n *run) idOf(h *heldRecord) string {
	if h.hasNoText {
		return n.texts[h.key]
	}
	return h.key.id()
}

func (n *run) settleByClaim(ctx context.Context, all []*heldRecord) error {
	for some := range slices.Chunk(all, atOnce) {
		ids := make([]string, len(some))
		for i, h := range some {
			ids[i] = n.idOf(h)
		}
		owners, err := n.r.ledger.ClaimedByMany(ctx, ids)
		if err != nil {
			return err
		}
		jobs, errs := n.r.ledger.GetMany(ctx, owners)
		for i, h := range some {
			if !owners[i].IsZero() && errs[i] == nil && slices.Contains(jobs[i].MDRs, ids[i]) {
				if err := n.message(ctx, jobs[i]); err != nil {
					return err
				}
			}
			if !owners[i].IsZero() && errs[i] != nil && !errors.Is(errs[i], ledger.ErrNotFound) {
				return errs[i]
			}
			if h.outcome == open {
				n.byClaim(h, owners[i])
			}
		}
	}
	return nil
}

// byClaim decides a record of which nothing but the claim is known.
func (n *run) byClaim(h *heldRecord, owner ledger.ID) {
	campaign := ledger.ID{}
	switch {
	case !owner.IsZero():
		campaign, _, _ = owner.Row()
		h.issues |= n.judgePrice(*h)
		h.outcome = matched
		if h.issues != 0 {
			h.outcome = differing
		}
		n.totals.lapsed++
	case h.tooOld:
		h.outcome = notTold
	default:
		h.outcome = foreign
	}
	n.totals.record(h, campaign)
}
