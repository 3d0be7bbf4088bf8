package mdr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Flowroute pages by offset over a list that grows, whose rows may move, and in
// which rows of the same time may change places from one request to the next. So
// each page begins with rows of the page before: those of the last time, of which
// the next page may have more, and all of the time before it, where the page
// begins. They tell what happened in between:
//
//   - the rows of the time before come first: nothing;
//   - other rows come before them: rows came in above. Perhaps one of ours moved up
//     there, to where this reading was already; so it is not steady;
//   - one is missing: rows went, or moved. Read again from the start.
//
// One page is one state of the list and always steady.

// ErrListMoved: the list changed so much while it was read that completeness could
// not be had; the next sync tries again.
var ErrListMoved = errors.New("the list of message detail records changed while it was read")

// reader reads spans of time from Flowroute.
type reader struct {
	api      *flowroute.Client
	pageSize int
	retry    time.Duration
	report   *Report
	now      func() time.Time
}

const (
	maxPasses = 5
	maxAsks   = 4
	// Who is told to wait longer gives up; the next sync goes on.
	longestWait = time.Minute
	// Timestamps are truncated or rounded to 10 ms, and whether the end is inclusive
	// is not documented.
	margin = time.Second
)

// pass is one reading of a span.
type pass struct {
	began  time.Time
	pages  int
	rows   int
	steady bool
}

// read reads a span of windows and hands each page to keep, which must bear to see
// rows more than once. With exact, a reading counts only when it was steady.
func (r reader) read(ctx context.Context, s span, exact bool, keep func(context.Context, []flowroute.MDR) error) (pass, error) {
	for range maxPasses {
		p, moved, err := r.pass(ctx, s, keep)
		if err != nil {
			return p, err
		}
		if !moved && (p.steady || !exact) {
			return p, nil
		}
	}
	return pass{}, fmt.Errorf("read %s to %s: %w", s.from.start().Format(time.RFC3339), s.to.end().Format(time.RFC3339), ErrListMoved)
}

func (r reader) pass(ctx context.Context, s span, keep func(context.Context, []flowroute.MDR) error) (p pass, moved bool, err error) {
	p = pass{began: r.now(), steady: true}
	q := flowroute.MDRQuery{Start: s.from.start().Add(-margin), End: s.to.end().Add(margin), Limit: r.pageSize}
	if q.End.After(p.began) {
		q.End = p.began // fixed, so that what arrives now shifts no page
	}
	var known seam
	for {
		page, err := r.page(ctx, q)
		if err != nil {
			return p, false, err
		}
		p.pages++
		held, steady := known.within(page.Items)
		if !held {
			return p, true, nil
		}
		p.steady = p.steady && steady
		if err := keep(ctx, page.Items); err != nil {
			return p, false, err
		}
		fresh := len(page.Items) - known.length()
		p.rows += fresh
		if !page.More || len(page.Items) == 0 {
			return p, false, nil
		}
		if known.length() > 0 && fresh <= 0 {
			return p, false, fmt.Errorf("page of %d rows at offset %d brings nothing new", len(page.Items), q.Offset)
		}
		known = seamOf(page.Items)
		p.steady = p.steady && !known.torn
		q.Offset += len(page.Items) - known.length()
		q.Limit = r.pageSize + known.length()
	}
}

// seam is the rows at the end of a page that the next one must hold again.
type seam struct {
	first []string // ids of the rows that it must begin with, in any order
	last  []string // ids of the rows of the page's last time
	// torn: the rows are too many to be read again, and their order cannot be
	// relied on.
	torn bool
}

func (k seam) length() int { return len(k.first) + len(k.last) }

func seamOf(items []flowroute.MDR) seam {
	var k seam
	i, most := len(items)-1, max(1, len(items)/2)
	take := func() (ids []string) {
		for at := items[i].Timestamp; i >= 0 && items[i].Timestamp.Equal(at); i-- {
			if k.length()+len(ids) == most {
				k.torn = true
				return ids
			}
			ids = append(ids, items[i].ID)
		}
		return ids
	}
	k.last = take()
	if i >= 0 && !k.torn && k.length() < most {
		k.first = take()
	}
	if len(k.first) == 0 {
		k.torn = true
	}
	return k
}

// within looks for the seam in the next page. steady: nothing came before it.
func (k seam) within(items []flowroute.MDR) (held, steady bool) {
	missing := make(map[string]bool, k.length())
	for _, id := range k.last {
		missing[id] = true
	}
	for _, id := range k.first {
		missing[id] = true
	}
	for i, m := range items {
		delete(missing, m.ID)
		if i+1 == len(k.first) {
			steady = len(missing) <= len(k.last) && !anyOf(k.first, missing)
		}
	}
	return len(missing) == 0, steady || k.length() == 0
}

func anyOf(ids []string, set map[string]bool) bool {
	return slices.ContainsFunc(ids, func(id string) bool { return set[id] })
}

// page asks for one page, again when the answer was none: reading changes nothing.
func (r reader) page(ctx context.Context, q flowroute.MDRQuery) (flowroute.Page[flowroute.MDR], error) {
	wait := r.retry
	for asked := 1; ; asked++ {
		r.report.Requests++
		page, err := r.api.MDRPage(ctx, q)
		if err == nil {
			r.report.Pages++
			return page, nil
		}
		if asked == maxAsks || ctx.Err() != nil || !passing(err) {
			return page, err
		}
		if api, ok := errors.AsType[*flowroute.APIError](err); ok && api.RetryAfter > wait {
			if wait = api.RetryAfter; wait > longestWait {
				return page, err
			}
		}
		if sleep(ctx, wait) != nil {
			return page, err
		}
		wait *= 2
	}
}

// passing reports whether an error may be gone in a moment: the server's, the
// network's, a page that is no JSON. What the API says about the request itself or
// about our credentials stays, and so does the end of the permits at a shutdown.
func passing(err error) bool {
	if api, ok := errors.AsType[*flowroute.APIError](err); ok {
		return api.Status >= http.StatusInternalServerError || api.Status == http.StatusTooManyRequests || api.Status == http.StatusRequestTimeout
	}
	_, network := errors.AsType[net.Error](err)
	_, garbage := errors.AsType[*json.SyntaxError](err)
	return network || garbage || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
