package httpapi

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// receipt is a delivery receipt (DLR) as Flowroute posts it.
type receipt struct {
	mdr      string
	delivery flowroute.Delivery
}

// receiptObject is a receipt's JSON. Newer accounts get it below "data", older
// ones at the top.
type receiptObject struct {
	ID         loose `json:"id"`
	Type       loose `json:"type"`
	Attributes *struct {
		Status     loose `json:"status"`
		StatusCode loose `json:"status_code"` // a number, a text with one, null, or missing
	} `json:"attributes"`
}

// loose is a JSON text, or whatever stands in its place: what is odd about the
// delivery must not take away the proof that there is one. Null is empty.
type loose string

func (l *loose) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		text = string(b)
	}
	*l = loose(strings.TrimSpace(text))
	return nil
}

const typeReceipt = "delivery_receipt"

// readReceipt reads either shape.
func readReceipt(body []byte) (receipt, error) {
	var both struct {
		Data *receiptObject `json:"data"`
		receiptObject
	}
	if err := json.Unmarshal(body, &both); err != nil {
		return receipt{}, &unreadError{"the body is not the JSON of a delivery receipt"}
	}
	object := &both.receiptObject
	if both.Data != nil {
		object = both.Data
	}
	switch {
	case object.Type != "" && object.Type != typeReceipt, object.Attributes == nil:
		return receipt{}, &unreadError{"the body is not a delivery receipt"}
	case !isMDRID(string(object.ID)):
		return receipt{}, &unreadError{"the delivery receipt has no id of a message"}
	}
	dlr := flowroute.DeliveryReceipt{Status: string(object.Attributes.Status)}
	if code, err := strconv.Atoi(string(object.Attributes.StatusCode)); err == nil {
		dlr.StatusCode = &code
	}
	return receipt{mdr: string(object.ID), delivery: dlr.Delivery()}, nil
}

// isMDRID keeps out what can be no id of a record: `mdr2-` and 32 hex digits
// today, another form perhaps tomorrow.
func isMDRID(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
	})
}

// attemptRef names one attempt of a message in the path of its receipts.
type attemptRef struct {
	job     ledger.ID
	attempt int
}

// maxAttempt is far above what any message has.
const maxAttempt = 1_000_000

func parseAttemptRef(text string) (attemptRef, bool) {
	id, number, found := strings.Cut(text, ".")
	job, err := ledger.ParseID(id)
	attempt, errAttempt := strconv.Atoi(number)
	ok := found && err == nil && !job.IsZero() && errAttempt == nil && attempt > 0 && attempt <= maxAttempt
	return attemptRef{job, attempt}, ok
}

// ReceiptPath is where the receipts of one attempt of a message are taken, for
// whoever holds the secret.
func ReceiptPath(secret string, job ledger.ID, attempt int) string {
	return "/webhooks/flowroute/" + secret + "/dlr/" + job.String() + "." + strconv.Itoa(attempt)
}
