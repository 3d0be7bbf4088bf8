package mdr_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

func withNumber(records []flowroute.MDR, number string) (list []flowroute.MDR) {
	for _, r := range records {
		if r.From == number || r.To == number {
			list = append(list, r)
		}
	}
	return list
}

// Records of a number that are weeks apart are found in one page, whatever lies between.
func TestARareNumberIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	s, _, c := setupStore(t)
	records := fill(t, s, c, 600, 80*24*time.Hour)
	m := newMaker(40)
	var want []flowroute.MDR
	for week := range 12 {
		r := m.sent(c.now().Add(-time.Duration(week)*7*24*time.Hour - time.Hour))
		r.From, r.To = "12065559999", "12069990000"
		want = append(want, r)
	}
	put(t, s, want...)
	page, err := s.List(t.Context(), mdr.Query{Number: "+12069990000"})
	if err != nil || page.Next != "" || len(page.Records) != len(want) {
		t.Fatalf("got %d records, next %q, %v; want all %d in one page", len(page.Records), page.Next, err, len(want))
	}
	for i, r := range page.Records {
		same(t, "record", r.MDR, want[i])
	}
	same(t, "a busy one", paged(t, s, mdr.Query{Number: records[7].From, Limit: 7}), withNumber(records, records[7].From))
	same(t, "of two weeks", all(t, s, mdr.Query{Number: "12069990000", Since: c.now().Add(-21 * 24 * time.Hour), Until: c.now().Add(-24 * time.Hour)}), want[1:3])
	// A number that a later version of the record has.
	changed := want[3]
	changed.To, changed.Receipts = "12069990001", append(changed.Receipts, changed.Receipts[0])
	put(t, s, changed)
	same(t, "by its new number", all(t, s, mdr.Query{Number: "12069990001"}), []flowroute.MDR{changed})
	if got := all(t, s, mdr.Query{Number: "12069990000"}); len(got) != len(want)-1 {
		t.Errorf("by its old number: got %d, want one less", len(got))
	}
}

// A copy of a version that had no index of numbers: listings find everything from the
// beginning, and syncs make up the index, in an hour and after it.
func TestACopyWithoutTheIndexOfNumbers(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, mdr.SyncerOptions{FirstReach: 20 * 24 * time.Hour})
	records := fill(t, r.store, r.clock, 500, 15*24*time.Hour)
	r.sync(mdr.SyncRequest{})
	keys, err := r.rdb.Keys(t.Context(), "{flowroute}:mdr:n:*").Result()
	if err != nil || len(keys) == 0 {
		t.Fatalf("got %d keys of the index, %v", len(keys), err)
	}
	r.rdb.Del(t.Context(), keys...)
	r.rdb.HDel(t.Context(), "{flowroute}:mdr:sync", "numbers", "back")
	old := newStore(t, r.rdb, r.clock) // this version, newly started
	r.store = old
	number := records[0].From
	r.syncer = r.newSyncer(r.URL, mdr.SyncerOptions{})
	expect := func(when string, indexed bool) {
		t.Helper()
		same(t, when, paged(t, old, mdr.Query{Number: number}), withNumber(records, number))
		if got := r.rdb.HGet(t.Context(), "{flowroute}:mdr:sync", "numbers").Val() == "0"; got != indexed {
			t.Errorf("%s: all indexed: %t, want %t", when, got, indexed)
		}
	}
	expect("at first", false)
	m := newMaker(41)
	for range 3 {
		fresh := m.sent(r.clock.now())
		fresh.From = number
		put(t, old, fresh)
		records = append([]flowroute.MDR{fresh}, records...)
		r.sync(mdr.SyncRequest{})
		expect("in the first hour", false)
		r.clock.move(15 * time.Minute)
	}
	r.clock.move(time.Hour)
	r.sync(mdr.SyncRequest{})
	expect("after it", true)
}

// So many records of a week that a hash of the index would take three times the memory:
// the rest goes to further ones, and is found there.
func TestTheIndexHasRoom(t *testing.T) {
	t.Parallel()
	s, rdb, c := setupStore(t)
	m := newMaker(42)
	var records []flowroute.MDR
	for i := range 400 {
		r := m.sent(c.now().Add(-time.Duration(i) * time.Second))
		r.ID = fmt.Sprintf("mdr2-00000000%024x", i) // all of one part
		records = append(records, r)
	}
	put(t, s, records...)
	put(t, s, records...)
	for _, r := range records {
		if got, err := s.Get(t.Context(), r.ID); err != nil || got.ID != r.ID {
			t.Fatalf("%s: got %+v, %v", r.ID, got, err)
		}
	}
	held, err := s.Holds(t.Context(), []string{records[0].ID, records[399].ID, "mdr2-00000000000000000000000000001000"}, c.now().Add(-time.Hour))
	same(t, "held", held, []bool{true, true, false})
	if err != nil {
		t.Error(err)
	}
	keys := rdb.Keys(t.Context(), "{flowroute}:mdr:i*").Val()
	if len(keys) < 3 {
		t.Errorf("got %d hashes, want three levels", len(keys))
	}
	for _, key := range keys {
		if n := rdb.HLen(t.Context(), key).Val(); n > 128 && key[len("{flowroute}:mdr:")+1] != '2' {
			t.Errorf("%s has %d fields, want no more than the packed form holds", key, n)
		}
	}
	moved := records[399]
	moved.Timestamp = moved.Timestamp.Add(-2 * time.Minute)
	if moved.Timestamp.Unix()/604800 != records[399].Timestamp.Unix()/604800 {
		return // the week ends in between
	}
	put(t, s, moved)
	got, err := s.Get(t.Context(), moved.ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "moved", got.MDR, moved)
}

