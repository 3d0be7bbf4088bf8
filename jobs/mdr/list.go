package mdr

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Query selects records of the copy. The zero value selects all.
type Query struct {
	Since time.Time // inclusive
	Until time.Time // exclusive; zero: no end

	Number    string // from or to, as Flowroute writes it (digits without +; + is dropped)
	Direction flowroute.Direction
	Delivery  flowroute.Delivery

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
	// A page looks at so many records at most, whatever it finds.
	scanBound = 20_000
	// Blocks are read in groups of about so many records, and minutes.
	groupRecords, groupMinutes = 1000, 256
)

// List reads a page of records, newest first; equal times in the order of their
// ids, backwards. A record that changes in between keeps its place. Errors:
// [ErrBadCursor], [ErrNewerVersion], or Redis' own.
func (s *Store) List(ctx context.Context, q Query) (Page, error) {
	w, err := s.newWalk(q)
	if err != nil {
		return Page{}, err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	limit = min(limit, largestPage)
	var page Page
	for seen := 0; ; seen++ {
		r, id, err := w.next(ctx)
		if err != nil {
			return Page{}, fmt.Errorf("list records: %w", err)
		}
		if r == nil {
			page.Next = ""
			return page, nil
		}
		if len(page.Records) == limit || seen == scanBound {
			return page, nil
		}
		page.Next = cursorAt(r.Timestamp, id)
		if w.wants(*r) {
			page.Records = append(page.Records, *r)
		}
	}
}

// Each yields all records of a query, newest first, in one walk: it holds some
// thousand records at a time, however many there are. An error is the last pair.
// Limit has no effect. What arrives behind its back may be left out.
func (s *Store) Each(ctx context.Context, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		w, err := s.newWalk(q)
		for err == nil {
			var r *Record
			if r, _, err = w.next(ctx); err != nil {
				break
			}
			if r == nil || w.wants(*r) && !yield(*r, nil) {
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

// walk goes through the records of a window, newest first.
type walk struct {
	store  *Store
	query  Query
	oldest int64 // minute

	minute  int64 // the newest that is not read yet
	day     int64
	counts  string // of the day; "" when not read
	pending []placed
	before  *placed // only what comes before it, in time
}

type placed struct {
	record Record
	id     rawID
}

func (s *Store) newWalk(q Query) (*walk, error) {
	now := s.now()
	since, until := now.Add(-s.retention), now.Add(day)
	if q.Since.After(since) {
		since = q.Since
	}
	if !q.Until.IsZero() && q.Until.Before(until) {
		until = q.Until
	}
	q.Since, q.Until, q.Number = since, until, strings.TrimPrefix(q.Number, "+")
	w := &walk{store: s, query: q, oldest: minuteOf(since), minute: minuteOf(until), day: -1}
	if q.Cursor == "" {
		return w, nil
	}
	at, id, err := readCursor(q.Cursor)
	if err != nil {
		return nil, err
	}
	w.before = &placed{record: Record{MDR: flowroute.MDR{Timestamp: at}}, id: id}
	w.minute = min(w.minute, minuteOf(at))
	return w, nil
}

// next is the next record of the window, nil at its end.
func (w *walk) next(ctx context.Context) (*Record, rawID, error) {
	for len(w.pending) == 0 {
		if w.minute < w.oldest {
			return nil, rawID{}, nil
		}
		if err := w.fill(ctx); err != nil {
			return nil, rawID{}, err
		}
	}
	first := w.pending[0]
	w.pending = w.pending[1:]
	return &first.record, first.id, nil
}

// fill reads the next group of blocks, or finds that a day has none left.
func (w *walk) fill(ctx context.Context) error {
	var minutes []int64
	for records := 0; w.minute >= w.oldest && records < groupRecords && len(minutes) < groupMinutes; w.minute-- {
		if w.minute/minutesPerDay != w.day {
			if len(minutes) > 0 {
				break
			}
			if err := w.open(ctx, w.minute/minutesPerDay); err != nil {
				return err
			}
			if w.counts == "" { // the whole day is empty
				w.minute -= w.minute % minutesPerDay
				continue
			}
		}
		place := 4 * (w.minute % minutesPerDay)
		if place+4 > int64(len(w.counts)) {
			continue
		}
		if n := binary.BigEndian.Uint32([]byte(w.counts[place : place+4])); n > 0 {
			minutes, records = append(minutes, w.minute), records+int(n)
		}
	}
	blocks, err := w.store.load(ctx, minutes)
	if err != nil {
		return err
	}
	for i, k := range blocks {
		if err := w.add(k, minutes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) open(ctx context.Context, d int64) error {
	key, _ := w.store.dayKey(d * minutesPerDay)
	counts, err := w.store.rdb.Get(ctx, key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	w.day, w.counts = d, counts
	return nil
}

// add takes a block's records of the window, newest first.
func (w *walk) add(k block, m int64) error {
	for i := len(k.rows) - 1; i >= 0; i-- {
		r, err := unpack(k.rows[i].packed, k.rows[i].id, m)
		if err != nil {
			return fmt.Errorf("minute %d: %w", m, err)
		}
		id := k.rows[i].id
		if r.Timestamp.Before(w.query.Since) || !r.Timestamp.Before(w.query.Until) {
			continue
		}
		if w.before != nil && !sortsBefore(r.Timestamp, id, w.before.record.Timestamp, w.before.id) {
			continue
		}
		w.pending = append(w.pending, placed{r, id})
	}
	return nil
}

func (w *walk) wants(r Record) bool {
	q := w.query
	return (q.Number == "" || strings.TrimPrefix(r.From, "+") == q.Number || strings.TrimPrefix(r.To, "+") == q.Number) &&
		(q.Direction == "" || r.Direction == q.Direction) &&
		(q.Delivery == "" || r.Delivery() == q.Delivery)
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
