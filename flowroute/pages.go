package flowroute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// Page is one page of a list.
type Page[T any] struct {
	Items []T
	More  bool // rows follow, or the response leaves it open

	noLinks bool // More is a guess
}

// ErrListMoved ends a listing whose rows moved so much while it was read that
// completeness could not be had.
var ErrListMoved = errors.New("list changed while it was read")

const (
	defaultLimit     = 200 // the most that numbers, exchanges and routes allow
	defaultAreaLimit = 400 // the most that area codes allow
	maxRestarts      = 3
)

// listing describes a list that is read page by page, by its rows: the links of
// a response are not followed, since they may lead to another host, and some
// lack a part of their path.
type listing[A, T any] struct {
	op            string
	path          string
	query         url.Values
	limit, offset int
	item          func(resource[A]) (T, error)
}

// list yields the rows of l. An error is the last pair. Rows that come or go
// while the list is read may be missed or come twice.
func list[A, T any](ctx context.Context, c *Client, l listing[A, T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		var first text // id of the previous page's first row
		for offset := l.offset; ; {
			var doc listDocument[A]
			err := c.read(ctx, call{
				op:       l.op,
				endpoint: EndpointNumbers,
				method:   http.MethodGet,
				path:     l.path,
				query:    windowed(l.query, l.limit, offset),
				limit:    maxList,
				invalid:  checkWindow(l.limit, l.offset),
			}, &doc)
			if err != nil {
				yield(none, err)
				return
			}
			if len(doc.Data) > 0 && first != "" && doc.Data[0].ID == first {
				yield(none, fmt.Errorf("%s: page at offset %d repeats the one before", l.op, offset))
				return
			}
			for _, row := range doc.Data {
				item, err := l.item(row)
				if err != nil {
					yield(none, fmt.Errorf("%s: %w", l.op, err))
					return
				}
				if !yield(item, nil) {
					return
				}
			}
			if !doc.more() {
				return
			}
			first = doc.Data[0].ID
			offset += len(doc.Data)
		}
	}
}

// MDRs yields the messages of a window, newest first as far as Flowroute keeps
// to that. It reads page by page, and each page begins with the last row of the
// one before: so rows that arrive at the head meanwhile push none out of sight.
// When that row is not there, the list has changed otherwise, and reading starts
// again from q.Offset; the fourth time it ends with [ErrListMoved].
//
// A row may come more than once. A row that moves from the unread part to the
// head, as it would if Flowroute ordered by last change, can be missed: who
// concludes something from a row's absence reads twice, or all in one page.
func (c *Client) MDRs(ctx context.Context, q MDRQuery) iter.Seq2[MDR, error] {
	return func(yield func(MDR, error) bool) {
		for range 1 + maxRestarts {
			done, err := c.mdrPass(ctx, q, yield)
			if err != nil {
				yield(MDR{}, err)
				return
			}
			if done {
				return
			}
		}
		yield(MDR{}, fmt.Errorf("list MDRs: %w", ErrListMoved))
	}
}

// mdrPass reads the window once. It is done at the end of the window and when the
// caller has seen enough, and not when the overlap of two pages was lost.
func (c *Client) mdrPass(ctx context.Context, q MDRQuery, yield func(MDR, error) bool) (done bool, err error) {
	q.Limit = cmp.Or(q.Limit, defaultMDRLimit)
	page, err := c.MDRPage(ctx, q)
	if err != nil {
		return false, err
	}
	q.Limit++ // later pages have room for the row we know
	seen := map[string]bool{}
	for {
		fresh := 0
		for _, m := range page.Items {
			if seen[m.ID] {
				continue
			}
			fresh++
			if !yield(m, nil) {
				return true, nil
			}
		}
		if !page.More || fresh == 0 && page.noLinks {
			return true, nil
		}
		if fresh == 0 {
			return false, nil // more is promised, but nothing new comes
		}
		clear(seen)
		for _, m := range page.Items {
			seen[m.ID] = true
		}
		last := page.Items[len(page.Items)-1].ID
		q.Offset += len(page.Items) - 1
		if page, err = c.MDRPage(ctx, q); err != nil {
			return false, err
		}
		if !slices.ContainsFunc(page.Items, func(m MDR) bool { return m.ID == last }) {
			return false, nil
		}
	}
}

func checkWindow(limit, offset int) error {
	if limit < 0 || offset < 0 {
		return fmt.Errorf("limit %d and offset %d must not be negative", limit, offset)
	}
	return nil
}

// windowed adds limit and offset to a query.
func windowed(query url.Values, limit, offset int) url.Values {
	v := url.Values{"limit": {strconv.Itoa(limit)}, "offset": {strconv.Itoa(offset)}}
	maps.Copy(v, query)
	return v
}
