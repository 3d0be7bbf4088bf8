package campaign_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m, 8)) }

const ours = "+12065550100"

// rig is a store, a client and what posts their jobs by hand.
type rig struct {
	*campaign.Store
	t    *testing.T
	rdb  redis.UniversalClient
	jobs *jobs.Client
	led  *ledger.Ledger
}

func setup(t *testing.T, o campaign.Options) *rig {
	t.Helper()
	return setupOn(t, redistest.New(t).Client(), o)
}

func setupOn(t *testing.T, rdb redis.UniversalClient, o campaign.Options) *rig {
	t.Helper()
	store, err := campaign.New(rdb, o)
	if err != nil {
		t.Fatal(err)
	}
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{Store: store, t: t, rdb: rdb, jobs: client, led: client.Ledger()}
}

func always(s campaign.Spec) campaign.Spec {
	if len(s.From) == 0 {
		s.From = campaign.Senders{ours}
	}
	if s.SendingHours == "" {
		s.SendingHours = "00:00-24:00"
	}
	return s
}

// draft makes a draft with so many recipients.
func (r *rig) draft(spec campaign.Spec, recipients int) ledger.ID {
	r.t.Helper()
	spec = always(spec)
	if spec.Template == "" {
		spec.Template = "Hello {{name}}"
	}
	created, err := r.Create(r.t.Context(), spec.ID(nil), spec)
	if err != nil {
		r.t.Fatal(err)
	}
	totals, err := r.Upload(r.t.Context(), created.ID, strings.NewReader(people(1, recipients)), campaign.Input{}, nil)
	if err != nil || totals.Accepted != recipients {
		r.t.Fatalf("upload: got %+v, %v, want %d accepted", totals, err, recipients)
	}
	return created.ID
}

func (r *rig) started(spec campaign.Spec, recipients int) ledger.ID {
	r.t.Helper()
	id := r.draft(spec, recipients)
	if state, err := r.Start(r.t.Context(), id); err != nil || state != campaign.Running {
		r.t.Fatalf("start: got %s, %v", state, err)
	}
	return id
}

// people is a CSV of recipients.
func people(from, to int) string {
	var b strings.Builder
	b.WriteString("phone,name\n")
	for i := from; i <= to; i++ {
		fmt.Fprintf(&b, "+1206%07d,Name %d\n", 2000000+i, i)
	}
	return b.String()
}

func (r *rig) get(id ledger.ID) *campaign.Campaign {
	r.t.Helper()
	c, err := r.Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// feeding starts a feeder, which ends with the test or with stop.
func (r *rig) feeding(rate float64) (stop func()) {
	r.t.Helper()
	clocks, err := campaign.NewClocks(time.UTC)
	if err != nil {
		r.t.Fatal(err)
	}
	f, err := campaign.NewFeeder(campaign.FeederOptions{Store: r.Store, Jobs: r.jobs, Clocks: clocks, Rate: rate})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = f.Run(ctx)
	}()
	stop = func() { cancel(); <-ended }
	r.t.Cleanup(stop)
	return stop
}

// until waits for a campaign to be as wanted.
func (r *rig) until(id ledger.ID, what string, is func(*campaign.Campaign) bool) *campaign.Campaign {
	r.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		c := r.get(id)
		if is(c) {
			return c
		}
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("campaign is not %s in time: %+v", what, c)
		}
	}
}

// post brings a row's job to an outcome, as a worker would.
func (r *rig) post(id ledger.ID, to ledger.State, reason ledger.Reason) ledger.Decision {
	r.t.Helper()
	job, err := r.led.Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	token := ledger.NewID().String()
	begun, err := r.led.Begin(r.t.Context(), ledger.Intent{ID: id, Generation: job.Generation, Token: token, Account: "a", Budget: time.Minute, Timeout: time.Minute, Settle: time.Minute})
	if err != nil {
		r.t.Fatal(err)
	}
	if begun.Decision != ledger.Go {
		return begun.Decision
	}
	s := ledger.Settlement{ID: id, Token: token, To: to, Reason: reason}
	if to == ledger.Accepted {
		s.MDR = "mdr2-" + strings.ReplaceAll(ledger.NewID().String(), "-", "")
	}
	if _, err := r.led.Settle(r.t.Context(), s); err != nil {
		r.t.Fatal(err)
	}
	return ledger.Go
}
