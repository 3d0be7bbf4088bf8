package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/ledgertest"
)

func TestCreateOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := message(t)
	job.ID = ledger.KeyID(ledger.SendMessage, "order-17")

	first, err := b.Create(t.Context(), job)
	if err != nil || first.Duplicate || first.State != ledger.Queued || first.Generation != 1 {
		t.Fatalf("first: got %+v, %v", first, err)
	}
	again, err := b.Create(t.Context(), job)
	if err != nil || !again.Duplicate || again.State != ledger.Queued {
		t.Fatalf("again: got %+v, %v, want a duplicate", again, err)
	}
	job.Content = [8]byte{9}
	if _, err := b.Create(t.Context(), job); !errors.Is(err, ledger.ErrConflict) {
		t.Fatalf("other content: got %v, want ErrConflict", err)
	}
	if got := b.counts(ledger.SendMessage); !cmp.Equal(got, map[ledger.State]int64{ledger.Queued: 1}) {
		t.Errorf("counts: got %v, want one queued", got)
	}
}

func TestCreateManyAnswersInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good, bad, twin := message(t), message(t), message(t)
	bad.Queue = "nowhere"
	twin.ID = good.ID
	created, errs := b.CreateMany(t.Context(), []ledger.NewJob{good, bad, twin})
	if errs[0] != nil || created[0].Duplicate {
		t.Errorf("good: got %+v, %v", created[0], errs[0])
	}
	if errs[1] == nil {
		t.Error("a queue that does not exist: got no error")
	}
	if errs[2] != nil || !created[2].Duplicate {
		t.Errorf("twin: got %+v, %v, want a duplicate", created[2], errs[2])
	}
}

func TestRefusedPayloadIsVisible(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := message(t)
	job.Refused = "body: must not be empty"
	id := b.create(job)
	got := b.wantState(id, ledger.Failed)
	if got.Detail != job.Refused || got.Reason != ledger.ReasonInvalid || got.Payload != nil {
		t.Errorf("got %+v", got)
	}
}

func TestLifeOfAMessage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := message(t)
	id := b.create(job)
	begun := b.begin(id, "t1")
	if begun.Decision != ledger.Go || begun.Attempt != 1 || begun.Left <= 0 || begun.Left > 50*time.Millisecond {
		t.Fatalf("begin: got %+v", begun)
	}
	if got := b.wantState(id, ledger.Sending); got.Account != "fr-test" || got.ResolveAt.IsZero() || got.FirstTried.IsZero() {
		t.Errorf("sending: got %+v", got)
	}
	record := mdr()
	settled := b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Accepted, MDR: record})
	if settled.State != ledger.Accepted || settled.Duplicate {
		t.Errorf("settle: got %+v", settled)
	}
	got := b.wantState(id, ledger.Accepted)
	if got.Payload != nil || got.From != job.From || got.To != job.To || got.Attempts != 1 || !cmp.Equal(got.MDRs, []string{record}) {
		t.Errorf("accepted: got %+v", got)
	}
	refined, err := b.Refine(t.Context(), []ledger.Receipt{{MDR: record, Delivered: true}, {MDR: mdr(), Delivered: true}})
	if err != nil || refined[0].Job != id || !refined[0].Changed || !refined[1].Job.IsZero() {
		t.Fatalf("refine: got %+v, %v", refined, err)
	}
	got = b.wantState(id, ledger.Delivered)
	states := make([]ledger.State, 0, 4)
	for _, change := range got.History {
		states = append(states, change.State)
	}
	want := []ledger.State{ledger.Queued, ledger.Sending, ledger.Accepted, ledger.Delivered}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if got := b.counts(ledger.SendMessage); !cmp.Equal(got, map[ledger.State]int64{ledger.Delivered: 1}) {
		t.Errorf("counts: got %v, want one delivered", got)
	}
	if open := b.rdb.ZCard(t.Context(), "{flowroute}:open").Val(); open != 0 {
		t.Errorf("open intents: got %d, want 0", open)
	}
	if dup, err := b.Create(t.Context(), job); err != nil || !dup.Duplicate || dup.State != ledger.Delivered {
		t.Errorf("create after the end: got %+v, %v, want a duplicate that is delivered", dup, err)
	}
}

func TestNothingBeginsWhileAnIntentIsOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.sending("t1")
	if got := b.begin(id, "t2"); got.Decision != ledger.Open || got.State != ledger.Sending || got.Wait <= 0 {
		t.Errorf("second begin while sending: got %+v, want open", got)
	}
	if again := b.begin(id, "t1"); again.Decision != ledger.Go || again.Attempt != 1 {
		t.Errorf("repeated command: got %+v, want the first answer", again)
	}
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
	if got := b.begin(id, "t2"); got.Decision != ledger.Open || got.State != ledger.Unknown {
		t.Errorf("begin while unknown: got %+v, want open", got)
	}
}

func TestBegin(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*ledger.NewJob)
		intent func(*ledger.Intent)
		want   ledger.Decision
		state  ledger.State
	}{
		"not due":           {change: func(j *ledger.NewJob) { j.Due = time.Now().Add(time.Hour) }, want: ledger.Early, state: ledger.Queued},
		"due in the past":   {change: func(j *ledger.NewJob) { j.Due = time.Now().Add(-time.Hour) }, want: ledger.Go, state: ledger.Sending},
		"expired":           {change: func(j *ledger.NewJob) { j.Expires = time.Now().Add(-time.Second) }, want: ledger.Ended, state: ledger.Expired},
		"outrun generation": {intent: func(in *ledger.Intent) { in.Generation = 7 }, want: ledger.Stale, state: ledger.Queued},
		"otp":               {change: func(j *ledger.NewJob) { j.Queue = ledger.QueueOTP }, want: ledger.Go, state: ledger.Sending},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			job := message(t)
			if test.change != nil {
				test.change(&job)
			}
			id := b.create(job)
			in := ledger.Intent{ID: id, Generation: 1, Token: "t", Budget: time.Second, Timeout: timeout, Settle: settle}
			if test.intent != nil {
				test.intent(&in)
			}
			got, err := b.Begin(t.Context(), in)
			if err != nil || got.Decision != test.want {
				t.Errorf("got %+v, %v, want %s", got, err, test.want)
			}
			b.wantState(id, test.state)
		})
	}
}

