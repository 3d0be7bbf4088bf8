package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/internal/lease"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// SyncerOptions of a syncer. The zero value is the documented default.
type SyncerOptions struct {
	// Rereads is how many numbers whose routes are known are read again in one
	// sync, the oldest reading first. Defaults to 60.
	Rereads int
	// FirstReads is how many numbers that are new or touched are read in one sync.
	// Defaults to 500.
	FirstReads int
	Logger     *slog.Logger // Defaults to none.
}

// Syncer brings the copy in step with the account.
type Syncer struct {
	store *Store
	api   *flowroute.Client
	o     SyncerOptions
}

// NewSyncer makes a syncer. The client's gate has to limit its requests.
func NewSyncer(store *Store, api *flowroute.Client, o SyncerOptions) (*Syncer, error) {
	if store == nil || api == nil {
		return nil, errors.New("inventory: a syncer needs a store and a client")
	}
	if o.Rereads < 0 || o.FirstReads < 0 {
		return nil, errors.New("inventory: options must not be negative")
	}
	if o.Rereads == 0 {
		o.Rereads = 60
	}
	if o.FirstReads == 0 {
		o.FirstReads = 500
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Syncer{store: store, api: api, o: o}, nil
}

// Report is what a sync saw.
type Report struct {
	Started      time.Time     `json:"started"`
	Numbers      int           `json:"numbers"` // on the account
	Added        int           `json:"added"`
	Removed      int           `json:"removed"`
	AliasChanged int           `json:"alias_changed"`
	Rerouted     int           `json:"rerouted"`
	Routes       int           `json:"routes"`
	DetailsRead  int           `json:"details_read"`
	DetailsDue   int           `json:"details_due"` // new or touched numbers left for the next sync
	Duration     time.Duration `json:"duration_ns"`
	Skipped      bool          `json:"skipped,omitempty"` // another sync was running
	Warning      string        `json:"warning,omitempty"`
}

// LastSync is the report of the last sync that ended well; the zero report before
// the first one.
func (s *Store) LastSync(ctx context.Context) (Report, error) {
	var r Report
	text, err := s.rdb.Get(ctx, s.key("report")).Bytes()
	if errors.Is(err, redis.Nil) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("read last sync of numbers: %w", err)
	}
	return r, json.Unmarshal(text, &r)
}

