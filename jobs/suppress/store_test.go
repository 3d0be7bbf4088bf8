package suppress_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

func person(recipient, from flowroute.E164, at time.Time, note string) suppress.Entry {
	return suppress.Entry{Recipient: recipient, From: from, Source: suppress.SourcePerson, Time: at, Note: note}
}

func made(source suppress.Source, recipient, from flowroute.E164, at time.Time) suppress.Entry {
	return suppress.Entry{Recipient: recipient, From: from, Source: source, Time: at}
}

func TestAddKeepsTheEarliest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := number(1)
	first := person(r, ours(1), minute(10), "asked at the desk")
	if got, added := b.add(first); got != first || !added {
		t.Errorf("got %+v, %v", got, added)
	}
	for _, later := range []suppress.Entry{first, person(r, ours(1), minute(20), "again"), made(suppress.SourceImport, r, ours(1), minute(11)),
		made(suppress.SourceStop, r, ours(1), minute(30)), made(suppress.SourceCarrier, r, ours(1), minute(31))} {
		if got, added := b.add(later); got != first || added {
			t.Errorf("%+v: got %+v, %v, want the first to stand", later, got, added)
		}
	}
	b.wantCount(1, 1)
	earlier := made(suppress.SourceImport, r, ours(1), minute(5))
	want := earlier
	want.Note = first.Note // it is of the same pair, and would be lost
	if got, added := b.add(earlier); got != want || added {
		t.Errorf("got %+v, %v, want %+v, known", got, added, want)
	}
	word := made(suppress.SourceStop, r, ours(1), minute(1))
	if got, added := b.add(word); got != word || added {
		t.Errorf("got %+v, %v, want %+v, known", got, added, word)
	}
	b.apply(inbound(minute(40), r, ours(1), "start"))
	same(t, "after a START", b.all(t.Context()), []suppress.Entry{want})

	// A note is not lost, whichever entry had it.
	b.add(person(number(3), ours(1), minute(2), ""))
	b.add(person(number(3), ours(1), minute(3), "later"))
	if got := b.wantBlocked(ours(1), number(3), suppress.SourcePerson); got.Note != "later" || !got.Time.Equal(minute(2)) {
		t.Errorf("got %+v, want the first with the note of the second", got)
	}
	b.remove(number(3), ours(0))

	now, added := b.add(suppress.Entry{Recipient: number(2), Source: suppress.SourcePerson})
	if !added || !now.Time.Equal(b.clock.now()) || !now.From.IsZero() {
		t.Errorf("without a time: got %+v, %v, want one of now", now, added)
	}
	b.wantCount(2, 2)
}

