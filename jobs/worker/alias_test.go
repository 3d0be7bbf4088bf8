package worker_test

import (
	"context"
	"strings"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
)

func TestAliasOutcomes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault string
		times int
		state ledger.State
	}{
		"set":               {state: ledger.Done},
		"429":               {fault: "429", times: 1, state: ledger.Done},
		"answer lost":       {fault: "route-accepted-then-cut", times: 1, state: ledger.Done},
		"500 before":        {fault: "500-before", times: 1, state: ledger.Done},
		"answer unreadable": {fault: "slow-body", times: 1, state: ledger.Done},
		"refused":           {fault: "403", times: 1, state: ledger.Failed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{})
			if test.fault != "" {
				b.sim.FailNext(test.fault, test.times)
			}
			job := b.until(b.updateRoute(jobs.RouteUpdate{Alias: new("front desk")}), ledger.Done, ledger.Failed, ledger.Review)
			want := map[ledger.State]string{ledger.Done: "front desk"}[test.state]
			if got := b.sim.Truth().Numbers["12065550100"].Alias; job.State != test.state || got != want || job.Warning != "" {
				t.Errorf("got %s, %s, detail %q, warning %q, alias %q", job.State, job.Reason, job.Detail, job.Warning, got)
			}
		})
	}
}

// copied is the stored copy, filled by nobody but the test and the worker.
func (b bundle) copied() *inventory.Store {
	b.t.Helper()
	store, err := inventory.New(b.db.Client(), inventory.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	return store
}

// The stored copy shows what an update has set as soon as it is done.
func TestUpdateIsInTheCopyAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	store := b.copied()
	number, err := flowroute.ParseE164(ours)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.PutDetails(t.Context(), flowroute.NumberDetails{Number: flowroute.Number{Number: number, Alias: "old"}, PrimaryRoute: &flowroute.RouteRef{ID: "0"}}); err != nil {
		t.Fatal(err)
	}
	b.start(options{worker: func(o *worker.Options) { o.Numbers = store }})
	for _, update := range []jobs.RouteUpdate{
		{Primary: &jobs.RouteSpec{Type: "host", Value: "sip.example.com", Alias: "office"}},
		{Alias: new("front desk"), Failover: &jobs.RouteSpec{ID: "0"}},
		{Alias: new("")},
	} {
		job := b.until(b.updateRoute(update), ledger.Done, ledger.Failed, ledger.Review)
		truth := b.sim.Truth().Numbers["12065550100"]
		got, err := store.Get(t.Context(), number)
		if err != nil || job.State != ledger.Done {
			t.Fatalf("%+v: got %s %s, %v", update, job.State, job.Detail, err)
		}
		wantAlias := truth.Alias
		if update.Alias == nil {
			wantAlias = "old" // it was put there by the test alone
		}
		if got.Alias != wantAlias || got.PrimaryRoute != truth.PrimaryRoute || got.FailoverRoute != truth.FailoverRoute {
			t.Errorf("%+v: the copy has %q, %q, %q; Flowroute %+v", update, got.Alias, got.PrimaryRoute, got.FailoverRoute, truth)
		}
	}
	routes, err := store.Routes(t.Context())
	if err != nil || len(routes) != 1 || routes[0].Alias != "office" {
		t.Errorf("got routes %+v, %v, want the one that was made", routes, err)
	}
}

// A number that was just bought is in the copy before its routes are set.
func TestBoughtNumberIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true, sim: flowroutetest.Options{}})
	store := b.copied()
	b.sim.SetFault("500-before", flowroutetest.Fault{Probability: 1, On: []flowroutetest.Op{flowroutetest.OpNumberWrite}})
	b.start(options{worker: func(o *worker.Options) { o.Numbers = store }})
	if _, err := b.jobs.Purchase(t.Context(), jobs.Purchase{Number: "+" + forSale, Alias: "never set"}); err != nil {
		t.Fatal(err)
	}
	number, err := flowroute.ParseE164("+" + forSale)
	if err != nil {
		t.Fatal(err)
	}
	b.eventually("the bought number in the copy", func() bool {
		_, err := store.Get(t.Context(), number)
		return err == nil
	})
}

// The updates of one number's alias run in turn, and one that names it does not wait for
// those that set its routes.
func TestAliasesTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	b.sim.FailNext("500-before", 1)
	first := b.updateRoute(jobs.RouteUpdate{Alias: new("one")})
	second := b.updateRoute(jobs.RouteUpdate{Alias: new("two")})
	b.start(options{})
	b.start(options{})
	b.until(second, ledger.Done)
	if job := b.until(first, ledger.Cancelled, ledger.Done); job.Reason != ledger.ReasonSuperseded {
		t.Errorf("first: got %s, %s", job.State, job.Reason)
	}
	if got := b.sim.Truth().Numbers["12065550100"].Alias; got != "two" {
		t.Errorf("got alias %q, want two", got)
	}
}

// A plain task with a foreign sender becomes a failed job that says why, unless it was
// taken in before.
func TestPlainTaskOfAForeignSender(t *testing.T) {
	t.Parallel()
	foreign := func(_ context.Context, from []flowroute.E164) (map[flowroute.E164]string, error) {
		refused := map[flowroute.E164]string{}
		for _, n := range from {
			if n.String() != ours {
				refused[n] = n.Masked() + " is none of ours"
			}
		}
		return refused, nil
	}
	b := setup(t, options{worker: func(o *worker.Options) { o.Senders = foreign }})
	client := asynq.NewClientFromRedisClient(b.db.Client())
	put := func(id, from string) string {
		t.Helper()
		task := asynq.NewTask(string(ledger.SendMessage), []byte(`{"v":1,"from":"`+from+`","to":"+12065550177","body":"hello"}`))
		if _, err := client.Enqueue(task, asynq.Queue("normal"), asynq.TaskID(id)); err != nil {
			t.Fatal(err)
		}
		return ledger.TaskID(id).String()
	}
	wait := func(id string, want ledger.State) ledger.Job {
		t.Helper()
		b.eventually("job "+id, func() bool { _, err := b.jobs.Get(t.Context(), id); return err == nil })
		return b.until(id, want)
	}
	bad, good := put("bad", "+12065550199"), put("good", ours)
	if job := wait(bad, ledger.Failed); !strings.Contains(job.Detail, "from: …0199 is none of ours") {
		t.Errorf("got %s: %q", job.Reason, job.Detail)
	}
	wait(good, ledger.Accepted)
	if n := b.taken(); n != 1 {
		t.Errorf("%d messages were posted, want 1", n)
	}
}
