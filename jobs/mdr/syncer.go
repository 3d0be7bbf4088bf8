package mdr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/internal/lease"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// SyncerOptions say how much is read again. The zero value is the documented
// default.
type SyncerOptions struct {
	Overlap    time.Duration // a window is read at each sync until so long after its end. Defaults to 5 m.
	Late       time.Duration // after so long no row comes late any more. Defaults to 6 h.
	OpenFor    time.Duration // after so long a message without an end stays so. Defaults to 72 h.
	FirstReach time.Duration // how far back the first sync goes. Defaults to the store's retention.
	Slice      time.Duration // a sync that takes longer leaves the rest to the next one. Defaults to 20 m.
	PageSize   int           // rows asked for at once; a page is what is held in memory. Defaults to 1000.
	RetryWait  time.Duration // before a page that failed is asked for again; doubles. Defaults to 1 s.
	Lease      time.Duration // a sync that died keeps others out for so long. Defaults to 30 s.
	// GiveUp names errors of the client's gate after which asking again is no use,
	// such as the end of permits at a shutdown. Defaults to none.
	GiveUp func(error) bool
	// Inbound is given the records that are read, page by page, some of them again and
	// again: for what recipients' own words ask for. After an error the page is not read.
	// Defaults to none.
	Inbound func(ctx context.Context, records []flowroute.MDR) error
	Logger  *slog.Logger // Defaults to none.
}

// Refiner learns how messages ended, and says of which it does not know whether they were
// accepted; [ledger.Ledger] is one.
type Refiner interface {
	Refine(ctx context.Context, receipts []ledger.Receipt) ([]ledger.Refined, error)
	Unresolved(ctx context.Context, limit int64) ([]ledger.Job, error)
	Counts(ctx context.Context) (map[ledger.Type]map[ledger.State]int64, error)
}

// Syncer keeps the copy in step. It is safe for concurrent use; of all processes
// one syncs at a time.
type Syncer struct {
	store   *Store
	api     *flowroute.Client
	refiner Refiner
	o       SyncerOptions
	rules   rules
	log     *slog.Logger
	trimmed atomic.Bool // nothing is left of what an earlier, longer retention kept
}

