package worker_test

import (
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// A process that was stopped for a while goes on with what it has read, and its
// task runs elsewhere too. What the other has bought is neither bought again, nor
// taken for a number that was on the account before.
func TestTwinOfAPurchase(t *testing.T) {
	t.Parallel()
	const owned = "12065550100"
	for name, wanted := range map[string]string{"about to buy": forSale, "sees it on the account": owned} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{stopped: true})
			read := b.sim.HoldNext(flowroutetest.OpRead, true)
			id, err := ledger.ParseID(b.purchase(jobs.Purchase{Number: wanted}))
			if err != nil {
				t.Fatal(err)
			}
			b.start(options{})
			<-read.Reached()
			b.buys(id, wanted, owned)
			read.Release()
			job := b.until(id.String(), ledger.Done, ledger.Failed, ledger.Review)
			b.stop()
			if job.State != ledger.Done {
				t.Errorf("got %s, %s", job.State, job.Reason)
			}
			if got := b.bought(); len(got) != 0 {
				t.Errorf("%v was bought too", got)
			}
		})
	}
}

// buys does what another process does that has claimed a number and bought one.
func (b bundle) buys(id ledger.ID, claimed, bought string) {
	b.t.Helper()
	number, err := flowroute.ParseE164("+" + claimed)
	if err != nil {
		b.t.Fatal(err)
	}
	begun, err := b.ledger.Begin(b.t.Context(), ledger.Intent{ID: id, Generation: 1, Token: "twin", Budget: time.Second, Timeout: time.Second, Settle: time.Second, Number: number})
	if err != nil || begun.Decision != ledger.Go {
		b.t.Fatalf("got %+v, %v", begun, err)
	}
	_, err = b.ledger.Settle(b.t.Context(), ledger.Settlement{ID: id, Token: "twin", To: ledger.Queued, Reason: ledger.ReasonBought,
		Progress: []byte(`{"v":1,"number":"` + bought + `"}`)})
	if err != nil {
		b.t.Fatal(err)
	}
}
