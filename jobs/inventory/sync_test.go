package inventory_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

func TestTheCopyIsTheAccount(t *testing.T) {
	t.Parallel()
	numbers := owned(450) // three pages
	r := setup(t, flowroutetest.Options{Owned: numbers, Routes: []flowroutetest.Route{{ID: "77", Type: "host", Value: "sip.example.com", Alias: "office"}}}, inventory.SyncerOptions{})
	report := r.sync()
	if report.Numbers != 450 || report.Added != 450 || report.Routes != 2 || report.DetailsRead != 450 || report.DetailsDue != 0 || report.Missing != 0 {
		t.Errorf("first: got %+v", report)
	}
	r.expectTruth()
	same(t, "numbers", r.held(false), numbers)
	r.expectChanges() // what is there at first is no news
	routes, err := r.store.Routes(t.Context())
	if err != nil || len(routes) != 2 || routes[1].Route != (flowroute.Route{ID: "77", Type: flowroute.RouteHost, Value: "sip.example.com", Alias: "office"}) {
		t.Errorf("routes: got %+v, %v", routes, err)
	}
	if last, err := r.store.LastSync(t.Context()); err != nil || last.Numbers != 450 || !last.Started.Equal(report.Started) {
		t.Errorf("last sync: got %+v, %v", last, err)
	}
	if again := r.sync(); again.Added != 0 || again.Removed != 0 || again.AliasChanged != 0 || again.Rerouted != 0 || again.DetailsRead != 200 {
		t.Errorf("nothing new: got %+v, want 200 numbers read in turn", again)
	}
	r.expectChanges()
}

func TestWhatCameWentAndChanged(t *testing.T) {
	t.Parallel()
	numbers := owned(4)
	r := setup(t, flowroutetest.Options{Owned: numbers, Routes: []flowroutetest.Route{{ID: "77", Type: "host", Value: "sip.example.com", Alias: "office"}}}, inventory.SyncerOptions{})
	r.sync()
	if err := r.AddNumber("12065559999"); err != nil {
		t.Fatal(err)
	}
	r.alias(numbers[0], "front desk")
	r.route(numbers[1], "primary_route", "77")
	r.route(numbers[1], "failover_route", "0")
	r.release(numbers[2])
	report := r.sync()
	if report.Added != 1 || report.Removed != 1 || report.AliasChanged != 1 || report.Rerouted != 1 {
		t.Errorf("got %+v, want one of each", report)
	}
	r.expectTruth()
	got := r.changes()
	slices.SortFunc(got, func(a, b line) int {
		return slices.Compare([]byte(a.Name+string(a.Kind)), []byte(b.Name+string(b.Kind)))
	})
	same(t, "changes", got, []line{
		{inventory.AliasChanged, numbers[0], "", "front desk"},
		{inventory.FailoverChanged, numbers[1], "", "0"},
		{inventory.PrimaryChanged, numbers[1], "0", "77"},
		{inventory.Removed, numbers[2], "", ""},
		{inventory.Added, "12065559999", "", ""},
	})
	same(t, "gone", r.held(true), []string{numbers[2]})
	if n := r.get(numbers[2]); n.Gone.IsZero() {
		t.Errorf("got %+v, want it gone", n)
	}
	if err := r.AddNumber(numbers[2]); err != nil {
		t.Fatal(err)
	}
	if report := r.sync(); report.Added != 1 || !r.get(numbers[2]).Gone.IsZero() {
		t.Errorf("bought again: got %+v, number %+v", report, r.get(numbers[2]))
	}
	if all := r.changes(); all[len(all)-1].Kind != inventory.Returned {
		t.Errorf("got last change %+v, want returned", all[len(all)-1])
	}
}