// Handle does a sync-numbers job and returns its report as JSON.
func (s *Syncer) Handle(ctx context.Context, _ ledger.Job) ([]byte, error) {
	report, err := s.Sync(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(report)
}

// Sync reads the account once. Of two at once, one does nothing and says so in its
// report. Errors: the API's, Redis', or ctx's; what was read until then is kept.
func (s *Syncer) Sync(ctx context.Context) (Report, error) {
	report := Report{Started: time.Now().UTC()}
	err := lease.Hold(ctx, s.store.rdb, s.store.key("lock"), lease.Options{}, func(ctx context.Context) error {
		return s.run(ctx, &report)
	})
	report.Duration = time.Since(report.Started)
	if errors.Is(err, lease.ErrHeld) {
		report.Skipped, report.Warning = true, "another sync of the numbers is running"
		return report, nil
	}
	if err != nil {
		return report, fmt.Errorf("sync numbers: %w", err)
	}
	text, err := json.Marshal(report)
	if err != nil {
		return report, err
	}
	if err := s.store.rdb.Set(ctx, s.store.key("report"), text, 0).Err(); err != nil {
		return report, fmt.Errorf("sync numbers: keep report: %w", err)
	}
	return report, nil
}

func (s *Syncer) run(ctx context.Context, report *Report) error {
	if err := s.syncRoutes(ctx, report); err != nil {
		return err
	}
	listed, err := s.list(ctx, report)
	if err != nil {
		return err
	}
	if err := s.missing(ctx, listed, report); err != nil {
		return err
	}
	return s.details(ctx, listed, report)
}

// list reads the listing to its end. The map says, for each number listed, when
// its details were last read.
func (s *Syncer) list(ctx context.Context, report *Report) (map[string]int64, error) {
	listed := map[string]int64{}
	for n, err := range s.api.Numbers(ctx, flowroute.NumberQuery{}) {
		if err != nil {
			return nil, err
		}
		digits := n.Number.Digits()
		var read int64
		noted, err := s.store.change(ctx, digits, false, func(r record) record {
			r = r.listed(n, time.Now())
			read = r.Details
			return r
		})
		if err != nil {
			return nil, err
		}
		listed[digits] = read
		report.count(noted)
	}
	report.Numbers = len(listed)
	return listed, nil
}

// missing asks the API for each number that the listing lacked: pages by offset
// can skip one when others come and go meanwhile.
func (s *Syncer) missing(ctx context.Context, listed map[string]int64, report *Report) error {
	for known, err := range s.store.Each(ctx, Query{Limit: 1000}) {
		if err != nil {
			return err
		}
		digits := known.Number.Digits()
		if _, seen := listed[digits]; seen {
			continue
		}
		details, err := s.api.Number(ctx, known.Number)
		next := func(r record) record { return r.detailed(details, time.Now()) }
		switch {
		case errors.Is(err, flowroute.ErrNotFound):
			next = func(r record) record { r.Gone = time.Now().Unix(); return r }
		case err != nil:
			return err
		default:
			report.Numbers++
		}
		noted, err := s.store.change(ctx, digits, err == nil, next)
		if err != nil {
			return err
		}
		report.count(noted)
	}
	// What is gone for long enough is forgotten.
	for gone, err := range s.store.Each(ctx, Query{Gone: true, Limit: 1000}) {
		if err != nil {
			return err
		}
		if time.Since(gone.Gone) > s.store.goneFor {
			if _, err := s.store.change(ctx, gone.Number.Digits(), true, func(record) record { return record{} }); err != nil {
				return err
			}
		}
	}
	return nil
}

// details reads the routes of numbers that are new or touched, then of those read
// longest ago.
func (s *Syncer) details(ctx context.Context, listed map[string]int64, report *Report) error {
	touched, err := s.store.rdb.SMembers(ctx, s.store.key("touched")).Result()
	if err != nil {
		return fmt.Errorf("read touched numbers: %w", err)
	}
	for _, digits := range touched {
		listed[digits] = 0 // on the account or not: the API says
	}
	order := make([]string, 0, len(listed))
	for digits := range listed {
		order = append(order, digits)
	}
	slices.SortFunc(order, func(a, b string) int {
		if listed[a] != listed[b] {
			return int(min(max(listed[a]-listed[b], -1), 1))
		}
		return slices.Compare([]byte(a), []byte(b))
	})
	first, again := s.o.FirstReads, s.o.Rereads
	for _, digits := range order {
		due := &again
		if listed[digits] == 0 {
			due = &first
		}
		if *due == 0 {
			if listed[digits] == 0 {
				report.DetailsDue++
				continue
			}
			break
		}
		*due--
		if err := s.readDetails(ctx, digits, report); err != nil {
			return err
		}
	}
	return nil
}

func (s *Syncer) readDetails(ctx context.Context, digits string, report *Report) error {
	number, err := flowroute.ParseE164("+" + digits)
	if err != nil {
		return s.store.rdb.SRem(ctx, s.store.key("touched"), digits).Err() // not ours to keep
	}
	details, err := s.api.Number(ctx, number)
	if errors.Is(err, flowroute.ErrNotFound) {
		if _, err := s.store.Get(ctx, number); errors.Is(err, ErrNotFound) {
			return s.store.rdb.SRem(ctx, s.store.key("touched"), digits).Err()
		}
		noted, err := s.store.change(ctx, digits, true, func(r record) record { r.Gone = time.Now().Unix(); return r })
		report.count(noted)
		return err
	}
	if err != nil {
		return err
	}
	noted, err := s.store.change(ctx, digits, true, func(r record) record { return r.detailed(details, time.Now()) })
	report.count(noted)
	report.DetailsRead++
	return err
}

// syncRoutes reads all routes, and takes away those that a complete listing lacked.
func (s *Syncer) syncRoutes(ctx context.Context, report *Report) error {
	known, err := s.store.Routes(ctx)
	if err != nil {
		return err
	}
	before := map[string]Route{}
	for _, r := range known {
		before[r.ID] = r
	}
	pipe := s.store.rdb.Pipeline()
	note := func(kind ChangeKind, id, old, now string) {
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: s.store.key("changes"), MaxLen: s.store.changesMax, Approx: true,
			Values: []any{"route", id, "kind", string(kind), "old", old, "new", now}})
	}
	for r, err := range s.api.Routes(ctx, flowroute.RouteQuery{}) {
		if err != nil {
			return err
		}
		report.Routes++
		old, was := before[r.ID]
		delete(before, r.ID)
		if was && old.Route == r {
			continue
		}
		stored := Route{Route: r, FirstSeen: time.Now().UTC()}
		if was {
			stored.FirstSeen = old.FirstSeen
		} else {
			note(RouteAdded, r.ID, "", r.Alias)
		}
		text, err := json.Marshal(stored)
		if err != nil {
			return err
		}
		pipe.HSet(ctx, s.store.key("routes"), r.ID, text)
	}
	for id, gone := range before {
		pipe.HDel(ctx, s.store.key("routes"), id)
		note(RouteRemoved, id, gone.Alias, "")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("write routes: %w", err)
	}
	return nil
}

func (r *Report) count(noted []Change) {
	for _, c := range noted {
		switch c.Kind {
		case NumberAdded:
			r.Added++
		case NumberRemoved:
			r.Removed++
		case AliasChanged:
			r.AliasChanged++
		case PrimaryChanged, FailoverChanged:
			r.Rerouted++
		}
	}
}
