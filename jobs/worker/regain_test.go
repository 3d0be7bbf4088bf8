package worker_test

import (
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// A purchase that Redis has lost and that is asked for again under its key takes the
// number that was bought; one without a key buys another.
func TestPurchaseTakesUpWhatRedisLost(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	bought, err := flowroute.ParseE164(ours)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ledger.OrphanNumbers(t.Context(), []flowroute.E164{bought}, time.Hour); err != nil {
		t.Fatal(err)
	}
	elsewhere := b.purchase(jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1201555"}, Key: "elsewhere"})
	again := b.purchase(jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1206555"}, Key: "again"})
	for _, id := range []string{elsewhere, again} {
		b.until(id, ledger.Done)
	}
	owner, _, err := b.ledger.NumberClaimedBy(t.Context(), bought)
	if err != nil || owner.String() != again {
		t.Errorf("the number belongs to %s, %v, want %s", owner, err, again)
	}
	if sold := b.sim.Truth().Purchases; len(sold) != 1 {
		t.Errorf("%d numbers were bought, want the one that nobody had bought yet", len(sold))
	}
	if left, err := b.ledger.Orphaned(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}