// The listing breaks off after its first page: what it had is stored, and nothing
// is taken away.
func TestAListingThatBreaksOff(t *testing.T) {
	t.Parallel()
	numbers := owned(450)
	r := setup(t, flowroutetest.Options{Owned: numbers}, inventory.SyncerOptions{Rereads: -1})
	r.sync()
	r.release(numbers[3])
	r.alias(numbers[0], "first page")
	r.alias(numbers[449], "last page")
	r.onRequest(func(_ context.Context, n int) error {
		if n >= 2 {
			r.FailNext("read-500", 1)
		}
		return nil
	})
	if _, err := r.syncer.Sync(t.Context()); err == nil {
		t.Error("got no error")
	}
	same(t, "gone", r.held(true), []string{})
	if r.get(numbers[0]).Alias != "first page" || r.get(numbers[449]).Alias != "" {
		t.Errorf("got aliases %q and %q, want the first page's only", r.get(numbers[0]).Alias, r.get(numbers[449]).Alias)
	}
	r.onRequest(nil)
	r.ClearFaults()
	r.sync()
	r.expectTruth()
	same(t, "gone", r.held(true), []string{numbers[3]})
}

func TestAPageThatFailsIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"read-500", "read-cut", "read-garbage", "read-429"} {
		r := setup(t, flowroutetest.Options{Owned: owned(450)}, inventory.SyncerOptions{FirstReads: 3})
		r.onRequest(func(_ context.Context, n int) error {
			if n == 2 || n == 5 {
				r.FailNext(fault, 1)
			}
			return nil
		})
		if report := r.sync(); report.Numbers != 450 || report.DetailsRead != 3 || report.DetailsDue != 447 {
			t.Errorf("%s: got %+v, want the whole list", fault, report)
		}
	}
}

// A listing without a number, or without any, is complete as far as it says. The
// numbers are asked for, and are there.
func TestANumberThatAListingLacks(t *testing.T) {
	t.Parallel()
	numbers := owned(30)
	r := setup(t, flowroutetest.Options{Owned: numbers}, inventory.SyncerOptions{})
	r.sync()
	for _, hidden := range [][]string{{numbers[7]}, {"all"}} {
		r.setHidden(hidden...)
		for range 3 {
			if report := r.sync(); report.Removed != 0 {
				t.Errorf("hidden %v: got %+v, want nothing removed", hidden, report)
			}
		}
	}
	same(t, "numbers", r.held(false), numbers)
	r.setHidden()
	r.release(numbers[7])
	r.SetFault("read-500", flowroutetest.Fault{Probability: 1})
	_, _ = r.syncer.Sync(t.Context())
	same(t, "gone while the API fails", r.held(true), []string{})
}

func TestMissingNumbersBeyondTheBudgetWait(t *testing.T) {
	t.Parallel()
	numbers := owned(30)
	r := setup(t, flowroutetest.Options{Owned: numbers}, inventory.SyncerOptions{})
	r.sync()
	for _, n := range numbers[:10] {
		r.release(n)
	}
	r.syncer = r.newSyncer(inventory.SyncerOptions{FirstReads: 4, Rereads: -1})
	for i, want := range []inventory.Report{{Removed: 4, Missing: 6}, {Removed: 4, Missing: 2}, {Removed: 2}} {
		if got := r.sync(); got.Removed != want.Removed || got.Missing != want.Missing {
			t.Errorf("sync %d: got %d removed, %d missing; want %d, %d", i, got.Removed, got.Missing, want.Removed, want.Missing)
		}
	}
	r.expectTruth()
}

// A number that was seen a moment ago is not gone, whatever is said: a purchase
// may show late.
func TestAPurchaseThatShowsLate(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{Owned: owned(3)}, inventory.SyncerOptions{Settle: time.Minute})
	r.sync()
	bought := flowroute.NumberDetails{Number: flowroute.Number{Number: parse(t, "12065559999"), Alias: "new"}, PrimaryRoute: &flowroute.RouteRef{ID: "0"}}
	if err := r.store.PutDetails(t.Context(), bought); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Touch(t.Context(), bought.Number.Number); err != nil {
		t.Fatal(err)
	}
	if report := r.sync(); report.Removed != 0 || report.Missing == 0 {
		t.Errorf("got %+v, want it missing and not removed", report)
	}
	if n := r.get("12065559999"); !n.Gone.IsZero() || n.Alias != "new" {
		t.Errorf("got %+v, want it as it was bought", n)
	}
}

