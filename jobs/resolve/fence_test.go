package resolve_test

import (
	"context"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/resolve"
)

// fenceUp raises a fence around the last moments: jobs created until now+within
// may have been posted without Redis knowing.
func (b bundle) fenceUp(gap, within time.Duration) {
	b.t.Helper()
	state, err := b.ledger.FenceState(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	now, err := b.ledger.Clock(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	ms := func(t time.Time) int64 { return t.UnixMilli() }
	err = b.db.Client().HSet(b.t.Context(), ledger.DefaultPrefix+"fence", "run", state.Current, "up", "1", "id", "f1",
		"from", ms(now.Add(-gap)), "at", ms(now.Add(within)), "ready", ms(now.Add(within+window+timeout+settle))).Err()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b bundle) plant(body string) string {
	b.t.Helper()
	id, err := b.sim.Plant(flowroutetest.Record{From: ours, To: theirs, Body: body})
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// Redis has lost that some messages were posted, and some altogether: none is sent a
// second time, and the others are sent.
func TestFence(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	b.known()
	b.fenceUp(time.Second, time.Second)
	posted, altered, fresh := b.send(jobs.Message{Body: "posted"}), b.send(jobs.Message{Body: "altered"}), b.send(jobs.Message{Body: "fresh"})
	record := b.plant("posted")
	b.plant("altered Reply STOP to opt out")
	orphan := b.plant("forgotten")
	b.pass(2 * time.Second)
	for _, id := range []string{posted, altered, fresh} {
		if job := b.get(id); job.State != ledger.Queued && job.State != ledger.Review && job.State != ledger.Accepted {
			t.Errorf("behind the fence: got %s", job.State)
		}
	}
	b.chat()
	if job := b.until(posted, ledger.Accepted); len(job.MDRs) != 1 || job.MDRs[0] != record || job.Reason != ledger.ReasonRedisLost {
		t.Errorf("posted: got %+v", job)
	}
	if job := b.until(altered, ledger.Review); job.Reason != ledger.ReasonNearMatch || len(job.Evidence) == 0 {
		t.Errorf("altered: got %+v", job)
	}
	b.until(fresh, ledger.Accepted)
	again := b.send(jobs.Message{Body: "forgotten", Key: "order 1"})
	if job := b.until(again, ledger.Accepted); len(job.MDRs) != 1 || job.MDRs[0] != orphan {
		t.Errorf("asked for again: got %+v", job)
	}
	b.wantTaken("posted", 0)
	b.wantTaken("altered", 0)
	b.wantTaken("fresh", 1)
	b.wantTaken("forgotten", 0)
}

// Redis' clock was behind when the fence was raised: what was posted then seems to be of
// later. It is found all the same.
func TestFenceWithAClockBehind(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	b.known()
	b.fenceUp(20*time.Second, -10*time.Second)
	id := b.send(jobs.Message{Body: "posted", Key: "order 1"})
	record := b.plant("posted")
	b.chat()
	if job := b.until(id, ledger.Accepted); len(job.MDRs) != 1 || job.MDRs[0] != record || job.Reason != ledger.ReasonRedisLost {
		t.Errorf("got %+v", job)
	}
	b.wantTaken("posted", 0)
}

// While the records do not prove themselves current, the fence stays up.
func TestFenceWaitsForRecords(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	b.known()
	b.fenceUp(time.Second, 500*time.Millisecond)
	id := b.send(jobs.Message{Body: "posted"})
	b.pass(500 * time.Millisecond)
	b.sim.HoldRecords(6 * settle)
	record := b.plant("posted")
	b.chat()
	if job := b.until(id, ledger.Accepted); len(job.MDRs) != 1 || job.MDRs[0] != record {
		t.Errorf("got %+v", job)
	}
	b.wantTaken("posted", 0)
}

// A gap longer than the records are read back is a person's.
func TestFenceBeyondReach(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolve: func(o *resolve.Options) { o.Reach = time.Minute }})
	b.fenceUp(2*time.Minute, 500*time.Millisecond)
	b.send(jobs.Message{Body: "old"})
	b.chat()
	b.pass(idle + 2*settle)
	if state, err := b.ledger.FenceState(t.Context()); err != nil || !state.Up {
		t.Errorf("got %+v, %v, want the fence up", state, err)
	}
	if n := b.reads(); n != 0 {
		t.Errorf("read %d times, want never", n)
	}
	b.wantTaken("old", 0)
}

// Redis has lost that numbers were bought: the purchases that wait take them, one that
// is asked for again does too, and none buys a second one.
func TestFenceMatchesPurchases(t *testing.T) {
	t.Parallel()
	before := map[flowroute.E164]bool{}
	b := setup(t, options{resolve: func(o *resolve.Options) {
		o.Known = func(context.Context, time.Time) (map[flowroute.E164]bool, bool, error) { return before, true, nil }
	}})
	for n, err := range b.api(20*time.Second).Numbers(t.Context(), flowroute.NumberQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		before[n.Number] = true
	}
	b.known()
	b.fenceUp(time.Second, time.Second)
	waits := b.purchase(jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1201555"}, Key: "waits"})
	var lost []string
	for available, err := range b.api(20*time.Second).AvailableNumbers(t.Context(), flowroute.NumberSearch{StartsWith: "1201555"}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.api(20*time.Second).PurchaseNumber(t.Context(), available.Number, flowroute.PurchaseOptions{}, flowroute.Write{}); err != nil {
			t.Fatal(err)
		}
		if lost = append(lost, available.Number.Digits()); len(lost) == 2 {
			break
		}
	}
	b.chat()
	b.until(waits, ledger.Done)
	b.until(b.purchase(jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1201555"}, Key: "lost"}), ledger.Done)
	if sold := b.sim.Truth().Purchases; len(sold) != len(lost) {
		t.Errorf("%d numbers were bought, want the %d that Redis had lost", len(sold), len(lost))
	}
}

func (b bundle) purchase(p jobs.Purchase) string {
	b.t.Helper()
	receipt, err := b.jobs.Purchase(b.t.Context(), p)
	if err != nil {
		b.t.Fatal(err)
	}
	return receipt.ID
}
