package worker_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/ledgertest"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
)

const forSale = "12015550130" // of the simulator's inventory, setup 1.00, monthly 1.25

func (b bundle) purchase(p jobs.Purchase) string {
	b.t.Helper()
	receipt, err := b.jobs.Purchase(b.t.Context(), p)
	if err != nil {
		b.t.Fatal(err)
	}
	return receipt.ID
}

func (b bundle) bought() []string {
	var numbers []string
	for _, p := range b.sim.Truth().Purchases {
		numbers = append(numbers, p.Number)
	}
	return numbers
}

func TestPurchaseWithAliasAndRoutes(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	yes := true
	job := b.until(b.purchase(jobs.Purchase{
		Number: forSale, Alias: "front desk", MessagingEnabled: &yes, MaxSetupCost: "1.00", MaxMonthlyCost: "1.25",
		PrimaryRoute:  &jobs.RouteSpec{Type: "host", Value: "sip.example.com", Alias: "office"},
		FailoverRoute: &jobs.RouteSpec{ID: "0"},
	}), ledger.Done, ledger.Failed)
	if job.State != ledger.Done {
		t.Fatalf("got %s: %s", job.State, job.Detail)
	}
	got := b.sim.Truth().Numbers[forSale]
	if got.Alias != "front desk" || got.PrimaryRoute == "" || got.PrimaryRoute == "0" || got.FailoverRoute != "0" {
		t.Errorf("got %+v", got)
	}
	if numbers := b.bought(); !slices.Equal(numbers, []string{forSale}) {
		t.Errorf("bought %v", numbers)
	}
	if !strings.Contains(string(job.Progress), forSale) {
		t.Errorf("the number bought is not told: %s", job.Progress)
	}
}

func TestPurchaseOutcomes(t *testing.T) {
	t.Parallel()
	search := &jobs.NumberSearch{StartsWith: "1201555"}
	tests := map[string]struct {
		fault    string
		times    int
		purchase jobs.Purchase
		state    ledger.State
		reason   ledger.Reason
		bought   int
		warning  bool
	}{
		"bought":                      {purchase: jobs.Purchase{Number: forSale}, state: ledger.Done, bought: 1},
		"207":                         {fault: "purchase-207", times: 1, purchase: jobs.Purchase{Number: forSale}, state: ledger.Done, bought: 1, warning: true},
		"429 first":                   {fault: "429", times: 1, purchase: jobs.Purchase{Number: forSale}, state: ledger.Done, bought: 1},
		"no funds":                    {fault: "purchase-no-funds", times: 1, purchase: jobs.Purchase{Search: search}, state: ledger.Failed, reason: ledger.ReasonRefused},
		"answer lost":                 {fault: "purchase-accepted-then-cut", times: 1, purchase: jobs.Purchase{Number: forSale}, state: ledger.Done, bought: 1},
		"answer lost, by search":      {fault: "purchase-accepted-then-500", times: 1, purchase: jobs.Purchase{Search: search}, state: ledger.Done, bought: 1},
		"answer is garbage":           {fault: "purchase-garbage", times: 1, purchase: jobs.Purchase{Number: forSale}, state: ledger.Done, bought: 1},
		"500 before":                  {fault: "500-before", times: 1, purchase: jobs.Purchase{Search: search}, state: ledger.Done, bought: 1},
		"reset before, several times": {fault: "reset-before", times: 2, purchase: jobs.Purchase{Number: forSale}, state: ledger.Done, bought: 1},
		"never an answer":             {fault: "500-before", times: 50, purchase: jobs.Purchase{Number: forSale}, state: ledger.Review, reason: ledger.ReasonUsedUpUnknown},
		"too expensive":               {purchase: jobs.Purchase{Number: forSale, MaxSetupCost: "0.99"}, state: ledger.Failed, reason: ledger.ReasonTooExpensive},
		"a month too expensive":       {purchase: jobs.Purchase{Search: search, MaxMonthlyCost: "1"}, state: ledger.Failed, reason: ledger.ReasonTooExpensive},
		"nothing fits":                {purchase: jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1999"}}, state: ledger.Failed, reason: ledger.ReasonNoCandidate},
		"ours already":                {purchase: jobs.Purchase{Number: "12065550100"}, state: ledger.Failed, reason: ledger.ReasonAlreadyOwned},
		"bad route":                   {purchase: jobs.Purchase{Number: forSale, PrimaryRoute: &jobs.RouteSpec{ID: "99999"}}, state: ledger.Done, bought: 1, warning: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{})
			if test.fault != "" {
				b.sim.FailNext(test.fault, test.times)
			}
			job := b.until(b.purchase(test.purchase), ledger.Done, ledger.Failed, ledger.Review)
			b.stop()
			if job.State != test.state || (test.reason != "" && job.Reason != test.reason) || (job.Warning != "") != test.warning {
				t.Errorf("got %s, %s, detail %q, warning %q", job.State, job.Reason, job.Detail, job.Warning)
			}
			if got := b.bought(); len(got) != test.bought {
				t.Errorf("bought %v, want %d", got, test.bought)
			}
		})
	}
}

