package suppress_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// TestMain lets the property tests draw the same cases each time.
func TestMain(m *testing.M) { os.Exit(rapidMain(m)) }

// clock is a clock that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
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

// noon is what the clocks of the tests begin with.
func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// minute is noon and some minutes.
func minute(n int) time.Time { return noon().Add(time.Duration(n) * time.Minute) }

type bundle struct {
	*suppress.Store
	t     testing.TB
	rdb   redis.UniversalClient
	clock *clock
}

func setup(t testing.TB) *bundle {
	t.Helper()
	return setupOn(t, redistest.New(t).Client(), suppress.Options{})
}

func setupOn(t testing.TB, rdb redis.UniversalClient, o suppress.Options) *bundle {
	t.Helper()
	b := &bundle{t: t, rdb: rdb, clock: &clock{t: minute(24 * 60)}}
	o.Now = b.clock.now
	var err error
	if b.Store, err = suppress.New(rdb, o); err != nil {
		t.Fatal(err)
	}
	return b
}

// number is one of many recipients.
func number(i int) flowroute.E164 {
	n, err := flowroute.E164FromUint64(12065550000 + uint64(i))
	if err != nil {
		panic(err)
	}
	return n
}

// ours is one of our numbers; 0 is all of them.
func ours(i int) flowroute.E164 {
	if i == 0 {
		return flowroute.E164{}
	}
	n, err := flowroute.E164FromUint64(14255550100 + uint64(i))
	if err != nil {
		panic(err)
	}
	return n
}

func (b *bundle) add(e suppress.Entry) (suppress.Entry, bool) {
	b.t.Helper()
	stands, added, err := b.Add(b.t.Context(), e)
	if err != nil {
		b.t.Fatal(err)
	}
	return stands, added
}

func (b *bundle) remove(recipient, from flowroute.E164) (removed, left []suppress.Entry) {
	b.t.Helper()
	removed, left, err := b.Remove(b.t.Context(), recipient, from)
	if err != nil {
		b.t.Fatal(err)
	}
	return removed, left
}

// wantBlocked checks whether a pair is blocked, and by what; "" for not.
func (b *bundle) wantBlocked(from, to flowroute.E164, by suppress.Source) suppress.Entry {
	b.t.Helper()
	e, blocked, err := b.Blocked(b.t.Context(), from, to)
	if err != nil || blocked != (by != "") || e.Source != by {
		b.t.Errorf("from %v to %v: got blocked %v by %+v, %v; want blocked by %q", from, to, blocked, e, err, by)
	}
	return e
}

func (b *bundle) wantCount(entries, recipients int64) {
	b.t.Helper()
	got, err := b.Count(b.t.Context())
	if want := (suppress.Counts{Entries: entries, Recipients: recipients}); err != nil || got != want {
		b.t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// all lists everything, sorted by recipient and our number.
func (b *bundle) all(ctx context.Context) []suppress.Entry {
	b.t.Helper()
	var list []suppress.Entry
	for e, err := range b.Each(ctx, suppress.Query{}) {
		if err != nil {
			b.t.Fatal(err)
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b suppress.Entry) int {
		return cmp.Or(cmp.Compare(a.Recipient.Uint64(), b.Recipient.Uint64()), cmp.Compare(a.From.Uint64(), b.From.Uint64()))
	})
	return list
}

// inbound is a record of a text from a recipient to one of our numbers.
func inbound(at time.Time, from, to flowroute.E164, body string) flowroute.MDR {
	return flowroute.MDR{
		ID: fmt.Sprintf("mdr2-%032x", at.UnixNano()), Direction: flowroute.Inbound, From: from.Digits(), To: to.Digits(), Body: body, Timestamp: at,
	}
}

func (b *bundle) apply(records ...flowroute.MDR) suppress.Applied {
	b.t.Helper()
	applied, err := b.ApplyInbound(b.t.Context(), records)
	if err != nil {
		b.t.Fatal(err)
	}
	return applied
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty(), gocmp.Comparer(func(a, b flowroute.E164) bool { return a == b })); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
