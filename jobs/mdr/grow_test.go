package mdr_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

// A first sync of three months takes several slices, and its process dies in some of them.
// What it has is always of one piece that ends now, and what it still has to do it says.
func TestTheFirstSyncGrowsBackwards(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{DeliverAfter: -1}, mdr.SyncerOptions{PageSize: 30, Slice: 10 * time.Minute})
	r.plantMany(600, 89*24*time.Hour)
	r.plantMany(100, 20*time.Hour)
	open := func(p *flowroutetest.Record) { p.Code = 0 }
	for range 50 {
		r.plant(r.clock.now().Add(-time.Duration(r.make.Int64N(int64(90*time.Hour)))), open)
	}
	r.asked.Store(0)
	died := 0
	first := r.clock.now()
	for slices := 0; ; slices++ {
		ctx, kill := context.WithCancel(t.Context())
		r.before = func(_ context.Context, n int) error {
			r.clock.move(30 * time.Second)
			if n%31 == 30 {
				kill()
			}
			return nil
		}
		report, err := r.syncer.Sync(ctx, mdr.SyncRequest{})
		kill()
		if err != nil {
			died++
			continue
		}
		c := r.coverage()
		if !report.First.Equal(c.First) || c.First.After(first) {
			t.Fatalf("slice %d: got %+v, coverage %+v; want it to grow from %v", slices, report, c, first)
		}
		first = c.First
		var held []string
		for r, err := range r.store.Each(t.Context(), mdr.Query{Since: c.First}) {
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, r.ID)
		}
		n := 0
		for m := range r.Records() {
			if !m.Timestamp.Before(c.First) && m.Timestamp.Before(c.Through) {
				n++
			}
		}
		if n != len(held) {
			t.Errorf("since %v: got %d records, want %d", c.First, len(held), n)
		}
		if report.Left == 0 {
			break
		}
		if report.Goal.IsZero() || report.Remaining <= 0 && report.Windows > 10 {
			t.Errorf("slice %d: got %+v, want it to say what is left", slices, report)
		}
		if slices > 50 {
			t.Fatal("it does not come to its end")
		}
	}
	if died == 0 {
		t.Error("nobody died: the test tests nothing")
	}
	r.before = nil
	r.clock.move(time.Minute)
	r.Complete()
	completed := r.clock.now()
	for range 40 {
		r.clock.move(2 * time.Hour)
		r.sync(mdr.SyncRequest{})
	}
	// The oldest ones are over the retention by now.
	since := r.clock.now().Add(-85 * 24 * time.Hour)
	var want, got int
	for m := range r.Records() {
		if m.Timestamp.After(since) {
			want++
		}
	}
	for record := range r.store.Each(t.Context(), mdr.Query{Since: since}) {
		if got++; record.Open() && record.Timestamp.After(completed.Add(-70*time.Hour)) {
			t.Errorf("record of %v has no end in the copy", record.Timestamp)
		}
	}
	if got != want || want == 0 {
		t.Errorf("got %d records, want %d", got, want)
	}
	if n := r.rdb.HLen(t.Context(), "{flowroute}:mdr:w").Val(); n > 320 {
		t.Errorf("got %d windows to be read again, want those of three days at most", n)
	}
}

// A job that asks to begin earlier, and whose process dies, goes on where it was.
func TestSinceIsHeededOnce(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{FirstReach: 24 * time.Hour, PageSize: 50})
	r.plantMany(600, 20*24*time.Hour)
	r.sync(mdr.SyncRequest{})
	job := ledger.Job{ID: ledger.NewID(), Payload: []byte(`{"v":1,"since":"480h"}`)}
	reads := 0
	for tries := 0; ; tries++ {
		ctx, kill := context.WithCancel(t.Context())
		asked := r.asked.Load()
		r.before = func(_ context.Context, n int) error {
			if int64(n) > asked+8 {
				kill()
			}
			return nil
		}
		result, err := r.syncer.Handle(ctx, job)
		kill()
		var report mdr.Report
		if jsonErr := json.Unmarshal(result, &report); jsonErr != nil {
			t.Fatal(jsonErr)
		}
		if reads += report.Read; err == nil {
			break
		}
		if tries > 20 {
			t.Fatal("it begins again and again")
		}
	}
	r.before = nil
	r.expectTruth()
	if reads > 800 {
		t.Errorf("got %d rows read for 600 records, want it to go on each time", reads)
	}
}

// A message was posted and nobody knows whether it was accepted: its window is read
// again, though nothing else in it is open, but not at each tick.
func TestAnUnknownMessageKeepsItsWindowOpen(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{FirstReach: 24 * time.Hour})
	r.clock.move(time.Since(r.clock.now())) // the ledger's clock is Redis'
	posted := r.clock.now()
	job, settle := r.posted()
	r.sync(mdr.SyncRequest{})
	readings := func(d time.Duration) (requests int) {
		for range int(d / (15 * time.Minute)) {
			r.clock.move(15 * time.Minute)
			report := r.sync(mdr.SyncRequest{})
			if !report.From.IsZero() && report.From.Before(posted) && !report.From.Before(posted.Add(-20*time.Minute)) && r.clock.now().Sub(posted) > 7*time.Hour {
				requests++
			}
		}
		return requests
	}
	if got := readings(40 * time.Hour); got < 2 || got > 6 {
		t.Errorf("in 40 hours: its window was read %d times after the late rows had come, want some times", got)
	}
	settle(r.plant(posted))
	r.expectState(job, ledger.Accepted)
	if got := readings(40 * time.Hour); got > 1 {
		t.Errorf("since it is known: its window was read %d times", got)
	}
}

// With a shorter retention, what is older goes at the next syncs.
func TestAShorterRetention(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{FirstReach: 60 * 24 * time.Hour})
	r.plantMany(200, 59*24*time.Hour)
	r.sync(mdr.SyncRequest{})
	shorter, err := mdr.New(r.rdb, mdr.Options{Now: r.clock.now, Retention: 20 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	r.store = shorter
	r.syncer = r.newSyncer(r.URL, mdr.SyncerOptions{})
	for range 4 {
		r.clock.move(5 * time.Minute)
		r.sync(mdr.SyncRequest{})
	}
	left := map[int64]bool{} // minutes
	for m := range r.Records() {
		if r.clock.now().Sub(m.Timestamp) < 22*24*time.Hour {
			left[m.Timestamp.Unix()/60] = true
		}
	}
	keys, err := r.rdb.Keys(t.Context(), "{flowroute}:mdr:b:*").Result()
	if err != nil || len(keys) > len(left) || len(keys) == 0 {
		t.Errorf("got %d blocks, %v; want those of three weeks, %d at most", len(keys), err, len(left))
	}
}
