package ledger_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

func TestEventsInOrderAndResumable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.sending("t1")
	record := mdr()
	b.settle(ledger.Settlement{ID: id, Token: "t1", To: ledger.Accepted, MDR: record})

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var states []ledger.State
	var second string
	for event, err := range b.Events(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		if event.Job != id || event.Type != ledger.SendMessage {
			t.Fatalf("got %+v", event)
		}
		states = append(states, event.State)
		if len(states) == 2 {
			second = event.ID
		}
		if event.State == ledger.Accepted {
			if event.MDR != record {
				t.Errorf("got MDR %q, want %q", event.MDR, record)
			}
			break
		}
	}
	if diff := cmp.Diff([]ledger.State{ledger.Queued, ledger.Sending, ledger.Accepted}, states); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for event, err := range b.Events(ctx, second) {
		if err != nil || event.State != ledger.Accepted {
			t.Errorf("after the second: got %+v, %v, want accepted", event, err)
		}
		break
	}
}

func TestEventsFromNowOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(message(t))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	later := message(t)
	go func() {
		for ctx.Err() == nil { // until it is seen: the reader may not have begun
			b.Create(ctx, later)
			later.ID = ledger.NewID()
			<-time.After(50 * time.Millisecond)
		}
	}()
	for event, err := range b.Events(ctx, "$") {
		if err != nil || event.State != ledger.Queued {
			t.Errorf("got %+v, %v", event, err)
		}
		break
	}
	cancel()
	for _, err := range b.Events(ctx, "") {
		if err == nil {
			t.Error("a context that ended: got no error")
		}
		break
	}
}
