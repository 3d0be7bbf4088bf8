package ledger_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
)

// someText is the fingerprint of the messages here.
func someText() ledger.Fingerprint { return ledger.Fingerprint{1, 2, 3, 4, 5, 6, 7, 8} }

// unknown is a message of the fingerprint whose answer was lost, and whose records
// may decide already.
func (b bundle) unknown(token string) ledger.ID {
	b.t.Helper()
	id := b.posted(token)
	b.settle(ledger.Settlement{ID: id, Token: token, To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
	return id
}

// posted is a message of the fingerprint whose intent is open.
func (b bundle) posted(token string) ledger.ID {
	b.t.Helper()
	id := b.create(message(b.t))
	b.post(id, token)
	return id
}

func (b bundle) post(id ledger.ID, token string) {
	b.t.Helper()
	begun, err := b.Begin(b.t.Context(), ledger.Intent{ID: id, Generation: 1, Token: token, Account: "fr-test", Fingerprint: someText(), Worker: "w1"})
	if err != nil || begun.Decision != ledger.Go {
		b.t.Fatalf("begin: got %+v, %v", begun, err)
	}
}

// read is the group as a resolver reads it, and a resolution to fill in.
func (b bundle) read() ledger.Resolution {
	b.t.Helper()
	r := ledger.Resolution{Fingerprint: someText()}
	group, err := b.Group(b.t.Context(), someText())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, job := range group {
		r.Members = append(r.Members, ledger.Member{ID: job.ID, State: job.State, Attempt: job.Attempts})
	}
	if r.Began, err = b.Clock(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b bundle) resolve(r ledger.Resolution) ledger.Resolved {
	b.t.Helper()
	resolved, err := b.Resolve(b.t.Context(), r)
	if err != nil {
		b.t.Fatal(err)
	}
	return resolved
}

func TestResolveFindsRecord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.unknown("t1")
	r := b.read()
	one, two := mdr(), mdr()
	r.Claims = []ledger.Claim{{ID: id, MDR: one}, {ID: id, MDR: two}}
	if got := b.resolve(r); got.Verdict != ledger.VerdictDone || len(got.Jobs) != 1 || got.Jobs[0].State != ledger.Accepted {
		t.Fatalf("got %+v", got)
	}
	job := b.wantState(id, ledger.Accepted)
	if job.Reason != ledger.ReasonMatched || !cmp.Equal(job.MDRs, []string{one, two}) {
		t.Errorf("got %+v", job)
	}
	if got := b.resolve(r); got.Verdict != ledger.VerdictChanged {
		t.Errorf("again: got %+v, want changed", got)
	}
	if left := b.read(); len(left.Members) != 0 {
		t.Errorf("still in the group: %+v", left.Members)
	}
}

func TestResolveAbsent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(bundle, ledger.ID)
		options func(*ledger.Options)
		hold    bool
		want    ledger.State
		reason  ledger.Reason
	}{
		"posted again":    {want: ledger.Queued, reason: ledger.ReasonAbsent},
		"held":            {hold: true, want: ledger.Review, reason: ledger.ReasonHeld},
		"no posts left":   {options: func(o *ledger.Options) { o.MaxPosts = 1 }, want: ledger.Failed, reason: ledger.ReasonAttemptsUsedUp},
		"was to be ended": {prepare: func(b bundle, id ledger.ID) { b.cancel(id) }, want: ledger.Cancelled, reason: ledger.ReasonCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := []func(*ledger.Options){}
			if c.options != nil {
				options = append(options, c.options)
			}
			b := setup(t, options...)
			id := b.unknown("t1")
			if c.prepare != nil {
				c.prepare(b, id)
			}
			r := b.read()
			r.Rest, r.Hold = ledger.RestAbsent, c.hold
			if got := b.resolve(r); got.Verdict != ledger.VerdictDone {
				t.Fatalf("got %+v", got)
			}
			if job := b.wantState(id, c.want); job.Reason != c.reason {
				t.Errorf("got reason %s, want %s", job.Reason, c.reason)
			}
			if open, err := b.Unresolved(t.Context(), 10); err != nil || len(open) != 0 {
				t.Errorf("open intents: %v %v", open, err)
			}
		})
	}
}

