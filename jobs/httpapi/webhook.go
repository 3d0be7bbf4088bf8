package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	// maxReceipt bounds a receipt, in bytes; the text of the message is in it.
	maxReceipt = 64 << 10
	// minSecret is what cannot be guessed at the speed of a web server.
	minSecret = 16
)

// What became of a receipt, as the metric says it.
const (
	receiptProved    = "proved"    // it is the proof that the attempt was accepted
	receiptKnown     = "known"     // that was known
	receiptUnclaimed = "unclaimed" // its message is no job's, or its job's retention is over
	receiptRefused   = "refused"   // not a receipt
	receiptNotTaken  = "not_taken" // Redis did not take it: Flowroute may send it again
)

func receiptResults() []string {
	return []string{receiptProved, receiptKnown, receiptUnclaimed, receiptRefused, receiptNotTaken}
}

// webhooks takes what Flowroute posts to us.
type webhooks struct {
	s        *Server
	secret   [sha256.Size]byte
	receipts *prometheus.CounterVec
}

// newWebhooks is nil without a secret: then there are no webhooks.
func newWebhooks(s *Server, secret string, registry prometheus.Registerer) (*webhooks, error) {
	if secret == "" {
		return nil, nil
	}
	// It is part of a path, so it must be what paths do not change.
	if len(secret) < minSecret || strings.ContainsFunc(secret, func(r rune) bool { return !isMDRID(string(r)) && r != '.' }) {
		return nil, fmt.Errorf("httpapi: the webhook secret must be at least %d letters, digits, dots, dashes and underscores", minSecret)
	}
	h := &webhooks{s: s, secret: sha256.Sum256([]byte(secret)), receipts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "flowroute_worker_receipts_total", Help: "Delivery receipts that Flowroute posted here, by what became of them.",
	}, []string{"result"})}
	for _, result := range receiptResults() {
		h.receipts.WithLabelValues(result)
	}
	return h, registry.Register(h.receipts)
}

// postReceipt takes a receipt and answers 200 once it is written down. Flowroute
// shows no credentials; the secret in the path stands for them. A wrong one gets
// the answer of a path that there is not.
func (h *webhooks) postReceipt(w http.ResponseWriter, r *http.Request) error {
	given := sha256.Sum256([]byte(r.PathValue("secret")))
	if subtle.ConstantTimeCompare(given[:], h.secret[:]) != 1 {
		return nothingHere()
	}
	result, err := h.take(w, r)
	h.receipts.WithLabelValues(result).Inc()
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]string{"result": result})
}

func (h *webhooks) take(w http.ResponseWriter, r *http.Request) (string, error) {
	var ref attemptRef
	if text := r.PathValue("ref"); text != "" {
		var ok bool
		if ref, ok = parseAttemptRef(text); !ok {
			return receiptRefused, nothingHere()
		}
	}
	body, err := readBody(w, r, maxReceipt)
	if err != nil {
		return receiptRefused, err
	}
	dlr, err := readReceipt(body)
	if err != nil {
		return receiptRefused, newProblem(http.StatusBadRequest, jobs.CodeMalformed, "No receipt was taken: %v.", err)
	}
	// It has arrived whole: whether its sender waits for the answer does not matter.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	result, err := h.write(ctx, ref, dlr)
	if err != nil {
		return receiptNotTaken, err
	}
	return result, nil
}

// write makes of the receipt what it is: the proof that an attempt was accepted,
// and news of the delivery. Both may have come before, in any order.
func (h *webhooks) write(ctx context.Context, ref attemptRef, dlr receipt) (string, error) {
	ledgr, result := h.s.o.Jobs.Ledger(), receiptUnclaimed
	if !ref.job.IsZero() {
		settled, err := ledgr.Prove(ctx, ref.job, ref.attempt, dlr.mdr)
		switch {
		case errors.Is(err, ledger.ErrNotFound):
		case err != nil:
			return "", err
		case settled.Duplicate:
			result = receiptKnown
		default:
			result = receiptProved
		}
	}
	if dlr.delivery == flowroute.DeliveryPending {
		return h.claimed(ctx, result, ref, dlr)
	}
	refined, err := ledgr.Refine(ctx, []ledger.Receipt{{MDR: dlr.mdr, Delivered: dlr.delivery == flowroute.DeliveryDelivered}})
	if err != nil {
		return "", err
	}
	if result == receiptUnclaimed && !refined[0].Job.IsZero() {
		result = receiptKnown
	}
	return result, nil
}

// claimed is the result of a receipt that says nothing of the delivery and names
// no attempt: all that there is to tell is whether it is of a job's message.
func (h *webhooks) claimed(ctx context.Context, result string, ref attemptRef, dlr receipt) (string, error) {
	if !ref.job.IsZero() {
		return result, nil
	}
	_, ours, err := h.s.o.Jobs.Ledger().ClaimedBy(ctx, dlr.mdr)
	if ours {
		result = receiptKnown
	}
	return result, err
}
