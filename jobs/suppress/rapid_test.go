package suppress_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// rapidMain draws the same cases each time, so that a change is judged by what it
// did. Searching on is -rapid.seed=0 (draws anew), with -rapid.checks.
func rapidMain(m *testing.M) int {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.seed" })
	if !given {
		if err := flag.Set("rapid.seed", "20261123"); err != nil {
			panic(err)
		}
	}
	return m.Run()
}

// modelPair is a pair as simply as can be: all that was ever seen.
type modelPair struct {
	entered bool
	stops   []time.Time
	starts  []time.Time
	cleared time.Time // STOPs up to then were known when a person removed the entry
}

func (m *modelPair) stopped() bool {
	return slices.ContainsFunc(m.stops, func(stop time.Time) bool {
		return stop.After(m.cleared) && !slices.ContainsFunc(m.starts, stop.Before)
	})
}

func (m *modelPair) blocks() bool { return m.entered || m.stopped() }

func (m *modelPair) remove() {
	m.entered = false
	for _, stop := range m.stops {
		if stop.After(m.cleared) {
			m.cleared = stop
		}
	}
}

type pair struct{ recipient, from int }

type model map[pair]*modelPair

func (m model) at(recipient, from int) *modelPair {
	p := pair{recipient, from}
	if m[p] == nil {
		m[p] = &modelPair{}
	}
	return m[p]
}

// TestModel compares the store with the model after any sequence of what can happen,
// in any order of the recipients' own times.
func TestModel(t *testing.T) {
	t.Parallel()
	db, run := redistest.New(t), 0
	rdb := db.Client()
	rapid.Check(t, func(rt *rapid.T) {
		run++
		b := setupOn(t, rdb, suppress.Options{Prefix: fmt.Sprintf("{model%d}:", run)})
		m := model{}
		at := func(label string) time.Time { return minute(rapid.IntRange(1, 12).Draw(rt, label)) }
		who := func() (recipient, from int) {
			return rapid.IntRange(1, 2).Draw(rt, "recipient"), rapid.IntRange(0, 2).Draw(rt, "from")
		}
		word := func(text string, note func(*modelPair, time.Time)) func(*rapid.T) {
			return func(*rapid.T) {
				recipient, from := who()
				from = max(from, 1)
				when := at("time")
				b.apply(inbound(when, number(recipient), ours(from), text))
				note(m.at(recipient, from), when)
			}
		}
		enter := func(source suppress.Source) func(*rapid.T) {
			return func(*rapid.T) {
				recipient, from := who()
				known := m.at(recipient, from).blocks()
				_, added := b.add(made(source, number(recipient), ours(from), at("time")))
				if added == known {
					rt.Fatalf("added %v, though it was known: %v", added, known)
				}
				m.at(recipient, from).entered = true
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"stop":   word("STOP", func(p *modelPair, at time.Time) { p.stops = append(p.stops, at) }),
			"start":  word("START", func(p *modelPair, at time.Time) { p.starts = append(p.starts, at) }),
			"person": enter(suppress.SourcePerson),
			"import": enter(suppress.SourceImport),
			"carrier": func(*rapid.T) {
				recipient, from := who()
				when := at("time")
				b.add(made(suppress.SourceCarrier, number(recipient), ours(from), when))
				p := m.at(recipient, from)
				p.stops = append(p.stops, when)
			},
			"remove one": func(*rapid.T) {
				recipient, from := who()
				from = max(from, 1)
				b.remove(number(recipient), ours(from))
				m.at(recipient, from).remove()
			},
			"remove all": func(*rapid.T) {
				recipient, _ := who()
				b.remove(number(recipient), ours(0))
				for from := range 3 {
					m.at(recipient, from).remove()
				}
			},
			"": func(*rapid.T) { compare(rt, b, m) },
		})
	})
}

func compare(rt *rapid.T, b *bundle, m model) {
	listed := map[pair]bool{}
	for _, e := range b.all(b.t.Context()) {
		for p := range m {
			if number(p.recipient) == e.Recipient && ours(p.from) == e.From {
				listed[p] = true
			}
		}
	}
	var entries, recipients int64
	for recipient := 1; recipient <= 2; recipient++ {
		any := false
		for from := range 3 {
			want := m.at(recipient, from).blocks()
			if want {
				any = true
				entries++
			}
			if listed[pair{recipient, from}] != want {
				rt.Fatalf("recipient %d from %d: listed %v, want %v", recipient, from, !want, want)
			}
		}
		if any {
			recipients++
		}
		if _, got, err := b.Blocked(b.t.Context(), ours(2), number(recipient)); err != nil || got != any {
			rt.Fatalf("recipient %d: got blocked %v, %v, want %v", recipient, got, err, any)
		}
	}
	if got, err := b.Count(b.t.Context()); err != nil || got != (suppress.Counts{Entries: entries, Recipients: recipients}) {
		rt.Fatalf("got %+v, %v, want %d entries of %d recipients", got, err, entries, recipients)
	}
}

// TestOrderDoesNotMatter: the same records in any order, in any batches and more
// than once end in the same.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	db, run := redistest.New(t), 0
	rdb := db.Client()
	rapid.Check(t, func(rt *rapid.T) {
		run++
		words := []string{"STOP", "START", "hello"}
		var records []flowroute.MDR
		for range rapid.IntRange(1, 12).Draw(rt, "records") {
			records = append(records, inbound(minute(rapid.IntRange(1, 6).Draw(rt, "time")), number(rapid.IntRange(1, 2).Draw(rt, "recipient")),
				ours(rapid.IntRange(1, 2).Draw(rt, "from")), rapid.SampledFrom(words).Draw(rt, "word")))
		}
		inOrder := setupOn(t, rdb, suppress.Options{Prefix: fmt.Sprintf("{order%d}:", run)})
		inOrder.apply(records...)
		inOrder.apply(records...)
		want := inOrder.all(t.Context())

		shuffled := setupOn(t, rdb, suppress.Options{Prefix: fmt.Sprintf("{mixed%d}:", run)})
		mixed := append(slices.Clone(records), records[:rapid.IntRange(0, len(records)).Draw(rt, "again")]...)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "shuffle"), 1))
		random.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		for batch := range slices.Chunk(mixed, rapid.IntRange(1, 5).Draw(rt, "batch")) {
			shuffled.apply(batch...)
		}
		got := shuffled.all(t.Context())
		if len(got) != len(want) {
			rt.Fatalf("got %+v, want %+v", got, want)
		}
		for i := range got {
			// The time is that of a STOP that counts; of which, may depend on the order.
			if got[i].Recipient != want[i].Recipient || got[i].From != want[i].From || got[i].Source != want[i].Source || got[i].Time.Before(want[i].Time) {
				rt.Fatalf("got %+v, want %+v", got[i], want[i])
			}
		}
	})
}

// TestSeenInOrderTheTimeIsExact: an entry has the time of the first STOP that
// counts, however often the records come again.
func TestSeenInOrderTheTimeIsExact(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := number(1)
	var seen []flowroute.MDR
	for i, word := range []string{"STOP", "STOP", "START", "STOP", "STOP"} {
		seen = append(seen, inbound(minute(1+i), r, ours(1), word))
		b.apply(seen...)
		b.apply(seen...)
	}
	if e := b.wantBlocked(ours(1), r, suppress.SourceStop); !e.Time.Equal(minute(4)) {
		t.Errorf("got %v, want %v", e.Time, minute(4))
	}
}
