package ledger_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// Two tasks of one job run at once when a process was stopped for a while. What the
// slower one has planned or decided is refused once the other has gone on.
func TestPlannedOnAnOutrunState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create(message(t))
	slow := b.get(id)
	b.begin(id, "twin")
	b.settle(ledger.Settlement{ID: id, Token: "twin", To: ledger.Queued, Progress: []byte(`{"number":"12065550123"}`)})

	intent := ledger.Intent{ID: id, Generation: 1, Token: "slow", Budget: time.Second, Timeout: timeout, Settle: settle, Seen: slow.Seen}
	if got, err := b.Begin(t.Context(), intent); err != nil || got.Decision != ledger.Outrun {
		t.Errorf("begin: got %+v, %v, want outrun", got, err)
	}
	if got := b.settle(ledger.Settlement{ID: id, To: ledger.Failed, Seen: slow.Seen}); !got.Duplicate || got.State != ledger.Queued {
		t.Errorf("settle: got %+v, want nothing changed", got)
	}
	intent.Seen = b.get(id).Seen
	if got, err := b.Begin(t.Context(), intent); err != nil || got.Decision != ledger.Go {
		t.Errorf("read again: got %+v, %v, want go", got, err)
	}
}

// The command of an intent may reach Redis after its caller gave it up and has said
// that nothing was posted. Nobody would post, and the job would become unknown.
func TestIntentAfterItsSettlement(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"came late": false, "came twice": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := b.create(message(t))
			if before {
				b.begin(id, "t1")
			}
			b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Queued, Reason: ledger.ReasonNotSent, Uncounted: true})
			if got := b.begin(id, "t1"); got.Decision != ledger.Outrun {
				t.Errorf("got %+v, want outrun", got)
			}
			if got := b.begin(id, "t2"); got.Decision != ledger.Go || got.Attempt != 1 {
				t.Errorf("next attempt: got %+v, want go", got)
			}
		})
	}
}

// That an earlier attempt was accepted counts also when its id is pending.
func TestProofWithoutIDOfAnEarlierAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.sending("t1")
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Queued, Reason: ledger.ReasonUnresolved})
	b.begin(id, "t2")
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Accepted, Reason: ledger.ReasonIDPending})
	b.settle(ledger.Settlement{ID: id, Token: "t2", To: ledger.Queued, Reason: ledger.ReasonRateLimited, Uncounted: true})
	b.wantState(id, ledger.Accepted)
	if _, err := b.rdb.ZScore(t.Context(), "{flowroute}:open", id.String()).Result(); err != nil {
		t.Errorf("its id is pending, so it belongs to the open ones: %v", err)
	}
}

func TestReviewLeavesItsSlots(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []ledger.ID
	for range 2 {
		job := message(t)
		job.Type, job.Queue, job.Order = ledger.RouteUpdate, ledger.QueueNumbers, []string{"12065550100:primary"}
		ids = append(ids, b.create(job))
	}
	b.begin(ids[0], "a")
	got := b.settle(ledger.Settlement{ID: ids[0], Token: "a", To: ledger.Review, Reason: ledger.ReasonUnresolved})
	if !cmp.Equal(got.Next, []ledger.ID{ids[1]}) {
		t.Errorf("next: got %v, want the second", got.Next)
	}
	if got := b.begin(ids[1], "b"); got.Decision != ledger.Go {
		t.Errorf("second: got %+v, want go", got)
	}
}

// A purchase that is cancelled gives its number free, unless it may have bought it.
func TestCancelReleasesTheNumber(t *testing.T) {
	t.Parallel()
	for name, uncertain := range map[string]bool{"certain": false, "uncertain": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			job, wanted := message(t), number(t, "+12065550123")
			job.Type, job.Queue = ledger.PurchaseNumber, ledger.QueueNumbers
			id := b.create(job)
			if _, err := b.Begin(t.Context(), ledger.Intent{ID: id, Generation: 1, Token: "a", Budget: time.Second, Timeout: timeout, Settle: settle, Number: wanted}); err != nil {
				t.Fatal(err)
			}
			if uncertain {
				b.settle(ledger.Settlement{ID: id, Token: "a", To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
			}
			b.settle(ledger.Settlement{ID: id, Token: "a", To: ledger.Queued, Reason: ledger.ReasonRateLimited})
			if got, err := b.Cancel(t.Context(), id); err != nil || !got.Cancelled {
				t.Fatalf("got %+v, %v", got, err)
			}
			if _, claimed, err := b.NumberClaimedBy(t.Context(), wanted); err != nil || claimed != uncertain {
				t.Errorf("claimed: got %v, %v, want %v", claimed, err, uncertain)
			}
		})
	}
}

