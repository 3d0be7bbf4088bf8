package jobs_test

import (
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// A message to somebody who has opted out is answered as blocked at the door, and costs
// no task; the others of the same call are taken in. A repeated key finds it so.
func TestOptedOutAtTheDoor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	store, err := suppress.New(b.rdb, suppress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Add(t.Context(), suppress.Entry{Recipient: number(t, to), Source: suppress.SourcePerson}); err != nil {
		t.Fatal(err)
	}
	blocked, free := hello(), hello()
	blocked.Key, free.To = "k", from
	free.From = "+12065550111"
	receipts, errs := b.SendMany(t.Context(), []jobs.Message{blocked, free, blocked})
	for i, want := range []ledger.State{ledger.Blocked, ledger.Queued, ledger.Blocked} {
		if errs[i] != nil || receipts[i].State != want || receipts[i].Duplicate != (i == 2) {
			t.Errorf("message %d: got %+v, %v, want it %s", i, receipts[i], errs[i], want)
		}
	}
	job := b.get(t, receipts[0].ID)
	if job.State != ledger.Blocked || job.Reason != ledger.ReasonOptedOut || job.Detail == "" {
		t.Errorf("got %s, %s, %q", job.State, job.Reason, job.Detail)
	}
	info, err := b.inspector.GetQueueInfo(ledger.QueueNormal)
	if err != nil || info.Size != 1 {
		t.Errorf("%d tasks, %v; want the other message's", info.Size, err)
	}
}
