package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// Whatever becomes of purchases and of updates of routes, a number that may have been
// bought is no other purchase's, and updates of one slot take turns.
func TestModelOfSteps(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	raw, hooked := db.Client(), db.Client()
	at := &clock{}
	hooked.(*redis.Client).AddHook(at)
	l, err := ledger.New(hooked, ledger.Options{MaxPosts: 3})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		s := &stepWorld{world: world{t: rt, ctx: ctx, l: l, rdb: raw, clock: at}, mayOwn: map[flowroute.E164]ledger.ID{}}
		s.must(raw.FlushDB(ctx).Err())
		s.must(at.set(ctx, raw, time.Unix(1_790_000_000, 0)))
		do := []func(){s.create, s.begin, s.begin, s.begin, s.settle, s.settle, s.die, s.overdue, s.decide, s.decide, s.cancel, s.rule, s.again, s.wait, s.wait}
		for _, c := range rapid.SliceOfN(rapid.Uint64(), averageSteps(), 3*averageSteps()).Draw(rt, "commands") {
			s.choices = rand.New(rand.NewPCG(c, 0))
			do[s.choose(len(do))]()
			s.check()
		}
	})
}

// stepWorld is the ledger, and what the account knows of numbers.
type stepWorld struct {
	world
	made   []ledger.NewJob
	open   []stepFlight
	mayOwn map[flowroute.E164]ledger.ID // who has posted for it, and was not certainly refused
}

type stepFlight struct {
	id     ledger.ID
	token  string
	number flowroute.E164
}

func forSale(n uint64) flowroute.E164 {
	number, _ := flowroute.E164FromUint64(12065550120 + n)
	return number
}

func slots() []string { return []string{"12065550100:primary", "12065550100:failover"} }

func (s *stepWorld) create() {
	if len(s.made) >= 6 {
		return
	}
	job := ledger.NewJob{ID: ledger.NewID(), Type: ledger.PurchaseNumber, Queue: ledger.QueueNumbers, Payload: []byte("{}")}
	if s.choose(2) == 0 {
		job.Type, job.Order = ledger.RouteUpdate, slots()[s.choose(2):]
	}
	_, err := s.l.Create(s.ctx, job)
	s.must(err)
	s.made = append(s.made, job)
	s.t.Logf("%s %d is created: %v", job.Type, len(s.made)-1, job.Order)
}

// job picks one that is not final.
func (s *stepWorld) job() (ledger.Job, bool) {
	var list []ledger.Job
	for _, job := range s.made {
		if got, known := s.find(job.ID); known && !got.State.Final() {
			list = append(list, got)
		}
	}
	return pick(&s.world, list)
}

func (s *stepWorld) begin() {
	job, ok := s.job()
	if !ok {
		return
	}
	s.tokens++
	in := ledger.Intent{ID: job.ID, Generation: 1, Token: fmt.Sprintf("t%d", s.tokens), Budget: modelBudget, Timeout: modelTimeout, Settle: modelSettle, Seen: job.Seen}
	if job.Type == ledger.PurchaseNumber && job.Progress == nil {
		in.Number = job.Number // once uncertain, only this one
		if !job.Uncertain || in.Number.IsZero() {
			in.Number = forSale(uint64(s.choose(2)))
		}
		if job.Uncertain && in.Number != job.Number && !job.Number.IsZero() {
			s.t.Fatalf("%s: another number", job.ID)
		}
	}
	begun, err := s.l.Begin(s.ctx, in)
	s.must(err)
	s.t.Logf("%d begins with %s, number %v: %s %s", s.place(job.ID), in.Token, in.Number, begun.Decision, begun.State)
	if begun.Decision != ledger.Go {
		return
	}
	for _, slot := range job.Order {
		if first := s.turns(slot); len(first) == 0 || first[0] != job.ID.String() {
			s.t.Fatalf("%d is posted, and it is not its turn in %s: %v", s.place(job.ID), slot, first)
		}
	}
	if owner, posted := s.mayOwn[in.Number]; posted && owner != job.ID && !in.Number.IsZero() {
		s.t.Fatalf("%d is posted for %v, which %d may have bought", s.place(job.ID), in.Number, s.place(owner))
	}
	if !in.Number.IsZero() {
		s.mayOwn[in.Number] = job.ID
	}
	s.open = append(s.open, stepFlight{id: job.ID, token: in.Token, number: in.Number})
}

func (s *stepWorld) settle() {
	if len(s.open) == 0 {
		return
	}
	i := s.choose(len(s.open))
	f := s.open[i]
	s.open = slices.Delete(s.open, i, i+1)
	job, _ := s.find(f.id)
	out := ledger.Settlement{ID: f.id, Token: f.token, To: ledger.Unknown, Reason: ledger.ReasonNoAnswer}
	switch s.choose(6) {
	case 0, 1:
		out.To, out.Reason = ledger.Done, ledger.ReasonNone
		if !f.number.IsZero() {
			out.To, out.Reason, out.Progress = ledger.Queued, ledger.ReasonBought, []byte(`{"v":1}`)
		}
	case 2, 3: // refused, which proves nothing once an attempt was uncertain
		out.To, out.Reason = ledger.Queued, ledger.ReasonRefused
		if !job.Uncertain && job.Progress == nil && !f.number.IsZero() {
			out.Release = true
		}
	case 4:
		out.To, out.Reason = ledger.Review, ledger.ReasonUnresolved
	}
	got, err := s.l.Settle(s.ctx, out)
	s.must(err)
	s.t.Logf("%d is settled with %s as %s %s, released %v: %+v", s.place(f.id), f.token, out.To, out.Reason, out.Release, got)
	if out.Release && !got.Duplicate {
		delete(s.mayOwn, f.number)
	}
	s.past = append(s.past, out)
	s.unchanged("the outcome again", func() {
		_, err := s.l.Settle(s.ctx, out)
		s.must(err)
	})
}

