package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

func TestSlotsAreTakenInTurn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const slot = "12065550100:primary"
	var ids []ledger.ID
	for range 3 {
		job := message(t)
		job.Type, job.Queue, job.Order = ledger.RouteUpdate, ledger.QueueNumbers, []string{slot}
		ids = append(ids, b.create(job))
	}
	if got := b.begin(ids[1], "b"); got.Decision != ledger.Behind || got.Other != ids[0] {
		t.Fatalf("second: got %+v, want behind the first", got)
	}
	if got := b.begin(ids[0], "a"); got.Decision != ledger.Go {
		t.Fatalf("first: got %+v", got)
	}
	if newest, ok, err := b.Newest(t.Context(), slot); err != nil || !ok || newest != ids[2] {
		t.Errorf("newest: got %v %v %v, want the third", newest, ok, err)
	}
	got := b.settle(ledger.Settlement{ID: ids[0], Token: "a", To: ledger.Done})
	if !cmp.Equal(got.Next, []ledger.ID{ids[1]}) {
		t.Errorf("next: got %v, want the second", got.Next)
	}
	cancelled, err := b.Cancel(t.Context(), ids[1])
	if err != nil || !cmp.Equal(cancelled.Next, []ledger.ID{ids[2]}) {
		t.Errorf("cancel: got %+v, %v, want the third next", cancelled, err)
	}
	if got := b.begin(ids[2], "c"); got.Decision != ledger.Go {
		t.Errorf("third: got %+v", got)
	}
}

func TestANumberIsClaimedByOnePurchase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	buy := func(id ledger.ID, token string) ledger.Begun {
		got, err := b.Begin(t.Context(), ledger.Intent{ID: id, Generation: 1, Token: token, Budget: time.Second, Timeout: timeout, Settle: settle, Number: number(t, "+12065550123")})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	purchase := func() ledger.ID {
		job := message(t)
		job.Type, job.Queue = ledger.PurchaseNumber, ledger.QueueNumbers
		return b.create(job)
	}
	first, second := purchase(), purchase()
	if got := buy(first, "a"); got.Decision != ledger.Go {
		t.Fatalf("got %+v", got)
	}
	if got := buy(second, "b"); got.Decision != ledger.Claimed || got.Other != first {
		t.Fatalf("got %+v, want claimed by the first", got)
	}
	b.settle(ledger.Settlement{ID: first, Token: "a", To: ledger.Failed, Reason: ledger.ReasonRefused, Release: true})
	if got := buy(second, "b"); got.Decision != ledger.Go {
		t.Fatalf("after a certain refusal: got %+v, want go", got)
	}

	// A step that cannot be undone: kept at once, and no cancel after it.
	b.settle(ledger.Settlement{ID: second, Token: "b", To: ledger.Queued, Reason: ledger.ReasonBought, Progress: []byte(`{"bought":"12065550123"}`)})
	if job := b.wantState(second, ledger.Queued); string(job.Progress) != `{"bought":"12065550123"}` {
		t.Errorf("progress: got %s", job.Progress)
	}
	if got, err := b.Cancel(t.Context(), second); err != nil || !got.TooLate {
		t.Errorf("cancel: got %+v, %v, want too late", got, err)
	}
	b.settle(ledger.Settlement{ID: second, To: ledger.Done, Warning: "messaging is not yet on"})
	job := b.wantState(second, ledger.Done)
	if string(job.Progress) != `{"bought":"12065550123"}` || job.Warning != "messaging is not yet on" {
		t.Errorf("done: got %+v", job)
	}
}

func TestSyncsNeedNoIntent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := message(t)
	job.Type, job.Queue = ledger.SyncMDR, ledger.QueueSync
	b.create(job)
	b.settle(ledger.Settlement{ID: job.ID, To: ledger.Done, Progress: []byte(`{"read":7}`)})
	if got := b.wantState(job.ID, ledger.Done); string(got.Progress) != `{"read":7}` {
		t.Errorf("got %+v", got)
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	check := func(token string, lease time.Duration) ledger.Breaker {
		got, err := b.CheckBreaker(t.Context(), "api", token, lease)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := check("a", time.Second); got.Open {
		t.Fatalf("got %+v, want closed", got)
	}
	if _, err := b.OpenBreaker(t.Context(), "api", "401", 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	got := check("a", time.Second)
	if !got.Open || got.Probe || got.Wait <= 0 || got.Reason != "401" {
		t.Fatalf("got %+v, want open", got)
	}
	<-time.After(got.Wait + 10*time.Millisecond)
	if got := check("a", 60*time.Millisecond); !got.Probe {
		t.Fatalf("got %+v, want to be the probe", got)
	}
	got = check("b", time.Second)
	if !got.Open || got.Probe {
		t.Fatalf("got %+v, want one probe at a time", got)
	}
	// A probe that dies does not keep it shut: its lease runs out.
	<-time.After(got.Wait + 10*time.Millisecond)
	if got := check("b", time.Second); !got.Probe {
		t.Fatalf("got %+v, want to be the next probe", got)
	}
	if err := b.CloseBreaker(t.Context(), "api"); err != nil {
		t.Fatal(err)
	}
	if got := check("c", time.Second); got.Open {
		t.Fatalf("got %+v, want closed", got)
	}
}