func TestWhatBlocks(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	wide, narrow := setupOn(t, rdb, suppress.Options{}), setupOn(t, rdb, suppress.Options{PairOnly: true})
	wide.add(made(suppress.SourceStop, number(1), ours(1), minute(2)))
	wide.add(made(suppress.SourceCarrier, number(1), ours(2), minute(1)))
	wide.add(person(number(2), ours(0), minute(1), ""))
	for _, c := range []struct {
		from, to     int
		wide, narrow suppress.Source
	}{
		{1, 1, suppress.SourceCarrier, suppress.SourceStop}, // the earliest is shown
		{2, 1, suppress.SourceCarrier, suppress.SourceCarrier},
		{3, 1, suppress.SourceCarrier, ""},
		{0, 1, suppress.SourceCarrier, suppress.SourceCarrier}, // from any of ours
		{1, 2, suppress.SourcePerson, suppress.SourcePerson},   // all of ours
		{1, 3, "", ""},
	} {
		wide.wantBlocked(ours(c.from), number(c.to), c.wide)
		narrow.wantBlocked(ours(c.from), number(c.to), c.narrow)
	}
	got, err := narrow.BlockedMany(t.Context(), []suppress.Pair{
		{From: ours(3), To: number(1)}, {From: ours(1), To: number(1)}, {From: ours(1), To: number(3)}, {From: ours(1), To: number(2)}, {From: ours(1), To: number(1)},
	})
	if err != nil || len(got) != 3 || got[1].Source != suppress.SourceStop || got[3].Source != suppress.SourcePerson || got[4] != got[1] {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := narrow.BlockedMany(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("none: got %+v, %v", got, err)
	}
}

func TestBlockedManyInSlices(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var pairs []suppress.Pair
	want := map[int]bool{}
	for i := range 9_000 {
		pairs = append(pairs, suppress.Pair{From: ours(1), To: number(i)})
		if i%1500 == 1499 {
			b.add(made(suppress.SourceStop, number(i), ours(2), minute(1)))
			want[i] = true
		}
	}
	got, err := b.BlockedMany(t.Context(), pairs)
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %d, %v, want %d", len(got), err, len(want))
	}
	for i, e := range got {
		if !want[i] || e.Recipient != number(i) {
			t.Errorf("got %+v at %d", e, i)
		}
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := number(1)
	all, one, two := person(r, ours(0), minute(1), "note"), made(suppress.SourceStop, r, ours(1), minute(2)), made(suppress.SourceCarrier, r, ours(2), minute(3))
	for _, e := range []suppress.Entry{all, one, two} {
		b.add(e)
	}
	b.wantCount(3, 1)
	removed, left := b.remove(r, ours(1))
	same(t, "removed", removed, []suppress.Entry{one})
	same(t, "left", left, []suppress.Entry{all, two})
	removed, left = b.remove(r, ours(1))
	same(t, "removed again", removed, []suppress.Entry(nil))
	same(t, "left again", left, []suppress.Entry{all, two})
	removed, left = b.remove(r, ours(0))
	same(t, "removed all", removed, []suppress.Entry{all, two})
	same(t, "left of all", left, []suppress.Entry(nil))
	b.wantBlocked(ours(1), r, "")
	b.wantCount(0, 0)
	if removed, left := b.remove(number(9), ours(0)); removed != nil || left != nil {
		t.Errorf("a stranger: got %v, %v", removed, left)
	}

	// The records are read again and again: they do not undo what a person did. What
	// was not known then does count, whenever it was written.
	b.apply(inbound(minute(2), r, ours(1), "STOP"))
	if stands, added := b.add(two); added || stands != (suppress.Entry{}) {
		t.Errorf("a carrier's answer from before the removal counts again: %+v", stands)
	}
	b.wantBlocked(ours(1), r, "")
	b.apply(inbound(minute(3), r, ours(1), "STOP"))
	b.wantBlocked(ours(1), r, suppress.SourceStop)
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := number(1)
	stop, start := inbound(minute(1), r, ours(1), "Stop."), inbound(minute(2), r, ours(1), "UNSTOP")
	same(t, "stop", b.apply(stop), suppress.Applied{Stops: 1, Added: 1})
	b.wantBlocked(ours(2), r, suppress.SourceStop)
	same(t, "start", b.apply(start), suppress.Applied{Starts: 1, TakenBack: 1})
	b.wantBlocked(ours(1), r, "")
	same(t, "both again, the wrong way round", b.apply(start, stop), suppress.Applied{Stops: 1, Starts: 1})
	b.wantBlocked(ours(1), r, "")
	same(t, "the next stop", b.apply(inbound(minute(3), r, ours(1), "STOP")), suppress.Applied{Stops: 1, Added: 1})
	if e := b.wantBlocked(ours(1), r, suppress.SourceStop); !e.Time.Equal(minute(3)) {
		t.Errorf("got %v, want the time of the STOP that counts", e.Time)
	}

	// Of a START that comes late, the first STOP after it counts, as far as it is known.
	late := number(2)
	b.apply(inbound(minute(1), late, ours(1), "STOP"))
	b.add(made(suppress.SourceCarrier, late, ours(1), minute(3)))
	b.apply(inbound(minute(2), late, ours(1), "START"))
	if e := b.wantBlocked(ours(1), late, suppress.SourceCarrier); !e.Time.Equal(minute(3)) {
		t.Errorf("got %v, want the time of the carrier's answer", e.Time)
	}

	// A START is for the number it was sent to.
	b.apply(inbound(minute(3), r, ours(2), "quit"), inbound(minute(4), r, ours(1), "start"))
	if e := b.wantBlocked(ours(1), r, suppress.SourceStop); e.From != ours(2) {
		t.Errorf("got %+v, want the other number's", e)
	}
	b.apply(inbound(minute(4), r, ours(2), "start"))
	b.wantBlocked(ours(1), r, "")

	// At one time the STOP counts, in either order.
	for i, order := range [][]string{{"STOP", "START"}, {"START", "STOP"}} {
		r := number(10 + i)
		for _, word := range order {
			b.apply(inbound(minute(1), r, ours(1), word))
		}
		b.wantBlocked(ours(1), r, suppress.SourceStop)
	}

	// A carrier's answer is a STOP that was heard of; people's entries are not.
	for i, c := range []struct{ source, want suppress.Source }{
		{suppress.SourceCarrier, ""}, {suppress.SourceStop, ""}, {suppress.SourcePerson, suppress.SourcePerson}, {suppress.SourceImport, suppress.SourceImport},
	} {
		r := number(20 + i)
		b.add(made(c.source, r, ours(1), minute(1)))
		b.apply(inbound(minute(2), r, ours(1), "start"))
		b.wantBlocked(ours(1), r, c.want)
	}
}

func TestRecordsThatAreNoWords(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sent := inbound(minute(1), number(1), ours(1), "STOP")
	sent.Direction = flowroute.Outbound
	short := inbound(minute(1), number(2), ours(1), "STOP")
	short.From = "12345"
	nonsense := inbound(minute(1), number(3), ours(1), "STOP")
	nonsense.From = "somebody"
	got := b.apply(sent, short, nonsense, inbound(minute(1), number(4), ours(1), "please stop"))
	same(t, "nothing", got, suppress.Applied{})
	b.wantCount(0, 0)

	// Where it was sent to is not known: then it is for all our numbers.
	odd := inbound(minute(1), number(5), ours(1), "STOP")
	odd.To = "?"
	b.apply(odd)
	if e := b.wantBlocked(ours(1), number(5), suppress.SourceStop); !e.From.IsZero() {
		t.Errorf("got %+v, want an entry for all", e)
	}

	// A time that cannot be: a STOP counts all the same, a START does not.
	b.apply(inbound(b.clock.now().Add(time.Hour), number(6), ours(1), "STOP"), inbound(time.Time{}, number(7), ours(1), "STOP"))
	b.wantBlocked(ours(1), number(7), suppress.SourceStop)
	if e := b.wantBlocked(ours(1), number(6), suppress.SourceStop); e.Time.After(b.clock.now()) {
		t.Errorf("got %v, a time that has not come", e.Time)
	}
	b.apply(inbound(b.clock.now().Add(time.Hour), number(6), ours(1), "START"), inbound(time.Time{}, number(7), ours(1), "START"))
	b.wantBlocked(ours(1), number(6), suppress.SourceStop)
	b.wantBlocked(ours(1), number(7), suppress.SourceStop)
	b.apply(inbound(minute(1), number(8), ours(1), "STOP"), inbound(b.clock.now().Add(time.Hour), number(8), ours(1), "START"))
	b.wantBlocked(ours(1), number(8), suppress.SourceStop)
	// Clocks differ a little.
	b.apply(inbound(b.clock.now().Add(time.Minute), number(9), ours(1), "STOP"), inbound(b.clock.now().Add(2*time.Minute), number(9), ours(1), "START"))
	b.wantBlocked(ours(1), number(9), "")
	b.clock.move(time.Hour)
	b.apply(inbound(b.clock.now(), number(6), ours(1), "START"))
	b.wantBlocked(ours(1), number(6), "")
}

func TestWords(t *testing.T) {
	t.Parallel()
	words := map[suppress.Word][]string{
		suppress.StopWord: {
			"STOP", "stop", " Stop. ", "STOP!!!", "“STOP”", "s.t.o.p", "STOPALL", "stop all", "Stop-All", "unsubscribe", "CANCEL", "End", "quit\r\n", "REVOKE",
			"optout", "Opt-out", "opt out", "STOP 🙏", "\u200bSTOP\ufeff", "«end»",
		},
		suppress.StartWord: {"START", "start", "Unstop", " start! ", "Un-stop", "UNSTOP."},
		suppress.NoWord: {
			"", " ", "!", "please stop", "stop it", "STOP 2", "STOPP", "no", "the end", "yes", "start again", "STOP\nSTART", "stopstart",
			strings.Repeat("!", 300) + "stop", "ſtart…x",
		},
	}
	for want, texts := range words {
		for _, text := range texts {
			if got := suppress.ReadWord(text); got != want {
				t.Errorf("%q: got %d, want %d", text, got, want)
			}
		}
	}
}

func TestInvalidEntries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good := person(number(1), ours(1), minute(1), "note")
	for name, c := range map[string]struct {
		change      func(*suppress.Entry)
		field, code string
	}{
		"no recipient":       {func(e *suppress.Entry) { e.Recipient = flowroute.E164{} }, "recipient", "required"},
		"no source":          {func(e *suppress.Entry) { e.Source = "" }, "source", "invalid"},
		"unknown source":     {func(e *suppress.Entry) { e.Source = "rumour" }, "source", "invalid"},
		"future":             {func(e *suppress.Entry) { e.Time = minute(24*60 + 10) }, "time", "invalid"},
		"long ago":           {func(e *suppress.Entry) { e.Time = time.Unix(1, 0) }, "time", "invalid"},
		"long note":          {func(e *suppress.Entry) { e.Note = strings.Repeat("x", 49) }, "note", "too_long"},
		"note of two lines":  {func(e *suppress.Entry) { e.Note = "a\nb" }, "note", "invalid"},
		"note in Latin-1":    {func(e *suppress.Entry) { e.Note = "caf\xe9" }, "note", "invalid"},
		"note with a margin": {func(e *suppress.Entry) { e.Note = " a" }, "note", "invalid"},
		"note of a STOP":     {func(e *suppress.Entry) { e.Source = suppress.SourceStop }, "note", "invalid"},
	} {
		e := good
		c.change(&e)
		_, _, err := b.Add(t.Context(), e)
		if bad, ok := errors.AsType[*suppress.InvalidError](err); !ok || bad.Field != c.field || bad.Code != c.code || bad.Message == "" {
			t.Errorf("%s: got %v, want field %s, code %s", name, err, c.field, c.code)
		}
	}
	if _, _, err := b.Remove(t.Context(), flowroute.E164{}, ours(1)); err == nil {
		t.Error("removed of nobody")
	}
	b.wantCount(0, 0)
	soon := made(suppress.SourceCarrier, number(2), ours(1), b.clock.now().Add(time.Hour))
	if stands, added := b.add(soon); !added || !stands.Time.Equal(b.clock.now()) {
		t.Errorf("a carrier's answer of a time to come: got %+v, %v, want it taken as of now", stands, added)
	}
	if _, added := b.add(person(number(1), ours(1), minute(1), strings.Repeat("é", 24))); !added {
		t.Error("the longest note was not taken")
	}
}

