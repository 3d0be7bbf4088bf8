package mdr_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/internal/race"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

// newest brings records into the order of listings.
func newest(records []flowroute.MDR) []flowroute.MDR {
	records = slices.Clone(records)
	slices.SortFunc(records, func(a, b flowroute.MDR) int {
		if c := b.Timestamp.Compare(a.Timestamp); c != 0 {
			return c
		}
		return cmpString(b.ID, a.ID)
	})
	return records
}

func fill(t *testing.T, s *mdr.Store, c *clock, n int, reach time.Duration) []flowroute.MDR {
	t.Helper()
	m := newMaker(42)
	var records []flowroute.MDR
	for i := range n {
		r := m.sent(c.now().Add(-time.Duration(m.Int64N(int64(reach)))))
		switch i % 4 {
		case 1:
			r = delivered(r)
		case 2:
			r.Direction, r.From, r.To, r.Receipts = flowroute.Inbound, r.To, r.From, nil
		}
		if i%10 == 3 { // same moment
			r.Timestamp = records[i-1].Timestamp
			r.Receipts = nil
		}
		records = append(records, r)
	}
	for part := range slices.Chunk(records, 100) {
		put(t, s, part...)
	}
	return newest(records)
}

// paged reads a listing page by page.
func paged(t *testing.T, s *mdr.Store, q mdr.Query) []flowroute.MDR {
	t.Helper()
	var got []flowroute.MDR
	for {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			got = append(got, r.MDR)
		}
		if page.Next == "" {
			return got
		}
		q.Cursor = page.Next
	}
}

func TestListPagesAreTheWhole(t *testing.T) {
	t.Parallel()
	s, _, c := setupStore(t)
	want := fill(t, s, c, 1200, 50*time.Hour)
	limits := []int{100, 999, 5000}
	if !race.Enabled {
		limits = append(limits, 1, 7)
	}
	for _, limit := range limits {
		if limit == 1 {
			want := want[:40]
			q := mdr.Query{Limit: limit, Since: want[39].Timestamp}
			got := paged(t, s, q)
			same(t, "one by one", got[:40], want)
			continue
		}
		same(t, "all", paged(t, s, mdr.Query{Limit: limit}), want)
	}
	same(t, "in one walk", all(t, s, mdr.Query{}), want)
	for r, err := range s.Each(t.Context(), mdr.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(want, func(o flowroute.MDR) bool { return o.ID == r.ID })
		if i%200 == 0 {
			same(t, "after record "+r.ID, all(t, s, mdr.Query{Cursor: r.Cursor()}), want[i+1:])
		}
	}
	page, err := s.List(t.Context(), mdr.Query{})
	if err != nil || len(page.Records) != 100 || page.Next == "" {
		t.Errorf("default page: got %d records, next %q, %v; want 100 and a next one", len(page.Records), page.Next, err)
	}
	page, err = s.List(t.Context(), mdr.Query{Limit: 1 << 30})
	if err != nil || len(page.Records) != 1000 {
		t.Errorf("huge limit: got %d records, %v; want 1000", len(page.Records), err)
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	s, _, c := setupStore(t)
	records := fill(t, s, c, 600, 30*time.Hour)
	sender, at := records[500].From, records[300].Timestamp
	for _, tt := range []struct {
		name  string
		query mdr.Query
		want  func(flowroute.MDR) bool
	}{
		{"since", mdr.Query{Since: at}, func(r flowroute.MDR) bool { return !r.Timestamp.Before(at) }},
		{"until", mdr.Query{Until: at}, func(r flowroute.MDR) bool { return r.Timestamp.Before(at) }},
		{"empty window", mdr.Query{Since: at, Until: at}, func(flowroute.MDR) bool { return false }},
		{"backwards window", mdr.Query{Since: at, Until: at.Add(-time.Hour)}, func(flowroute.MDR) bool { return false }},
		{"number", mdr.Query{Number: sender}, func(r flowroute.MDR) bool { return r.From == sender || r.To == sender }},
		{"number with +", mdr.Query{Number: "+" + sender}, func(r flowroute.MDR) bool { return r.From == sender || r.To == sender }},
		{"inbound", mdr.Query{Direction: flowroute.Inbound}, func(r flowroute.MDR) bool { return r.Direction == flowroute.Inbound }},
		{"delivered", mdr.Query{Delivery: flowroute.DeliveryDelivered, Direction: flowroute.Outbound}, func(r flowroute.MDR) bool {
			return r.Direction == flowroute.Outbound && r.Delivery() == flowroute.DeliveryDelivered
		}},
		{"nobody", mdr.Query{Number: "1"}, func(flowroute.MDR) bool { return false }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var want []flowroute.MDR
			for _, r := range records {
				if tt.want(r) {
					want = append(want, r)
				}
			}
			tt.query.Limit = 33
			same(t, tt.name, all(t, s, tt.query), want)
		})
	}
}

// A record that arrives while somebody pages is seen or not, but makes nothing
// come twice or not at all.
func TestListGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	s, _, c := setupStore(t)
	want := fill(t, s, c, 200, time.Hour)
	m := newMaker(9)
	var got []flowroute.MDR
	q := mdr.Query{Limit: 30}
	for {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			got = append(got, r.MDR)
		}
		if page.Next == "" {
			break
		}
		q.Cursor = page.Next
		put(t, s, m.sent(c.now().Add(time.Second)))
	}
	same(t, "pages", got, want)
}

func TestBadCursor(t *testing.T) {
	t.Parallel()
	s, _, _ := setupStore(t)
	for _, cursor := range []string{"x", "!!", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
		if _, err := s.List(t.Context(), mdr.Query{Cursor: cursor}); !errors.Is(err, mdr.ErrBadCursor) {
			t.Errorf("%q: got %v, want ErrBadCursor", cursor, err)
		}
	}
	for _, err := range s.Each(t.Context(), mdr.Query{Cursor: "x"}) {
		if !errors.Is(err, mdr.ErrBadCursor) {
			t.Errorf("each: got %v, want ErrBadCursor", err)
		}
	}
}
