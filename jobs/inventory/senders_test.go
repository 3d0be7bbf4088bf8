package inventory_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func at(t testing.TB, text string) flowroute.E164 {
	t.Helper()
	n, err := flowroute.ParseE164(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// door is a check with a Flowroute that the test plays.
type door struct {
	*inventory.Senders
	t      testing.TB
	store  *inventory.Store
	rdb    redis.UniversalClient
	asked  atomic.Int64
	lookUp func(context.Context, flowroute.E164) (flowroute.NumberDetails, error)
	seen   map[inventory.SenderOutcome]int
	mu     sync.Mutex
}

func setupDoor(t testing.TB, o inventory.SendersOptions) *door {
	t.Helper()
	d := &door{t: t, rdb: redistest.New(t).Client(), seen: map[inventory.SenderOutcome]int{}}
	var err error
	if d.store, err = inventory.New(d.rdb, inventory.Options{}); err != nil {
		t.Fatal(err)
	}
	d.lookUp = func(context.Context, flowroute.E164) (flowroute.NumberDetails, error) {
		return flowroute.NumberDetails{}, flowroute.ErrNotFound
	}
	o.LookUp = func(ctx context.Context, n flowroute.E164) (flowroute.NumberDetails, error) {
		d.asked.Add(1)
		return d.lookUp(ctx, n)
	}
	o.Observe = func(outcome inventory.SenderOutcome, n int) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.seen[outcome] += n
	}
	if d.Senders, err = inventory.NewSenders(d.store, o); err != nil {
		t.Fatal(err)
	}
	return d
}

// own puts numbers into the copy, and says when the last sync was.
func (d *door) own(synced time.Duration, numbers ...string) {
	d.t.Helper()
	for _, text := range numbers {
		if err := d.store.PutDetails(d.t.Context(), flowroute.NumberDetails{Number: flowroute.Number{Number: at(d.t, text)}}); err != nil {
			d.t.Fatal(err)
		}
	}
	report := fmt.Sprintf(`{"started":%q,"numbers":3}`, time.Now().Add(-synced).UTC().Format(time.RFC3339))
	if err := d.rdb.HSet(d.t.Context(), "{flowroute}:inv:sync", "last", report).Err(); err != nil {
		d.t.Fatal(err)
	}
}

// refused is what the check says of a number; empty: it passes.
func (d *door) refused(text string) string {
	d.t.Helper()
	refused, err := d.Check(d.t.Context(), []flowroute.E164{at(d.t, text)})
	if err != nil {
		d.t.Fatal(err)
	}
	return refused[at(d.t, text)]
}

const (
	known   = "+12065550100"
	foreign = "+12065550199"
)

func TestSendersByAFreshCopy(t *testing.T) {
	t.Parallel()
	d := setupDoor(t, inventory.SendersOptions{})
	d.own(time.Minute, known)
	if got := d.refused(known); got != "" {
		t.Errorf("ours: got %q", got)
	}
	got := d.refused(foreign)
	for _, part := range []string{"…0199 is not among the account's 3 numbers as of 20", "numbers list", "numbers sync"} {
		if !strings.Contains(got, part) {
			t.Errorf("got %q, want %q in it", got, part)
		}
	}
	// Bought a moment ago: known at once, though it was refused before.
	d.own(time.Minute, foreign)
	if got := d.refused(foreign); got != "" {
		t.Errorf("bought: got %q", got)
	}
	gone := setupDoor(t, inventory.SendersOptions{})
	gone.own(time.Minute, known)
	if err := gone.rdb.HSet(t.Context(), "{flowroute}:inv:n:12065550100", "go", time.Now().UnixMilli()).Err(); err != nil {
		t.Fatal(err)
	}
	if got := gone.refused(known); !strings.Contains(got, "…0100 is no more on the account since 20") {
		t.Errorf("gone: got %q", got)
	}
	if n := d.asked.Load() + gone.asked.Load(); n != 0 {
		t.Errorf("Flowroute was asked %d times", n)
	}
}

func TestSendersByAnOldCopy(t *testing.T) {
	t.Parallel()
	d := setupDoor(t, inventory.SendersOptions{})
	if got := d.refused(foreign); !strings.Contains(got, "…0199 is not a number of the account, says Flowroute") {
		t.Errorf("never synced: got %q", got)
	}
	d.own(3*time.Hour, known)
	if d.refused(known) != "" || d.refused(foreign) == "" || d.asked.Load() != 1 {
		t.Errorf("asked %d times, want once: the answer holds for a minute", d.asked.Load())
	}
	d.lookUp = func(_ context.Context, n flowroute.E164) (flowroute.NumberDetails, error) {
		return flowroute.NumberDetails{Number: flowroute.Number{Number: n, Alias: "elsewhere"}}, nil
	}
	const elsewhere = "+12065550150"
	if got := d.refused(elsewhere); got != "" {
		t.Errorf("bought elsewhere: got %q", got)
	}
	if n, err := d.store.Get(t.Context(), at(t, elsewhere)); err != nil || n.Alias != "elsewhere" {
		t.Errorf("got %+v, %v; want it in the copy", n, err)
	}
	if got, want := fmt.Sprint(d.seen), "map[found:1 refused:2]"; got != want {
		t.Errorf("got outcomes %s, want %s", got, want)
	}
}

// What nobody can tell in time passes, and does not cost the others time.
func TestSendersThatNobodyCanTellOf(t *testing.T) {
	t.Parallel()
	d := setupDoor(t, inventory.SendersOptions{Wait: 50 * time.Millisecond})
	d.lookUp = func(ctx context.Context, _ flowroute.E164) (flowroute.NumberDetails, error) {
		<-ctx.Done()
		return flowroute.NumberDetails{}, ctx.Err()
	}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if got := d.refused(fmt.Sprintf("+120655501%02d", i%10)); got != "" {
				t.Errorf("got %q", got)
			}
		})
	}
	all.Wait()
	began := d.asked.Load()
	if d.refused("+12065550150") != "" || d.asked.Load() != began || began > 10 {
		t.Errorf("asked %d times, then %d: want none after the first answers that did not come", began, d.asked.Load())
	}
	nobody, err := inventory.NewSenders(d.store, inventory.SendersOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if refused, err := nobody.Check(t.Context(), []flowroute.E164{at(t, foreign)}); err != nil || len(refused) != 0 {
		t.Errorf("without anybody to ask: got %v, %v", refused, err)
	}
	// A caller with little time keeps half of it.
	short := setupDoor(t, inventory.SendersOptions{})
	short.lookUp = d.lookUp
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if refused, err := short.Check(ctx, []flowroute.E164{at(t, foreign)}); err != nil || len(refused) != 0 || ctx.Err() != nil {
		t.Errorf("got %v, %v, and the context is %v", refused, err, ctx.Err())
	}
}

