package mdr_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// free is a pass of no limit.
type free struct{}

func (free) Deadline() time.Time { return time.Now().Add(time.Minute) }
func (free) Written(func() bool) {}
func (free) Responded()          {}
func (free) Abandoned()          {}
func (free) Unsent()             {}

// rig is an account, its copy, and what keeps them in step.
type rig struct {
	*flowroutetest.Server
	t      *testing.T
	clock  *clock
	rdb    redis.UniversalClient
	led    *ledger.Ledger
	store  *mdr.Store
	syncer *mdr.Syncer
	make   maker

	asked  atomic.Int64
	before func(ctx context.Context, request int) error // called before each request, counted from 1
}

func setup(t *testing.T, sim flowroutetest.Options, o mdr.SyncerOptions) *rig {
	t.Helper()
	r := &rig{t: t, clock: newClock(), rdb: redistest.New(t).Client(), make: newMaker(11)}
	sim.Now = r.clock.now
	r.Server = flowroutetest.NewServer(t, sim)
	led, err := ledger.New(r.rdb, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.led, r.store = led, newStore(t, r.rdb, r.clock)
	r.syncer = r.newSyncer(r.URL, o)
	return r
}

func (r *rig) newSyncer(url string, o mdr.SyncerOptions) *mdr.Syncer {
	r.t.Helper()
	api, err := flowroute.New(flowroute.Options{
		BaseURL: url, Credentials: flowroute.Credentials{AccessKey: r.AccessKey, SecretKey: r.SecretKey}, Gate: r.gate,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(api.Close)
	if o.RetryWait == 0 {
		o.RetryWait = time.Millisecond
	}
	syncer, err := mdr.NewSyncer(r.store, api, r.led, o)
	if err != nil {
		r.t.Fatal(err)
	}
	return syncer
}

func (r *rig) gate(ctx context.Context, _ flowroute.Endpoint) (flowroute.Pass, error) {
	n := int(r.asked.Add(1))
	if r.before != nil {
		if err := r.before(ctx, n); err != nil {
			return nil, err
		}
	}
	return free{}, nil
}

func (r *rig) plant(at time.Time, more ...func(*flowroutetest.Record)) string {
	r.t.Helper()
	record := flowroutetest.Record{From: "12065550100", To: fmt.Sprint(12012000000 + r.make.Int64N(7_999_999)), Body: r.make.text(40), Timestamp: at, Code: 1004}
	for _, change := range more {
		change(&record)
	}
	id, err := r.Plant(record)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// plantMany plants records all over the time before now.
func (r *rig) plantMany(n int, reach time.Duration) {
	r.t.Helper()
	for range n {
		r.plant(r.clock.now().Add(-time.Duration(r.make.Int64N(int64(reach)))))
	}
}

func (r *rig) sync(request mdr.SyncRequest) mdr.Report {
	r.t.Helper()
	report, err := r.syncer.Sync(r.t.Context(), request)
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

// line is what is compared of a record.
type line struct {
	ID, From, To, Body, Status string
	At                         time.Time
	Nanodollars                int64
}

// expectTruth compares the copy with the account's records that are visible.
func (r *rig) expectTruth() {
	r.t.Helper()
	var want, got []line
	for m := range r.Records() {
		if m.Lag == 0 {
			want = append(want, line{m.ID, m.From, m.To, m.Body, m.Status, m.Timestamp, m.Nanodollars})
		}
	}
	for _, m := range all(r.t, r.store, mdr.Query{}) {
		got = append(got, line{m.ID, m.From, m.To, m.Body, m.Status, m.Timestamp, m.AmountNanodollars})
	}
	byID := func(a, b line) int { return cmpString(a.ID, b.ID) }
	slices.SortFunc(want, byID)
	slices.SortFunc(got, byID)
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("copy of %d records for %d (-account +copy):\n%.3000s", len(got), len(want), diff)
	}
}

func (r *rig) coverage() mdr.Coverage {
	r.t.Helper()
	c, err := r.store.Coverage(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func TestFirstSyncAndThoseAfterIt(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{PageSize: 50, FirstReach: 24 * time.Hour})
	r.plantMany(600, 23*time.Hour)
	r.plant(r.clock.now().Add(-26 * time.Hour))
	if got := r.coverage(); got != (mdr.Coverage{}) {
		t.Errorf("before the first sync: got %+v, want none", got)
	}
	report := r.sync(mdr.SyncRequest{})
	if report.New != 600 || report.Read < 600 || report.Pages != report.Requests || report.Skipped {
		t.Errorf("first: got %+v, want 600 new", report)
	}
	c, now := r.coverage(), r.clock.now()
	if c.First.After(now.Add(-24*time.Hour)) || !c.Through.Equal(now) || c.Complete.After(now.Add(-6*time.Hour)) || c.Complete.Before(now.Add(-6*time.Hour-15*time.Minute)) {
		t.Errorf("got coverage %+v at %v; want a day, through now, complete six hours ago", c, now)
	}
	if last, err := r.store.LastSync(t.Context()); err != nil || last.New != 600 || !last.Through.Equal(now) {
		t.Errorf("last sync: got %+v, %v", last, err)
	}
	if report := r.sync(mdr.SyncRequest{}); report.New != 0 || report.Changed != 0 || report.Requests > 1 {
		t.Errorf("nothing new: got %+v, want one request", report)
	}
	r.clock.move(5 * time.Minute)
	r.plant(r.clock.now().Add(-time.Second))
	if report := r.sync(mdr.SyncRequest{}); report.New != 1 || report.Requests > 6 {
		t.Errorf("five minutes later: got %+v, want one new in few requests", report)
	}
	r.sync(mdr.SyncRequest{Since: now.Add(-48 * time.Hour)})
	r.expectTruth()
	if c := r.coverage(); c.First.After(now.Add(-48 * time.Hour)) {
		t.Errorf("since two days: got coverage %+v", c)
	}
}

// A day of syncs at each tick, with rows that come up to five hours late, and ends
// that come up to two days later. In the end nothing is missing, and reading was
// cheap: the account is small, so each reading of a window is one request.
func TestLateRowsAndLateEnds(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{DeliverAfter: -1}, mdr.SyncerOptions{})
	r.sync(mdr.SyncRequest{})
	open := func(p *flowroutetest.Record) { p.Code = 0 } // ends as sent messages do: at Complete
	requests := 0
	for tick := range 24 * 12 {
		for range r.make.IntN(4) {
			at, late := r.clock.now().Add(-time.Duration(r.make.IntN(300))*time.Second), time.Duration(r.make.Int64N(int64(5*time.Hour)))
			r.plant(at, open, func(p *flowroutetest.Record) { p.Lag = late })
		}
		if tick == 200 {
			r.Complete()
		}
		r.clock.move(5 * time.Minute)
		requests += r.sync(mdr.SyncRequest{}).Requests
	}
	for range 7 * 12 {
		r.clock.move(5 * time.Minute)
		requests += r.sync(mdr.SyncRequest{}).Requests
	}
	for range 30 * 4 {
		r.clock.move(15 * time.Minute)
		requests += r.sync(mdr.SyncRequest{}).Requests
	}
	r.Complete()
	for range 43 * 4 {
		r.clock.move(15 * time.Minute)
		requests += r.sync(mdr.SyncRequest{}).Requests
	}
	r.expectTruth()
	if got := len(all(t, r.store, mdr.Query{Delivery: flowroute.DeliveryPending})); got != 0 {
		t.Errorf("got %d records without an end, want none", got)
	}
	t.Logf("%d requests in %d syncs", requests, 24*12+7*12+73*4)
	if n := r.rdb.HLen(t.Context(), "{flowroute}:mdr:w").Val(); n > 30 {
		t.Errorf("got %d windows to be read again, want those of six hours", n)
	}
}

func TestServersThatGiveSmallPages(t *testing.T) {
	t.Parallel()
	for name, choices := range map[string]flowroutetest.Choices{
		"capped":            {MDRPageCap: 7},
		"two a page":        {MDRPageCap: 2},
		"limit ignored":     {MDRIgnoreLimit: true, MDRDefaultLimit: 10},
		"end exclusive":     {EndDateExclusive: true, MDRPageCap: 13},
		"times rounded":     {RoundTimestamps: true, MDRPageCap: 13},
		"latest change top": {OrderByUpdate: true, MDRPageCap: 13},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, flowroutetest.Options{Choices: choices}, mdr.SyncerOptions{})
			r.plantMany(150, 23*time.Hour)
			r.plantMany(100, 10*time.Minute)
			r.sync(mdr.SyncRequest{})
			r.expectTruth()
		})
	}
}

// Rows arrive between any two pages, new ones and late ones, and others move to
// the top because they changed. What was there from beginning to end is never
// missed; what was not comes with the next readings.
func TestRowsArriveWhilePaging(t *testing.T) {
	t.Parallel()
	for name, choices := range map[string]flowroutetest.Choices{
		"latest stamped first": {},
		"latest changed first": {OrderByUpdate: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, flowroutetest.Options{Choices: choices}, mdr.SyncerOptions{PageSize: 10})
			now := r.clock.now()
			r.plantMany(200, 8*time.Hour)
			r.before = func(_ context.Context, n int) error {
				if n%3 == 0 && n < 300 {
					r.plant(now.Add(-time.Duration(r.make.Int64N(int64(5 * time.Hour))))) // late
					r.plant(now)
				}
				if n%20 == 0 && n < 300 {
					r.clock.move(time.Second)
				}
				return nil
			}
			r.sync(mdr.SyncRequest{})
			r.before = nil
			for range 8 * 12 {
				r.clock.move(5 * time.Minute)
				r.sync(mdr.SyncRequest{})
			}
			r.expectTruth()
		})
	}
}

