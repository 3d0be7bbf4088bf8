package mdr_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
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

// failingPages lets one page of twenty fail, in one of several ways.
func failingPages(set func(name string, f flowroutetest.Fault)) {
	for _, name := range []string{"read-500", "read-cut", "read-garbage", "read-429"} {
		set(name, flowroutetest.Fault{Probability: 0.0125})
	}
}

// Half a day of everything at once: pages fail, a fifth of the rows is late by up to an
// hour, several rows have the same time, the server gives small pages, rows come while
// pages are read, workers die in the middle, and two sync at once. Whatever the sync says
// is complete equals the truth all the time, and in the end everything does.
func TestSyncUnderFaults(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{DeliverAfter: 20 * time.Minute, Choices: flowroutetest.Choices{MDRPageCap: 15}},
		mdr.SyncerOptions{FirstReach: 24 * time.Hour})
	failingPages(r.SetFault)
	r.clock.move(-20 * time.Hour)
	died, failed, complete := 0, 0, time.Time{}
	row := func() {
		late, ended := time.Duration(0), r.make.IntN(2) == 0
		if r.make.IntN(5) == 0 {
			late = time.Duration(r.make.Int64N(int64(time.Hour)))
		}
		r.plant(r.clock.now().Add(-time.Duration(r.make.IntN(4))*time.Second), func(p *flowroutetest.Record) {
			if p.Lag = late; !ended {
				p.Code = 0
			}
		})
	}
	tick := func(rows int) {
		for range rows {
			row()
		}
		syncer := r.newSyncer(r.URL, mdr.SyncerOptions{FirstReach: 24 * time.Hour})
		ctx, kill := context.WithCancel(t.Context())
		defer kill()
		// The worker of every fifth tick dies; rows come between any two pages.
		until := r.asked.Load() + int64(r.make.IntN(6))
		dies := r.make.IntN(5) == 0
		r.before = func(ctx context.Context, n int) error {
			if dies && int64(n) > until {
				kill()
			}
			if rows > 0 && n%3 == 0 {
				row()
			}
			return nil
		}
		second := make(chan error, 1)
		twice := r.make.IntN(10) == 0
		if twice {
			r.before = nil
			r.rdb.Del(t.Context(), "{flowroute}:mdr:lock")
			go func() {
				_, err := r.syncer.Sync(t.Context(), mdr.SyncRequest{})
				second <- err
			}()
		}
		report, _ := syncer.Sync(ctx, mdr.SyncRequest{})
		if twice {
			<-second
		}
		if ctx.Err() != nil {
			died++
		}
		failed += report.Requests - report.Pages
		c := r.coverage()
		if c.Complete.Before(complete) {
			t.Fatalf("complete went back from %v to %v", complete, c.Complete)
		}
		complete = c.Complete
		r.clock.move(5 * time.Minute)
	}
	check := func() {
		t.Helper()
		held := map[string]bool{}
		for record, err := range r.store.Each(t.Context(), mdr.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			held[record.ID] = true
		}
		for m := range r.Records() {
			if m.Timestamp.Before(complete) && !held[m.ID] {
				t.Fatalf("complete up to %v, but the record of %v is missing", complete, m.Timestamp)
			}
		}
	}
	for i := range 12 * 12 {
		tick(r.make.IntN(6))
		if i%36 == 35 {
			check()
		}
	}
	for range 8 * 12 {
		tick(0)
	}
	check()
	r.before = nil
	r.ClearFaults()
	r.sync(mdr.SyncRequest{})
	r.expectTruth()
	if died < 10 || failed < 10 {
		t.Errorf("%d syncs died, %d pages failed: the test tests nothing", died, failed)
	}
}

var (
	faultsFor   = flag.Duration("mdr.faults", 0, "how long TestSyncUnderFaultsLive runs; 2m for a figure to rely on, 0: not at all")
	faultsScale = flag.Int("mdr.scale", 600, "how many times faster than the world its clock is")
)

// fastClock is a clock that began at a time and is many times too fast.
type fastClock struct {
	Real, Began time.Time
	Scale       int
}

