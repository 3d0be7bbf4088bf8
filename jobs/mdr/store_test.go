package mdr_test

import (
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func TestARecordComesBackAsItWas(t *testing.T) {
	t.Parallel()
	s, _, c := setupStore(t)
	m, at := newMaker(1), c.now().Add(-time.Hour)
	full := delivered(m.sent(at.Add(123_456_789 * time.Nanosecond)))
	full.IsMMS, full.Encoding, full.MessageType = true, 8, "toll-free"
	full.Body = "Grüße \x00 \U0001F600"
	full.Media = []flowroute.Media{{ID: "m1", FileName: "a.png", MIMEType: "image/png", URL: "https://example.com/a.png", FileSize: 767840}, {}}
	full.PriceDetails = &flowroute.PriceDetails{BaseRate: 4_000_000, SurchargeRate: 3_000_000, ChargedCost: 14_000_000, SegmentCount: 2}
	full.Receipts[0].Timestamp = at.Add(7 * time.Nanosecond)
	full.Receipts[1].Timestamp = time.Time{}
	full.Receipts[2].StatusCode = new(-1)
	for name, r := range map[string]flowroute.MDR{
		"plain":            m.sent(at),
		"everything":       full,
		"nothing":          {ID: "mdr2-00000000000000000000000000000000", Direction: flowroute.Outbound, Timestamp: at},
		"inbound":          {ID: "mdr2-0123456789abcdef0123456789abcdef", Direction: flowroute.Inbound, From: "72727", To: "+12065550100", Body: "STOP", Timestamp: at},
		"odd numbers":      {ID: "mdr2-1123456789abcdef0123456789abcdef", Direction: flowroute.Outbound, From: "0044", To: "Flowroute", Timestamp: at},
		"huge number":      {ID: "mdr2-2123456789abcdef0123456789abcdef", Direction: flowroute.Outbound, From: "18446744073709551615", To: "0", Timestamp: at},
		"old id":           {ID: "mdr1-febb118b9b034338adfc662a8c02fd88", Direction: flowroute.Outbound, Timestamp: at},
		"upper case id":    {ID: "mdr2-ABBB118B9B034338ADFC662A8C02FD88", Direction: flowroute.Outbound, Timestamp: at},
		"short id":         {ID: "x", Direction: flowroute.Outbound, Timestamp: at},
		"new direction":    {ID: "mdr2-3123456789abcdef0123456789abcdef", Direction: "sideways", Timestamp: at},
		"amount":           {ID: "mdr2-4123456789abcdef0123456789abcdef", Direction: flowroute.Outbound, AmountNanodollars: math.MaxInt64, AmountDisplay: "$9223372036.85", Timestamp: at},
		"negative amount":  {ID: "mdr2-5123456789abcdef0123456789abcdef", Direction: flowroute.Outbound, AmountNanodollars: math.MinInt64, Timestamp: at},
		"amount not shown": {ID: "mdr2-6123456789abcdef0123456789abcdef", Direction: flowroute.Outbound, AmountNanodollars: 4_000_000, Timestamp: at},
		"end of a minute":  {ID: "mdr2-7123456789abcdef0123456789abcdef", Direction: flowroute.Outbound, Timestamp: at.Truncate(time.Minute).Add(time.Minute - 1)},
	} {
		if got := put(t, s, r); got != (mdr.PutResult{New: 1}) {
			t.Errorf("%s: put: got %+v, want one new", name, got)
		}
		if got := put(t, s, r); got != (mdr.PutResult{}) {
			t.Errorf("%s: put again: got %+v, want nothing changed", name, got)
		}
		got, err := s.Get(t.Context(), r.ID)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		same(t, name, got.MDR, r)
	}
	if _, err := s.Get(t.Context(), "mdr2-99999999999999999999999999999999"); !errors.Is(err, mdr.ErrNotFound) {
		t.Errorf("a record that is not there: got %v, want ErrNotFound", err)
	}
}

func TestOlderVersionsDoNotWin(t *testing.T) {
	t.Parallel()
	s, _, c := setupStore(t)
	buffered := newMaker(2).sent(c.now().Add(-time.Hour))
	end := delivered(buffered)
	submitted := buffered // before the carrier took it
	submitted.Status, submitted.Receipts = "smsc submit", buffered.Receipts[1:]
	later := buffered // the same receipts, one of them newer
	later.Receipts = slices.Clone(buffered.Receipts)
	later.Receipts[0].Timestamp = later.Receipts[0].Timestamp.Add(time.Minute)
	priced := end
	priced.AmountNanodollars = 5_000_000
	for i, step := range []struct {
		put  []flowroute.MDR
		want mdr.PutResult
		held flowroute.MDR
	}{
		{[]flowroute.MDR{submitted}, mdr.PutResult{New: 1}, submitted},
		{[]flowroute.MDR{buffered}, mdr.PutResult{Changed: 1}, buffered},
		{[]flowroute.MDR{submitted}, mdr.PutResult{Stale: 1}, buffered},
		{[]flowroute.MDR{later}, mdr.PutResult{Changed: 1}, later},
		{[]flowroute.MDR{buffered}, mdr.PutResult{Stale: 1}, later},
		{[]flowroute.MDR{end}, mdr.PutResult{Changed: 1}, end},
		{[]flowroute.MDR{buffered}, mdr.PutResult{Stale: 1}, end},
		{[]flowroute.MDR{priced}, mdr.PutResult{Changed: 1}, priced},
		{[]flowroute.MDR{buffered, end, buffered}, mdr.PutResult{Stale: 1, Changed: 1}, end},
	} {
		if got := put(t, s, step.put...); got != step.want {
			t.Errorf("step %d: got %+v, want %+v", i, got, step.want)
		}
		got, err := s.Get(t.Context(), buffered.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "held", got.MDR, step.held)
	}
}

func TestARecordThatFlowrouteMovesInTimeIsHeldOnce(t *testing.T) {
	t.Parallel()
	s, _, c := setupStore(t)
	m := newMaker(3)
	base := c.now().Truncate(7 * 24 * time.Hour).Add(-2 * 24 * time.Hour) // all in one week of the index
	r, other := m.sent(base), m.sent(base)
	put(t, s, r, other)
	moved := r
	moved.Timestamp = base.Add(3 * time.Minute)
	put(t, s, moved)
	same(t, "listed", all(t, s, mdr.Query{}), []flowroute.MDR{moved, other})
	got, err := s.Get(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "got", got.MDR, moved)
}

func TestRetention(t *testing.T) {
	t.Parallel()
	s, rdb, c := setupStore(t)
	m := newMaker(4)
	if got := put(t, s, m.sent(c.now().Add(-2161*time.Hour)), m.sent(c.now()), flowroute.MDR{ID: "mdr2-00000000000000000000000000000001"}); got != (mdr.PutResult{New: 1, Expired: 2}) {
		t.Errorf("got %+v, want the old and the timeless one left out", got)
	}
	// Whatever holds a record lapses with it, in Redis' own time.
	var cursor uint64
	for {
		keys, next, err := rdb.Scan(t.Context(), cursor, "*", 100).Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if key == "{flowroute}:mdr:sync" {
				continue // a few fields, whatever the copy holds
			}
			ttl := rdb.TTL(t.Context(), key).Val()
			if ttl < 2158*time.Hour || ttl > 2160*time.Hour+8*24*time.Hour+24*time.Hour {
				t.Errorf("%s: got TTL %v, want the retention, a week more for the index", key, ttl)
			}
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	if got := len(all(t, s, mdr.Query{})); got != 1 {
		t.Errorf("got %d records, want 1", got)
	}
	c.move(2161 * time.Hour)
	if got := len(all(t, s, mdr.Query{})); got != 0 {
		t.Errorf("after the retention: got %d records listed, want none", got)
	}
}

// Several writers store overlapping batches of versions in any order; what is held
// at the end is the latest version of each record.
func TestWritersAtOnce(t *testing.T) {
	t.Parallel()
	db, c := redistest.New(t), newClock()
	m := newMaker(5)
	var versions, want []flowroute.MDR
	for i := range 300 {
		r := m.sent(c.now().Add(-time.Duration(m.IntN(300)) * time.Second))
		versions = append(versions, r)
		if i%3 == 0 {
			r = delivered(r)
			versions = append(versions, r)
		}
		want = append(want, r)
	}
	var writers sync.WaitGroup
	for w := range 6 {
		s, mine := newStore(t, db.Client(), c), slices.Clone(versions)
		random := newMaker(uint64(100 + w))
		random.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		writers.Go(func() {
			for part := range slices.Chunk(mine, 40) {
				if _, err := s.Put(t.Context(), part); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	writers.Wait()
	s := newStore(t, db.Client(), c)
	got := all(t, s, mdr.Query{})
	byID := func(a, b flowroute.MDR) int { return cmpString(a.ID, b.ID) }
	slices.SortFunc(got, byID)
	slices.SortFunc(want, byID)
	same(t, "held", got, want)
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestANewerVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	s, rdb, c := setupStore(t)
	r := newMaker(6).sent(c.now())
	put(t, s, r)
	key := rdb.Keys(t.Context(), "*:b:*").Val()[0]
	rdb.SetRange(t.Context(), key, 0, "\x03")
	if _, err := s.Put(t.Context(), []flowroute.MDR{delivered(r)}); !errors.Is(err, mdr.ErrNewerVersion) {
		t.Errorf("put: got %v, want ErrNewerVersion", err)
	}
	if _, err := s.Get(t.Context(), r.ID); !errors.Is(err, mdr.ErrNewerVersion) {
		t.Errorf("get: got %v, want ErrNewerVersion", err)
	}
	if _, err := s.List(t.Context(), mdr.Query{}); !errors.Is(err, mdr.ErrNewerVersion) {
		t.Errorf("list: got %v, want ErrNewerVersion", err)
	}
}

// A block that was damaged in any way is an error or reads as other records; it
// never panics.
func TestBrokenBlocks(t *testing.T) {
	t.Parallel()
	s, rdb, c := setupStore(t)
	m := newMaker(7)
	r := delivered(m.sent(c.now()))
	put(t, s, r, m.sent(c.now()), flowroute.MDR{ID: "odd", Timestamp: c.now()})
	key := rdb.Keys(t.Context(), "*:b:*").Val()[0]
	whole := rdb.Get(t.Context(), key).Val()
	for i := range len(whole) {
		for _, broken := range []string{whole[:i], whole[:i] + string(whole[i]^0x55) + whole[i+1:]} {
			rdb.SetArgs(t.Context(), key, broken, redis.SetArgs{KeepTTL: true})
			_, _ = s.Get(t.Context(), r.ID)
			_, _ = s.List(t.Context(), mdr.Query{})
		}
	}
}

func TestRedisCutInTheMiddle(t *testing.T) {
	t.Parallel()
	db, c := redistest.New(t), newClock()
	proxy := db.Proxy(t)
	s, m := newStore(t, proxy.Client(), c), newMaker(8)
	var batch []flowroute.MDR
	for range 50 {
		batch = append(batch, m.sent(c.now().Add(-time.Duration(m.IntN(600))*time.Second)))
	}
	put(t, s, batch[:10]...)
	proxy.DropReplies(3) // commands that were done and are done again
	_, _ = s.Put(t.Context(), batch)
	proxy.Cut()
	if _, err := s.Put(t.Context(), batch); err == nil {
		t.Error("without Redis: got no error")
	}
	if _, err := s.Get(t.Context(), batch[0].ID); err == nil || errors.Is(err, mdr.ErrNotFound) {
		t.Errorf("without Redis: got %v, want Redis' error", err)
	}
	proxy.Resume()
	put(t, s, batch...)
	if got := put(t, s, batch...); got != (mdr.PutResult{}) {
		t.Errorf("once more: got %+v, want nothing changed", got)
	}
	if got := len(all(t, s, mdr.Query{})); got != len(batch) {
		t.Errorf("got %d records, want %d", got, len(batch))
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	for name, o := range map[string]mdr.Options{
		"no hash tag":     {Prefix: "flowroute:"},
		"short retention": {Retention: time.Hour},
		"negative":        {Retention: -time.Hour},
	} {
		if _, err := mdr.New(rdb, o); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