// The answer got lost, and the account shows the number only later: no other
// number is bought meanwhile, and a refusal of the second try is not believed.
func TestPurchaseThatShowsLate(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	b.sim.SetFault("purchase-lag", flowroutetest.Fault{Count: 1, Delay: 1500 * time.Millisecond})
	b.sim.FailNext("purchase-accepted-then-cut", 1)
	job := b.until(b.purchase(jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1201555"}}), ledger.Done, ledger.Failed, ledger.Review)
	b.stop()
	if job.State == ledger.Failed {
		t.Errorf("got failed (%s), but it was bought", job.Detail)
	}
	if got := b.bought(); len(got) != 1 {
		t.Errorf("bought %v, want one number", got)
	}
}

func TestTwoPurchasesNeverShareANumber(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	b.start(options{})
	var ids []string
	for range 6 {
		ids = append(ids, b.purchase(jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1206557"}}))
	}
	same := []string{b.purchase(jobs.Purchase{Number: forSale}), b.purchase(jobs.Purchase{Number: forSale})}
	for _, id := range ids {
		if job := b.until(id, ledger.Done, ledger.Failed); job.State != ledger.Done {
			t.Errorf("got %s: %s", job.State, job.Detail)
		}
	}
	done := 0
	for _, id := range same {
		if b.until(id, ledger.Done, ledger.Failed).State == ledger.Done {
			done++
		}
	}
	got := b.bought()
	slices.Sort(got)
	if len(got) != 7 || len(slices.Compact(got)) != 7 || done != 1 {
		t.Errorf("bought %v, and %d of two purchases of one number are done", got, done)
	}
}

func (b bundle) updateRoute(u jobs.RouteUpdate) string {
	b.t.Helper()
	u.Number = ours
	receipt, err := b.jobs.UpdateRoute(b.t.Context(), u)
	if err != nil {
		b.t.Fatal(err)
	}
	return receipt.ID
}

func TestRouteOutcomes(t *testing.T) {
	t.Parallel()
	host := &jobs.RouteSpec{Type: "host", Value: "sip.example.com", Alias: "office"}
	tests := map[string]struct {
		fault  string
		times  int
		state  ledger.State
		routes int
	}{
		"set":                 {state: ledger.Done, routes: 1},
		"429":                 {fault: "429", times: 1, state: ledger.Done, routes: 1},
		"answers lost":        {fault: "route-accepted-then-cut", times: 2, state: ledger.Done, routes: 1},
		"created, but 500":    {fault: "route-accepted-then-500", times: 1, state: ledger.Done, routes: 1},
		"created, unreadable": {fault: "slow-body", times: 1, state: ledger.Done, routes: 1},
		"500 before":          {fault: "500-before", times: 1, state: ledger.Done, routes: 1},
		"refused":             {fault: "403", times: 1, state: ledger.Failed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{})
			if test.fault != "" {
				b.sim.FailNext(test.fault, test.times)
			}
			job := b.until(b.updateRoute(jobs.RouteUpdate{Primary: host, Failover: &jobs.RouteSpec{ID: "0"}}), ledger.Done, ledger.Failed, ledger.Review)
			if job.State != test.state {
				t.Errorf("got %s, %s, detail %q", job.State, job.Reason, job.Detail)
			}
			truth := b.sim.Truth()
			made := 0
			for _, route := range truth.Routes {
				if route.Value == host.Value {
					made++
					if number := truth.Numbers["12065550100"]; test.state == ledger.Done && (number.PrimaryRoute != route.ID || number.FailoverRoute != "0") {
						t.Errorf("got %+v, want primary %s and failover 0", number, route.ID)
					}
				}
			}
			if made != test.routes {
				t.Errorf("%d routes were made, want %d", made, test.routes)
			}
		})
	}
}

// An update that never gets a certain answer ends, and says so.
func TestRouteThatNeverAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t, options{worker: func(o *worker.Options) { o.GiveUp = time.Second },
		sim: flowroutetest.Options{Routes: []flowroutetest.Route{{ID: "11", Type: "host", Value: "one.example.com", Alias: "one"}}}})
	b.sim.SetFault("500-before", flowroutetest.Fault{Probability: 1})
	job := b.until(b.updateRoute(jobs.RouteUpdate{Primary: &jobs.RouteSpec{ID: "11"}}), ledger.Done, ledger.Failed, ledger.Review)
	if job.State != ledger.Failed || job.Reason != ledger.ReasonUnresolved {
		t.Errorf("got %s, %s: %s", job.State, job.Reason, job.Detail)
	}
}

