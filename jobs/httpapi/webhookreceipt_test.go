package httpapi_test

import (
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// sending makes a message that is on the wire; settle is its answer.
func (b *bundle) sending() (id ledger.ID, settle func(ledger.Settlement)) {
	b.t.Helper()
	taken, err := b.jobs.Send(b.t.Context(), jobs.Message{From: "+12065550100", To: "+12065550123", Body: "the secret word is swordfish"})
	if err != nil {
		b.t.Fatal(err)
	}
	job, token := b.job(taken.ID), ledger.NewID().String()
	begun, err := b.jobs.Ledger().Begin(b.t.Context(), ledger.Intent{
		ID: job.ID, Generation: job.Generation, Token: token, Account: "account", Budget: time.Minute, Timeout: time.Minute, Settle: time.Minute,
		Fingerprint: ledger.Fingerprint(job.ID[8:]),
	})
	if err != nil || begun.Decision != ledger.Go {
		b.t.Fatalf("begin: got %+v, %v", begun, err)
	}
	return job.ID, func(s ledger.Settlement) {
		b.t.Helper()
		s.ID, s.Token = job.ID, token
		if _, err := b.jobs.Ledger().Settle(b.t.Context(), s); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bundle) wantJob(id ledger.ID, want ledger.State, mdrs ...string) {
	b.t.Helper()
	if got := b.job(id.String()); got.State != want || len(got.MDRs) != len(mdrs) || len(mdrs) > 0 && got.MDRs[0] != mdrs[0] {
		b.t.Errorf("got %s with %v, want %s with %v", got.State, got.MDRs, want, mdrs)
	}
}

// levels are the receipts of a message: two of level 1 and 2, and its end.
func levels(compact bool, id string) (one, two, end string) {
	return dlr(compact, id, "smsc submit", "null"), dlr(compact, id, "message buffered", `"1003"`), dlr(compact, id, "", "1004")
}

// TestReceiptsInEveryOrder, each four times, whether the attempt is known to have been
// accepted or not, with and without its name in the path: the end is the same.
func TestReceiptsInEveryOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, withWebhooks)
	n := 0
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		for _, start := range []ledger.State{ledger.Sending, ledger.Unknown, ledger.Review, ledger.Accepted} {
			n++
			job, settle := b.sending()
			switch start {
			case ledger.Unknown, ledger.Review:
				settle(ledger.Settlement{To: start, Reason: ledger.ReasonNoAnswer})
			case ledger.Accepted:
				settle(ledger.Settlement{To: start, MDR: mdrID(n)})
			}
			one, two, end := levels(n%2 == 0, mdrID(n))
			path := httpapi.ReceiptPath(webhookSecret, job, 1)
			if start == ledger.Accepted {
				path = hookPath
			}
			for i, place := range order {
				for k := range 4 {
					want := "known"
					if start != ledger.Accepted && i == 0 && k == 0 {
						want = "proved"
					}
					if got := b.receipt(path, []string{one, two, end}[place]); got != want {
						t.Errorf("%v from %s: receipt %d: got %q, want %q", order, start, i, got, want)
					}
				}
			}
			if start == ledger.Sending { // the answer is later than all receipts
				settle(ledger.Settlement{To: ledger.Accepted, MDR: mdrID(n)})
			}
			b.wantJob(job, ledger.Delivered, mdrID(n))
		}
	}
}

// TestDeliveryKnownBeforeTheProof: a sync has read of the end when no job had the
// record; the proof brings both together.
func TestDeliveryKnownBeforeTheProof(t *testing.T) {
	t.Parallel()
	b := setupInbound(t)
	code := func(c int) []flowroute.DeliveryReceipt {
		return []flowroute.DeliveryReceipt{{Level: 2, StatusCode: &c, Timestamp: when}}
	}
	for n, c := range map[int]struct {
		receipts []flowroute.DeliveryReceipt
		want     ledger.State
	}{
		1: {code(1004), ledger.Delivered}, 2: {code(1007), ledger.Undelivered}, 3: {code(1003), ledger.Accepted}, 4: {nil, ledger.Accepted},
	} {
		job, settle := b.sending()
		settle(ledger.Settlement{To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
		record := flowroute.MDR{ID: mdrID(n), Direction: flowroute.Outbound, From: us, To: them, Timestamp: when, Receipts: c.receipts, AmountNanodollars: 4_000_000}
		if _, err := b.records.Put(t.Context(), []flowroute.MDR{record}); err != nil {
			t.Fatal(err)
		}
		one, two, _ := levels(false, mdrID(n))
		if got := b.receipt(httpapi.ReceiptPath(webhookSecret, job, 1), one); got != "proved" {
			t.Errorf("%d: got %q, want proved", n, got)
		}
		b.wantJob(job, c.want, mdrID(n))
		b.receipt(httpapi.ReceiptPath(webhookSecret, job, 1), two)
		b.wantJob(job, c.want, mdrID(n))
	}
}
