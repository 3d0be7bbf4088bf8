package ledger_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// The times of every intent of the model.
const (
	modelBudget  = 5 * time.Second
	modelTimeout = 60 * time.Second
	modelSettle  = 180 * time.Second
)

// Whatever workers, resolvers, receipts, producers and people do, in whatever order and
// however late, nothing is posted again of which a post was accepted, and nothing is
// lost. The ledger's scripts run in a real Redis; Flowroute is a model of it, and the
// time is the model's. -rapid.seed=0, -rapid.checks and -rapid.steps make it search on.
func TestModel(t *testing.T) {
	t.Parallel()
	runModel(t, steps())
}

// The same, and Redis loses what was written since some moment before.
func TestModelWithLosses(t *testing.T) {
	t.Parallel()
	runModel(t, append(steps(), losses()...))
}

func runModel(t *testing.T, table []step) {
	db := redistest.New(t)
	raw, hooked := db.Client(), db.Client()
	at := &clock{}
	hooked.(*redis.Client).AddHook(at)
	l, err := ledger.New(hooked, ledger.Options{MaxPosts: 3})
	if err != nil {
		t.Fatal(err)
	}
	var weighted []int
	for i, s := range table {
		for range s.weight {
			weighted = append(weighted, i)
		}
	}
	most := 2 * averageSteps()
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{t: rt, ctx: ctx, l: l, rdb: raw, clock: at, proven: map[ledger.ID]bool{}, forgotten: map[ledger.ID]bool{}}
		w.must(raw.FlushDB(ctx).Err())
		w.must(at.set(ctx, raw, time.Unix(1_790_000_000, 0)))
		commands := rapid.SliceOfN(rapid.Uint64(), most/3, most).Draw(rt, "commands")
		for range 2 + len(commands)%3 {
			w.create()
		}
		for _, c := range commands {
			w.choices = rand.New(rand.NewPCG(c, 0))
			// The first of the steps, in an order of its own, for which there is occasion.
			for _, i := range w.choices.Perm(len(weighted)) {
				if s := table[weighted[i]]; s.do(w) {
					w.check(s.name)
					break
				}
			}
		}
		w.rest()
	})
}

// averageSteps is rapid's own flag.
func averageSteps() int {
	if n, err := strconv.Atoi(flag.Lookup("rapid.steps").Value.String()); err == nil {
		return n
	}
	return 30
}

// step is something that can happen; it reports whether there was occasion for it.
type step struct {
	name   string
	weight int
	do     func(*world) bool
}

func steps() []step {
	return []step{
		{"create", 1, (*world).create},
		{"create again", 1, (*world).createAgain},
		{"cancel", 1, (*world).cancel},
		{"begin", 6, (*world).begin},
		{"an attempt", 8, (*world).attempt},
		{"intent not heard of", 1, (*world).beginUnheard},
		{"post", 8, (*world).post},
		{"arrive", 8, (*world).arrive},
		{"settle", 6, (*world).settle},
		{"die", 2, (*world).die},
		{"old command again", 2, (*world).again},
		{"sign of life", 1, (*world).beat},
		{"overdue", 3, (*world).overdue},
		{"time passes", 3, (*world).pass},
		{"until records may decide", 6, (*world).passToResolve},
		{"records lag", 1, (*world).lag},
		{"records caught up", 4, (*world).catchUp},
		{"resolver reads the group", 4, (*world).readGroup},
		{"resolver reads the records", 5, (*world).readRecords},
		{"resolver decides", 6, (*world).decide},
		{"resolver", 4, (*world).resolveAtOnce},
		{"receipt", 2, (*world).receipt},
		{"delivered", 1, (*world).refine},
		{"ruling", 2, (*world).rule},
	}
}

// world is the ledger, and all that it does not know.
type world struct {
	t       *rapid.T
	ctx     context.Context
	l       *ledger.Ledger
	rdb     redis.UniversalClient // Redis by its own time
	clock   *clock
	choices *rand.Rand

	jobs      []*modelJob
	records   []*modelRecord
	flights   []*flight
	past      []ledger.Settlement // as they were written
	intents   []ledger.Intent     // as they were written
	readers   [2]*reader
	lagging   bool               // new records are not to be seen yet
	tokens    int                // drawn so far
	proven    map[ledger.ID]bool // the ledger was told, for certain, that it was accepted
	forgotten map[ledger.ID]bool // Redis has lost that since, or an intent
	saved     *snapshot
	fence     *modelFence
}