// Updates of one number run in the order in which they were enqueued, also when
// the first one's answer is lost: it is not repeated over a newer one.
func TestRouteOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true, sim: flowroutetest.Options{Routes: []flowroutetest.Route{
		{ID: "11", Type: "host", Value: "one.example.com", Alias: "one"}, {ID: "22", Type: "host", Value: "two.example.com", Alias: "two"}}}})
	b.sim.FailNext("500-before", 1)
	first := b.updateRoute(jobs.RouteUpdate{Primary: &jobs.RouteSpec{ID: "11"}})
	second := b.updateRoute(jobs.RouteUpdate{Primary: &jobs.RouteSpec{ID: "22"}})
	b.start(options{})
	b.start(options{})
	b.until(second, ledger.Done)
	if job := b.until(first, ledger.Cancelled, ledger.Done); job.Reason != ledger.ReasonSuperseded {
		t.Errorf("first: got %s, %s", job.State, job.Reason)
	}
	got := b.sim.Truth().Numbers["12065550100"]
	if got.PrimaryRoute != "22" || len(got.RouteSets) != 1 {
		t.Errorf("got %+v, want route 22 set once", got)
	}
}

// Messaging comes on after the purchase: the warning lasts until a sync sees it.
func TestMessagingComesLater(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true, sim: flowroutetest.Options{MessagingAfter: 500 * time.Millisecond}})
	store, err := inventory.New(b.db.Client(), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	api, err := flowroute.New(flowroute.Options{BaseURL: b.sim.URL, Gate: func(context.Context, flowroute.Endpoint) (flowroute.Pass, error) { return noPass{}, nil },
		Credentials: flowroute.Credentials{AccessKey: b.sim.AccessKey, SecretKey: b.sim.SecretKey}})
	if err != nil {
		t.Fatal(err)
	}
	syncer, err := inventory.NewSyncer(store, api, inventory.SyncerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.start(options{worker: func(o *worker.Options) {
		o.Numbers, o.Syncs = store, map[ledger.Type]worker.Syncer{ledger.SyncNumbers: syncer}
	}})
	syncOnce := func(key string) {
		if _, err := b.jobs.StartSync(t.Context(), ledger.SyncNumbers, key, jobs.Sync{}); err != nil {
			t.Fatal(err)
		}
		b.until(ledger.KeyID(ledger.SyncNumbers, key).String(), ledger.Done)
	}
	syncOnce("before")
	yes := true
	id := b.purchase(jobs.Purchase{Number: forSale, MessagingEnabled: &yes})
	if job := b.until(id, ledger.Done); job.Warning == "" {
		t.Error("done without a warning, though messaging was not yet on")
	}
	<-time.After(600 * time.Millisecond)
	syncOnce("after")
	if job := b.until(id, ledger.Done); job.Warning != "" {
		t.Errorf("the warning is still there after the sync: %s", job.Warning)
	}
}

// noPass lets every request go.
type noPass struct{}

func (noPass) Deadline() time.Time { return time.Time{} }
func (noPass) Written(func() bool) {}
func (noPass) Responded()          {}
func (noPass) Abandoned()          {}
func (noPass) Unsent()             {}

// Redis has lost that a purchase was posted, and kept its claim from an attempt that
// was put off by a 429: the number that is on the account now is its own, and none
// other is bought.
func TestPurchaseLostAfterItsClaim(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	id := b.purchase(jobs.Purchase{Number: ours})
	ledgertest.Set(t, b.db.Client(), id, "nu", ours[1:])
	b.set("numbers", ours[1:], id)
	b.start(options{})
	b.until(id, ledger.Done)
	if got := b.posts(); got != 0 {
		t.Errorf("got %d posts, want none", got)
	}
}
