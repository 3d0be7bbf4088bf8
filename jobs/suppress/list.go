package suppress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Query selects opt-outs. The zero value selects all.
type Query struct {
	Recipient flowroute.E164 // of this one alone
	Limit     int            // of the page. Defaults to 100, at most 1000.
	Cursor    string         // Page.Next of the page before
}

// Page is a part of a listing.
type Page struct {
	Entries []Entry
	// Next continues the listing; empty at its end. A page may hold fewer entries than
	// the limit, even none, and still have a next one.
	Next string
}

const (
	defaultPage = 100
	largestPage = 1000
	// bucketSlice is how many buckets are read in one round trip.
	bucketSlice = 64
)

// List reads a page of opt-outs: those of a recipient stand together, in the order
// of our numbers, all of them first. The recipients are in no order that means
// anything, but in the same one each time: an entry that is there all the while is
// on exactly one page. Errors: [ErrBadCursor], [ErrNewerVersion], or Redis' own.
func (s *Store) List(ctx context.Context, q Query) (Page, error) {
	after, err := readCursor(q.Cursor)
	if err != nil {
		return Page{}, err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	w := walk{store: s, after: after, limit: min(limit, largestPage)}
	if q.Recipient.IsZero() {
		err = w.all(ctx)
	} else {
		err = w.one(ctx, q.Recipient)
	}
	if err != nil {
		return Page{}, fmt.Errorf("list opt-outs: %w", err)
	}
	return w.page, nil
}

// Each yields all entries of a query, reading page by page. An error is the last
// pair. Limit is the size of a page.
func (s *Store) Each(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if q.Limit == 0 {
			q.Limit = largestPage
		}
		for {
			page, err := s.List(ctx, q)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range page.Entries {
				if !yield(e, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			q.Cursor = page.Next
		}
	}
}

// walk collects a page.
type walk struct {
	store *Store
	after place // only what comes after it
	limit int
	page  Page
	seen  int // recipients
}

// place is where a listing has come to: behind the entry of a pair.
type place struct {
	recipient, from uint64 // recipient 0: the beginning
}

func placeOf(e Entry) place { return place{e.Recipient.Uint64(), e.From.Uint64()} }

// one lists the entries of a recipient.
func (w *walk) one(ctx context.Context, recipient flowroute.E164) error {
	values, err := w.store.values(ctx, 1, func(int) flowroute.E164 { return recipient })
	if err != nil {
		return err
	}
	_, err = w.take(recipient, values[0])
	return err
}

// all goes through the buckets that have anything.
func (w *walk) all(ctx context.Context) error {
	used, err := w.store.rdb.Get(ctx, w.store.key("used")).Bytes()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	first := 0
	if w.after.recipient != 0 {
		first = bucketOf(w.after.recipient)
	}
	for slice := range slices.Chunk(bucketsIn(used, first), bucketSlice) {
		full, err := w.slice(ctx, slice, first)
		if err != nil || full {
			return err
		}
	}
	return nil
}

// bucketsIn are the buckets from the first on whose bits are set.
func bucketsIn(used []byte, first int) []int {
	var list []int
	for bucket := first; bucket < 8*len(used); bucket++ {
		if used[bucket/8]&(0x80>>(bucket%8)) != 0 {
			list = append(list, bucket)
		}
	}
	return list
}

// slice takes the entries of some buckets. It reports whether the page is full.
func (w *walk) slice(ctx context.Context, some []int, first int) (full bool, err error) {
	pipe := w.store.rdb.Pipeline()
	cmds := make([]*redis.MapStringStringCmd, len(some))
	for i, bucket := range some {
		cmds[i] = pipe.HGetAll(ctx, w.store.bucketKey(bucket))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return false, err
	}
	for i, cmd := range cmds {
		recipients, err := numbersOf(cmd.Val())
		if err != nil {
			return false, err
		}
		for _, recipient := range recipients {
			if some[i] == first && recipient.Uint64() < w.after.recipient {
				continue
			}
			if full, err = w.take(recipient, cmd.Val()[recipient.Digits()]); err != nil || full {
				return full, err
			}
		}
	}
	return false, nil
}

// numbersOf are the recipients in a bucket, in order.
func numbersOf(bucket map[string]string) ([]flowroute.E164, error) {
	list := make([]flowroute.E164, 0, len(bucket))
	for digits := range maps.Keys(bucket) {
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			return nil, errCorrupt
		}
		number, err := flowroute.E164FromUint64(n)
		if err != nil {
			return nil, errCorrupt
		}
		list = append(list, number)
	}
	slices.SortFunc(list, func(a, b flowroute.E164) int { return cmp.Compare(a.Uint64(), b.Uint64()) })
	return list, nil
}

// take adds the entries of a recipient to the page. It reports whether the page is
// full, and there is more.
func (w *walk) take(recipient flowroute.E164, value string) (full bool, err error) {
	r, err := stored(recipient, value)
	if err != nil {
		return false, err
	}
	for i := range r.slots {
		slot := &r.slots[i]
		e := slot.entry(recipient)
		if !slot.blocks() || recipient.Uint64() == w.after.recipient && e.From.Uint64() <= w.after.from {
			continue
		}
		if len(w.page.Entries) == w.limit {
			w.page.Next = cursorAt(placeOf(w.page.Entries[w.limit-1]))
			return true, nil
		}
		w.page.Entries = append(w.page.Entries, e)
	}
	if w.seen++; w.seen == w.store.scanBound {
		w.page.Next = cursorAt(place{recipient.Uint64(), lastPlace})
		return true, nil
	}
	return false, nil
}

// lastPlace comes after every number.
const lastPlace = 9_999_999_999_999_999

// A cursor is the recipient and our number that the page ended with: 12065550123-0.
func cursorAt(p place) string {
	return strconv.FormatUint(p.recipient, 10) + "-" + strconv.FormatUint(p.from, 10)
}

func readCursor(text string) (place, error) {
	if text == "" {
		return place{}, nil
	}
	recipient, from, _ := strings.Cut(text, "-")
	p := place{}
	var errs [2]error
	p.recipient, errs[0] = strconv.ParseUint(recipient, 10, 64)
	p.from, errs[1] = strconv.ParseUint(from, 10, 64)
	if errs[0] != nil || errs[1] != nil || p.from > lastPlace || cursorAt(p) != text {
		return place{}, ErrBadCursor
	}
	if _, err := flowroute.E164FromUint64(p.recipient); err != nil {
		return place{}, ErrBadCursor
	}
	return p, nil
}