// A surplus record that is matched to a job with a proven one changes nothing else,
// not even when it turns out to be another job's.
func TestFurtherRecordByInference(t *testing.T) {
	t.Parallel()
	b := setup(t)
	proven, surplus := mdr(), mdr()
	id, other := b.sending("t1"), b.sending("t2")
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Accepted, MDR: proven})
	b.settle(ledger.Settlement{ID: id, Token: "match", To: ledger.Accepted, MDR: surplus, Inferred: true})
	if job := b.wantState(id, ledger.Accepted); !cmp.Equal(job.MDRs, []string{proven, surplus}) {
		t.Errorf("got records %v", job.MDRs)
	}
	b.settle(ledger.Settlement{ID: other, Token: "t2", To: ledger.Accepted, MDR: surplus})
	b.wantState(id, ledger.Accepted)
	if owner, _, err := b.ClaimedBy(t.Context(), surplus); err != nil || owner != other {
		t.Errorf("claim: got %v, %v", owner, err)
	}
}

// Texts that are too long for a packed record are left out; the state is not.
func TestLongProgress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.sending("t1")
	long := []byte(`"` + strings.Repeat("x", 100_000) + `"`)
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Done, Warning: "kept", Progress: long})
	if job := b.wantState(id, ledger.Done); job.Warning != "kept" || job.Progress != nil {
		t.Errorf("got warning %q and %d bytes of progress", job.Warning, len(job.Progress))
	}
}

// Posts are counted until something is reached that cannot be undone; what follows
// it has to come to its end.
func TestPostsAfterProgress(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *ledger.Options) { o.MaxPosts = 1 })
	id := b.sending("t1")
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Queued, Reason: ledger.ReasonBought, Progress: []byte(`{}`)})
	if got := b.begin(id, "t2"); got.Decision != ledger.Go {
		t.Errorf("got %+v, want go", got)
	}
}

func TestNonceOfACall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := message(t)
	job.Nonce = [6]byte{1}
	for try := range 2 {
		if got, err := b.Create(t.Context(), job); err != nil || got.Duplicate {
			t.Errorf("try %d of one call: got %+v, %v, want no duplicate", try, got, err)
		}
	}
	job.Nonce = [6]byte{2}
	if got, err := b.Create(t.Context(), job); err != nil || !got.Duplicate {
		t.Errorf("another call: got %+v, %v, want a duplicate", got, err)
	}
}

// evals counts the commands that carry a whole script.
type evals struct{ n *atomic.Int64 }

func (e evals) DialHook(next redis.DialHook) redis.DialHook { return next }

func (e evals) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "eval" {
			e.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (e evals) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A Redis that has forgotten the scripts learns each once, not once a job.
func TestManyOnAForgetfulRedis(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	rdb, n := db.Client(), new(atomic.Int64)
	rdb.(*redis.Client).AddHook(evals{n})
	l, err := ledger.New(rdb, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	jobs := make([]ledger.NewJob, 100)
	for i := range jobs {
		jobs[i] = message(t)
	}
	_, errs := l.CreateMany(t.Context(), jobs)
	for i, err := range errs {
		if err != nil {
			t.Fatalf("job %d: %v", i, err)
		}
	}
	if got := n.Load(); got > 2 {
		t.Errorf("the script was sent %d times", got)
	}
}

func TestTaskIDIsNeverZero(t *testing.T) {
	t.Parallel()
	for _, task := range []string{"", "x", "00000000-0000-0000-0000-000000000000"} {
		if ledger.TaskID(task).IsZero() {
			t.Errorf("task %q: no id", task)
		}
	}
}
