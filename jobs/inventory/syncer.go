package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/internal/lease"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// SyncerOptions say how much a sync reads. The zero value is the documented
// default.
type SyncerOptions struct {
	// FirstReads is how many numbers at most are looked up in one sync because
	// their details are not known, were touched, or because the list lacks them.
	// Defaults to 2000, a quarter of an hour at two requests a second.
	FirstReads int
	// Rereads is how many other numbers' details are read again in one sync, the
	// longest unread first. Defaults to 200. Negative: none.
	Rereads int
	// RetryWait is before a request that failed is made again; doubles. Defaults to 1 s.
	RetryWait time.Duration
	// Settle is how long a number that was seen is not gone, whatever Flowroute says:
	// a purchase may show late. Defaults to 10 m.
	Settle time.Duration
	Lease  time.Duration // a sync that died keeps others out for so long. Defaults to 30 s.
	// GiveUp names errors of the client's gate after which asking again is no use,
	// such as the end of permits at a shutdown. Defaults to none.
	GiveUp func(error) bool
	Logger *slog.Logger // Defaults to none.
}

// Syncer keeps the copy in step. It is safe for concurrent use; of all processes
// one syncs at a time.
type Syncer struct {
	store *Store
	api   *flowroute.Client
	o     SyncerOptions
	log   *slog.Logger
}

// NewSyncer makes a syncer. The client's gate is what keeps it within the
// account's limit; it should be in the lane of syncs.
func NewSyncer(store *Store, api *flowroute.Client, o SyncerOptions) (*Syncer, error) {
	if store == nil || api == nil {
		return nil, errors.New("inventory: a syncer needs a store and a client")
	}
	if o.FirstReads == 0 {
		o.FirstReads = 2000
	}
	if o.Rereads == 0 {
		o.Rereads = 200
	}
	if o.RetryWait == 0 {
		o.RetryWait = time.Second
	}
	if o.Settle == 0 {
		o.Settle = 10 * time.Minute
	}
	if o.FirstReads < 0 || o.RetryWait < 0 || o.Settle < 0 || o.Lease < 0 {
		return nil, errors.New("inventory: options must not be negative")
	}
	s := &Syncer{store: store, api: api, o: o, log: o.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// Report says what a sync found.
type Report struct {
	Started      time.Time     `json:"started"`
	Numbers      int           `json:"numbers"`       // in the list
	Added        int           `json:"added"`         // numbers
	Removed      int           `json:"removed"`       // numbers
	Missing      int           `json:"missing"`       // not in the list, and not known to be gone
	AliasChanged int           `json:"alias_changed"` // of numbers
	Rerouted     int           `json:"rerouted"`      // numbers with another primary or failover route
	Routes       int           `json:"routes"`
	DetailsRead  int           `json:"details_read"`
	DetailsDue   int           `json:"details_due"` // numbers whose routes are not known, or were touched
	Duration     time.Duration `json:"duration_ns"`
	Skipped      bool          `json:"skipped,omitempty"`
	Warning      string        `json:"warning,omitempty"`
}

func readReport(b []byte) (Report, error) {
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return Report{}, fmt.Errorf("read last sync: %w", err)
	}
	return r, nil
}

// Sync brings the copy up to date. It may be stopped at any time; the next one
// starts anew. When another sync is at work it does nothing, and its report says
// so. Errors: Flowroute's, Redis', [ErrNewerVersion] or ctx's.
func (s *Syncer) Sync(ctx context.Context) (Report, error) {
	report := Report{Started: time.Now().UTC().Truncate(time.Millisecond)}
	err := lease.Hold(ctx, s.store.rdb, s.store.key("lock"), lease.Options{TTL: s.o.Lease},
		func(ctx context.Context) error { return s.sync(ctx, &report) })
	if errors.Is(err, lease.ErrHeld) {
		report.Skipped, report.Warning, err = true, "another sync is running", nil
	}
	report.Duration = time.Since(report.Started)
	if err != nil {
		return report, fmt.Errorf("sync numbers: %w", err)
	}
	s.log.InfoContext(ctx, "numbers are in step", slog.Int("numbers", report.Numbers), slog.Int("added", report.Added), slog.Int("removed", report.Removed),
		slog.Int("rerouted", report.Rerouted), slog.Int("details_read", report.DetailsRead), slog.Bool("skipped", report.Skipped),
		slog.Int64("duration_ms", report.Duration.Milliseconds()))
	return report, nil
}

// Handle does a sync-numbers job and returns its report as JSON, on an error too.
// A run that found another one at work is done, with "skipped" and "warning" in
// its report. Errors: those of [Syncer.Sync]; [ledger.ErrNewerVersion].
func (s *Syncer) Handle(ctx context.Context, job ledger.Job) ([]byte, error) {
	var payload struct {
		Version int `json:"v"`
	}
	if json.Unmarshal(job.Payload, &payload) == nil && payload.Version > 1 {
		return nil, ledger.ErrNewerVersion
	}
	report, err := s.Sync(ctx)
	result, jsonErr := json.Marshal(report)
	if err == nil {
		err = jsonErr
	}
	return result, err
}

// run is one sync.
type run struct {
	*Syncer
	report  *Report
	began   time.Time // on Redis' clock
	listing string    // its number
	first   bool      // no listing was complete before: what is there is no news
	budget  int       // of first reads and look-ups of missing numbers
}

func (s *Syncer) sync(ctx context.Context, report *Report) error {
	r := run{Syncer: s, report: report, budget: s.o.FirstReads}
	var err error
	if r.began, err = s.store.clock(ctx); err != nil {
		return err
	}
	key := s.store.key("sync")
	pipe := s.store.rdb.Pipeline()
	listing, complete := pipe.HIncrBy(ctx, key, "listing", 1), pipe.HExists(ctx, key, "complete")
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("begin listing: %w", err)
	}
	r.listing, r.first = strconv.FormatInt(listing.Val(), 10), !complete.Val()
	for _, step := range []func(context.Context) error{r.listNumbers, r.listRoutes, r.complete, r.lookForMissing, r.readDetails} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	due, err := s.store.rdb.ZCount(ctx, s.store.key("due"), "0", "0").Result()
	if err != nil {
		return fmt.Errorf("count due numbers: %w", err)
	}
	report.DetailsDue, report.Duration = int(due), time.Since(report.Started)
	stored, err := json.Marshal(report)
	if err != nil {
		return err
	}
	if err := s.store.rdb.HSet(ctx, key, "last", stored).Err(); err != nil {
		return fmt.Errorf("write last sync: %w", err)
	}
	return nil
}