// What a webhook tells of a message may come before the list of records and after it, in
// the same minute or another: in the end the list's word counts.
func TestTheFullerRecordWins(t *testing.T) {
	t.Parallel()
	m := newMaker(43)
	for name, order := range map[string][]int{"webhook first": {0, 1}, "webhook last": {1, 0}, "in between": {0, 1, 0}, "in one batch": nil} {
		for _, off := range []time.Duration{0, 30 * time.Millisecond, 3 * time.Minute, -3 * time.Minute} {
			s, _, c := setupStore(t)
			at := time.Unix(c.now().Unix()/604800*604800, 0).UTC().Add(-time.Minute) // a week of the index ends in a minute
			full := m.sent(at)
			full.Direction, full.Status, full.Receipts = flowroute.Inbound, "delivered", nil
			poor := flowroute.MDR{ID: full.ID, Direction: flowroute.Inbound, From: full.From, To: full.To, Body: full.Body, Timestamp: full.Timestamp.Add(off)}
			versions := []flowroute.MDR{poor, full}
			for _, i := range order {
				put(t, s, versions[i])
			}
			if order == nil {
				put(t, s, full, poor)
			}
			got, err := s.Get(t.Context(), full.ID)
			if err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("%s, %v off", name, off)
			same(t, what, got.MDR, full)
			same(t, what+": listed", all(t, s, mdr.Query{}), []flowroute.MDR{full})
		}
	}
}

func TestListOfACampaign(t *testing.T) {
	t.Parallel()
	s, rdb, c := setupStore(t)
	led, err := ledger.New(rdb, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	from, err := flowroute.ParseE164("12065550100")
	if err != nil {
		t.Fatal(err)
	}
	campaign, m := ledger.NewCampaignID(), newMaker(44)
	var want []flowroute.MDR
	const rows = 70
	for row := 1; row <= rows; row++ {
		if row%7 == 0 {
			continue // never made
		}
		id := campaign.OfRow(uint32(row))
		if _, err := led.Create(t.Context(), ledger.NewJob{ID: id, Type: ledger.SendMessage, Queue: ledger.QueueNormal, From: from, To: from, Payload: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		if row%5 == 0 {
			continue // not posted
		}
		if _, err := led.Begin(t.Context(), ledger.Intent{ID: id, Generation: 1, Token: "t", Account: "fr-test", Budget: time.Minute, Timeout: time.Minute, Settle: time.Minute}); err != nil {
			t.Fatal(err)
		}
		r := m.sent(time.Now())
		if _, err := led.Settle(t.Context(), ledger.Settlement{ID: id, Token: "t", To: ledger.Accepted, MDR: r.ID}); err != nil {
			t.Fatal(err)
		}
		if row%11 == 0 {
			continue // not in the copy yet
		}
		put(t, s, r, m.sent(time.Now()))
		want = append([]flowroute.MDR{r}, want...)
	}
	c.move(time.Hour)
	same(t, "all", paged(t, s, mdr.Query{Campaign: campaign, CampaignRows: rows}), want)
	same(t, "pages", paged(t, s, mdr.Query{Campaign: campaign, CampaignRows: rows, Limit: 7}), want)
	same(t, "by number", paged(t, s, mdr.Query{Campaign: campaign, CampaignRows: rows, Number: want[3].To}), want[3:4])
	if got := paged(t, s, mdr.Query{Campaign: campaign, CampaignRows: rows, Until: time.Now().Add(-time.Hour)}); len(got) != 0 {
		t.Errorf("an hour ago: got %d, want none", len(got))
	}
	for _, q := range []mdr.Query{{Campaign: campaign, CampaignRows: rows, Cursor: "x"}, {Cursor: "YwAAAAE"}} {
		if _, err := s.List(t.Context(), q); err == nil {
			t.Errorf("cursor %q: got no error", q.Cursor)
		}
	}
}
