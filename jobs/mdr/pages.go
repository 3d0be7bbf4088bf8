package mdr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Flowroute pages by offset over a list that grows, whose rows may move, and in
// which rows of the same time may change places from one request to the next. So
// each page begins with rows of the page before: those of its last time and of the
// time before. They tell what happened in between:
//
//   - they come first: nothing;
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
	giveUp   func(error) bool
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

// pass reads the pages one after the other, and each while the one before is stored.
func (r reader) pass(ctx context.Context, s span, keep func(context.Context, []flowroute.MDR) error) (p pass, moved bool, err error) {
	p = pass{began: r.now(), steady: true}
	q := flowroute.MDRQuery{Start: s.from.start().Add(-margin), End: s.to.end().Add(margin), Limit: r.pageSize}
	if q.End.After(p.began) {
		q.End = p.began // fixed, so that what arrives now shifts no page
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stored := func() error { return nil }
	// Nothing is left running, and why a page could not be stored matters more than
	// that reading was stopped because of it.
	defer func() {
		if keepErr := stored(); keepErr != nil {
			err = keepErr
		}
	}()
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
		if err := stored(); err != nil {
			return p, false, err
		}
		stored = r.store(ctx, stop, page.Items, keep)
		fresh := len(page.Items) - known.length()
		p.rows += fresh
		if !page.More || len(page.Items) == 0 {
			return p, false, nil
		}
		if known.length() > 0 && fresh <= 0 {
			return p, false, fmt.Errorf("page of %d rows at offset %d brings nothing new", len(page.Items), q.Offset)
		}
		if known = seamOf(page.Items); known.torn {
			r.report.Warning = "records of one moment fill a page of the list: whether all of them were read cannot be checked"
		}
		q.Offset += len(page.Items) - known.length()
		q.Limit = r.pageSize + known.length()
	}
}

// store begins to store a page. The function waits for the end of that, and may be called
// again. What cannot be stored stops the reading.
func (r reader) store(ctx context.Context, stop func(), items []flowroute.MDR, keep func(context.Context, []flowroute.MDR) error) func() error {
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		if err = keep(ctx, items); err != nil {
			stop()
		}
	}()
	return func() error {
		<-done
		return err
	}
}

// seam is the rows at the end of a page that the next one must hold again. All of
// one moment are in it or none: so it begins where no change of places reaches.
type seam struct {
	first []string // ids of the rows that it must begin with, in any order
	then  []string // ids of the rows that it must hold besides
	// torn: rows of one moment fill the page. Their order cannot be relied on, and
	// not all of them can be read again.
	torn bool
}

func (k seam) length() int { return len(k.first) + len(k.then) }

func seamOf(items []flowroute.MDR) seam {
	i := len(items) - 1
	moment := func() (ids []string) {
		for at := items[max(i, 0)].Timestamp; i >= 0 && items[i].Timestamp.Equal(at); i-- {
			ids = append(ids, items[i].ID)
		}
		return ids
	}
	last := moment()
	if i < 0 {
		return seam{first: last[:max(1, len(items)/2)], torn: true}
	}
	before := moment()
	if i < 0 { // not the whole page again
		return seam{first: last}
	}
	return seam{first: before, then: last}
}

// within looks for the seam in the next page. steady: nothing came before it.
func (k seam) within(items []flowroute.MDR) (held, steady bool) {
	missing := make(map[string]bool, k.length())
	for _, id := range slices.Concat(k.first, k.then) {
		missing[id] = true
	}
	steady = true
	for i, m := range items {
		if i < len(k.first) && !slices.Contains(k.first, m.ID) {
			steady = false
		}
		delete(missing, m.ID)
	}
	return len(missing) == 0, steady || k.torn
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
		if asked == maxAsks || !r.passing(ctx, err) {
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

// passing reports whether an error may be gone in a moment. What the API says about
// the request itself or about our credentials stays.
func (r reader) passing(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, flowroute.ErrInvalid) || r.giveUp != nil && r.giveUp(err) {
		return false
	}
	api, ok := errors.AsType[*flowroute.APIError](err)
	return !ok || api.Status >= http.StatusInternalServerError || api.Status == http.StatusTooManyRequests || api.Status == http.StatusRequestTimeout
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
