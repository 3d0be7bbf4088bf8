package reconcile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

// recordKey is a record's id: its 16 bytes, or a hash of an id of another form.
type recordKey [16]byte

func keyOf(id string) (key recordKey, exact bool) {
	if len(id) == len("mdr2-")+32 && id[:5] == "mdr2-" {
		if _, err := hex.Decode(key[:], []byte(id[5:])); err == nil && key.id() == id {
			return key, true
		}
	}
	sum := sha256.Sum256([]byte(id))
	return recordKey(sum[:16]), false
}

func (k recordKey) id() string { return "mdr2-" + hex.EncodeToString(k[:]) }

// outcome is what is known of a held record.
type outcome uint8

const (
	open outcome = iota
	matched
	differing
	foreign
	notTold
)

func (o outcome) class() (Class, bool) {
	c, ok := map[outcome]Class{matched: Matched, differing: Differing, foreign: WithoutJob}[o]
	return c, ok
}

// Bits of the issues of a record.
const (
	bitState uint8 = 1 << iota
	bitSegments
	bitPrice
	bitEncoding
)

func issuesOf(bits uint8) []Issue {
	var list []Issue
	for i, issue := range Issues() {
		if bits&(1<<i) != 0 {
			list = append(list, issue)
		}
	}
	return list
}

// heldRecord is what is held of an outbound record: many are, so it is small.
type heldRecord struct {
	key       recordKey
	money     flowroute.Money
	sender    uint32 // in the run's table
	status    uint16 // in the run's table
	day       uint16 // since 1970
	code      uint16
	segments  uint16 // by Flowroute's table; 0: not to be told
	charged   uint16 // as the record says; 0: it does not
	kind      uint8  // in kinds
	delivery  uint8  // in deliveries
	issues    uint8
	outcome   outcome
	tooOld    bool // a claim of it may have lapsed
	hasNoText bool // its key is a hash
}

var deliveries = [...]flowroute.Delivery{flowroute.DeliveryPending, flowroute.DeliveryDelivered, flowroute.DeliveryFailed}

// kinds are what has prices of its own.
var kinds = [...]string{"sms longcode", "sms toll-free", "sms", "mms longcode", "mms toll-free", "mms"}

func kindOf(r mdr.Record) uint8 {
	k := slices.Index([]string{"longcode", "toll-free", r.MessageType}, r.MessageType)
	if r.IsMMS {
		k += 3
	}
	return uint8(k)
}

// hold is a record as it is held.
func (n *run) hold(r mdr.Record) heldRecord {
	h := heldRecord{money: flowroute.Money(r.AmountNanodollars), sender: uint32(n.senders.index(r.From, 1<<20)),
		status: uint16(n.statuses.index(r.Status, 1000)), day: dayOf(r.Timestamp), code: uint16(codeOf(r)), kind: kindOf(r),
		delivery: uint8(slices.Index(deliveries[:], r.Delivery())), tooOld: r.Timestamp.Before(n.claims)}
	key, exact := keyOf(r.ID)
	h.key, h.hasNoText = key, !exact
	if !exact {
		n.texts[key] = r.ID
	}
	if r.IsMMS {
		h.segments = 1
		return h
	}
	segments, encoding := flowroute.Segments(r.Body)
	h.segments = uint16(min(segments, 1<<16-1))
	if r.PriceDetails != nil {
		h.charged = uint16(min(max(r.PriceDetails.SegmentCount, 0), 1<<16-1))
	}
	if segments > 0 && (encoding == flowroute.EncodingUCS2) != (r.Encoding == 8) {
		h.issues |= bitEncoding
	}
	return h
}

const day = 24 * time.Hour

func dayOf(t time.Time) uint16 { return uint16(t.Unix() / int64(day/time.Second)) }

// codeOf is the code that says how the message ended; for one without an end the last
// one. 0: none.
func codeOf(r mdr.Record) int {
	code, at, decides := 0, time.Time{}, false
	delivery := r.Delivery()
	for _, receipt := range r.Receipts {
		if receipt.StatusCode == nil {
			continue
		}
		d := receipt.Delivery() == delivery
		if code == 0 || d && !decides || d == decides && receipt.Timestamp.After(at) {
			code, at, decides = *receipt.StatusCode, receipt.Timestamp, d
		}
	}
	if code < 0 || code >= 1<<16 {
		return 0
	}
	return code
}

// shelf holds records by key, in parts that grow without copying all of it.
type shelf struct {
	parts [256][]heldRecord
	n     int
}

func (s *shelf) part(k recordKey) *[]heldRecord { return &s.parts[k[0]^k[3]] }

func (s *shelf) add(h heldRecord) {
	part := s.part(h.key)
	*part = append(*part, h)
	s.n++
}

// sort makes find possible.
func (s *shelf) sort() {
	for i := range s.parts {
		slices.SortFunc(s.parts[i], func(a, b heldRecord) int { return bytes.Compare(a.key[:], b.key[:]) })
	}
}

// find is the held record, nil for none.
func (s *shelf) find(k recordKey) *heldRecord {
	part, head := *s.part(k), binary.BigEndian.Uint64(k[:])
	low, high := 0, len(part)
	for low < high {
		if mid := (low + high) / 2; binary.BigEndian.Uint64(part[mid].key[:]) < head {
			low = mid + 1
		} else {
			high = mid
		}
	}
	for ; low < len(part) && part[low].key != k; low++ {
		if binary.BigEndian.Uint64(part[low].key[:]) != head {
			return nil
		}
	}
	if low == len(part) {
		return nil
	}
	return &part[low]
}

// clear keeps the room for the next part of the window.
func (s *shelf) clear() {
	for i := range s.parts {
		s.parts[i] = s.parts[i][:0]
	}
	s.n = 0
}

// names counts texts: each has a number.
type names struct {
	numbers map[string]int
	list    []string
}

// index is the text's number; beyond the most the last number stands for all others.
func (t *names) index(text string, most int) int {
	if i, ok := t.numbers[text]; ok {
		return i
	}
	if len(t.list) >= most {
		text = "others"
		if i, ok := t.numbers[text]; ok {
			return i
		}
	}
	if t.numbers == nil {
		t.numbers = map[string]int{}
	}
	t.numbers[text] = len(t.list)
	t.list = append(t.list, text)
	return len(t.list) - 1
}
