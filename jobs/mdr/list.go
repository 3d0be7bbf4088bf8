package mdr

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Query selects records of the copy. The zero value selects all.
type Query struct {
	Since time.Time // inclusive
	Until time.Time // exclusive; zero: no end

	Number    string // from or to, as Flowroute writes it (digits without +; + is dropped)
	Direction flowroute.Direction
	Delivery  flowroute.Delivery
	// Campaign selects the records of the jobs of a campaign's rows, from 1 to
	// CampaignRows; see [Store.List].
	Campaign     ledger.ID
	CampaignRows int

	Limit  int    // of the page. Defaults to 100, at most 1000.
	Cursor string // Page.Next of the page before
}

// Page is a part of a listing.
type Page struct {
	Records []Record // newest first
	// Next continues the listing; empty at its end. A page with a filter may hold
	// fewer records than the limit, even none, and still have a next one.
	Next string
}

const (
	defaultPage = 100
	largestPage = 1000
	// A page looks at so many records at most, whatever it finds: what takes some
	// milliseconds. To look for a number in a block costs a part of that for each record.
	scanBound, skipped = 3000, 6
	// Blocks are read in groups of about so many records, and minutes.
	groupRecords, groupMinutes = 1000, 256
)

// List reads a page of records, newest first; equal times in the order of their
// ids, backwards. A record that changes in between keeps its place.
//
// With a campaign, the order is that of its rows, the last first, and a job that the
// ledger does not know any more has no record here. Errors: [ErrBadCursor],
// [ErrNewerVersion], or Redis' own.
func (s *Store) List(ctx context.Context, q Query) (Page, error) {
	if q.Limit <= 0 {
		q.Limit = defaultPage
	}
	q.Limit = min(q.Limit, largestPage)
	list := s.listTime
	if !q.Campaign.IsZero() {
		list = s.listCampaign
	}
	page, err := list(ctx, q)
	if err != nil {
		return Page{}, fmt.Errorf("list records: %w", err)
	}
	return page, nil
}

func (s *Store) listTime(ctx context.Context, q Query) (page Page, err error) {
	w, err := s.newWalk(ctx, q)
	if err != nil {
		return page, err
	}
	w.group = q.Limit + 1
	for last := (place{}); ; {
		p, ok, err := w.next(ctx)
		if err != nil || !ok {
			return page, err
		}
		if len(page.Records) == q.Limit || w.cost >= scanBound {
			page.Next = cursorAt(last.at, last.id)
			return page, nil
		}
		last = p
		w.cost++
		r, wanted, err := w.filter.take(p)
		if err != nil {
			return page, err
		}
		if wanted {
			page.Records = append(page.Records, r)
		}
	}
}

// Each yields all records of a query, newest first, in one walk: it holds some
// thousand records at a time, however many there are. An error is the last pair.
// Limit, Campaign and CampaignRows have no effect. What arrives behind its back may be
// left out.
func (s *Store) Each(ctx context.Context, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		w, err := s.newWalk(ctx, q)
		for err == nil {
			var p place
			var ok, wanted bool
			if p, ok, err = w.next(ctx); err != nil {
				break
			}
			if !ok {
				return
			}
			var r Record
			if r, wanted, err = w.filter.take(p); wanted && !yield(r, nil) {
				return
			}
		}
		yield(Record{}, fmt.Errorf("list records: %w", err))
	}
}

// Cursor is the record's place: a listing with it goes on after the record.
func (r Record) Cursor() string {
	id, _ := packID(r.ID)
	return cursorAt(r.Timestamp, id)
}

// place is a stored record.
type place struct {
	at     time.Time
	id     rawID
	packed []byte
	minute int64
}

// filter says which records of a window are wanted.
type filter struct {
	number    string // without +
	digits    uint64 // the number when it is stored as one
	direction flowroute.Direction
	delivery  flowroute.Delivery
}

func newFilter(q Query) filter {
	f := filter{number: strings.TrimPrefix(q.Number, "+"), direction: q.Direction, delivery: q.Delivery}
	f.digits = plainNumber(f.number)
	return f
}

// take unpacks a record if it is wanted.
func (f filter) take(p place) (r Record, wanted bool, err error) {
	if f.number != "" && !f.names(p.packed) || f.direction == flowroute.Inbound && !maybeInbound(p.packed) {
		return r, false, nil
	}
	if r, err = unpack(p.packed, p.id, p.minute); err != nil {
		return r, false, fmt.Errorf("minute %d: %w", p.minute, err)
	}
	return r, (f.direction == "" || r.Direction == f.direction) && (f.delivery == "" || r.Delivery() == f.delivery), nil
}

// maybeInbound is false for a packed record that is none of an inbound message.
func maybeInbound(packed []byte) bool {
	u := unpacker{b: packed[1:]}
	return u.uint()&flagInbound != 0
}

// names reports whether a packed record has the number at either end.
func (f filter) names(packed []byte) bool {
	from, to := numbersOf(packed)
	return f.is(from) || f.is(to)
}

func (f filter) is(n packedNumber) bool {
	if n.plain != 0 {
		return n.plain == f.digits
	}
	return strings.TrimPrefix(n.text, "+") == f.number
}

// tagged reports whether of the tags of some records one may be the number's.
func (f filter) tagged(tags string) bool {
	return strings.IndexByte(tags, packedNumber{f.digits, f.number}.tag()) >= 0
}

// A cursor is a record's place: its time in ns and its packed id, in base64.
func cursorAt(t time.Time, id rawID) string {
	return base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano())), id[:]...))
}

func readCursor(s string) (time.Time, rawID, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 24 {
		return time.Time{}, rawID{}, ErrBadCursor
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC(), rawID(b[8:]), nil
}
