package inventory_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func details(t *testing.T, number, alias string) flowroute.NumberDetails {
	t.Helper()
	return flowroute.NumberDetails{
		Number:       flowroute.Number{Number: parse(t, number), Alias: alias, Type: "longcode", RateCenter: "seattle", State: "wa", MessagingEnabled: new(true)},
		PrimaryRoute: &flowroute.RouteRef{ID: "0"},
	}
}

func setupStore(t *testing.T) *inventory.Store {
	t.Helper()
	s, err := inventory.New(redistest.New(t).Client(), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWriteThrough(t *testing.T) {
	t.Parallel()
	s := setupStore(t)
	n := parse(t, "12065550100")
	if _, err := s.Get(t.Context(), n); !errors.Is(err, inventory.ErrNotFound) {
		t.Errorf("before: got %v, want ErrNotFound", err)
	}
	if _, err := s.Get(t.Context(), flowroute.E164{}); !errors.Is(err, inventory.ErrNotFound) {
		t.Errorf("no number: got %v, want ErrNotFound", err)
	}
	if err := s.PutDetails(t.Context(), details(t, "12065550100", "Ärzte")); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(t.Context(), n)
	if err != nil || got.FirstSeen.IsZero() || got.LastSeen.IsZero() || got.DetailsRead.IsZero() {
		t.Errorf("got %+v, %v; want its times", got, err)
	}
	got.FirstSeen, got.LastSeen, got.DetailsRead = time.Time{}, time.Time{}, time.Time{}
	if want := (inventory.Number{Number: n, Alias: "Ärzte", Type: "longcode", RateCenter: "seattle", State: "wa", MessagingEnabled: got.MessagingEnabled, PrimaryRoute: "0"}); got != want || !*got.MessagingEnabled {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := s.PutAssigned(t.Context(), n, inventory.Failover, "9"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), n); err != nil || got.FailoverRoute != "9" || got.PrimaryRoute != "0" {
		t.Errorf("assigned: got %+v, %v", got, err)
	}
	stranger := parse(t, "12065550199")
	if err := s.PutAssigned(t.Context(), stranger, inventory.Primary, "9"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), stranger); !errors.Is(err, inventory.ErrNotFound) {
		t.Errorf("assigned to a stranger: got %v, want it touched only", err)
	}
	if err := s.PutRoute(t.Context(), flowroute.Route{ID: "9", Type: flowroute.RouteHost, Value: "sip.example.com", Alias: "office"}); err != nil {
		t.Fatal(err)
	}
	if routes, err := s.Routes(t.Context()); err != nil || len(routes) != 1 || routes[0].Alias != "office" {
		t.Errorf("routes: got %+v, %v", routes, err)
	}
	for _, err := range []error{s.Touch(t.Context(), flowroute.E164{}), s.PutRoute(t.Context(), flowroute.Route{}), s.PutAssigned(t.Context(), flowroute.E164{}, inventory.Primary, "")} {
		if err != nil {
			t.Errorf("nothing given: got %v", err)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	s := setupStore(t)
	var want []string
	for i := range 1234 {
		want = append(want, fmt.Sprint(12065550000+i))
		if err := s.PutDetails(t.Context(), details(t, want[i], "")); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{0, 1, 100, 500, 1000, 1 << 30} {
		if limit == 1 && len(want) > 40 { // one by one is slow
			continue
		}
		var got []string
		for n, err := range s.Each(t.Context(), inventory.Query{Limit: limit}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, n.Number.Digits())
		}
		same(t, fmt.Sprint("limit ", limit), got, want)
	}
	for prefix, n := range map[string]int{"": 100, "206": 100, "1206": 100, "+1206": 100, "20655501": 100, "2065550123": 1, "+206": 0, "999": 0, "12065551": 100, "120655512": 34, "\xff": 0} {
		page, err := s.List(t.Context(), inventory.Query{StartsWith: prefix})
		if err != nil || len(page.Numbers) != n {
			t.Errorf("starts with %q: got %d, %v; want %d", prefix, len(page.Numbers), err, n)
		}
	}
	if _, err := s.List(t.Context(), inventory.Query{Cursor: "x"}); !errors.Is(err, inventory.ErrBadCursor) {
		t.Errorf("bad cursor: got %v, want ErrBadCursor", err)
	}
}

func TestChangesGoOnWhereTheyWere(t *testing.T) {
	t.Parallel()
	s := setupStore(t)
	for i := range 25 {
		if err := s.PutDetails(t.Context(), details(t, "12065550100", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for after := ""; ; {
		changes, err := s.Changes(t.Context(), time.Time{}, after, 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) == 0 {
			break
		}
		for _, c := range changes {
			got = append(got, c.New)
		}
		after = changes[len(changes)-1].Cursor
	}
	if len(got) != 25 || got[0] != "" || got[24] != "24" {
		t.Errorf("got %v, want the number added and 24 aliases", got)
	}
	if changes, err := s.Changes(t.Context(), time.Now().Add(time.Hour), "", 0); err != nil || len(changes) != 0 {
		t.Errorf("since the future: got %d, %v; want none", len(changes), err)
	}
	for _, cursor := range []string{"x", "1", "1-", "-1", "1-x", "1-1-1"} {
		if _, err := s.Changes(t.Context(), time.Time{}, cursor, 0); !errors.Is(err, inventory.ErrBadCursor) {
			t.Errorf("%q: got %v, want ErrBadCursor", cursor, err)
		}
	}
}

func TestANewerVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{Owned: owned(1)}, inventory.SyncerOptions{})
	r.sync()
	number := owned(1)[0]
	r.rdb.HSet(t.Context(), "{flowroute}:inv:n:"+number, "v", "2")
	if err := r.store.PutDetails(t.Context(), details(t, number, "")); !errors.Is(err, inventory.ErrNewerVersion) {
		t.Errorf("put: got %v, want ErrNewerVersion", err)
	}
	if _, err := r.store.Get(t.Context(), parse(t, number)); !errors.Is(err, inventory.ErrNewerVersion) {
		t.Errorf("get: got %v, want ErrNewerVersion", err)
	}
	if _, err := r.syncer.Sync(t.Context()); !errors.Is(err, inventory.ErrNewerVersion) {
		t.Errorf("sync: got %v, want ErrNewerVersion", err)
	}
}

func TestGoneNumbersAreForgottenInTime(t *testing.T) {
	t.Parallel()
	numbers := owned(2)
	r := setup(t, flowroutetest.Options{Owned: numbers}, inventory.SyncerOptions{})
	r.sync()
	r.release(numbers[0])
	r.sync()
	same(t, "gone", r.held(true), []string{numbers[0]})
	key := "{flowroute}:inv:n:" + numbers[0]
	r.rdb.HSet(t.Context(), key, "go", time.Now().Add(-2161*time.Hour).UnixMilli())
	r.sync()
	same(t, "gone for longer than it stays readable", r.held(true), []string{})
	if n := r.rdb.Exists(t.Context(), key).Val(); n != 0 {
		t.Error("its record is still there")
	}
}

func TestRedisCutInTheMiddle(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	proxy := db.Proxy(t)
	s, err := inventory.New(proxy.Client(), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	proxy.DropReplies(2) // done, and done again
	if err := s.PutDetails(t.Context(), details(t, "12065550100", "a")); err != nil {
		t.Fatal(err)
	}
	changes, err := s.Changes(t.Context(), time.Time{}, "", 0)
	if err != nil || len(changes) != 1 {
		t.Errorf("got %d changes, %v; want it added once", len(changes), err)
	}
	proxy.Cut()
	if err := s.PutDetails(t.Context(), details(t, "12065550100", "b")); err == nil {
		t.Error("without Redis: got no error")
	}
	if _, err := s.Get(t.Context(), parse(t, "12065550100")); err == nil || errors.Is(err, inventory.ErrNotFound) {
		t.Errorf("without Redis: got %v, want Redis' error", err)
	}
	proxy.Resume()
	if n, err := s.Get(t.Context(), parse(t, "12065550100")); err != nil || n.Alias != "a" {
		t.Errorf("back: got %+v, %v", n, err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	for name, o := range map[string]inventory.Options{"no hash tag": {Prefix: "flowroute:"}, "negative": {GoneFor: -1}, "negative changes": {ChangesMax: -1}} {
		if _, err := inventory.New(rdb, o); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	s := setupStore(t)
	for name, o := range map[string]inventory.SyncerOptions{"first reads": {FirstReads: -1}, "settle": {Settle: -1}} {
		if _, err := inventory.NewSyncer(s, &flowroute.Client{}, o); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if _, err := inventory.NewSyncer(nil, nil, inventory.SyncerOptions{}); err == nil {
		t.Error("nothing given: got no error")
	}
}