func (b bundle) cancel(id ledger.ID) {
	b.t.Helper()
	if _, err := b.Cancel(b.t.Context(), id); err != nil {
		b.t.Fatal(err)
	}
}

// What was read is what must still hold.
func TestResolveRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one := b.unknown("t1")
	r := b.read()
	r.Rest = ledger.RestAbsent

	early := r
	early.Began = r.Began.Add(-time.Hour)
	if got := b.resolve(early); got.Verdict != ledger.VerdictEarly || got.Wait <= 0 {
		t.Errorf("a read from before: got %+v, want early", got)
	}
	twin := b.posted("t2")
	if got := b.resolve(r); got.Verdict != ledger.VerdictBusy {
		t.Errorf("twin on the wire: got %+v, want busy", got)
	}
	b.settle(ledger.Settlement{ID: twin, Token: "t2", To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
	if got := b.resolve(r); got.Verdict != ledger.VerdictChanged {
		t.Errorf("twin that was not read: got %+v, want changed", got)
	}
	taken := mdr()
	proven := b.posted("t3")
	b.settle(ledger.Settlement{ID: proven, Token: "t3", To: ledger.Accepted, MDR: taken})
	r = b.read()
	r.Claims = []ledger.Claim{{ID: one, MDR: taken}}
	if got := b.resolve(r); got.Verdict != ledger.VerdictChanged {
		t.Errorf("another's record: got %+v, want changed", got)
	}
	b.wantState(one, ledger.Unknown)
}

// A proof of absence that is too old is no leave to post.
func TestAbsenceGrowsOld(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *ledger.Options) { o.AbsentFor = time.Millisecond })
	id := b.unknown("t1")
	r := b.read()
	r.Rest, r.Began = ledger.RestAbsent, r.Began.Add(10*time.Millisecond)
	b.resolve(r)
	b.wantState(id, ledger.Queued)
	<-time.After(20 * time.Millisecond)
	begun, err := b.Begin(t.Context(), ledger.Intent{ID: id, Generation: 1, Token: "t2", Fingerprint: someText()})
	if err != nil || begun.Decision != ledger.Recheck {
		t.Fatalf("got %+v, %v, want recheck", begun, err)
	}
	if job := b.wantState(id, ledger.Unknown); job.Reason != ledger.ReasonRecheck {
		t.Errorf("got %+v", job)
	}
	// Read again, at once.
	r = b.read()
	r.Rest = ledger.RestAbsent
	if got := b.resolve(r); got.Verdict != ledger.VerdictDone {
		t.Errorf("got %+v", got)
	}
}

// One that was put back stays matchable until its next attempt.
func TestPutBackIsClaimed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.unknown("t1")
	r := b.read()
	r.Rest = ledger.RestAbsent
	b.resolve(r)
	r = b.read()
	if len(r.Members) != 1 || r.Members[0].State != ledger.Queued {
		t.Fatalf("group: %+v", r.Members)
	}
	r.Claims = []ledger.Claim{{ID: id, MDR: mdr()}}
	b.resolve(r)
	b.wantState(id, ledger.Accepted)
	if begun, err := b.Begin(t.Context(), ledger.Intent{ID: id, Generation: 1, Token: "t2"}); err != nil || begun.Decision != ledger.Ended {
		t.Errorf("got %+v, %v", begun, err)
	}
}