func TestNewChecksItsOptions(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	if _, err := suppress.New(nil, suppress.Options{}); err == nil {
		t.Error("no client: got no error")
	}
	if _, err := suppress.New(rdb, suppress.Options{Prefix: "plain:"}); err == nil {
		t.Error("no hash tag: got no error")
	}
}

// TestNotKnownIsNoAnswer: whoever cannot tell whether a recipient is blocked must
// not hear that it is not.
func TestNotKnownIsNoAnswer(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	proxy := db.Proxy(t)
	b := setupOn(t, proxy.Client(), suppress.Options{})
	b.add(made(suppress.SourceStop, number(1), ours(1), minute(1)))
	proxy.Cut()
	if e, blocked, err := b.Blocked(t.Context(), ours(1), number(1)); err == nil {
		t.Errorf("without Redis: got %+v, %v", e, blocked)
	}
	if _, err := b.BlockedMany(t.Context(), []suppress.Pair{{To: number(1)}}); err == nil {
		t.Error("many without Redis: got no error")
	}
	if _, _, err := b.Add(t.Context(), made(suppress.SourceStop, number(2), ours(1), minute(1))); err == nil {
		t.Error("added without Redis")
	}
	proxy.Resume()
	b.wantBlocked(ours(1), number(1), suppress.SourceStop)

	rdb := db.Client()
	keys, err := rdb.Keys(t.Context(), "{flowroute}:sup:b:*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("got %v, %v, want one bucket", keys, err)
	}
	for _, c := range []struct {
		value string
		want  error
	}{{"\x02later", suppress.ErrNewerVersion}, {"\x82later", suppress.ErrNewerVersion}, {"\x81\x01\xff", nil}, {"\x81\x01", nil}} {
		if err := rdb.HSet(t.Context(), keys[0], number(1).Digits(), c.value).Err(); err != nil {
			t.Fatal(err)
		}
		_, _, blockedErr := b.Blocked(t.Context(), ours(1), number(1))
		_, _, addErr := b.Add(t.Context(), person(number(1), ours(1), minute(1), ""))
		_, _, removeErr := b.Remove(t.Context(), number(1), ours(0))
		_, listErr := b.List(t.Context(), suppress.Query{})
		for what, err := range map[string]error{"blocked": blockedErr, "add": addErr, "remove": removeErr, "list": listErr} {
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%q: %s: got %v, want %v", c.value, what, err, c.want)
			}
		}
	}
}

