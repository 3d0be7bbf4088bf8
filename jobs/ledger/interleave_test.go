package ledger_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/ledgertest"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// A twin whose answer is still on its way keeps its record: it is not matched to the one
// whose post never arrived.
func TestTwinOnTheWireKeepsItsRecord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lost, record := b.unknown("t1"), mdr()
	onWire := b.posted("t2") // accepted as record; the answer is on its way
	r := b.read()
	r.Claims = []ledger.Claim{{ID: lost, MDR: record}}
	if got := b.resolve(r); got.Verdict != ledger.VerdictBusy {
		t.Fatalf("while the twin is on the wire: got %+v, want busy", got)
	}
	b.settle(ledger.Settlement{ID: onWire, Token: "t2", To: ledger.Accepted, MDR: record})
	if got := b.resolve(r); got.Verdict != ledger.VerdictChanged {
		t.Errorf("what was read before the twin's answer: got %+v, want changed", got)
	}
	b.wantState(lost, ledger.Unknown)
	r = b.read()
	r.Rest = ledger.RestAbsent
	if got := b.resolve(r); got.Verdict != ledger.VerdictDone {
		t.Errorf("read again: got %+v", got)
	}
	b.wantState(lost, ledger.Queued)
	if owner, _, err := b.ClaimedBy(t.Context(), record); err != nil || owner != onWire {
		t.Errorf("the record is %s's, %v; want %s", owner, err, onWire)
	}
}

// Both of a message's posts were accepted after all: both records are its own, and none
// is left for a twin that comes later.
func TestRecordsOfSeveralAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, one, two := b.unknown("t1"), mdr(), mdr()
	r := b.read()
	r.Rest = ledger.RestAbsent
	b.resolve(r)
	b.post(id, "t2")
	b.settle(ledger.Settlement{ID: id, Token: "t2", To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
	first := b.get(id).FirstTried
	if read := b.read(); !b.get(id).FirstTried.Equal(first) || len(read.Members) != 1 || read.Members[0].Attempt != 2 {
		t.Fatalf("got %+v, first tried %v", read.Members, b.get(id).FirstTried)
	}
	r = b.read()
	r.Claims = []ledger.Claim{{ID: id, MDR: one}, {ID: id, MDR: two}}
	b.resolve(r)
	if job := b.wantState(id, ledger.Accepted); !cmp.Equal(job.MDRs, []string{one, two}) {
		t.Errorf("got records %v", job.MDRs)
	}
	// The answer to the first post is read only now.
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Accepted, MDR: one})
	b.wantState(id, ledger.Accepted)
	twin := b.unknown("t3")
	r = b.read()
	r.Claims = []ledger.Claim{{ID: twin, MDR: two}}
	if got := b.resolve(r); got.Verdict != ledger.VerdictChanged {
		t.Errorf("a record of another's second post: got %+v, want changed", got)
	}
	b.wantState(twin, ledger.Unknown)
}

// A receipt is evidence against every end that was concluded without it.
func TestReceiptAfterTheEnd(t *testing.T) {
	t.Parallel()
	ends := map[ledger.State]func(bundle, ledger.ID){
		ledger.Cancelled: func(b bundle, id ledger.ID) { b.cancel(id) },
		ledger.Expired: func(b bundle, id ledger.ID) {
			ledgertest.Set(b.t, b.rdb, id.String(), "x", "1", "xe", "1")
		},
		ledger.Failed: func(b bundle, id ledger.ID) {
			ledgertest.Set(b.t, b.rdb, id.String(), "n", "5")
		},
		ledger.Queued: func(bundle, ledger.ID) {},
	}
	for end, prepare := range ends {
		t.Run(string(end), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id, record := b.unknown("t1"), mdr()
			prepare(b, id)
			r := b.read()
			r.Rest = ledger.RestAbsent
			b.resolve(r)
			b.wantState(id, end)
			if got, err := b.Prove(t.Context(), id, 1, record); err != nil || got.State != ledger.Accepted {
				t.Fatalf("got %+v, %v", got, err)
			}
			job := b.wantState(id, ledger.Accepted)
			if job.Reason != ledger.ReasonReceipt || !cmp.Equal(job.MDRs, []string{record}) {
				t.Errorf("got %+v", job)
			}
			if begun := b.begin(id, "t2"); begun.Decision != ledger.Ended {
				t.Errorf("begin: got %+v, want ended", begun)
			}
		})
	}
}