func TestAPageFails(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{PageSize: 20})
	r.plantMany(300, 23*time.Hour)
	for _, fault := range []string{"read-500", "read-cut", "read-garbage", "read-429"} {
		r.FailNext(fault, 2) // asked again
		r.clock.move(time.Hour)
		r.plantMany(50, time.Hour)
		report := r.sync(mdr.SyncRequest{})
		if report.Requests != report.Pages+2 {
			t.Errorf("%s: got %d requests for %d pages, want two more", fault, report.Requests, report.Pages)
		}
		r.expectTruth()
	}

	r.clock.move(20 * time.Hour)
	r.plantMany(300, 19*time.Hour)
	away := r.coverage().Through
	r.before = func(_ context.Context, n int) error {
		if n%7 == 0 {
			r.FailNext("read-500", 4) // longer than a sync asks
		}
		return nil
	}
	r.asked.Store(0)
	failed := 0
	for {
		report, err := r.syncer.Sync(t.Context(), mdr.SyncRequest{})
		if err == nil {
			break
		}
		if _, ok := errors.AsType[*flowroute.APIError](err); !ok {
			t.Fatalf("got %v, want the API's error", err)
		}
		if failed++; failed > 100 {
			t.Fatal("syncs do not get on")
		}
		if c := r.coverage(); c.Through.Before(away) {
			t.Errorf("coverage went back from %v to %v, report %+v", away, c.Through, report)
		}
	}
	if failed == 0 {
		t.Error("no sync failed: the test tests nothing")
	}
	r.expectTruth()
}

