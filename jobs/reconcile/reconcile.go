package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

// Options of a reconciler. The zero value is the documented default.
type Options struct {
	Prefix string // Defaults to [ledger.DefaultPrefix].
	// Retention is how long reports stay. Defaults to 2160 h.
	Retention time.Duration
	// Settle is how long after it was posted a message may be without a record, beside
	// what the copy says of itself. Defaults to 2 min.
	Settle time.Duration
	// SegmentPrice is what is expected; it is shown beside what was charged. Defaults to
	// $0.004.
	SegmentPrice flowroute.Money
	// Held is how many records are held at a time, about 50 bytes each. Defaults to 500,000.
	Held int
	// Now is the clock. Defaults to [time.Now].
	Now    func() time.Time
	Logger *slog.Logger // Defaults to none.
}

// Reconciler compares. It is safe for concurrent use.
type Reconciler struct {
	rdb     redis.UniversalClient
	ledger  *ledger.Ledger
	records *mdr.Store
	o       Options
}

// New makes a reconciler on rdb, which stays the caller's to close.
func New(rdb redis.UniversalClient, l *ledger.Ledger, records *mdr.Store, o Options) (*Reconciler, error) {
	if rdb == nil || l == nil || records == nil {
		return nil, errors.New("reconcile: needs redis, a ledger and a copy of the records")
	}
	if o.Prefix == "" {
		o.Prefix = ledger.DefaultPrefix
	}
	if open := strings.IndexByte(o.Prefix, '{'); open < 0 || strings.IndexByte(o.Prefix[open:], '}') < 2 {
		return nil, fmt.Errorf("reconcile: prefix %q needs a hash tag like {flowroute}", o.Prefix)
	}
	if o.Retention == 0 {
		o.Retention = 2160 * time.Hour
	}
	if o.Settle == 0 {
		o.Settle = 2 * time.Minute
	}
	if o.SegmentPrice == 0 {
		o.SegmentPrice = 4_000_000
	}
	if o.Held == 0 {
		o.Held = 500_000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Retention < 0 || o.Settle < 0 || o.SegmentPrice < 0 || o.Held < 0 {
		return nil, errors.New("reconcile: options must not be negative")
	}
	return &Reconciler{rdb: rdb, ledger: l, records: records, o: o}, nil
}

// skew is how far Flowroute's clock and ours may be apart.
const skew = 10 * time.Minute

// LastDay is the last day (UTC) for which the copy is complete; without one it is
// yesterday. Errors: Redis' own.
func (r *Reconciler) LastDay(ctx context.Context) (Window, error) {
	c, err := r.records.Coverage(ctx)
	if err != nil {
		return Window{}, err
	}
	until := r.o.Now().UTC().Truncate(day)
	if last := c.Complete.UTC().Add(-skew).Truncate(day); last.Before(until) && last.After(c.First) {
		until = last
	}
	return Window{Since: until.Add(-day), Until: until}, nil
}

// Request asks for a reconciliation.
type Request struct {
	Window Window
	// Classes and Each: what each item of these classes is given to, part by part of the
	// window, the latest first; within one the messages without a record first, in no
	// order, then the records, newest first. It slows the run down. Nil: no list.
	Classes []Class
	Each    func(Item) error
}

// Run compares a window and keeps the report. It may be stopped at any time. Errors: the
// window is none, Redis' own, [mdr.ErrNewerVersion], [ledger.ErrNewerVersion], Each's or
// ctx's; then no report is kept.
func (r *Reconciler) Run(ctx context.Context, q Request) (Report, error) {
	w := Window{Since: q.Window.Since.UTC(), Until: q.Window.Until.UTC()}
	if !w.Since.Before(w.Until) {
		return Report{}, errors.New("reconcile: the window ends before it begins")
	}
	coverage, err := r.records.Coverage(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("reconcile: %w", err)
	}
	began := r.o.Now()
	n := &run{r: r, q: q, window: w, coverage: Coverage(coverage), now: began, claims: r.ledger.ClaimsSince(began),
		texts: map[recordKey]string{}, prices: map[priceKey]int64{}, missing: map[ledger.ID]bool{}, totals: newTotals()}
	for until := w.Until; until.After(w.Since); until = n.from {
		if err := n.part(ctx, until); err != nil {
			return Report{}, fmt.Errorf("reconcile: %w", err)
		}
	}
	report := n.report()
	report.Took = r.o.Now().Sub(began)
	if err := r.keep(ctx, &report); err != nil {
		return Report{}, fmt.Errorf("reconcile: %w", err)
	}
	return report, nil
}