// A certain outcome counts however late it comes, and makes nothing be posted; once the
// attempt was outrun, only acceptance does.
func TestLateRefusal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	late := b.unknown("t1")
	refusal := ledger.Settlement{ID: late, Token: "t1", To: ledger.Failed, Reason: ledger.ReasonRefused}
	b.settle(refusal)
	b.wantState(late, ledger.Failed)

	outrun := b.unknown("t2")
	r := b.read()
	r.Rest = ledger.RestAbsent
	b.resolve(r)
	refusal.ID, refusal.Token = outrun, "t2"
	b.settle(refusal)
	b.wantState(outrun, ledger.Queued)
	b.post(outrun, "t3")
	b.settle(refusal)
	b.wantState(outrun, ledger.Sending)

	inReview := b.posted("t4")
	b.settle(ledger.Settlement{ID: outrun, Token: "t3", To: ledger.Accepted, MDR: mdr()})
	b.settle(ledger.Settlement{ID: inReview, Token: "t4", To: ledger.Unknown, Reason: ledger.ReasonUnexpected})
	r = b.read()
	r.Rest, r.Reason = ledger.RestReview, ledger.ReasonNotCurrent
	b.resolve(r)
	b.settle(ledger.Settlement{ID: inReview, Token: "t4", To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
	b.wantState(inReview, ledger.Review)
}

// A resolver that has read that there is no record stalls; meanwhile another one has had
// the message posted again. What the first one wanted is refused, whatever became of
// the second post.
func TestStalledResolver(t *testing.T) {
	t.Parallel()
	for _, second := range []ledger.State{ledger.Queued, ledger.Sending, ledger.Unknown, ledger.Accepted, ledger.Failed} {
		t.Run(string(second), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := b.unknown("t1")
			stalled := b.read()
			stalled.Rest = ledger.RestAbsent
			b.resolve(stalled)
			if second != ledger.Queued {
				b.post(id, "t2")
			}
			if second != ledger.Queued && second != ledger.Sending {
				b.settle(ledger.Settlement{ID: id, Token: "t2", To: second, Reason: ledger.ReasonNoAnswer, MDR: map[bool]string{true: mdr()}[second == ledger.Accepted]})
			}
			if got := b.resolve(stalled); got.Verdict == ledger.VerdictDone {
				t.Errorf("got %+v, want it refused", got)
			}
			b.wantState(id, second)
		})
	}
}

