package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// What became of a receipt, as the metric says it.
const (
	receiptProved    = "proved"    // it is the proof that the attempt was accepted
	receiptUnclaimed = "unclaimed" // its message is no job's, or its job's retention is over
)

func receiptResults() []string {
	return []string{receiptProved, hookKnown, receiptUnclaimed, hookForwarded, hookRefused, hookNotTaken}
}

func (h *webhooks) readReceipt(r *http.Request, body []byte) (func(context.Context) (string, error), error) {
	var ref attemptRef
	if text := r.PathValue("ref"); text != "" {
		var ok bool
		if ref, ok = parseAttemptRef(text); !ok {
			return nil, nothingHere()
		}
	}
	dlr, err := readReceipt(body)
	return func(ctx context.Context) (string, error) { return h.writeReceipt(ctx, ref, dlr) }, err
}

// writeReceipt makes of the receipt what it is: the proof that an attempt was
// accepted, and news of the delivery. Both may have come before, in any order.
func (h *webhooks) writeReceipt(ctx context.Context, ref attemptRef, dlr receipt) (string, error) {
	ledgr, result := h.s.o.Jobs.Ledger(), receiptUnclaimed
	if !ref.job.IsZero() {
		settled, err := ledgr.Prove(ctx, ref.job, ref.attempt, dlr.mdr)
		switch {
		case errors.Is(err, ledger.ErrNotFound):
		case err != nil:
			return "", err
		case settled.Duplicate:
			result = hookKnown
		default:
			result = receiptProved
		}
	}
	news := ledger.Receipt{MDR: dlr.mdr, Delivered: dlr.delivery == flowroute.DeliveryDelivered}
	if dlr.delivery == flowroute.DeliveryPending {
		var ended bool
		if news, ended = h.endKnown(ctx, result, dlr.mdr); !ended {
			return h.claimed(ctx, result, ref, dlr)
		}
	}
	refined, err := ledgr.Refine(ctx, []ledger.Receipt{news})
	if err != nil {
		return "", err
	}
	if result == receiptUnclaimed && !refined[0].Job.IsZero() {
		result = hookKnown
	}
	return result, nil
}

// endKnown looks in the stored copy for how a message ended that has only now been
// proved to be a job's: a sync that read of its end before had no job to tell. What
// cannot be read is left to the next sync.
func (h *webhooks) endKnown(ctx context.Context, result, id string) (ledger.Receipt, bool) {
	if result != receiptProved || h.s.o.Inbound.Records == nil {
		return ledger.Receipt{}, false
	}
	record, err := h.s.o.Inbound.Records.Get(ctx, id)
	if err != nil || record.Delivery() == flowroute.DeliveryPending {
		return ledger.Receipt{}, false
	}
	return ledger.Receipt{
		MDR: id, Delivered: record.Delivery() == flowroute.DeliveryDelivered, Cost: flowroute.Money(record.AmountNanodollars),
	}, true
}

// claimed is the result of a receipt that says nothing of the delivery and names
// no attempt: all that there is to tell is whether it is of a job's message.
func (h *webhooks) claimed(ctx context.Context, result string, ref attemptRef, dlr receipt) (string, error) {
	if !ref.job.IsZero() {
		return result, nil
	}
	_, ours, err := h.s.o.Jobs.Ledger().ClaimedBy(ctx, dlr.mdr)
	if ours {
		result = hookKnown
	}
	return result, err
}
