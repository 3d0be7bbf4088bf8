package flowroutetest

import (
	"fmt"
	"iter"
	"time"
)

// Record is a message detail record, as a test plants or compares it.
type Record struct {
	ID          string        `json:"id,omitempty"`        // Plant: drawn when empty
	Direction   string        `json:"direction,omitempty"` // "outbound" (default) or "inbound"
	From        string        `json:"from"`
	To          string        `json:"to"`
	Body        string        `json:"body"`
	MMS         bool          `json:"mms,omitempty"`
	MediaURLs   []string      `json:"media_urls,omitempty"`
	Timestamp   time.Time     `json:"timestamp"`             // zero: now
	Lag         time.Duration `json:"lag_ns,omitempty"`      // visible so much after now
	Code        int           `json:"code,omitempty"`        // 1004 delivered, 1003 in flight for ever, others failed; Plant: 0 as for sent messages
	Nanodollars int64         `json:"nanodollars,omitempty"` // cost; Plant: 0 by Flowroute's table
	Status      string        `json:"status,omitempty"`      // now; Plant ignores it
}

// Records returns all records that exist, visible or not, in order of
// creation, as they are now. Lag is how long each still stays invisible.
func (s *Simulator) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for i := int32(0); ; i++ {
			s.mu.Lock()
			i = max(i, s.acct.store.oldest())
			r := s.acct.store.at(i)
			var out Record
			if r != nil {
				out = r.export(s.now().UnixNano())
			}
			s.mu.Unlock()
			if r == nil || !yield(out) {
				return
			}
		}
	}
}

func (r *record) export(now int64) Record {
	out := Record{ID: string(appendMDRID(nil, r.id)), Direction: "outbound", From: numberText(r.from), To: numberText(r.to),
		Body: r.body, MMS: r.flags&flagMMS != 0, MediaURLs: r.media, Timestamp: time.Unix(0, r.stamp).UTC(),
		Lag: max(time.Duration(r.visible-now), 0), Code: codeBuffered, Nanodollars: r.cost, Status: r.status(now)}
	if r.flags&flagInbound != 0 {
		out.Direction, out.Code = "inbound", 0
	} else if r.done <= now {
		out.Code = int(r.code)
	}
	return out
}

// Plant adds a record that no request of ours made, for example one of
// another system. It returns the record's id.
func (s *Simulator) Plant(p Record) (id string, err error) {
	now := s.now()
	if p.Timestamp.IsZero() {
		p.Timestamp = now
	}
	from, to := digits(p.From), digits(p.To)
	if from == 0 || to == 0 {
		return "", fmt.Errorf("plant: from %q, to %q: 11 digits are needed", p.From, p.To)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.newRecord(p.Timestamp, from, to, p.Body, p.MMS)
	r.stamp, r.visible, r.media = s.stamp(p.Timestamp), now.Add(p.Lag).UnixNano(), p.MediaURLs
	r.code, r.done = s.fateLocked(to, p.Timestamp)
	switch {
	case p.Direction == "inbound":
		r.flags |= flagInbound
		r.code, r.done = codeDelivered, r.at
	case p.Code != 0:
		r.code, r.done = uint16(p.Code), r.at
	}
	if p.Nanodollars != 0 {
		r.cost = p.Nanodollars
	}
	if p.ID != "" {
		given, ok := parseMDRID(p.ID)
		if _, taken := s.acct.store.byID[given]; !ok || taken {
			return "", fmt.Errorf("plant: id %q: a new id of the form mdr2- and 32 hexadecimal digits is needed", p.ID)
		}
		r.id = given
	}
	s.acct.store.add(r)
	s.counts.records(1)
	return string(appendMDRID(nil, r.id)), nil
}

// Complete ends all messages that are still "message buffered", and returns
// how many records that were.
func (s *Simulator) Complete() int {
	now := s.now().UnixNano()
	s.mu.Lock()
	n := s.acct.store.complete(now)
	s.mu.Unlock()
	s.hooks.hasten(now)
	s.counts.changed()
	return n
}

// HoldRecords lets no further record become visible for d from now, whatever
// it is told later; those already visible stay. 0 ends the hold.
func (s *Simulator) HoldRecords(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acct.store.hold(s.now().UnixNano(), d)
}
