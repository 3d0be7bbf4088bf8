package worker_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// fair is a bundle whose worker posts campaigns.
type fair struct {
	bundle
	store *campaign.Store
}

func withCampaigns(t testing.TB, perSecond int) fair {
	t.Helper()
	clocks, err := campaign.NewClocks(time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	var store *campaign.Store
	o := options{sim: flowroutetest.Options{}, limits: ratelimit.Limits{SMS: ratelimit.Rate{N: perSecond, Per: time.Second}}, stopped: true}
	o.worker = func(o *worker.Options) {
		o.Closed = clocks.Closed
		o.Concurrency = 0
		o.CampaignCaps = func(id ledger.ID) []ratelimit.Cap {
			c, err := store.Get(t.Context(), id)
			if err != nil || c.Spec.Rate == 0 {
				return nil
			}
			return []ratelimit.Cap{{Name: "campaign:" + id.String(), Rate: ratelimit.Rate{N: int(c.Spec.Rate), Per: time.Second}}}
		}
	}
	f := fair{bundle: setup(t, o)}
	if store, err = campaign.New(f.db.Client(), campaign.Options{}); err != nil {
		t.Fatal(err)
	}
	f.store = store
	feeder, err := campaign.NewFeeder(campaign.FeederOptions{Store: store, Jobs: f.jobs, Clocks: clocks, Rate: float64(perSecond)})
	if err != nil {
		t.Fatal(err)
	}
	f.stop = f.start(o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = feeder.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return f
}

// begin starts a campaign of so many recipients, from a number on.
func (f fair) begin(spec campaign.Spec, from, recipients int) ledger.ID {
	f.t.Helper()
	spec.From, spec.Template = campaign.Senders{ours}, "hello"
	if spec.SendingHours == "" {
		spec.SendingHours = "00:00-24:00"
	}
	var b strings.Builder
	b.WriteString("phone\n")
	for i := range recipients {
		fmt.Fprintf(&b, "+1%d\n", from+i)
	}
	created, err := f.store.Create(f.t.Context(), spec.ID(nil), spec)
	if err != nil {
		f.t.Fatal(err)
	}
	totals, err := f.store.Upload(f.t.Context(), created.ID, strings.NewReader(b.String()), campaign.Input{}, nil)
	if err != nil || totals.Accepted != recipients {
		f.t.Fatalf("upload: got %+v, %v", totals, err)
	}
	if _, err := f.store.Start(f.t.Context(), created.ID); err != nil {
		f.t.Fatal(err)
	}
	return created.ID
}

// until waits for a campaign to be as wanted.
func (f fair) until(id ledger.ID, what string, is func(*campaign.Campaign) bool) *campaign.Campaign {
	f.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		c, err := f.store.Get(f.t.Context(), id)
		if err != nil {
			f.t.Fatal(err)
		}
		if is(c) {
			return c
		}
		select {
		case <-tick.C:
		case <-deadline:
			f.t.Fatalf("campaign is not %s in time: %+v", what, c.View())
		}
	}
}

// once checks that exactly these were texted, each once.
func (f fair) once(from, recipients int) {
	f.t.Helper()
	texted := map[string]int{}
	for _, m := range f.sim.Truth().Messages {
		texted[m.To]++
	}
	for i := range recipients {
		to := fmt.Sprintf("1%d", from+i)
		if texted[to] != 1 {
			f.t.Errorf("%s got %d texts, want 1", to, texted[to])
		}
		delete(texted, to)
	}
	if len(texted) > 0 {
		f.t.Errorf("%d others got texts", len(texted))
	}
}

func done(c *campaign.Campaign) bool { return c.State == campaign.Done }

// What is posted after a pause was on its way; after it nothing is, and in the end
// everybody has one text.
func TestCampaignPauseAndResume(t *testing.T) {
	t.Parallel()
	f := withCampaigns(t, 100)
	const first, recipients = 2062000000, 400
	id := f.begin(campaign.Spec{}, first, recipients)
	for _, posted := range []int{40, 120, 250} {
		f.until(id, "under way", func(c *campaign.Campaign) bool { return c.Posted() >= posted })
		if _, err := f.store.Pause(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		paused := time.Now()
		c := f.until(id, "at rest", func(c *campaign.Campaign) bool {
			return c.Jobs[ledger.Sending] == 0 && time.Since(paused) > 1500*time.Millisecond
		})
		var last time.Time
		for _, m := range f.sim.Truth().Messages {
			if m.At.After(last) {
				last = m.At
			}
		}
		if late := last.Sub(paused); late > time.Second {
			t.Errorf("the last post came %v after the pause", late)
		}
		if c.Left() == 0 {
			t.Errorf("paused: got %+v, want some left", c.View())
		}
		if _, err := f.store.Resume(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	f.until(id, "done", done)
	f.once(first, recipients)
}

// Two campaigns of different sizes share the limit; one with a rate of its own keeps it.
func TestCampaignsShare(t *testing.T) {
	t.Parallel()
	f := withCampaigns(t, 60)
	large := f.begin(campaign.Spec{}, 2062000000, 3000)
	small := f.begin(campaign.Spec{}, 2063000000, 150)
	slow := f.begin(campaign.Spec{Rate: 5}, 2064000000, 1000)
	f.until(small, "done", done)
	at := map[byte][]time.Time{} // of each campaign's posts, by the digit in which its recipients differ
	for _, m := range f.sim.Truth().Messages {
		at[m.To[4]] = append(at[m.To[4]], m.At)
	}
	// From the small one's first post to its 140th: the start of another, and a
	// message that is sent again on a busy machine, say nothing of their shares.
	begin, end := at['3'][0], at['3'][139]
	of := func(campaign byte) (posted int) {
		for _, t := range at[campaign] {
			if !t.Before(begin) && !t.After(end) {
				posted++
			}
		}
		return posted
	}
	t.Logf("of the large one %d, of the slow one %d in %v", of('2'), of('4'), end.Sub(begin))
	if n := of('2'); math.Abs(float64(n)-140) > 20 {
		t.Errorf("during 140 of the small one the large one had %d, want about as many", n)
	}
	want := 5 * end.Sub(begin).Seconds()
	if n := float64(of('4')); n < 0.6*want || n > want+2 {
		t.Errorf("the one of 5 a second had %.0f in %v, want some %.0f", n, end.Sub(begin), want)
	}
	for _, id := range []ledger.ID{large, slow} {
		if _, err := f.store.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []ledger.ID{large, slow} {
		c := f.until(id, "at rest", func(c *campaign.Campaign) bool {
			return c.Jobs[ledger.Queued]+c.Jobs[ledger.Sending]+c.Jobs[ledger.Unknown] == 0
		})
		if c.State != campaign.Cancelled || c.Jobs[ledger.Cancelled] == 0 {
			t.Errorf("cancelled: got %+v", c.View())
		}
	}
}

// A single message keeps to the hours that it asks for.
func TestSingleMessageHours(t *testing.T) {
	t.Parallel()
	f := withCampaigns(t, 100)
	seattle, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Now().In(seattle).Hour()
	closed := f.send(jobs.Message{To: "+12062000001", SendingHours: fmt.Sprintf("%02d:00-%02d:00", (hour+2)%24, (hour+2)%24+1)})
	open := f.send(jobs.Message{To: "+12062000002", SendingHours: fmt.Sprintf("%02d:00-%02d:59", hour, hour)})
	f.bundle.until(open, ledger.Accepted, ledger.Delivered)
	if job, err := f.jobs.Get(t.Context(), closed); err != nil || job.State != ledger.Queued || job.Attempts != 0 {
		t.Errorf("outside its hours: got %s after %d attempts, %v, want it queued", job.State, job.Attempts, err)
	}
	f.once(2062000002, 1)
}

// Those whose hours are not now wait, and do not hold up the others.
func TestCampaignHours(t *testing.T) {
	t.Parallel()
	f := withCampaigns(t, 100)
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	there := time.Now().In(newYork)
	hour := there.Hour() // in Seattle it is three hours earlier
	id := f.begin(campaign.Spec{SendingHours: fmt.Sprintf("%02d:00-%02d:00", hour, hour+1)}, 2062000000, 600)
	id2 := f.begin(campaign.Spec{SendingHours: fmt.Sprintf("%02d:00-%02d:00", hour, hour+1)}, 2122000000, 30)
	if there.Minute() > 57 {
		t.Log("the hour ends too soon to tell")
		return
	}
	f.until(id2, "done", done)
	c := f.until(id, "waiting", func(c *campaign.Campaign) bool { return !c.WaitsUntil.IsZero() })
	if c.PutOff != 600 || c.Fed() != 0 || time.Until(c.WaitsUntil) > 3*time.Hour || time.Until(c.WaitsUntil) < 2*time.Hour {
		t.Errorf("got %+v, want all put off for two to three hours", c.View())
	}
	f.once(2122000000, 30)
}