// Accepted, its id pending: its record is found, or a person looks; it is never absent.
func TestResolvePending(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.posted("t1")
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Accepted, Reason: ledger.ReasonIDPending})
	r := b.read()
	r.Rest = ledger.RestAbsent
	if got := b.resolve(r); got.Verdict != ledger.VerdictDone || len(got.Jobs) != 0 {
		t.Errorf("got %+v, want nothing changed", got)
	}
	b.wantState(id, ledger.Accepted)
	r = b.read()
	record := mdr()
	r.Claims = []ledger.Claim{{ID: id, MDR: record}}
	b.resolve(r)
	if job := b.wantState(id, ledger.Accepted); !cmp.Equal(job.MDRs, []string{record}) {
		t.Errorf("got %+v", job)
	}
	// Proof gives the record to another: the id is pending again, the job accepted.
	other := b.posted("t2")
	b.settle(ledger.Settlement{ID: other, Token: "t2", To: ledger.Accepted, MDR: record})
	if job := b.wantState(id, ledger.Accepted); len(job.MDRs) != 0 {
		t.Errorf("got %+v", job)
	}
	r = b.read()
	r.Rest, r.Reason, r.Detail, r.Evidence = ledger.RestReview, ledger.ReasonNoRecord, "no record of it", []byte(`{"reads":2}`)
	b.resolve(r)
	job := b.wantState(id, ledger.Review)
	if job.Reason != ledger.ReasonNoRecord || string(job.Evidence) != `{"reads":2}` {
		t.Errorf("got %+v", job)
	}
}

