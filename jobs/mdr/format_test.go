package mdr_test

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

// The block of a minute as the first format had it.
//
//go:embed testdata/format1.txt
var format1 string

// oldRecords are those of a minute that are in testdata/format1.txt.
func oldRecords(minute time.Time) (list []flowroute.MDR) {
	m := newMaker(99)
	for i := range 40 {
		r := m.sent(minute.Add(time.Duration(i) * 1490 * time.Millisecond))
		switch i % 5 {
		case 1:
			r = delivered(r)
		case 2:
			r.Direction, r.From, r.To, r.Receipts, r.Status = flowroute.Inbound, "78787", r.From, nil, "delivered"
		case 3:
			r.ID, r.Body, r.Status = fmt.Sprintf("mdr1-%032x", i), "", "a word that is new"
		case 4:
			r.PriceDetails = &flowroute.PriceDetails{BaseRate: 4_000_000, ChargedCost: 8_000_000, SegmentCount: 2}
		}
		list = append([]flowroute.MDR{r}, list...)
	}
	return list
}

// What an earlier version stored is read, listed by number, and written anew when it
// changes.
func TestBlocksOfTheFirstFormat(t *testing.T) {
	t.Parallel()
	s, rdb, c := setupStore(t)
	minute := c.now().Truncate(time.Minute).Add(-time.Hour)
	records := oldRecords(minute)
	put(t, s, records...) // for the indexes
	key := rdb.Keys(t.Context(), "{flowroute}:mdr:b:*").Val()[0]
	old, err := base64.StdEncoding.DecodeString(strings.TrimSpace(format1))
	if err != nil {
		t.Fatal(err)
	}
	rdb.Set(t.Context(), key, old, time.Hour)
	same(t, "all", all(t, s, mdr.Query{}), records)
	same(t, "by number", all(t, s, mdr.Query{Number: records[7].To}), withNumber(records, records[7].To))
	if got := put(t, s, records...); got != (mdr.PutResult{}) {
		t.Errorf("put again: got %+v, want nothing changed", got)
	}
	if got := rdb.Get(t.Context(), key).Val(); got != string(old) {
		t.Error("nothing changed, but it was written")
	}
	changed := delivered(records[9])
	if got := put(t, s, changed); got.Changed != 1 {
		t.Errorf("changed: got %+v, want one", got)
	}
	records[9] = changed
	if got := rdb.Get(t.Context(), key).Val(); got[0] != 2 {
		t.Errorf("changed: got format %d, want 2", got[0])
	}
	same(t, "all, in the present format", all(t, s, mdr.Query{}), records)
}