func TestRefusedAtOnce(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{})
	draining := errors.New("draining")
	r.before = func(context.Context, int) error { return draining }
	syncer := r.newSyncer(r.URL, mdr.SyncerOptions{GiveUp: func(err error) bool { return errors.Is(err, draining) }})
	if report, err := syncer.Sync(t.Context(), mdr.SyncRequest{}); !errors.Is(err, draining) || report.Requests != 1 {
		t.Errorf("no permit: got %v after %d requests, want it passed on after one", err, report.Requests)
	}
	r.before = nil
	r.SetFault("401", flowroutetest.Fault{Probability: 1, On: []flowroutetest.Op{flowroutetest.OpLookup}})
	if report, err := r.syncer.Sync(t.Context(), mdr.SyncRequest{}); !errors.Is(err, flowroute.ErrUnauthorized) || report.Requests != 1 {
		t.Errorf("401: got %v after %d requests, want it passed on after one", err, report.Requests)
	}
}

// A sync is stopped before each of its requests in turn; the next ones go on, and
// in the end nothing is missing.
func TestDeathInTheMiddle(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{PageSize: 10, FirstReach: 6 * time.Hour})
	r.plantMany(150, 6*time.Hour)
	deaths := 0
	for last := 1; ; last++ {
		ctx, kill := context.WithCancel(t.Context())
		r.asked.Store(0)
		r.before = func(_ context.Context, n int) error {
			if n == last {
				kill()
			}
			return nil
		}
		_, err := r.syncer.Sync(ctx, mdr.SyncRequest{})
		kill()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want the end of ctx", err)
		}
		deaths++
	}
	if deaths < 5 {
		t.Errorf("got %d deaths, want some", deaths)
	}
	r.expectTruth()
	if got := r.coverage(); !got.Through.Equal(r.clock.now()) {
		t.Errorf("got coverage %+v, want it through now", got)
	}
}

