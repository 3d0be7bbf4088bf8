package flowroute_test

import (
	"testing"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

func TestDelivery(t *testing.T) {
	t.Parallel()
	code := func(n int) flowroute.DeliveryReceipt { return flowroute.DeliveryReceipt{StatusCode: &n} }
	words := func(s string) flowroute.DeliveryReceipt { return flowroute.DeliveryReceipt{Status: s} }
	const pending, delivered, failed = flowroute.DeliveryPending, flowroute.DeliveryDelivered, flowroute.DeliveryFailed

	tests := []struct {
		name string
		mdr  flowroute.MDR
		want flowroute.Delivery
	}{
		{"nothing known", flowroute.MDR{}, pending},
		{"on its way", flowroute.MDR{Status: "message buffered", Receipts: []flowroute.DeliveryReceipt{code(1003), words("smsc submit")}}, pending},
		{"delivered by code", flowroute.MDR{Receipts: []flowroute.DeliveryReceipt{code(1004), code(1003)}}, delivered},
		{"delivered by words", flowroute.MDR{Status: "Delivered"}, delivered},
		{"delivered by a receipt's words", flowroute.MDR{Receipts: []flowroute.DeliveryReceipt{words("delivery success")}}, delivered},
		{"rejected", flowroute.MDR{Receipts: []flowroute.DeliveryReceipt{code(1005)}}, failed},
		{"opted out", flowroute.MDR{Receipts: []flowroute.DeliveryReceipt{code(1110)}}, failed},
		{"last known failure", flowroute.MDR{Receipts: []flowroute.DeliveryReceipt{code(1221)}}, failed},
		{"temporary failure", flowroute.MDR{Receipts: []flowroute.DeliveryReceipt{code(1111), code(1210)}}, pending},
		{"unknown code", flowroute.MDR{Receipts: []flowroute.DeliveryReceipt{code(1050), code(2000), code(0)}}, pending},
		{"failed, then delivered", flowroute.MDR{Receipts: []flowroute.DeliveryReceipt{code(1004), code(1007)}}, delivered},
		{"code outweighs words", flowroute.MDR{Status: "delivered", Receipts: []flowroute.DeliveryReceipt{code(1007)}}, failed},
		{"undecided code leaves it to words", flowroute.MDR{Status: "failed", Receipts: []flowroute.DeliveryReceipt{code(1003)}}, failed},
		{"words nobody has seen", flowroute.MDR{Status: "teleported"}, pending},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := test.mdr.Delivery(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	receipt := code(1003)
	receipt.Status = "smsc reject"
	if got := receipt.Delivery(); got != failed {
		t.Errorf("receipt: got %q, want %q", got, failed)
	}
}