func TestRoutesGoTheSecondTime(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{Owned: owned(1), Routes: []flowroutetest.Route{
		{ID: "77", Type: "host", Value: "sip.example.com", Alias: "office"}, {ID: "78", Type: "number", Value: "12065550100", Alias: "mobile"},
	}}, inventory.SyncerOptions{})
	r.sync()
	count := func() int {
		routes, err := r.store.Routes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(routes)
	}
	for i, step := range []struct {
		hidden []string
		breaks bool
		want   int
	}{
		{[]string{"77"}, false, 3},
		{nil, false, 3}, // it was there after all
		{[]string{"77"}, false, 3},
		{[]string{"77"}, true, 3}, // a listing that failed lacks nothing
		{[]string{"77"}, false, 2},
		{nil, false, 3},
	} {
		r.setHidden(step.hidden...)
		if step.breaks {
			r.SetFault("read-500", flowroutetest.Fault{Probability: 1})
			_, _ = r.syncer.Sync(t.Context())
			r.ClearFaults()
		} else {
			r.sync()
		}
		if got := count(); got != step.want {
			t.Errorf("step %d: got %d routes, want %d", i, got, step.want)
		}
	}
	r.expectChanges(line{inventory.Removed, "77", "", ""}, line{inventory.Added, "77", "", ""})
}

func TestDetailsInTurn(t *testing.T) {
	t.Parallel()
	numbers := owned(20)
	r := setup(t, flowroutetest.Options{Owned: numbers, Routes: []flowroutetest.Route{{ID: "77", Type: "host", Value: "sip.example.com", Alias: "office"}}},
		inventory.SyncerOptions{FirstReads: 8, Rereads: 5})
	for i, want := range []struct{ read, due int }{{8, 12}, {8 + 5, 4}, {4 + 5, 0}, {5, 0}} {
		if got := r.sync(); got.DetailsRead != want.read || got.DetailsDue != want.due {
			t.Errorf("sync %d: got %d read, %d due; want %d, %d", i, got.DetailsRead, got.DetailsDue, want.read, want.due)
		}
	}
	// Whoever is rerouted by somebody else is found within one turn of all.
	r.route(numbers[11], "primary_route", "77")
	rerouted := 0
	for range 4 {
		rerouted += r.sync().Rerouted
	}
	if rerouted != 1 {
		t.Errorf("got %d rerouted in a turn, want 1", rerouted)
	}
	r.expectTruth()
	// Whoever is touched is read at once.
	r.route(numbers[2], "primary_route", "77")
	if err := r.store.Touch(t.Context(), parse(t, numbers[2])); err != nil {
		t.Fatal(err)
	}
	r.syncer = r.newSyncer(inventory.SyncerOptions{Rereads: -1})
	if report := r.sync(); report.DetailsRead != 1 || report.Rerouted != 1 {
		t.Errorf("touched: got %+v, want one read and rerouted", report)
	}
	if report := r.sync(); report.DetailsRead != 0 {
		t.Errorf("afterwards: got %+v, want none read", report)
	}
}

// A number is touched while its details are on their way: they may be old, so it
// is read once more.
func TestATouchDuringTheReadCounts(t *testing.T) {
	t.Parallel()
	numbers := owned(1)
	r := setup(t, flowroutetest.Options{Owned: numbers}, inventory.SyncerOptions{Rereads: -1})
	r.onRequest(func(ctx context.Context, n int) error {
		if n != 3 { // numbers, routes, the number
			return nil
		}
		return r.store.Touch(ctx, parse(t, numbers[0]))
	})
	if report := r.sync(); report.DetailsRead != 1 || report.DetailsDue != 1 {
		t.Errorf("got %+v, want it read and due again", report)
	}
	if report := r.sync(); report.DetailsRead != 1 || report.DetailsDue != 0 {
		t.Errorf("next: got %+v, want it read", report)
	}
}