func TestWriteDeadlineNeverPassesExpiry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := message(t)
	job.Expires = time.Now().Add(400 * time.Millisecond)
	b.create(job)
	got, err := b.Begin(t.Context(), ledger.Intent{ID: job.ID, Generation: 1, Token: "t", Budget: time.Minute, Timeout: timeout, Settle: settle})
	if err != nil || got.Decision != ledger.Go || got.Left > 400*time.Millisecond {
		t.Errorf("got %+v, %v, want at most 400 ms left", got, err)
	}
}

func TestDefaultExpiry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for queue, want := range map[string]time.Duration{ledger.QueueNormal: 24 * time.Hour, ledger.QueueOTP: 5 * time.Minute} {
		job := message(t)
		job.Queue = queue
		got := b.get(b.create(job))
		if grace := got.Expires.Sub(got.Created); grace != want {
			t.Errorf("%s: got %v, want %v", queue, grace, want)
		}
	}
	purchase := message(t)
	purchase.Type, purchase.Queue = ledger.PurchaseNumber, ledger.QueueNumbers
	if got := b.get(b.create(purchase)); !got.Expires.IsZero() {
		t.Errorf("purchase: got expiry %v, want none", got.Expires)
	}
}

func TestPostsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *ledger.Options) { o.MaxPosts = 2 })
	id := b.create(message(t))
	for i, token := range []string{"a", "b", "c"} {
		got := b.begin(id, token)
		if i == 2 {
			if got.Decision != ledger.Ended || got.State != ledger.Failed {
				t.Errorf("third post: got %+v, want failed", got)
			}
			break
		}
		b.settle(ledger.Settlement{ID: id, Token: token, To: ledger.Queued, Reason: ledger.ReasonRefused})
	}
	if job := b.wantState(id, ledger.Failed); job.Reason != ledger.ReasonAttemptsUsedUp {
		t.Errorf("got reason %s", job.Reason)
	}
}

func TestRateLimitedCostsNoAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create(message(t))
	for range 60 {
		token := ledger.NewID().String()
		if got := b.begin(id, token); got.Decision != ledger.Go {
			t.Fatalf("got %+v", got)
		}
		b.settle(ledger.Settlement{ID: id, Token: token, To: ledger.Queued, Reason: ledger.ReasonRateLimited, Uncounted: true})
	}
	if job := b.wantState(id, ledger.Queued); job.Attempts != 0 || len(job.History) > 41 {
		t.Errorf("got %d attempts and %d lines of history", job.Attempts, len(job.History))
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, to := range []ledger.State{ledger.Failed, ledger.Blocked, ledger.Review, ledger.Unknown, ledger.Queued, ledger.Done} {
		t.Run(string(to), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := b.sending("t1")
			s := ledger.Settlement{ID: id, Token: "t1", To: to, Reason: ledger.ReasonRefused, Detail: "403 not yours", Warning: "look"}
			if got := b.settle(s); got.State != to || got.Duplicate {
				t.Errorf("got %+v", got)
			}
			if got := b.settle(s); got.State != to || !got.Duplicate {
				t.Errorf("repeated command: got %+v, want the same state and a duplicate", got)
			}
			job := b.wantState(id, to)
			if job.Detail != s.Detail || job.Warning != s.Warning || job.Reason != s.Reason {
				t.Errorf("got %+v", job)
			}
			if (job.Payload == nil) != to.Final() {
				t.Errorf("payload of a job that is %s: got %q", to, job.Payload)
			}
			if got := b.counts(ledger.SendMessage); !cmp.Equal(got, map[ledger.State]int64{to: 1}) {
				t.Errorf("counts: got %v", got)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := ledger.NewID()
	_, err := b.Get(t.Context(), id)
	_, beginErr := b.Begin(t.Context(), ledger.Intent{ID: id})
	_, settleErr := b.Settle(t.Context(), ledger.Settlement{ID: id, To: ledger.Failed})
	_, cancelErr := b.Cancel(t.Context(), id)
	_, _, overdueErr := b.Overdue(t.Context(), id)
	for i, err := range []error{err, beginErr, settleErr, cancelErr, overdueErr} {
		if !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%d: got %v, want ErrNotFound", i, err)
		}
	}
}

func TestNewerRecordIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create(message(t))
	ledgertest.Set(t, b.rdb, id.String(), "v", "2")
	_, err := b.Get(t.Context(), id)
	_, beginErr := b.Begin(t.Context(), ledger.Intent{ID: id, Generation: 1})
	_, settleErr := b.Settle(t.Context(), ledger.Settlement{ID: id, To: ledger.Failed})
	for i, err := range []error{err, beginErr, settleErr} {
		if !errors.Is(err, ledger.ErrNewerVersion) {
			t.Errorf("%d: got %v, want ErrNewerVersion", i, err)
		}
	}
}

func TestOwner(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 2 {
		if err := b.Own(t.Context(), "fr-1"); err != nil {
			t.Fatal(err)
		}
	}
	var other *ledger.OwnerError
	if err := b.Own(t.Context(), "fr-2"); !errors.As(err, &other) || other.Owner != "fr-1" {
		t.Errorf("got %v, want an OwnerError", err)
	}
}