func TestProve(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	unknown, sending := b.unknown("t1"), b.posted("t2")
	one, two := mdr(), mdr()
	for id, record := range map[ledger.ID]string{unknown: one, sending: two} {
		if got, err := b.Prove(ctx, id, 1, record); err != nil || got.State != ledger.Accepted {
			t.Fatalf("got %+v, %v", got, err)
		}
		if job := b.wantState(id, ledger.Accepted); job.Reason != ledger.ReasonReceipt {
			t.Errorf("got %+v", job)
		}
		if got, err := b.Prove(ctx, id, 1, record); err != nil || !got.Duplicate {
			t.Errorf("again: got %+v, %v", got, err)
		}
	}
	// The answer comes after its receipt, or never.
	if got := b.settle(ledger.Settlement{ID: sending, Token: "t2", To: ledger.Unknown, Reason: ledger.ReasonNoAnswer}); !got.Duplicate {
		t.Errorf("got %+v", got)
	}
	b.wantState(sending, ledger.Accepted)

	// The receipt of an earlier attempt does not end the one on the wire.
	again := b.unknown("t3")
	r := b.read()
	r.Rest = ledger.RestAbsent
	b.resolve(r)
	b.post(again, "t4")
	if got, err := b.Prove(ctx, again, 1, mdr()); err != nil || got.State != ledger.Sending {
		t.Fatalf("got %+v, %v", got, err)
	}
	b.settle(ledger.Settlement{ID: again, Token: "t4", To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
	b.wantState(again, ledger.Accepted)
}

func TestRule(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	review := func(token string) ledger.ID {
		id := b.unknown(token)
		r := b.read()
		r.Rest, r.Reason = ledger.RestReview, ledger.ReasonNearMatch
		b.resolve(r)
		b.wantState(id, ledger.Review)
		return id
	}
	sent, lost := review("t1"), review("t2")
	list, next, err := b.Reviews(ctx, "", 10)
	if err != nil || len(list) != 2 || next != "" || list[0].ID != sent {
		t.Fatalf("got %d reviews, cursor %q, %v", len(list), next, err)
	}
	if job, done, err := b.Rule(ctx, sent, ledger.RuledAccepted); err != nil || !done || job.State != ledger.Accepted {
		t.Errorf("got %+v %v %v", job, done, err)
	}
	if job, done, err := b.Rule(ctx, lost, ledger.RuledNotSent); err != nil || !done || job.State != ledger.Queued {
		t.Errorf("got %+v %v %v", job, done, err)
	}
	if _, done, err := b.Rule(ctx, sent, ledger.RuledNotSent); err != nil || done {
		t.Errorf("ruled twice: %v %v", done, err)
	}
	b.post(lost, "t3")
	if list, _, err := b.Reviews(ctx, "", 10); err != nil || len(list) != 0 {
		t.Errorf("left: %v %v", list, err)
	}
}

// Behind the fence nothing is posted that may have been posted before.
func TestFenced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	old := b.create(message(t))
	now, err := b.Clock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	raise := func(fields ...any) {
		if err := b.rdb.HSet(ctx, ledger.DefaultPrefix+"fence", fields...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, id ledger.ID, decision ledger.Decision) {
		t.Helper()
		begun, err := b.Begin(ctx, ledger.Intent{ID: id, Generation: 1})
		if err != nil || begun.Decision != decision {
			t.Errorf("%s: got %+v, %v, want %s", what, begun, err, decision)
		}
	}
	raise("run", "another")
	want("another server", old, ledger.Fenced)
	if err := b.rdb.HDel(ctx, ledger.DefaultPrefix+"fence", "run").Err(); err != nil {
		t.Fatal(err)
	}
	raise("up", "1", "at", now.Add(time.Millisecond).UnixMilli())
	<-time.After(5 * time.Millisecond)
	keyed := message(t)
	keyed.ID = ledger.KeyID(ledger.SendMessage, "k1")
	want("old job", old, ledger.Fenced)
	want("new job", b.create(message(t)), ledger.Ready)
	want("new job with a key", b.create(keyed), ledger.Fenced)

	// What the fence's read finds.
	if done, err := b.ClaimQueued(ctx, old, mdr()); err != nil || !done {
		t.Errorf("got %v %v", done, err)
	}
	if job := b.wantState(old, ledger.Accepted); job.Reason != ledger.ReasonRedisLost {
		t.Errorf("got %+v", job)
	}
	held := b.create(message(t))
	if done, err := b.HoldQueued(ctx, held, ledger.ReasonNearMatch, "nearly", nil); err != nil || !done {
		t.Errorf("got %v %v", done, err)
	}
	b.wantState(held, ledger.Review)
	// Ending one may be wrong, so cancelling waits too.
	waits := message(t)
	waits.ID = ledger.KeyID(ledger.SendMessage, "k2")
	b.create(waits)
	if c, err := b.Cancel(ctx, waits.ID); err != nil || c.State != ledger.Queued {
		t.Errorf("got %+v %v", c, err)
	}
	raise("up", "")
	want("cancelled", waits.ID, ledger.Ended)
	b.wantState(waits.ID, ledger.Cancelled)
}

// A worker that gives no sign of life will not tell.
func TestSilentWorker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	id := b.create(message(t))
	if _, err := b.Begin(ctx, ledger.Intent{ID: id, Generation: 1, Token: "t1", Budget: time.Hour, Worker: "w1", Fingerprint: someText()}); err != nil {
		t.Fatal(err)
	}
	now, _ := b.Clock(ctx)
	b.beat("w1", now.Add(-time.Second))
	if state, _, err := b.Overdue(ctx, id); err != nil || state != ledger.Sending {
		t.Errorf("after a second: got %s, %v, want sending", state, err)
	}
	b.beat("w1", now.Add(-time.Minute))
	if state, wait, err := b.Overdue(ctx, id); err != nil || state != ledger.Unknown || wait < 50*time.Minute {
		t.Errorf("got %s, %v, %v: want unknown, and the records to wait for the request", state, wait, err)
	}
	// It was only stopped for a while: its outcome counts.
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Accepted, MDR: mdr()})
	b.wantState(id, ledger.Accepted)
}

func (b bundle) beat(worker string, at time.Time) {
	b.t.Helper()
	if err := b.rdb.HSet(b.t.Context(), ledger.DefaultPrefix+"beats", worker, strconv.FormatInt(at.UnixMilli(), 10)+" run 1").Err(); err != nil {
		b.t.Fatal(err)
	}
}