func (c fastClock) now() time.Time {
	return c.Began.Add(time.Since(c.Real) * time.Duration(c.Scale)).UTC()
}

// syncForever is a worker: it syncs every five minutes by its fast clock.
func (c childTask) syncForever(ctx context.Context, api *flowroute.Client) error {
	o, err := redis.ParseURL(c.Redis)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(o)
	defer rdb.Close()
	store, err := mdr.New(rdb, mdr.Options{Now: c.Clock.now})
	if err != nil {
		return err
	}
	led, err := ledger.New(rdb, ledger.Options{})
	if err != nil {
		return err
	}
	syncer, err := mdr.NewSyncer(store, api, led, mdr.SyncerOptions{FirstReach: 24 * time.Hour, RetryWait: 10 * time.Millisecond, Lease: time.Second, Slice: 20 * time.Hour})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	tick := time.NewTicker(5 * time.Minute / time.Duration(c.Clock.Scale))
	for range tick.C {
		_, err := syncer.Sync(ctx, mdr.SyncRequest{})
		if err != nil && !errors.As(err, new(*flowroute.APIError)) {
			fmt.Fprintln(os.Stderr, "sync:", err)
		}
	}
	return nil
}

// The same with processes that are killed every ten seconds, times scaled 1:600, so that
// an hour takes six seconds.
func TestSyncUnderFaultsLive(t *testing.T) {
	if *faultsFor == 0 {
		return
	}
	db := redistest.New(t)
	clock := fastClock{Real: time.Now(), Began: time.Now().Add(-40 * time.Hour), Scale: *faultsScale}
	sim := flowroutetest.New(flowroutetest.Options{Now: clock.now, DeliverAfter: 20 * time.Minute})
	defer sim.Close()
	server := httptest.NewServer(sim)
	defer server.Close()
	failingPages(func(name string, f flowroutetest.Fault) {
		if err := sim.SetFault(name, f); err != nil {
			t.Fatal(err)
		}
	})
	task := childTask{Do: "worker", URL: server.URL, Redis: db.URL, Clock: clock}
	kills, late, planted := 0, 0, 0
	draw := newMaker(3)
	run := func(d time.Duration, rows bool) {
		for end := time.Now().Add(d); time.Now().Before(end); kills++ {
			_, stop := childToKill(t, task)
			for life := time.Now().Add(10 * time.Second); time.Now().Before(life) && time.Now().Before(end); {
				<-time.After(20 * time.Millisecond)
				for range 5 {
					if !rows {
						break
					}
					p := flowroutetest.Record{From: "12065550100", To: fmt.Sprintf("1%d%d%04d", 200+draw.IntN(800), 200+draw.IntN(800), draw.IntN(10_000)), Body: draw.text(40), Timestamp: clock.now()}
					if draw.IntN(5) == 0 {
						p.Lag = time.Duration(draw.Int64N(int64(time.Hour)))
						late++
					}
					if _, err := sim.Plant(p); err != nil {
						t.Fatal(err)
					}
					planted++
				}
			}
			stop()
		}
	}
	run(*faultsFor, true)
	run(8*time.Hour/time.Duration(clock.Scale), false) // until the last late row, and MDR_LATE
	store, err := mdr.New(db.Client(), mdr.Options{Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	c, err := store.Coverage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want, got []line
	for m := range sim.Records() {
		want = append(want, line{m.ID, m.From, m.To, m.Body, m.Status, m.Timestamp, m.Nanodollars})
	}
	for _, m := range all(t, store, mdr.Query{}) {
		got = append(got, line{m.ID, m.From, m.To, m.Body, m.Status, m.Timestamp, m.AmountNanodollars})
	}
	byID := func(a, b line) int { return cmpString(a.ID, b.ID) }
	slices.SortFunc(want, byID)
	slices.SortFunc(got, byID)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("copy of %d records for %d (-account +copy):\n%.3000s", len(got), len(want), diff)
	}
	said, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d records, %d of them late, %d workers killed, requests by outcome %+v, at %v the copy says %s", planted, late, kills, sim.Counts(), clock.now(), said)
}
