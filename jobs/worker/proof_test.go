package worker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/ledgertest"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
)

// nudge makes a worker look at the job, as a task that asynq runs once more does.
func (b bundle) nudge(id string) {
	b.t.Helper()
	job, err := b.jobs.Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	if job.State.Final() {
		return
	}
	serial, err := b.ledger.Renudge(b.t.Context(), job.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.jobs.Nudge(b.t.Context(), job.ID, job.Type, job.Queue, job.Generation, time.Time{}, serial); err != nil {
		b.t.Fatal(err)
	}
}

// rule is a person's decision.
func (b bundle) rule(id string, r ledger.Ruling) {
	b.t.Helper()
	parsed, err := ledger.ParseID(id)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, done, err := b.ledger.Rule(b.t.Context(), parsed, r); err != nil || !done {
		b.t.Fatal(done, err)
	}
	b.nudge(id)
}

// requests counts those that were made, by method and the end of the path.
func (b bundle) requests(method, end string) int {
	n := 0
	for _, r := range b.sim.Requests() {
		if r.Method == method && strings.HasSuffix(r.Path, end) {
			n++
		}
	}
	return n
}

// Redis' clock jumps ahead while a purchase is unknown: all its times are over at
// once. Nothing is decided before this process has itself seen it unknown for long
// enough.
func TestPurchaseWhenTheClockOfRedisJumps(t *testing.T) {
	t.Parallel()
	const settle = 3 * time.Second
	b := setup(t, options{worker: func(o *worker.Options) { o.Settle = settle }})
	b.sim.FailNext("500-before", 1)
	id := b.purchase(jobs.Purchase{Number: forSale})
	b.until(id, ledger.Unknown)
	seen := time.Now()
	ledgertest.Set(t, b.db.Client(), id, "wo", "1", "ra", "1")
	reads := b.requests("GET", forSale)
	b.nudge(id)
	for time.Since(seen) < settle-200*time.Millisecond {
		<-time.After(100 * time.Millisecond)
		if got := b.requests("GET", forSale); got != reads {
			t.Fatalf("the account was read %v after the job became unknown, want %v", time.Since(seen), settle)
		}
	}
	b.until(id, ledger.Done)
	if got := b.bought(); len(got) != 1 {
		t.Errorf("bought %v", got)
	}
}

// The account shows what was bought after every time that it was given: the second
// post is refused, which proves nothing, and a person has to look.
func TestPurchaseRefusedAfterAnUncertainOne(t *testing.T) {
	t.Parallel()
	for _, search := range []bool{false, true} {
		for ruling, want := range map[ledger.Ruling]ledger.State{ledger.RuledAccepted: ledger.Done, ledger.RuledNotSent: ledger.Done} {
			t.Run(fmt.Sprintf("%s, by search %v", ruling, search), func(t *testing.T) {
				t.Parallel()
				b := setup(t, options{})
				b.sim.SetFault("purchase-lag", flowroutetest.Fault{Count: 1, Delay: 16 * time.Second})
				b.sim.FailNext("purchase-accepted-then-cut", 1)
				p := jobs.Purchase{Number: forSale, Alias: "desk"}
				if search {
					p.Number, p.Search = "", &jobs.NumberSearch{StartsWith: "1201555"}
				}
				id := b.purchase(p)
				job := b.until(id, ledger.Review, ledger.Done, ledger.Failed)
				if job.State != ledger.Review || job.Reason != ledger.ReasonUnresolved || !strings.Contains(job.Detail, "post 2 at") {
					t.Fatalf("got %s, %s, %q", job.State, job.Reason, job.Detail)
				}
				if got := len(b.bought()); got != 1 {
					t.Fatalf("bought %d numbers, want 1", got)
				}
				if got := b.requests("POST", b.bought()[0]); got != 2 {
					t.Errorf("got %d posts, want 2", got)
				}
				number := b.bought()[0]
				b.eventually("the number shows", func() bool { return time.Since(job.FirstTried) > 17*time.Second })
				b.rule(id, ruling)
				job = b.until(id, want, ledger.Review, ledger.Failed)
				b.stop()
				if job.State != want || !strings.Contains(string(job.Progress), number) {
					t.Errorf("ruled %s: got %s, %s, %s", ruling, job.State, job.Detail, job.Progress)
				}
				if got := b.bought(); len(got) != 1 || b.sim.Truth().Numbers[number].Alias != "desk" {
					t.Errorf("bought %v, alias %q", got, b.sim.Truth().Numbers[number].Alias)
				}
			})
		}
	}
}

// A person rules that a purchase which never got an answer was not made: it is made
// now, and with a search another number is fine.
func TestPurchaseRuledNotSent(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	b.sim.FailNext("500-before", 4)
	id := b.purchase(jobs.Purchase{Number: forSale})
	b.until(id, ledger.Review)
	b.rule(id, ledger.RuledNotSent)
	job := b.until(id, ledger.Done, ledger.Failed, ledger.Review)
	b.stop()
	if got := b.bought(); job.State != ledger.Done || !slices.Equal(got, []string{forSale}) {
		t.Errorf("got %s, %s; bought %v", job.State, job.Reason, got)
	}
}

// Purchases with one search list what is for sale once, not once for each candidate
// that another one was faster to get.
func TestSearchesAreShared(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	var ids []string
	for range 6 {
		ids = append(ids, b.purchase(jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1206557"}}))
	}
	b.start(options{})
	for _, id := range ids {
		if job := b.until(id, ledger.Done, ledger.Failed); job.State != ledger.Done {
			t.Errorf("got %s: %s", job.State, job.Detail)
		}
	}
	b.stop()
	got := b.bought()
	slices.Sort(got)
	if len(slices.Compact(got)) != 6 {
		t.Errorf("bought %v", got)
	}
	if lists := b.requests("GET", "/available"); lists != 1 {
		t.Errorf("what is for sale was listed %d times, want once", lists)
	}
	// Nothing tells this process's jobs of each other's candidates but the process.
	if gets := len(b.sim.Requests()); gets > 6*4+1 {
		t.Errorf("got %d requests for 6 purchases", gets)
	}
}

// A newer update sets one of two slots: the repeat of that one is dropped, the other
// slot is set all the same.
func TestRouteDroppedForOneSlot(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true, sim: flowroutetest.Options{Routes: []flowroutetest.Route{
		{ID: "11", Type: "host", Value: "one.example.com", Alias: "one"}, {ID: "22", Type: "host", Value: "two.example.com", Alias: "two"}}}})
	b.sim.FailNext("500-before", 1)
	first := b.updateRoute(jobs.RouteUpdate{Primary: &jobs.RouteSpec{ID: "11"}, Failover: &jobs.RouteSpec{ID: "11"}})
	second := b.updateRoute(jobs.RouteUpdate{Primary: &jobs.RouteSpec{ID: "22"}})
	b.start(options{})
	b.until(second, ledger.Done)
	if job := b.until(first, ledger.Cancelled, ledger.Done, ledger.Failed); job.State != ledger.Done || job.Warning == "" {
		t.Errorf("first: got %s, %s, warning %q", job.State, job.Reason, job.Warning)
	}
	got := b.sim.Truth().Numbers["12065550100"]
	if got.PrimaryRoute != "22" || got.FailoverRoute != "11" || len(got.RouteSets) != 2 {
		t.Errorf("got %+v, want primary 22 set once, and failover 11", got)
	}
}

// The account does not know a number yet that was just bought: its alias and route
// are not given up for that.
func TestAliasOfANumberThatShowsLate(t *testing.T) {
	t.Parallel()
	b := setup(t, options{worker: func(o *worker.Options) { o.Settle = 5 * time.Second }})
	b.sim.SetFault("purchase-lag", flowroutetest.Fault{Count: 1, Delay: 1500 * time.Millisecond})
	job := b.until(b.purchase(jobs.Purchase{Number: forSale, Alias: "desk", PrimaryRoute: &jobs.RouteSpec{ID: "0"}}), ledger.Done, ledger.Failed)
	got := b.sim.Truth().Numbers[forSale]
	if job.State != ledger.Done || job.Warning != "" || got.Alias != "desk" || got.PrimaryRoute != "0" {
		t.Errorf("got %s, warning %q, %+v", job.State, job.Warning, got)
	}
}
