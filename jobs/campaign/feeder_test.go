package campaign_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// rows counts the jobs that there are of a campaign, and fails when a row has none.
func (r *rig) everyRow(id ledger.ID, rows int) {
	r.t.Helper()
	ids := make([]ledger.ID, rows)
	for i := range ids {
		ids[i] = id.OfRow(uint32(i + 1))
	}
	_, errs := r.led.GetMany(r.t.Context(), ids)
	for i, err := range errs {
		if err != nil {
			r.t.Fatalf("row %d: %v", i+1, err)
		}
	}
	counts, err := r.led.Counts(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	if got := counts[ledger.SendMessage][ledger.Queued]; got != int64(rows) {
		r.t.Errorf("got %d jobs, want %d", got, rows)
	}
}

// Feeders come and go, several at a time, and one that died had made jobs that it did not
// note: each row has one job.
func TestFeedersDie(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	const rows = 700
	id := r.started(campaign.Spec{}, rows)
	// Made, and not noted.
	var made []jobs.Row
	for row := 1; row <= 40; row++ {
		made = append(made, jobs.Row{ID: id.OfRow(uint32(row)), Message: jobs.Message{
			From: ours, To: fmt.Sprintf("+1206%07d", 2000000+row), Body: fmt.Sprintf("Hello Name %d", row), Priority: jobs.PriorityBulk, SendingHours: "00:00-24:00"}})
	}
	if _, errs := r.jobs.SendRows(t.Context(), made); errs[0] != nil {
		t.Fatal(errs[0])
	}
	for range 3 {
		stop := r.feeding(10)
		r.until(id, "fed on", func(c *campaign.Campaign) bool { return c.Fed() >= 40 })
		stop()
	}
	r.feeding(0)
	r.feeding(0)
	r.until(id, "fed", func(c *campaign.Campaign) bool { return c.Fed() == rows })
	r.everyRow(id, rows)
}

// A row is not made while the campaign does not run, whoever tries.
func TestRowsOfWhatDoesNotRun(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	id := r.draft(campaign.Spec{}, 3)
	row := []jobs.Row{{ID: id.OfRow(1), Message: jobs.Message{From: ours, To: "+12062000001", Body: "Hello"}}}
	held := func(when string) {
		t.Helper()
		if _, errs := r.jobs.SendRows(t.Context(), row); errs[0] == nil {
			t.Errorf("%s: a job was made", when)
		}
	}
	held("draft")
	if _, err := r.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Pause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	held("paused")
	if _, err := r.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	held("cancelled")
	if c := r.get(id); c.Fed() != 0 {
		t.Errorf("got %+v", c.View())
	}
}

// Recipients in the west wait for their morning, while those in the east are texted.
func TestHoursGoWest(t *testing.T) {
	t.Parallel()
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	today := time.Now().In(newYork).AddDate(0, 0, 1)
	var now atomic.Pointer[time.Time]
	at := func(hour, minute int) {
		moment := time.Date(today.Year(), today.Month(), today.Day(), hour, minute, 0, 0, newYork)
		now.Store(&moment)
	}
	at(7, 0)
	clock := func() time.Time { return *now.Load() }
	r := setup(t, campaign.Options{Now: clock})
	clocks, err := campaign.NewClocks(time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	clocks.SetNow(clock)
	spec := campaign.Spec{Template: "Hello", From: campaign.Senders{ours}, SendingHours: "08:00-21:00"}
	created, err := r.Create(t.Context(), spec.ID(nil), spec)
	if err != nil {
		t.Fatal(err)
	}
	var file strings.Builder
	file.WriteString("phone\n")
	for i := range 300 {
		fmt.Fprintf(&file, "+1212%07d\n+1206%07d\n", 2000000+i, 2000000+i)
	}
	if _, err := r.Upload(t.Context(), created.ID, strings.NewReader(file.String()), campaign.Input{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Start(t.Context(), created.ID); err != nil {
		t.Fatal(err)
	}
	feeder, err := campaign.NewFeeder(campaign.FeederOptions{Store: r.Store, Jobs: r.jobs, Clocks: clocks})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var runs sync.WaitGroup
	runs.Go(func() { _ = feeder.Run(ctx) })
	defer runs.Wait()
	defer stop()

	id := created.ID
	c := r.until(id, "waiting", func(c *campaign.Campaign) bool { return !c.WaitsUntil.IsZero() })
	if c.PutOff != 600 || c.Fed() != 0 || !c.WaitsUntil.Equal(clock().Add(time.Hour)) {
		t.Fatalf("seven o'clock: got %+v", c.View())
	}
	at(8, 1)
	c = r.until(id, "waiting for the west", func(c *campaign.Campaign) bool { return c.Fed() == 300 && !c.WaitsUntil.IsZero() })
	if c.PutOff != 300 || !c.WaitsUntil.Equal(clock().Add(2*time.Hour+59*time.Minute)) {
		t.Fatalf("eight o'clock: got %+v", c.View())
	}
	if job, err := r.led.Get(t.Context(), id.OfRow(1)); err != nil || job.To.String() != "+12122000000" {
		t.Errorf("got %+v, %v, want one in the east", job, err)
	}
	at(11, 1)
	r.until(id, "fed, and that noted", func(c *campaign.Campaign) bool { return c.Fed() == 600 && c.PutOff == 0 })
	r.everyRow(id, 600)
}

// What was scheduled begins at its time, and what is not sent at the end never is.
func TestStartAndEnd(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	now := time.Now()
	id := r.draft(campaign.Spec{StartAt: now.Add(time.Second), EndAt: now.Add(3 * time.Second)}, 100)
	if state, err := r.Start(t.Context(), id); err != nil || state != campaign.Scheduled {
		t.Fatalf("got %s, %v", state, err)
	}
	r.feeding(4)
	c := r.until(id, "running", func(c *campaign.Campaign) bool { return c.State == campaign.Running && c.Fed() == 20 })
	if c.Started.Before(now.Add(time.Second)) {
		t.Errorf("started %v after it was made", c.Started.Sub(now))
	}
	for row := uint32(1); row <= 5; row++ {
		r.post(id.OfRow(row), ledger.Accepted, "")
	}
	if _, err := r.Pause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	r.until(id, "ended", func(c *campaign.Campaign) bool { return c.State == campaign.Running && time.Since(now) > 3*time.Second })
	for row := uint32(6); row <= 25; row++ {
		if row > uint32(r.get(id).Fed()) {
			break
		}
		if got := r.post(id.OfRow(row), ledger.Accepted, ""); got != ledger.Ended {
			t.Errorf("row %d after the end: got %s", row, got)
		}
	}
	c = r.until(id, "done", func(c *campaign.Campaign) bool { return c.State == campaign.Done })
	if c.Posted() != 5 || c.Jobs[ledger.Expired] != c.Fed()-5 || c.Waiting() == 0 {
		t.Errorf("got %+v", c.View())
	}
}

// Of several senders each recipient has one, always the same, and each sender its share.
func TestSenders(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	pool := campaign.Senders{ours, "+12065550101", "+12065550102"}
	senders := map[string]string{}
	share := map[string]int{}
	for range 2 {
		id := r.started(campaign.Spec{From: pool}, 300)
		stop := r.feeding(0)
		r.until(id, "fed", func(c *campaign.Campaign) bool { return c.Fed() == 300 })
		stop()
		for row := uint32(1); row <= 300; row++ {
			job, err := r.led.Get(t.Context(), id.OfRow(row))
			if err != nil {
				t.Fatal(err)
			}
			to, from := job.To.String(), job.From.String()
			if before := senders[to]; before != "" && before != from {
				t.Errorf("%s was texted by %s and by %s", to, before, from)
			}
			senders[to] = from
			share[from]++
		}
	}
	for _, from := range pool {
		if n := share[from]; n < 120 || n > 280 {
			t.Errorf("%s sends %d of 600", from, n)
		}
	}
}
