package ledger_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Evidence of acceptance beats every end that was inferred.
func TestLateProof(t *testing.T) {
	t.Parallel()
	for _, end := range []ledger.State{ledger.Failed, ledger.Cancelled, ledger.Review, ledger.Queued, ledger.Unknown} {
		t.Run(string(end), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := b.sending("t1")
			b.settle(ledger.Settlement{ID: id, Token: "t1", To: end, Reason: ledger.ReasonRefused})
			record := mdr()
			late := ledger.Settlement{ID: id, Token: "t0", To: ledger.Accepted, MDR: record}
			if got := b.settle(late); got.State != ledger.Accepted {
				t.Fatalf("got %+v, want accepted", got)
			}
			if got := b.settle(late); !got.Duplicate {
				t.Errorf("again: got %+v, want a duplicate", got)
			}
			job := b.wantState(id, ledger.Accepted)
			if job.Reason != ledger.ReasonLateProof || !cmp.Equal(job.MDRs, []string{record}) {
				t.Errorf("got %+v", job)
			}
			if owner, claimed, err := b.ClaimedBy(t.Context(), record); err != nil || !claimed || owner != id {
				t.Errorf("claim: got %v %v %v", owner, claimed, err)
			}
		})
	}
}

// The first attempt's acceptance arrives while the second is on the wire: whatever
// the second brings, the job is accepted and holds both records.
func TestProofOfAnEarlierAttempt(t *testing.T) {
	t.Parallel()
	for _, second := range []ledger.State{ledger.Failed, ledger.Unknown, ledger.Queued, ledger.Accepted} {
		t.Run(string(second), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := b.sending("t1")
			b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Queued, Reason: ledger.ReasonUnresolved})
			if got := b.begin(id, "t2"); got.Decision != ledger.Go {
				t.Fatalf("got %+v", got)
			}
			one, two := mdr(), mdr()
			if got := b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Accepted, MDR: one}); got.State != ledger.Sending && !got.Duplicate {
				t.Fatalf("late answer: got %+v", got)
			}
			s := ledger.Settlement{ID: id, Token: "t2", To: second, Reason: ledger.ReasonNoAnswer}
			want := []string{one}
			if second == ledger.Accepted {
				s.MDR, want = two, []string{one, two}
			}
			b.settle(s)
			if job := b.wantState(id, ledger.Accepted); !cmp.Equal(job.MDRs, want) {
				t.Errorf("got records %v, want %v", job.MDRs, want)
			}
		})
	}
}

func TestInferenceGivesWayToProof(t *testing.T) {
	t.Parallel()
	b := setup(t)
	guessed, proven := b.sending("t1"), b.sending("t2")
	b.settle(ledger.Settlement{ID: guessed, Token: "t1", To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
	record := mdr()
	b.settle(ledger.Settlement{ID: guessed, Token: "t1", To: ledger.Accepted, MDR: record, Inferred: true})
	b.wantState(guessed, ledger.Accepted)
	// A receipt for the record does not make the guess a proof.
	if _, err := b.Refine(t.Context(), []ledger.Receipt{{MDR: record, Delivered: true}}); err != nil {
		t.Fatal(err)
	}
	b.wantState(guessed, ledger.Delivered)

	got := b.settle(ledger.Settlement{ID: proven, Token: "t2", To: ledger.Accepted, MDR: record})
	if got.Displaced != guessed {
		t.Fatalf("got %+v, want %s displaced", got, guessed)
	}
	b.wantState(proven, ledger.Accepted)
	loser := b.wantState(guessed, ledger.Unknown)
	if len(loser.MDRs) != 0 || loser.Payload == nil || loser.Reason != ledger.ReasonDisplaced {
		t.Errorf("displaced: got %+v", loser)
	}
	if ttl := b.rdb.PTTL(t.Context(), "{flowroute}:j:"+guessed.String()).Val(); ttl != -1 {
		t.Errorf("a displaced job is not final and must not lapse: got TTL %v", ttl)
	}
	if owner, _, _ := b.ClaimedBy(t.Context(), record); owner != proven {
		t.Errorf("claim: got %s, want %s", owner, proven)
	}
	if got := b.settle(ledger.Settlement{ID: guessed, Token: "t1", To: ledger.Accepted, MDR: record, Inferred: true}); got.Displaced != (ledger.ID{}) {
		t.Errorf("inference displaced a proof: %+v", got)
	}
	if owner, _, _ := b.ClaimedBy(t.Context(), record); owner != proven {
		t.Errorf("claim after inference: got %s, want %s", owner, proven)
	}
}

func TestAcceptedWithoutID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.sending("t1")
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Accepted, Reason: ledger.ReasonIDPending})
	if job := b.wantState(id, ledger.Accepted); job.Payload == nil {
		t.Error("the payload is needed until the id is found")
	}
	if got := b.begin(id, "t2"); got.Decision != ledger.Ended {
		t.Errorf("begin: got %+v, want ended", got)
	}
	record := mdr()
	b.settle(ledger.Settlement{ID: id, Token: "found", To: ledger.Accepted, MDR: record})
	if job := b.wantState(id, ledger.Accepted); !cmp.Equal(job.MDRs, []string{record}) || job.Payload != nil {
		t.Errorf("got %+v", job)
	}
}