// An attempt that did not count leaves the number of posts as it was; the time of the
// read tells the attempts apart.
func TestStalledResolverAndUncountedAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.unknown("t1")
	stalled := b.read()
	stalled.Rest = ledger.RestAbsent
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Queued, Reason: ledger.ReasonNotSent, Uncounted: true})
	begun, err := b.Begin(t.Context(), ledger.Intent{ID: id, Generation: 1, Token: "t2", Timeout: time.Hour, Fingerprint: someText()})
	if err != nil || begun.Decision != ledger.Go || begun.Attempt != stalled.Members[0].Attempt {
		t.Fatalf("got %+v, %v", begun, err)
	}
	b.settle(ledger.Settlement{ID: id, Token: "t2", To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
	if got := b.resolve(stalled); got.Verdict != ledger.VerdictEarly {
		t.Errorf("got %+v, want early", got)
	}
	b.wantState(id, ledger.Unknown)
}

// Many resolvers conclude the same at once: one of them moves the message.
func TestManyResolversAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, record := b.unknown("t1"), mdr()
	r := b.read()
	var done atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			mine := r
			if i%2 == 0 {
				mine.Claims = []ledger.Claim{{ID: id, MDR: record}}
			} else {
				mine.Rest = ledger.RestAbsent
			}
			got, err := b.Resolve(t.Context(), mine)
			if err != nil {
				t.Error(err)
			}
			if got.Verdict == ledger.VerdictDone {
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if n := done.Load(); n != 1 {
		t.Errorf("%d resolvers were done, want 1", n)
	}
	if job := b.get(id); job.State != ledger.Accepted && job.State != ledger.Queued {
		t.Errorf("got %+v", job)
	}
}

// lostReplies lets commands be carried out and their replies get lost, once each, so
// that they are carried out again: what a client does by itself.
type lostReplies struct{}

func (lostReplies) DialHook(next redis.DialHook) redis.DialHook { return next }

func (lostReplies) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			lost := redis.NewCmd(ctx, cmd.Args()...)
			_ = next(ctx, lost) // an unknown script has done nothing
		}
		return next(ctx, cmd)
	}
}

func (lostReplies) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Every command is carried out twice, as when its first reply was lost, and nothing is
// different for it.
func TestEveryCommandTwice(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	rdb := db.Client()
	l, err := ledger.New(rdb, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := bundle{Ledger: l, t: t, rdb: rdb, db: db}
	warm := b.unknown("w") // the scripts are known from now on
	b.settle(ledger.Settlement{ID: warm, Token: "w", To: ledger.Accepted, MDR: mdr()})
	rdb.(*redis.Client).AddHook(lostReplies{})

	id := b.create(message(t))
	b.post(id, "t1")
	if job := b.wantState(id, ledger.Sending); job.Attempts != 1 {
		t.Errorf("got %d attempts", job.Attempts)
	}
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Queued, Reason: ledger.ReasonRateLimited, Uncounted: true})
	if job := b.wantState(id, ledger.Queued); job.Attempts != 0 {
		t.Errorf("got %d attempts", job.Attempts)
	}
	b.post(id, "t2")
	b.settle(ledger.Settlement{ID: id, Token: "t2", To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
	r := b.read()
	r.Rest = ledger.RestAbsent
	b.resolve(r)
	b.post(id, "t3")
	record := mdr()
	if _, err := b.Prove(t.Context(), id, 2, record); err != nil {
		t.Fatal(err)
	}
	b.cancel(id)
	b.settle(ledger.Settlement{ID: id, Token: "t3", To: ledger.Failed, Reason: ledger.ReasonRefused})
	job := b.wantState(id, ledger.Accepted)
	if !cmp.Equal(job.MDRs, []string{record}) || job.Attempts != 2 {
		t.Errorf("got %+v", job)
	}
	want := map[ledger.State]int64{ledger.Accepted: 2}
	if got := b.counts(ledger.SendMessage); !cmp.Equal(got, want) {
		t.Errorf("counts: got %v, want %v", got, want)
	}
}

// The same key again tells what has become of the message, and posts nothing.
func TestSameKeyAfterTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := message(t)
	job.ID = ledger.KeyID(ledger.SendMessage, "k")
	b.create(job)
	b.begin(job.ID, "t1")
	b.settle(ledger.Settlement{ID: job.ID, Token: "t1", To: ledger.Failed, Reason: ledger.ReasonRefused})
	if got, err := b.Create(t.Context(), job); err != nil || !got.Duplicate || got.State != ledger.Failed {
		t.Errorf("got %+v, %v, want the failed job", got, err)
	}
	if begun := b.begin(job.ID, "t2"); begun.Decision != ledger.Ended || begun.State != ledger.Failed {
		t.Errorf("begin: got %+v", begun)
	}
}
