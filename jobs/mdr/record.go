package mdr

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Errors that callers branch on.
var (
	// ErrNotFound: the copy does not hold that record; Flowroute may.
	ErrNotFound = errors.New("no such message detail record in the stored copy")
	// ErrNewerVersion: the copy was written by a newer version; leave it alone.
	ErrNewerVersion = errors.New("the stored records were written by a newer version")
	// ErrBadCursor: the text is no cursor of [Store.List].
	ErrBadCursor = errors.New("not a cursor of this listing")
)

// Record is a message detail record as the copy holds it.
type Record struct {
	flowroute.MDR
	// Matched: the message is a job's, and the job knows how it ended.
	Matched bool
}

// Open reports whether the record may still change: an outbound message of which
// nobody said how it ended.
func (r Record) Open() bool {
	return r.Direction != flowroute.Inbound && r.Delivery() == flowroute.DeliveryPending
}

// ended reports whether a job of ours can learn its end from the record.
func (r Record) ended() bool {
	return r.Direction != flowroute.Inbound && r.Delivery() != flowroute.DeliveryPending
}

// older reports whether r is an earlier version of the record than o: an end is
// later than none, more receipts than fewer, a later receipt than an earlier one, one
// that says more than one that says less: a webhook gives no price. Versions that differ
// in nothing of this are taken as they come.
func (r Record) older(o Record) bool {
	if a, b := r.Delivery() != flowroute.DeliveryPending, o.Delivery() != flowroute.DeliveryPending; a != b {
		return b
	}
	if a, b := len(r.Receipts), len(o.Receipts); a != b {
		return a < b
	}
	if a, b := r.lastReceipt(), o.lastReceipt(); !a.Equal(b) {
		return a.Before(b)
	}
	return r.says() < o.says()
}

// says counts what is known of the message besides how it ended.
func (r Record) says() (n int) {
	for _, known := range []bool{
		r.AmountNanodollars != 0 || r.AmountDisplay != "", r.PriceDetails != nil, r.Status != "", r.MessageType != "", r.Body != "", len(r.Media) > 0,
	} {
		if known {
			n++
		}
	}
	return n
}

func (r Record) lastReceipt() time.Time {
	var last time.Time
	for _, receipt := range r.Receipts {
		if receipt.Timestamp.After(last) {
			last = receipt.Timestamp
		}
	}
	return last
}

func hashID(id string) rawID {
	sum := sha256.Sum256([]byte(id))
	return rawID(sum[:16])
}

// sortsBefore is the order of records in time; ids decide between equals.
func sortsBefore(at time.Time, id rawID, otherAt time.Time, otherID rawID) bool {
	if !at.Equal(otherAt) {
		return at.Before(otherAt)
	}
	return bytes.Compare(id[:], otherID[:]) < 0
}
