package suppress_test

import (
	"errors"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// pages lists everything in pages of a size, and calls between after each.
func (b *bundle) pages(limit int, between func(page int)) []suppress.Entry {
	b.t.Helper()
	var list []suppress.Entry
	for q, n := (suppress.Query{Limit: limit}), 0; ; n++ {
		page, err := b.List(b.t.Context(), q)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(page.Entries) > limit {
			b.t.Fatalf("got a page of %d, want %d at most", len(page.Entries), limit)
		}
		list = append(list, page.Entries...)
		if page.Next == "" {
			return list
		}
		between(n)
		q.Cursor = page.Next
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if got := b.pages(10, func(int) {}); got != nil {
		t.Errorf("empty: got %v", got)
	}
	const recipients = 300
	for i := range recipients {
		b.add(made(suppress.SourceStop, number(i), ours(1), minute(1)))
		if i%10 == 0 {
			b.add(person(number(i), ours(0), minute(2), ""))
			b.add(made(suppress.SourceStop, number(i), ours(2), minute(1)))
		}
		if i%10 == 1 { // kept, and nothing to be seen
			b.apply(inbound(minute(2), number(i), ours(1), "START"))
		}
	}
	want := b.pages(1000, func(int) {})
	if len(want) != recipients+recipients/10 {
		t.Fatalf("got %d entries", len(want))
	}
	for _, limit := range []int{1, 2, 7, 64} {
		same(t, "pages", b.pages(limit, func(int) {}), want)
	}

	// What is there all the while is on one page, whatever comes and goes.
	seen := map[suppress.Entry]int{}
	for _, e := range b.pages(7, func(page int) {
		b.add(made(suppress.SourceStop, number(recipients+page), ours(1), minute(1)))
		b.remove(number(10*(page%5)+5), ours(0))
	}) {
		seen[e]++
	}
	for _, e := range want {
		n := seen[e]
		if removed := (e.Recipient.Uint64()-number(0).Uint64())%10 == 5; n > 1 || n == 0 && !removed {
			t.Errorf("%+v: on %d pages", e, n)
		}
	}
}

// TestListPastWhatIsNotShown: a page ends when it has looked at much, and the next one
// goes on behind that.
func TestListPastWhatIsNotShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.LookAt(10)
	for i := range 95 {
		b.apply(inbound(minute(1), number(i), ours(1), "START"))
	}
	for i := 95; i < 100; i++ {
		b.add(made(suppress.SourceStop, number(i), ours(1), minute(1)))
		b.add(made(suppress.SourceStop, number(i), ours(2), minute(1)))
	}
	empty := 0
	list, q := []suppress.Entry(nil), suppress.Query{Limit: 3}
	for {
		page, err := b.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if list = append(list, page.Entries...); len(page.Entries) == 0 {
			empty++
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if len(list) != 10 || empty == 0 || empty > 11 {
		t.Errorf("got %d entries and %d empty pages, want 10 and some", len(list), empty)
	}
	same(t, "all", b.all(t.Context())[0].Recipient, number(95))
}

// TestNeighbours: two recipients of one bucket; the last of them makes it unused.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := number(0), number(1)
	for i := 1; suppress.BucketOf(second.Uint64()) != suppress.BucketOf(first.Uint64()); i++ {
		second = number(i)
	}
	for _, recipient := range []flowroute.E164{first, second} {
		b.add(person(recipient, ours(0), minute(1), ""))
	}
	for left, recipient := range []flowroute.E164{second, first} {
		b.remove(recipient, ours(0))
		if got := len(b.all(t.Context())); got != 1-left {
			t.Errorf("got %d entries, want %d", got, 1-left)
		}
	}
	keys, err := b.rdb.Keys(t.Context(), "{flowroute}:sup:b:*").Result()
	if err != nil || len(keys) != 0 {
		t.Errorf("got %v, %v, want nothing left", keys, err)
	}
	if bits := b.rdb.BitCount(t.Context(), "{flowroute}:sup:used", nil).Val(); bits != 0 {
		t.Errorf("got %d buckets in use, want none", bits)
	}
}

func TestListOfOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 5 {
		b.add(made(suppress.SourceStop, number(1), ours(i), minute(i)))
		b.add(made(suppress.SourceStop, number(2), ours(i), minute(i)))
	}
	q := suppress.Query{Recipient: number(1), Limit: 2}
	for _, want := range []int{2, 2, 1} {
		page, err := b.List(t.Context(), q)
		if err != nil || len(page.Entries) != want || page.Entries[0].Recipient != number(1) {
			t.Fatalf("got %+v, %v, want %d", page, err, want)
		}
		q.Cursor = page.Next
	}
	if q.Cursor != "" {
		t.Errorf("got a cursor %q at the end", q.Cursor)
	}
	if page, err := b.List(t.Context(), suppress.Query{Recipient: number(3)}); err != nil || page.Entries != nil || page.Next != "" {
		t.Errorf("got %+v, %v, want nothing", page, err)
	}
}

func TestBadCursors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, cursor := range []string{"x", "-", "12065550001", "12065550001-", "-0", "12065550001-x", "012065550001-0", "1-0", "99999999999999999999-0", "12065550001-0-0",
		"12065550001-99999999999999999", " 12065550001-0"} {
		if _, err := b.List(t.Context(), suppress.Query{Cursor: cursor}); !errors.Is(err, suppress.ErrBadCursor) {
			t.Errorf("%q: got %v, want ErrBadCursor", cursor, err)
		}
	}
}

func TestNumbersSpread(t *testing.T) {
	t.Parallel()
	counts := map[int]int{}
	for i := range uint64(1_000_000) {
		counts[suppress.BucketOf(12060000000+i)]++
	}
	for bucket, n := range counts {
		if bucket < 0 || bucket >= 1<<15 || n > 128 {
			t.Fatalf("bucket %d has %d of a million numbers in a row: more than Redis keeps flat", bucket, n)
		}
	}
}