func (r *run) complete(ctx context.Context) error {
	if err := r.store.rdb.HSet(ctx, r.store.key("sync"), "complete", r.listing).Err(); err != nil {
		return fmt.Errorf("end listing: %w", err)
	}
	return nil
}

const maxAsks = 4

// ask makes a request, again when its failure may pass: reading changes nothing.
// progress tells that the last failure is over.
func (s *Syncer) ask(ctx context.Context, request func() (progress bool, err error)) error {
	wait := s.o.RetryWait
	for asked := 1; ; asked++ {
		progress, err := request()
		if err == nil {
			return nil
		}
		if progress {
			asked, wait = 1, s.o.RetryWait
		}
		if asked >= maxAsks || !s.passing(ctx, err) {
			return err
		}
		if api, ok := errors.AsType[*flowroute.APIError](err); ok && api.RetryAfter > wait {
			if wait = api.RetryAfter; wait > time.Minute {
				return err
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		wait *= 2
	}
}

// passing reports whether an error may be gone in a moment. What the API says about
// the request itself or about our credentials stays.
func (s *Syncer) passing(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, flowroute.ErrInvalid) || s.o.GiveUp != nil && s.o.GiveUp(err) {
		return false
	}
	if _, ours := errors.AsType[*storeError](err); ours {
		return false
	}
	api, ok := errors.AsType[*flowroute.APIError](err)
	return !ok || api.Status >= http.StatusInternalServerError || api.Status == http.StatusTooManyRequests || api.Status == http.StatusRequestTimeout
}

// storeError is an error of our own store in the middle of a listing.
type storeError struct{ error }

func (e *storeError) Unwrap() error { return e.error }
