package worker_test

import (
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
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
	if err := b.ledger.OrphanNumbers(t.Context(), []flowroute.E164{bought}, false, time.Hour); err != nil {
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
	if left, _, err := b.ledger.Orphaned(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// Where nobody can tell since when a number has been the account's, a purchase that it
// fits and that may be asked for again goes to a person, whose word holds.
func TestPurchaseThatMayHaveBeenMade(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	there, err := flowroute.ParseE164(ours)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ledger.OrphanNumbers(t.Context(), []flowroute.E164{there}, true, time.Hour); err != nil {
		t.Fatal(err)
	}
	buy := func(key string) ledger.ID {
		id, err := ledger.ParseID(b.purchase(jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1206555"}, Key: key}))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	rule := func(id ledger.ID, as ledger.Ruling) ledger.Job {
		if job := b.until(id.String(), ledger.Review); job.Reason != ledger.ReasonRedisLost || job.Detail == "" {
			t.Errorf("in review for %s, %q", job.Reason, job.Detail)
		}
		job, done, err := b.ledger.Rule(t.Context(), id, as)
		if err != nil || !done {
			t.Fatalf("ruled: %t, %v", done, err)
		}
		if err := worker.Resend(t.Context(), b.jobs, job); err != nil {
			t.Fatal(err)
		}
		return b.until(id.String(), ledger.Done)
	}
	owner := func() ledger.ID {
		id, _, err := b.ledger.NumberClaimedBy(t.Context(), there)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if job := rule(buy("not by this one"), ledger.RuledNotSent); owner() == job.ID {
		t.Error("a number that was there before counts as bought")
	}
	if job := rule(buy("by this one"), ledger.RuledAccepted); owner() != job.ID {
		t.Errorf("the number that was bought is claimed by %v", owner())
	}
	if sold := b.sim.Truth().Purchases; len(sold) != 1 {
		t.Errorf("%d numbers were bought, want one", len(sold))
	}
}

// After a loss of Redis an older update of a slot may run once more, while a newer one
// has its progress back: the newer one sets the slot again before it is done.
func TestRouteUpdateOvertakenByAnOlderOne(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	one := b.routeUpdate("older.example.com")
	two := b.routeUpdate("newer.example.com")
	id, err := ledger.ParseID(two)
	if err != nil {
		t.Fatal(err)
	}
	// What a worker that is alive writes down again of the newer one.
	settled, err := b.ledger.Settle(t.Context(), ledger.Settlement{ID: id, To: ledger.Queued, Reason: ledger.ReasonRedisLost,
		Progress: []byte(`{"v":1,"primary":{"route_id":"0","over":true}}`)})
	if err != nil || settled.State != ledger.Queued {
		t.Fatalf("got %+v, %v", settled, err)
	}
	b.start(options{})
	b.until(one, ledger.Done)
	b.until(two, ledger.Done)
	sets := b.sim.Truth().Numbers["12065550100"].RouteSets
	if len(sets) != 2 || sets[1].Route != "0" {
		t.Errorf("got %+v, want the newer one's route at last", sets)
	}
}

func (b bundle) routeUpdate(host string) string {
	b.t.Helper()
	receipt, err := b.jobs.UpdateRoute(b.t.Context(), jobs.RouteUpdate{Number: ours, Primary: &jobs.RouteSpec{Type: "host", Value: host, Alias: host}})
	if err != nil {
		b.t.Fatal(err)
	}
	return receipt.ID
}