func TestTwoSyncsAtOnce(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{PageSize: 10})
	r.plantMany(300, 20*time.Hour)
	hold := r.HoldNext(flowroutetest.OpLookup, false)
	first := make(chan error, 1)
	go func() {
		_, err := r.syncer.Sync(t.Context(), mdr.SyncRequest{})
		first <- err
	}()
	<-hold.Reached()
	report := r.sync(mdr.SyncRequest{})
	if !report.Skipped || report.Warning == "" || report.Requests != 0 {
		t.Errorf("second: got %+v, want it skipped with a warning", report)
	}
	waited := make(chan mdr.Report, 1)
	go func() {
		report, err := r.syncer.Sync(t.Context(), mdr.SyncRequest{Since: r.clock.now().Add(-time.Hour)})
		if err != nil {
			t.Errorf("with since: %v", err)
		}
		waited <- report
	}()
	hold.Release()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if report := <-waited; report.Skipped || report.Read == 0 {
		t.Errorf("with since: got %+v, want it to wait and read", report)
	}
	r.expectTruth()
}

// Even without the lease, syncs at once do no harm.
func TestSyncsWithoutTheLease(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{PageSize: 10})
	r.plantMany(300, 20*time.Hour)
	r.before = func(ctx context.Context, _ int) error {
		return r.rdb.Del(ctx, "{flowroute}:mdr:lock").Err()
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			var request mdr.SyncRequest
			if i == 3 {
				request.Since = r.clock.now().Add(-30 * time.Hour)
			}
			// One that is outrun by the one with Since may end with an error.
			_, _ = r.syncer.Sync(t.Context(), request)
		})
	}
	all.Wait()
	r.before = nil
	r.sync(mdr.SyncRequest{})
	r.expectTruth()
}

func TestAMissedWeekIsMadeUp(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{PageSize: 50})
	r.clock.move(-8 * 24 * time.Hour)
	r.plantMany(20, 20*time.Hour)
	r.sync(mdr.SyncRequest{})
	r.clock.move(8 * 24 * time.Hour)
	r.plantMany(1000, 8*24*time.Hour)
	report := r.sync(mdr.SyncRequest{})
	r.expectTruth()
	if report.Requests > 60 {
		t.Errorf("got %d requests for 1000 records in pages of 50, want spans that grow", report.Requests)
	}
}

// A list that is empty by mistake is taken for what it is by nobody: the windows
// are read again.
func TestAnEmptyListIsNotTheEnd(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{})
	r.sync(mdr.SyncRequest{})
	r.clock.move(5 * time.Minute)
	r.plantMany(30, 5*time.Minute)
	r.SetFault("mdr-empty-200", flowroutetest.Fault{Probability: 1})
	r.sync(mdr.SyncRequest{})
	r.clock.move(25 * time.Minute)
	r.sync(mdr.SyncRequest{})
	r.ClearFaults()
	r.clock.move(6 * time.Hour)
	r.sync(mdr.SyncRequest{})
	r.expectTruth()
}
