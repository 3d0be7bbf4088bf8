package flowroute

import (
	"slices"
	"strings"
	"time"
)

// Delivery is what became of an accepted message.
type Delivery string

const (
	DeliveryPending   Delivery = "pending" // or nobody will ever tell: landlines send no receipts
	DeliveryDelivered Delivery = "delivered"
	DeliveryFailed    Delivery = "failed"
)

// DeliveryReceipt (DLR) is one report about a message on its way.
type DeliveryReceipt struct {
	Level       int    // 1: Flowroute to the carrier; 2: anything after
	Status      string // an open set of words
	StatusCode  *int   // nil on level 1
	Description string
	Timestamp   time.Time
}

// The DLR response codes that decide, of support.flowroute.com/681766 (2025-11).
// Up to 1003 a message is under way, and 1111 and 1210 call themselves temporary.
const (
	codeDelivered         = 1004 // message delivered to handset
	codeResolutionFailure = 1111 // temporary resolution failure
	codeQueueFull         = 1210 // message queue full
)

// Delivery is what this receipt alone says: its code, where that decides, else
// its words.
func (r DeliveryReceipt) Delivery() Delivery {
	if r.StatusCode != nil {
		if d := deliveryOfCode(*r.StatusCode); d != DeliveryPending {
			return d
		}
	}
	return deliveryOfWords(r.Status)
}

// Delivery is what the record says by all its receipts: codes first, since words
// are an open set. A delivery outweighs failures, which may come before it; a
// code outweighs words, the record's own status among them.
func (m MDR) Delivery() Delivery {
	var byCode, byWords []Delivery
	for _, r := range m.Receipts {
		if r.StatusCode != nil {
			byCode = append(byCode, deliveryOfCode(*r.StatusCode))
		}
		byWords = append(byWords, deliveryOfWords(r.Status))
	}
	byWords = append(byWords, deliveryOfWords(m.Status))
	for _, seen := range [][]Delivery{byCode, byWords} {
		switch {
		case slices.Contains(seen, DeliveryDelivered):
			return DeliveryDelivered
		case slices.Contains(seen, DeliveryFailed):
			return DeliveryFailed
		}
	}
	return DeliveryPending
}

func deliveryOfCode(code int) Delivery {
	switch {
	case code == codeDelivered:
		return DeliveryDelivered
	case code == codeResolutionFailure || code == codeQueueFull:
		return DeliveryPending
	case 1005 <= code && code <= 1009, 1100 <= code && code <= 1299:
		return DeliveryFailed
	default:
		return DeliveryPending
	}
}

func deliveryOfWords(status string) Delivery {
	switch strings.ToLower(strings.TrimSpace(status)) {
	case "delivered", "delivery success":
		return DeliveryDelivered
	case "failed", "delivery failure", "smsc reject", "rejected", "undelivered", "expired":
		return DeliveryFailed
	default: // "smsc submit", "message buffered", "message sent", "sent", …
		return DeliveryPending
	}
}