func TestOverdueIntentBecomesUnknown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.sending("t1")
	state, wait, err := b.Overdue(t.Context(), id)
	if err != nil || state != ledger.Sending || wait <= 0 {
		t.Fatalf("got %s %v %v, want sending", state, wait, err)
	}
	<-time.After(wait + 20*time.Millisecond)
	state, wait, err = b.Overdue(t.Context(), id)
	if err != nil || state != ledger.Unknown || wait <= 0 || wait > settle {
		t.Fatalf("got %s %v %v, want unknown", state, wait, err)
	}
	// The worker was only slow: its certain outcome still counts.
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Accepted, MDR: mdr()})
	b.wantState(id, ledger.Accepted)
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.sending("t1")
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
	ok, wait, err := b.Adopt(t.Context(), id, 1, "judge")
	if err != nil || ok || wait <= 0 {
		t.Fatalf("too early: got %v %v %v", ok, wait, err)
	}
	<-time.After(wait + 20*time.Millisecond)
	if ok, _, _ := b.Adopt(t.Context(), id, 2, "judge"); ok {
		t.Error("another attempt was adopted")
	}
	if ok, _, err := b.Adopt(t.Context(), id, 1, "judge"); err != nil || !ok {
		t.Fatalf("got %v %v", ok, err)
	}
	b.settle(ledger.Settlement{ID: id, Token: "judge", To: ledger.Queued, Reason: ledger.ReasonReadBack})
	b.wantState(id, ledger.Queued)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queued := b.create(message(t))
	if got, err := b.Cancel(t.Context(), queued); err != nil || !got.Cancelled {
		t.Errorf("queued: got %+v, %v", got, err)
	}
	if got, err := b.Cancel(t.Context(), queued); err != nil || !got.TooLate {
		t.Errorf("again: got %+v, %v", got, err)
	}
	if got := b.begin(queued, "t"); got.Decision != ledger.Ended || got.State != ledger.Cancelled {
		t.Errorf("begin: got %+v", got)
	}
	open := b.sending("t1")
	if got, err := b.Cancel(t.Context(), open); err != nil || !got.Requested || got.State != ledger.Sending {
		t.Errorf("sending: got %+v, %v", got, err)
	}
	b.settle(ledger.Settlement{ID: open, Token: "t1", To: ledger.Queued, Reason: ledger.ReasonNotSent, Uncounted: true})
	b.wantState(open, ledger.Cancelled)

	lost := b.sending("t2")
	if _, err := b.Cancel(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	b.settle(ledger.Settlement{ID: lost, Token: "t2", To: ledger.Accepted, MDR: mdr()})
	b.wantState(lost, ledger.Accepted)
}

// Many workers race for one job: one posts.
func TestOneOfManyBegins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create(message(t))
	var wg sync.WaitGroup
	var mu sync.Mutex
	went := 0
	for i := range 32 {
		wg.Go(func() {
			got, err := b.Begin(t.Context(), ledger.Intent{ID: id, Generation: 1, Token: fmt.Sprint(i), Budget: time.Second, Timeout: timeout, Settle: settle})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if got.Decision == ledger.Go {
				went++
			}
		})
	}
	wg.Wait()
	if went != 1 {
		t.Errorf("got %d that post, want 1", went)
	}
}

// That an outcome was unknown once is remembered however long the history gets.
func TestUncertainIsNotForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.sending("t1")
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Queued, Reason: ledger.ReasonUnresolved})
	for i := range 60 {
		token := fmt.Sprint("again", i)
		b.begin(id, token)
		b.settle(ledger.Settlement{ID: id, Token: token, To: ledger.Queued, Reason: ledger.ReasonRateLimited, Uncounted: true})
	}
	if job := b.wantState(id, ledger.Queued); !job.Uncertain {
		t.Error("the job is no longer known to be uncertain")
	}
}

// An answer may hold anything as its id; the message is accepted all the same.
func TestOddRecordIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, record := range []string{"x", "sixteen-bytes-id", "fifteen-byte-id", "mdr1-febb118b9b034338adfc662a8c02fd88", "mdr2-short"} {
		id := b.sending("t")
		b.settle(ledger.Settlement{ID: id, Token: "t", To: ledger.Accepted, MDR: record})
		if job := b.wantState(id, ledger.Accepted); !cmp.Equal(job.MDRs, []string{record}) {
			t.Errorf("got %q, want %q", job.MDRs, record)
		}
		if owner, ok, err := b.ClaimedBy(t.Context(), record); err != nil || !ok || owner != id {
			t.Errorf("%q: claimed by %v %v %v", record, owner, ok, err)
		}
	}
	id := b.sending("t")
	b.settle(ledger.Settlement{ID: id, Token: "t", To: ledger.Accepted, MDR: strings.Repeat("y", 100)})
	if job := b.wantState(id, ledger.Accepted); len(job.MDRs) != 0 {
		t.Errorf("got %q, want the id to be pending", job.MDRs)
	}
}

// The API gives one id twice: the second job is accepted as well, and says so.
func TestOneRecordForTwoJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.sending("t1"), b.sending("t2")
	record := mdr()
	b.settle(ledger.Settlement{ID: first, Token: "t1", To: ledger.Accepted, MDR: record})
	b.settle(ledger.Settlement{ID: second, Token: "t2", To: ledger.Accepted, MDR: record})
	if owner, _, _ := b.ClaimedBy(t.Context(), record); owner != first {
		t.Errorf("the record is %s's, want %s", owner, first)
	}
	if job := b.wantState(second, ledger.Accepted); job.Warning == "" || job.Reason != ledger.ReasonMDRClaimedTwice {
		t.Errorf("got reason %q and warning %q", job.Reason, job.Warning)
	}
}