// What a worker wrote through while a page was on its way is newer than the page.
func TestAPageOnItsWayUndoesNothing(t *testing.T) {
	t.Parallel()
	numbers := owned(3)
	r := setup(t, flowroutetest.Options{Owned: numbers}, inventory.SyncerOptions{Rereads: -1})
	r.sync()
	hold := r.HoldNext(flowroutetest.OpRead, true) // answered already, with what was
	done := make(chan error, 1)
	go func() {
		_, err := r.syncer.Sync(t.Context())
		done <- err
	}()
	<-hold.Reached()
	// Redis' clock counts in ms; the write is a ms later than the question at least.
	began := r.rdb.Time(t.Context()).Val()
	for !r.rdb.Time(t.Context()).Val().After(began.Add(2 * time.Millisecond)) {
	}
	renamed := flowroute.NumberDetails{Number: flowroute.Number{Number: parse(t, numbers[0]), Alias: "renamed"}, PrimaryRoute: &flowroute.RouteRef{ID: "5"}}
	bought := flowroute.NumberDetails{Number: flowroute.Number{Number: parse(t, "12065559999")}}
	for _, d := range []flowroute.NumberDetails{renamed, bought} {
		if err := r.store.PutDetails(t.Context(), d); err != nil {
			t.Error(err)
		}
	}
	hold.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := r.get(numbers[0]); n.Alias != "renamed" || n.PrimaryRoute != "5" {
		t.Errorf("got %+v, want what was written through", n)
	}
	if n := r.get("12065559999"); !n.Gone.IsZero() {
		t.Errorf("got %+v, want the bought number kept", n)
	}
}

func TestTwoSyncsAtOnce(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{Owned: owned(3)}, inventory.SyncerOptions{})
	hold := r.HoldNext(flowroutetest.OpRead, false)
	done := make(chan error, 1)
	go func() {
		_, err := r.syncer.Sync(t.Context())
		done <- err
	}()
	<-hold.Reached()
	if report := r.sync(); !report.Skipped || report.Warning == "" || report.Numbers != 0 {
		t.Errorf("second: got %+v, want it skipped with a warning", report)
	}
	hold.Release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.expectTruth()
}

// A sync is stopped before each of its requests in turn; nothing is taken away by
// it, and the next one is right.
func TestDeathInTheMiddle(t *testing.T) {
	t.Parallel()
	numbers := owned(6)
	r := setup(t, flowroutetest.Options{Owned: numbers}, inventory.SyncerOptions{})
	r.sync()
	for last := 1; ; last++ {
		ctx, kill := context.WithCancel(t.Context())
		r.onRequest(func(_ context.Context, n int) error {
			if n == last {
				kill()
			}
			return nil
		})
		_, err := r.syncer.Sync(ctx)
		kill()
		if err == nil {
			if last < 5 {
				t.Errorf("got %d deaths, want one at each request", last-1)
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want the end of ctx", err)
		}
		same(t, "numbers", r.held(false), numbers)
	}
	r.expectTruth()
}

func TestRefusedAtOnce(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, inventory.SyncerOptions{})
	draining := errors.New("draining")
	requests := 0
	r.onRequest(func(_ context.Context, n int) error { requests = n; return draining })
	syncer := r.newSyncer(inventory.SyncerOptions{GiveUp: func(err error) bool { return errors.Is(err, draining) }})
	if _, err := syncer.Sync(t.Context()); !errors.Is(err, draining) || requests != 1 {
		t.Errorf("no permit: got %v after %d requests, want it passed on after one", err, requests)
	}
	r.onRequest(func(_ context.Context, n int) error { requests = n; return nil })
	r.SetFault("401", flowroutetest.Fault{Probability: 1, On: []flowroutetest.Op{flowroutetest.OpRead}})
	if _, err := r.syncer.Sync(t.Context()); !errors.Is(err, flowroute.ErrUnauthorized) || requests != 1 {
		t.Errorf("401: got %v after %d requests, want it passed on after one", err, requests)
	}
}

func TestHandle(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{Owned: owned(2)}, inventory.SyncerOptions{})
	result, err := r.syncer.Handle(t.Context(), ledger.Job{Payload: []byte(`{"v":1}`)})
	var report inventory.Report
	if err != nil || json.Unmarshal(result, &report) != nil || report.Numbers != 2 {
		t.Errorf("got %s, %v; want two numbers", result, err)
	}
	if _, err := r.syncer.Handle(t.Context(), ledger.Job{Payload: []byte(`{"v":2}`)}); !errors.Is(err, ledger.ErrNewerVersion) {
		t.Errorf("newer payload: got %v, want ErrNewerVersion", err)
	}
}
