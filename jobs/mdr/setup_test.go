package mdr_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// clock is a clock that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

// newClock stands at half past the last full hour but one: near the present, since
// Redis lapses records by its own clock, and never in the future.
func newClock() *clock {
	return &clock{t: time.Now().UTC().Truncate(time.Hour).Add(-30 * time.Minute)}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return c.t
}

func newStore(t *testing.T, rdb redis.UniversalClient, c *clock) *mdr.Store {
	t.Helper()
	s, err := mdr.New(rdb, mdr.Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func setupStore(t *testing.T) (*mdr.Store, redis.UniversalClient, *clock) {
	t.Helper()
	rdb, c := redistest.New(t).Client(), newClock()
	return newStore(t, rdb, c), rdb, c
}

var words = strings.Fields("the order you placed is on its way and will arrive tomorrow between ten and noon please " +
	"call us back about your appointment with doctor miller or reply to this message thank you for being our customer " +
	"weather school closed early because of snow pick up children at main entrance sale ends sunday twenty percent off")

// maker makes records as Flowroute does.
type maker struct{ *rand.Rand }

func newMaker(seed uint64) maker { return maker{rand.New(rand.NewPCG(seed, 7))} }

func (m maker) text(length int) string {
	var b strings.Builder
	for b.Len() < length {
		b.WriteString(words[m.IntN(len(words))])
		b.WriteByte(' ')
	}
	return b.String()[:length]
}

// sent is an outbound record, accepted by the carrier.
func (m maker) sent(at time.Time) flowroute.MDR {
	at = at.UTC().Truncate(10 * time.Millisecond)
	r := flowroute.MDR{
		ID: fmt.Sprintf("mdr2-%016x%016x", m.Uint64(), m.Uint64()), Direction: flowroute.Outbound,
		From: fmt.Sprint(12065550100 + m.IntN(20)), To: fmt.Sprint(12012000000 + m.Int64N(7_000_000_000)),
		Body: m.text(80), Status: "message buffered", MessageType: "longcode",
		AmountNanodollars: 4_000_000, AmountDisplay: "$0.0040", Timestamp: at,
	}
	r.Receipts = []flowroute.DeliveryReceipt{
		{Level: 2, Status: "message buffered", StatusCode: new(1003), Description: "Message accepted by Carrier", Timestamp: at.Add(time.Duration(m.IntN(300)) * 10 * time.Millisecond)},
		{Level: 1, Status: "smsc submit", Description: "Message has been sent", Timestamp: at.Add(70 * time.Millisecond)},
	}
	return r
}

// delivered is the record's later version.
func delivered(r flowroute.MDR) flowroute.MDR {
	r.Status = "delivered"
	r.Receipts = append([]flowroute.DeliveryReceipt{{
		Level: 2, Status: "delivered", StatusCode: new(1004), Description: "Message delivered to handset", Timestamp: r.Timestamp.Add(4 * time.Second),
	}}, r.Receipts...)
	return r
}

func put(t *testing.T, s *mdr.Store, batch ...flowroute.MDR) mdr.PutResult {
	t.Helper()
	result, err := s.Put(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func all(t *testing.T, s *mdr.Store, q mdr.Query) []flowroute.MDR {
	t.Helper()
	var got []flowroute.MDR
	for r, err := range s.Each(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.MDR)
	}
	return got
}

// same compares records; nil and empty lists are alike.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