func TestLostRepliesAreHarmless(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	b := setupOn(t, proxy.Client(), suppress.Options{})
	b.add(made(suppress.SourceStop, number(1), ours(1), minute(1)))
	for i := range 5 {
		proxy.DropReplies(1)
		_, _, _ = b.Add(t.Context(), person(number(10+i), ours(0), minute(1), "")) // it may say anything
		proxy.DropReplies(1)
		_, _, _ = b.Remove(t.Context(), number(1), ours(0))
		proxy.DropReplies(0)
		b.add(person(number(10+i), ours(0), minute(1), ""))
		b.remove(number(1), ours(0))
	}
	b.wantCount(5, 5)
	if got := len(b.all(t.Context())); got != 5 {
		t.Errorf("got %d entries, want 5", got)
	}
}

// TestDurable: where Redis cannot say that it is on the disk, nobody is told that it
// is. REDIS_SERVER_WITH_WAITAOF names a redis-server of 7.2 or newer, where the one on
// PATH is older.
func TestDurable(t *testing.T) { // changes PATH, so not parallel
	if binary := os.Getenv("REDIS_SERVER_WITH_WAITAOF"); binary != "" {
		dir := t.TempDir()
		if err := os.Symlink(binary, filepath.Join(dir, "redis-server")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	server := redistest.Own(t, redisembed.Options{})
	b := setupOn(t, server.Client(), suppress.Options{Durable: true})
	facts, err := redisconn.Inspect(t.Context(), b.rdb)
	if err != nil {
		t.Fatal(err)
	}
	_, cannot := facts.DurabilityProblem(true)
	if cannot && os.Getenv("REDIS_SERVER_WITH_WAITAOF") != "" {
		t.Fatalf("Redis %s: want 7.2 or newer", facts.Version)
	}
	for range 2 { // also of what is known already
		_, _, err := b.Add(t.Context(), person(number(1), ours(0), minute(1), ""))
		if cannot != errors.Is(err, ledger.ErrNotDurable) || !cannot && err != nil {
			t.Errorf("on a Redis of which it is %v that it cannot wait: got %v", cannot, err)
		}
	}
	totals, err := b.Import(t.Context(), rowsOf(1200, func(int) {}), suppress.ImportOptions{}, func(suppress.Answer) error { return nil })
	if !cannot && (err != nil || totals.Added != 1199) || cannot && (!errors.Is(err, ledger.ErrNotDurable) || totals != (suppress.Totals{})) {
		t.Errorf("import: got %+v, %v", totals, err)
	}
	b.wantCount(1200, 1200) // it may last
	if cannot {
		return
	}
	server.Kill()
	server.Restart()
	b.wantCount(1200, 1200)
}