func TestAcceptances(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.create(message(t)) // an event from before
	before, _ := b.Clock(ctx)
	id := b.posted("t1")
	record := mdr()
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Accepted, MDR: record})
	b.unknown("t2")
	after, _ := b.Clock(ctx)
	list, reaches, err := b.Acceptances(ctx, before, after)
	if err != nil || !reaches || len(list) != 1 || list[0].MDR != record || list[0].Job != id || !list[0].Direct {
		t.Fatalf("got %+v, %v, %v", list, reaches, err)
	}
	// Redis knows that there were no events before the first, which the imitation does not.
	long := before.Add(-time.Hour)
	if _, reaches, err := b.Acceptances(ctx, long, after); err != nil || reaches != (b.db.Kind == redisembed.KindServer) {
		t.Errorf("from before all events, on %s: got %v, %v", b.db.Kind, reaches, err)
	}
	if err := b.rdb.XTrimMaxLen(ctx, ledger.DefaultPrefix+"events", 1).Err(); err != nil {
		t.Fatal(err)
	}
	if _, reaches, err := b.Acceptances(ctx, long, after); err != nil || reaches {
		t.Errorf("trimmed: got %v, %v, want out of reach", reaches, err)
	}
}

// Of twins that were matched the wrong way round, none is posted again for that.
func TestProofAmongTwins(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	matched := func(b bundle) (one, two ledger.ID, first, second string) {
		one, two, first, second = b.unknown("t1"), b.unknown("t2"), mdr(), mdr()
		r := b.read()
		r.Claims = []ledger.Claim{{ID: one, MDR: first}, {ID: two, MDR: second}}
		b.resolve(r)
		return one, two, first, second
	}
	t.Run("both have one: they change", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		one, two, first, second := matched(b)
		if got, err := b.Prove(ctx, one, 1, second); err != nil || !got.Displaced.IsZero() {
			t.Fatalf("got %+v, %v", got, err)
		}
		for id, want := range map[ledger.ID]string{one: second, two: first} {
			if job := b.wantState(id, ledger.Accepted); !cmp.Equal(job.MDRs, []string{want}) {
				t.Errorf("got %v, want %s", job.MDRs, want)
			}
			if owner, _, err := b.ClaimedBy(ctx, want); err != nil || owner != id {
				t.Errorf("claim of %s: got %v, %v", want, owner, err)
			}
		}
	})
	t.Run("one was posted again: its twin keeps the first record", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		one, two, first := b.unknown("t1"), b.unknown("t2"), mdr()
		r := b.read()
		r.Claims, r.Rest = []ledger.Claim{{ID: two, MDR: first}}, ledger.RestAbsent
		b.resolve(r)
		b.post(one, "t3")
		if _, err := b.Prove(ctx, one, 1, first); err != nil { // while it is on the wire
			t.Fatal(err)
		}
		b.settle(ledger.Settlement{ID: one, Token: "t3", To: ledger.Accepted, MDR: mdr()})
		b.wantState(one, ledger.Accepted)
		b.wantState(two, ledger.Accepted)
		if _, err := b.Prove(ctx, one, 1, first); err != nil {
			t.Fatal(err)
		}
		b.wantState(two, ledger.Accepted)
	})
	t.Run("the second post was not accepted: the first record is its own", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		one, two, first := b.unknown("t1"), b.unknown("t2"), mdr()
		r := b.read()
		r.Claims, r.Rest = []ledger.Claim{{ID: two, MDR: first}}, ledger.RestAbsent
		b.resolve(r)
		b.post(one, "t3")
		if _, err := b.Prove(ctx, one, 1, first); err != nil {
			t.Fatal(err)
		}
		b.settle(ledger.Settlement{ID: one, Token: "t3", To: ledger.Failed, Reason: ledger.ReasonRefused})
		b.wantState(one, ledger.Accepted)
		b.wantState(two, ledger.Unknown)
	})
	t.Run("matched to the wrong one of them: what it had is free", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		one, first, second := b.unknown("t1"), mdr(), mdr()
		r := b.read()
		r.Claims = []ledger.Claim{{ID: one, MDR: first}}
		b.resolve(r)
		if _, err := b.Prove(ctx, one, 1, second); err != nil {
			t.Fatal(err)
		}
		if job := b.wantState(one, ledger.Accepted); !cmp.Equal(job.MDRs, []string{second}) {
			t.Errorf("got %v", job.MDRs)
		}
		if _, claimed, err := b.ClaimedBy(ctx, first); err != nil || claimed {
			t.Errorf("the other record is still claimed: %v", err)
		}
	})
}