// Many that want to know of one number ask once.
func TestSendersAskOnce(t *testing.T) {
	t.Parallel()
	d := setupDoor(t, inventory.SendersOptions{})
	asking, answer := make(chan struct{}), make(chan struct{})
	d.lookUp = func(context.Context, flowroute.E164) (flowroute.NumberDetails, error) {
		close(asking)
		<-answer
		return flowroute.NumberDetails{}, flowroute.ErrNotFound
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got := d.refused(foreign); got == "" {
				t.Error("it passed")
			}
		})
	}
	<-asking
	close(answer)
	all.Wait()
	if n := d.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

// Without Redis nothing is refused.
func TestSendersWithoutRedis(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	t.Cleanup(func() { _ = rdb.Close() })
	store, err := inventory.New(rdb, inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	senders, err := inventory.NewSenders(store, inventory.SendersOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if refused, err := senders.Check(t.Context(), []flowroute.E164{at(t, foreign)}); err == nil || errors.Is(err, redis.Nil) || len(refused) != 0 {
		t.Errorf("got %v, %v; want Redis' error", refused, err)
	}
}

var benchSenders = flag.Int("senders", 10, "sending numbers that BenchmarkSenders uses in turn")

// BenchmarkSenders is the check of a batch of 500 messages from known numbers.
func BenchmarkSenders(b *testing.B) {
	d := setupDoor(b, inventory.SendersOptions{})
	numbers := make([]string, *benchSenders)
	for i := range numbers {
		numbers[i] = fmt.Sprintf("+1206%07d", 5_550_000+i)
	}
	d.own(time.Minute, numbers...)
	batch := make([]flowroute.E164, 500)
	at := 0
	for b.Loop() {
		for i := range batch {
			n, err := flowroute.E164FromUint64(12065550000 + uint64(at%len(numbers)))
			if err != nil {
				b.Fatal(err)
			}
			batch[i] = n
			at++
		}
		if refused, err := d.Check(b.Context(), batch); err != nil || len(refused) > 0 {
			b.Fatal(refused, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/message")
}