// modelJob is a job that a producer has made.
type modelJob struct {
	name string
	new  ledger.NewJob
	text int // which of the texts; jobs with one text are twins
}

// fingerprint is that of a text.
func fingerprint(text int) ledger.Fingerprint { return ledger.Fingerprint{0xf0, byte(text + 1)} }

// choose picks one of n.
func (w *world) choose(n int) int {
	if w.choices == nil {
		return 0
	}
	return w.choices.IntN(n)
}

func pick[T any](w *world, from []T) (T, bool) {
	if len(from) == 0 {
		var none T
		return none, false
	}
	return from[w.choose(len(from))], true
}

func (w *world) must(err error) {
	if err != nil {
		w.t.Fatalf("redis: %v", err)
	}
}

func (w *world) now() time.Time { return w.clock.time() }

// advance moves the time on. Requests are over by then, one way or the other.
func (w *world) advance(d time.Duration) {
	to := w.now().Add(d)
	for _, f := range w.flights {
		if f.onWire && !f.resolveAt.After(to) {
			w.land(f, w.choose(fates))
		}
	}
	w.must(w.clock.set(w.ctx, w.rdb, to))
}

func (w *world) pass() bool {
	jumps := []time.Duration{time.Second, 4 * time.Second, 11 * time.Second, 66 * time.Second, 130 * time.Second, 250 * time.Second}
	d, _ := pick(w, jumps)
	w.t.Logf("%v pass", d)
	w.advance(d)
	return true
}

// passToResolve moves the time to where the records of some job may decide.
func (w *world) passToResolve() bool {
	open, err := w.l.Unresolved(w.ctx, 10)
	w.must(err)
	job, ok := pick(w, open)
	if !ok || !job.ResolveAt.After(w.now()) {
		return false
	}
	w.t.Logf("until the records of %s may decide", w.nameOf(job.ID))
	w.advance(job.ResolveAt.Sub(w.now()))
	return true
}

func (w *world) create() bool {
	if len(w.jobs) >= 5 {
		return false
	}
	n := len(w.jobs)
	job := &modelJob{name: fmt.Sprintf("job%d", n), text: w.choose(4) / 3}
	job.new = ledger.NewJob{
		ID: ledger.NewID(), Type: ledger.SendMessage, Queue: ledger.QueueNormal, Payload: []byte(`{"v":1}`),
		Content: [8]byte{byte(job.text)}, Nonce: [6]byte{1, byte(n)},
	}
	if w.choose(2) == 1 {
		job.new.ID = ledger.KeyID(ledger.SendMessage, job.name)
	}
	if w.choose(4) == 3 {
		job.new.Expires = w.now().Add(10 * time.Minute)
	}
	w.jobs = append(w.jobs, job)
	created, err := w.l.Create(w.ctx, job.new)
	w.must(err)
	w.t.Logf("%s is created, text %d", job.name, job.text)
	if created.Duplicate {
		w.t.Fatalf("%s: created, and a duplicate", job.name)
	}
	w.unchanged("create", func() {
		again, err := w.l.Create(w.ctx, job.new)
		w.must(err)
		if again != created {
			w.t.Fatalf("created again: got %+v, want %+v", again, created)
		}
	})
	return true
}

// createAgain is the producer's: the same key, and another call. A job that was lost
// is made anew.
func (w *world) createAgain() bool {
	job, ok := pick(w, w.jobs)
	if !ok {
		return false
	}
	job.new.Nonce[0]++
	if _, known := w.find(job.new.ID); !known {
		if !keyed(job.new.ID) {
			return false
		}
		w.t.Logf("%s is created anew", job.name)
		_, err := w.l.Create(w.ctx, job.new)
		w.must(err)
		return true
	}
	w.t.Logf("%s is created again", job.name)
	w.unchanged("create again", func() {
		created, err := w.l.Create(w.ctx, job.new)
		w.must(err)
		if !created.Duplicate {
			w.t.Fatalf("%s: got %+v, want a duplicate", job.name, created)
		}
	})
	return true
}

func (w *world) cancel() bool {
	job, ok := w.pickJob()
	if !ok {
		return false
	}
	c, err := w.l.Cancel(w.ctx, job.new.ID)
	w.must(err)
	w.t.Logf("%s is to be cancelled: %s", job.name, c.State)
	return true
}