// NewSyncer makes a syncer. The client's gate is what keeps it within the
// account's limit; it should be in the lane of syncs.
func NewSyncer(store *Store, api *flowroute.Client, refiner Refiner, o SyncerOptions) (*Syncer, error) {
	if store == nil || api == nil || refiner == nil {
		return nil, errors.New("mdr: a syncer needs a store, a client and a ledger")
	}
	for _, d := range []struct {
		value *time.Duration
		std   time.Duration
	}{
		{&o.Overlap, 5 * time.Minute}, {&o.Late, 6 * time.Hour}, {&o.OpenFor, 72 * time.Hour},
		{&o.FirstReach, store.retention}, {&o.Slice, 20 * time.Minute}, {&o.RetryWait, time.Second}, {&o.Lease, 30 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.std
		}
		if *d.value < 0 {
			return nil, errors.New("mdr: options must not be negative")
		}
	}
	if o.PageSize == 0 {
		o.PageSize = 1000
	}
	if o.PageSize < 2 {
		return nil, fmt.Errorf("mdr: page size %d: at least 2", o.PageSize)
	}
	s := &Syncer{store: store, api: api, refiner: refiner, o: o, log: o.Logger}
	s.rules = rules{overlap: o.Overlap, late: o.Late, openFor: max(o.OpenFor, o.Late), retention: store.retention}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// SyncRequest asks for a sync.
type SyncRequest struct {
	// Since makes it read everything from then on, whatever was read before. Zero:
	// what is due.
	Since time.Time
	// Name makes a request that is repeated go on where it was; Since counts once.
	Name string
}

// Report says what a sync did.
type Report struct {
	Started     time.Time     `json:"started"`
	From        time.Time     `json:"from,omitzero"` // the windows read lie between From and To
	To          time.Time     `json:"to,omitzero"`
	Windows     int           `json:"windows"`
	Read        int           `json:"read"` // rows
	New         int           `json:"new"`
	Changed     int           `json:"changed"`
	Expired     int           `json:"expired,omitempty"` // older than the retention: not kept
	Pages       int           `json:"pages"`
	Requests    int           `json:"requests"` // pages, and failed tries to read one
	JobsRefined int           `json:"jobs_refined"`
	Duration    time.Duration `json:"duration_ns"`
	First       time.Time     `json:"first,omitzero"`    // [Coverage.First] afterwards
	Through     time.Time     `json:"through,omitzero"`  // [Coverage.Through] afterwards
	Complete    time.Time     `json:"complete,omitzero"` // [Coverage.Complete] afterwards
	// Left is how many windows of 15 minutes were never read, for the next sync to go on
	// with; Goal is how far back they lie, and Remaining how long they may take.
	Left      int           `json:"windows_left,omitempty"`
	Goal      time.Time     `json:"goal,omitzero"`
	Remaining time.Duration `json:"remaining_ns,omitempty"`
	Skipped   bool          `json:"skipped,omitempty"`
	Warning   string        `json:"warning,omitempty"`
}

// Sync reads what is due. It may be stopped at any time: what was read wholly
// counts, and the next sync goes on. One that finds very much to read, such as the first
// one, leaves some of it to the next: Left in its report is then not 0.
//
// When another sync is at work, one without Since does nothing and says so in its
// report: the other one reads what is due, and the next tick is near. One with
// Since waits for its turn.
//
// Errors: Flowroute's, Redis', [ErrListMoved], [ErrNewerVersion] or ctx's. The
// report says what was done until then.
func (s *Syncer) Sync(ctx context.Context, r SyncRequest) (Report, error) {
	report := Report{Started: s.now()}
	err := lease.Hold(ctx, s.store.rdb, s.store.key("lock"), lease.Options{TTL: s.o.Lease, Wait: !r.Since.IsZero()},
		func(ctx context.Context) error { return s.sync(ctx, r, &report) })
	if errors.Is(err, lease.ErrHeld) {
		report.Skipped, report.Warning, err = true, "another sync is running", nil
	}
	report.Duration = s.now().Sub(report.Started)
	if err != nil {
		return report, fmt.Errorf("sync records: %w", err)
	}
	s.log.InfoContext(ctx, "records are in step", slog.Int("read", report.Read), slog.Int("new", report.New), slog.Int("changed", report.Changed),
		slog.Int("requests", report.Requests), slog.Int("jobs_refined", report.JobsRefined), slog.Bool("skipped", report.Skipped),
		slog.Int64("duration_ms", report.Duration.Milliseconds()))
	return report, nil
}

// now is the clock, in the precision in which it is stored.
func (s *Syncer) now() time.Time { return s.store.now().UTC().Truncate(time.Millisecond) }

func (s *Syncer) sync(ctx context.Context, r SyncRequest, report *Report) error {
	c, err := s.begin(ctx, r, report.Started)
	if err != nil {
		return err
	}
	rules := s.rules
	if rules.unknown, err = s.unknown(ctx); err != nil {
		return err
	}
	ours, err := s.oursSince(ctx, report.Started)
	if err != nil {
		return err
	}
	before, fresh := span{from: -1, to: -1}, 0
	for longest := firstSpan; s.now().Sub(report.Started) < s.o.Slice; {
		now := s.now()
		next, ok := rules.next(c, now, report.Started, longest, before)
		if !ok {
			break
		}
		missing := rules.left(c, now)
		read, err := s.read(ctx, rules, &c, next, now, ours, report)
		if errors.Is(err, ErrListMoved) && next.length() > 1 {
			longest = next.length() / 2 // fewer pages, less time for rows to move
			continue
		}
		if err != nil {
			return err
		}
		longest = adapt(longest, next, read)
		before = next
		fresh += max(0, missing-rules.left(c, now))
		s.progress(rules, c, fresh, report)
		if err := s.store.keepReport(ctx, *report, false); err != nil {
			return err
		}
	}
	s.progress(rules, c, fresh, report)
	if err := s.tidy(ctx); err != nil {
		return err
	}
	report.Duration = s.now().Sub(report.Started)
	return s.store.keepReport(ctx, *report, true)
}

// tidy does a bounded part of what an earlier version or configuration left to do.
func (s *Syncer) tidy(ctx context.Context) error {
	if err := s.store.indexOlder(ctx); err != nil {
		return fmt.Errorf("index older records: %w", err)
	}
	if s.trimmed.Load() {
		return nil
	}
	more, err := s.store.trim(ctx)
	if err != nil {
		return fmt.Errorf("remove records that are over the retention: %w", err)
	}
	s.trimmed.Store(!more)
	return nil
}

// progress notes how far the copy reaches, and how long the rest may take when fresh
// windows were read for the first time by now.
func (s *Syncer) progress(rules rules, c coverage, fresh int, report *Report) {
	now := s.now()
	report.Duration = now.Sub(report.Started)
	report.First, report.Through, report.Complete = max(c.back, rules.goal(c, now)).start(), rules.through(c, now), rules.complete(c, now)
	report.Left, report.Goal, report.Remaining = rules.left(c, now), time.Time{}, 0
	if report.Left == 0 {
		return
	}
	report.Goal = rules.goal(c, now).start()
	if fresh > 0 {
		report.Remaining = time.Duration(float64(report.Duration) / float64(fresh) * float64(report.Left)).Round(time.Second)
	}
}

// oursSince is the time before which no message can be a job's: when a sync found that
// there was none yet. Much of what a first sync reads is older, and to ask for each record
// takes as long as to store it.
func (s *Syncer) oursSince(ctx context.Context, now time.Time) (time.Time, error) {
	counts, err := s.refiner.Counts(ctx)
	if err != nil {
		return time.Time{}, err
	}
	key := s.store.key("sync")
	if len(counts[ledger.SendMessage]) == 0 {
		if err := s.store.rdb.HSet(ctx, key, "jobless", now.UnixMilli()).Err(); err != nil {
			return time.Time{}, err
		}
		return now.Add(-rememberedFor), nil
	}
	ms, err := s.store.rdb.HGet(ctx, key, "jobless").Int64()
	if errors.Is(err, redis.Nil) {
		return time.Time{}, nil
	}
	return time.UnixMilli(ms).Add(-rememberedFor), err
}

const (
	mostUnknown = 1000
	// How far Flowroute's time of a message may be from ours.
	clockSkew = 2 * time.Minute
	// How old a post may be that a worker remembers when Redis has forgotten its job.
	rememberedFor = time.Hour
)

// unknown are the windows in which messages were posted whose outcome nobody knows.
func (s *Syncer) unknown(ctx context.Context) (map[window]bool, error) {
	jobs, err := s.refiner.Unresolved(ctx, mostUnknown)
	if err != nil {
		return nil, err
	}
	windows := map[window]bool{}
	for _, job := range jobs {
		for _, change := range job.History {
			if change.State == ledger.Sending {
				windows[windowOf(change.At.Add(-clockSkew))], windows[windowOf(change.At.Add(clockSkew))] = true, true
			}
		}
	}
	return windows, nil
}

// begin reads how far the copy reaches, and sets how far it is to.
func (s *Syncer) begin(ctx context.Context, r SyncRequest, now time.Time) (coverage, error) {
	if err := s.store.prepare(ctx); err != nil {
		return coverage{}, err
	}
	c, err := s.store.coverage(ctx)
	if err != nil || c.known && r.Since.IsZero() {
		return c, err
	}
	since := r.Since
	if since.IsZero() {
		since = now.Add(-s.o.FirstReach)
	}
	since = maxTime(minTime(since, now), now.Add(-s.store.retention))
	// A repeated command finds that it was done, and answers the same as one that
	// was outrun; in both cases what Redis has now is what counts.
	if err := s.store.reach(ctx, c, windowOf(since), windowOf(now)+1, r.Name); err != nil && !errors.Is(err, errOutrun) {
		return c, err
	}
	return s.store.coverage(ctx)
}

const firstSpan = 4

// adapt makes spans longer where there is little and shorter where there is much:
// a span is what is read again when something fails.
func adapt(longest int, read span, p pass) int {
	switch {
	case p.pages > 32:
		return max(1, read.length()/2)
	case p.pages == 1 && read.length() == longest:
		return min(2*longest, longestSpan)
	}
	return longest
}

// read reads a span, stores it, and notes that it was read.
func (s *Syncer) read(ctx context.Context, rules rules, c *coverage, next span, now, ours time.Time, report *Report) (pass, error) {
	open := map[window]bool{}
	keep := func(ctx context.Context, page []flowroute.MDR) error {
		put, err := s.store.put(ctx, page, func(ctx context.Context, ended []*Record) error {
			return s.settle(ctx, ended, ours, report)
		})
		report.New, report.Changed, report.Expired = report.New+put.New, report.Changed+put.Changed, report.Expired+put.Expired
		for _, m := range page {
			if (Record{MDR: m}).Open() {
				open[windowOf(m.Timestamp)] = true
			}
		}
		if err == nil && s.o.Inbound != nil {
			err = s.o.Inbound(ctx, page)
		}
		return err
	}
	from := reader{api: s.api, pageSize: s.o.PageSize, retry: s.o.RetryWait, giveUp: s.o.GiveUp, report: report, now: s.now}
	p, err := from.read(ctx, next, rules.last(next.from, now), keep)
	if err != nil {
		return p, err
	}
	for w := next.from; w <= next.to; w++ {
		c.windows[w] = windowState{read: p.began, open: open[w]}
	}
	if next.from < c.back {
		c.back = next.from
		if next.to >= rules.settled(now) {
			c.closed = next.from
		}
	}
	if err := s.store.read(ctx, c, rules.late, next, rules.close(*c, now)); err != nil {
		return p, err
	}
	report.Read, report.Windows = report.Read+p.rows, report.Windows+next.length()
	if start := next.from.start(); report.From.IsZero() || start.Before(report.From) {
		report.From = start
	}
	report.To = maxTime(report.To, minTime(next.to.end(), p.began))
	return p, nil
}

const refineAtOnce = 250

// settle tells the ledger how messages ended that may be of its jobs.
func (s *Syncer) settle(ctx context.Context, ended []*Record, ours time.Time, report *Report) error {
	ended = slices.DeleteFunc(ended, func(r *Record) bool { return r.Timestamp.Before(ours) })
	for ; len(ended) > 0; ended = ended[min(refineAtOnce, len(ended)):] {
		part := ended[:min(refineAtOnce, len(ended))]
		receipts := make([]ledger.Receipt, len(part))
		for i, r := range part {
			receipts[i] = ledger.Receipt{MDR: r.ID, Delivered: r.Delivery() == flowroute.DeliveryDelivered, Cost: flowroute.Money(r.AmountNanodollars)}
		}
		refined, err := s.refiner.Refine(ctx, receipts)
		if err != nil {
			return err
		}
		for i, answer := range refined {
			// A job whose attempt is open takes no receipt yet; it is offered again
			// when the record is read again.
			part[i].Matched = answer.State == ledger.Delivered || answer.State == ledger.Undelivered
			if answer.Changed {
				report.JobsRefined++
			}
		}
	}
	return nil
}