func (s *stepWorld) die() {
	if len(s.open) > 0 && s.choose(3) == 0 {
		s.open = slices.Delete(s.open, 0, 1)
	}
}

func (s *stepWorld) wait() {
	s.advance([]time.Duration{time.Second, 70 * time.Second, 4 * time.Minute}[s.choose(3)])
}

func (s *stepWorld) overdue() {
	if job, ok := s.job(); ok {
		_, _, err := s.l.Overdue(s.ctx, job.ID)
		s.must(err)
	}
}

// decide takes over an attempt that is unknown and concludes from a look at the account.
func (s *stepWorld) decide() {
	job, ok := s.job()
	if !ok || job.State != ledger.Unknown {
		return
	}
	s.tokens++
	token := fmt.Sprintf("judge%d", s.tokens)
	adopted, _, err := s.l.Adopt(s.ctx, job.ID, job.Attempts, token)
	s.must(err)
	if adopted && job.Progress == nil && job.ResolveAt.After(s.now()) {
		s.t.Fatalf("%d is decided before the records may decide", s.place(job.ID))
	}
	if !adopted {
		return
	}
	out := ledger.Settlement{ID: job.ID, Token: token, To: ledger.Queued, Reason: ledger.ReasonReadBack}
	if s.choose(3) == 0 {
		out.To, out.Reason = ledger.Review, ledger.ReasonUnresolved
	}
	got, err := s.l.Settle(s.ctx, out)
	s.must(err)
	s.t.Logf("%d is decided: %s, %+v", s.place(job.ID), out.To, got)
}

func (s *stepWorld) cancel() {
	if job, ok := s.job(); ok {
		before := job
		c, err := s.l.Cancel(s.ctx, job.ID)
		s.must(err)
		s.t.Logf("%d is to be cancelled: %+v", s.place(job.ID), c)
		if c.Cancelled && !before.Uncertain && !before.Number.IsZero() {
			delete(s.mayOwn, before.Number)
		}
	}
}

func (s *stepWorld) rule() {
	job, ok := s.job()
	if !ok || job.State != ledger.Review {
		return
	}
	ruling := []ledger.Ruling{ledger.RuledAccepted, ledger.RuledNotSent}[s.choose(2)]
	after, done, err := s.l.Rule(s.ctx, job.ID, ruling)
	s.must(err)
	s.t.Logf("a person says of %d: %s; %v, %s", s.place(job.ID), ruling, done, after.State)
	if done && ruling == ledger.RuledNotSent && s.mayOwn[job.Number] == job.ID {
		delete(s.mayOwn, job.Number)
	}
}

func (s *stepWorld) again() {
	if out, ok := pick(&s.world, s.past); ok {
		got, err := s.l.Settle(s.ctx, out)
		s.found(err)
		s.t.Logf("%d, settled with %s as %s, once more: %+v", s.place(out.ID), out.Token, out.To, got)
	}
}

func (s *stepWorld) place(id ledger.ID) int {
	return slices.IndexFunc(s.made, func(job ledger.NewJob) bool { return job.ID == id })
}

func (s *stepWorld) turns(slot string) []string {
	list, err := s.rdb.ZRange(context.WithoutCancel(s.ctx), ledger.DefaultPrefix+"o:"+slot, 0, -1).Result()
	s.must(err)
	return list
}

// check compares sets, slots and counters with the states.
func (s *stepWorld) check() {
	c := s.contents()
	want, counts := map[string][]string{}, map[string]int{}
	turns := map[string][]string{}
	for _, job := range s.made {
		got, _ := s.find(job.ID)
		text, kind := job.ID.String(), map[ledger.Type]string{ledger.PurchaseNumber: "p", ledger.RouteUpdate: "r"}[job.Type]
		counts[kind+stateByte(c, got)]++
		switch got.State {
		case ledger.Sending, ledger.Unknown:
			want["open"] = append(want["open"], text)
		case ledger.Review:
			want["review"] = append(want["review"], text)
		}
		if !got.State.Final() && got.State != ledger.Review {
			for _, slot := range job.Order {
				turns[slot] = append(turns[slot], text)
			}
		}
	}
	s.compare("a step", c, want, counts)
	for _, slot := range slots() {
		if got := s.turns(slot); !slices.Equal(got, turns[slot]) {
			s.t.Fatalf("slot %s holds %v, want %v", slot, got, turns[slot])
		}
	}
	for n, id := range s.mayOwn {
		if c.hashes["numbers"][n.Digits()] != id.String() {
			s.t.Fatalf("%v may be bought by %d, and belongs to %q", n, s.place(id), c.hashes["numbers"][n.Digits()])
		}
	}
}
