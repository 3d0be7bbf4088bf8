package resolve_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/resolve"
)

// Twins: of three messages with one text two were accepted and one was not. In the
// end each has been accepted once.
func TestTwins(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	var ids []string
	for _, fault := range []string{"accepted-then-cut", "reset-before", "accepted-then-cut"} {
		ids = append(ids, b.lost([]string{fault}, jobs.Message{Body: "twin"})...)
	}
	b.chat()
	for _, id := range ids {
		b.until(id, ledger.Accepted)
	}
	b.wantTaken("twin", 3)
	owners := map[string]bool{}
	for _, id := range ids {
		for _, mdr := range b.get(id).MDRs {
			owners[mdr] = true
		}
	}
	if len(owners) != 3 {
		t.Errorf("got %d records for 3 twins", len(owners))
	}
}

// The messages of one conversation do not stand in each other's way.
func TestOnePair(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	var ids []string
	for i, fault := range []string{"accepted-then-cut", "reset-before", "accepted-then-500", "500-before", "accepted-then-cut"} {
		ids = append(ids, b.lost([]string{fault}, jobs.Message{Body: fmt.Sprint("text ", i)})...)
	}
	b.chat()
	for i, id := range ids {
		b.until(id, ledger.Accepted)
		b.wantTaken(fmt.Sprint("text ", i), 1)
	}
}

// A 2xx whose id could not be read is accepted, and its record is found.
func TestIDPending(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"accepted-garbage", "accepted-truncated", "accepted-empty"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{})
			b.sim.FailNext(fault, 1)
			id := b.send(jobs.Message{Body: "the one"})
			b.until(id, ledger.Accepted)
			b.eventually(func() string {
				if job := b.get(id); len(job.MDRs) != 1 || job.State != ledger.Accepted {
					return fmt.Sprintf("%+v", job)
				}
				return ""
			})
			b.wantTaken("the one", 1)
		})
	}
}

// A 2xx of something that is not Flowroute has no record: a person looks.
func TestIDPendingForEver(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolve: func(o *resolve.Options) { o.Max = 2 * time.Second }})
	b.sim.FailNext("accepted-empty", 1)
	b.sim.SetFault("mdr-lag", flowroutetest.Fault{Count: 1, Delay: time.Hour})
	id := b.send(jobs.Message{Body: "the one"})
	b.until(id, ledger.Accepted)
	b.chat()
	if job := b.until(id, ledger.Review); job.Reason != ledger.ReasonNoRecord {
		t.Errorf("got %s, want no_record", job.Reason)
	}
	b.wantTaken("the one", 1)
}

// The record that a refusal has left is nobody's, and keeps others from being
// posted again.
func TestRefusalLeavesRecord(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	lost := b.lost([]string{"reset-before"}, jobs.Message{Body: "the one"})[0]
	b.sim.FailNext("refused-leaves-failed-record", 1)
	b.until(b.send(jobs.Message{Body: "the one"}), ledger.Failed)
	b.chat()
	if job := b.until(lost, ledger.Accepted, ledger.Review); job.Reason != ledger.ReasonNearMatch {
		t.Errorf("got %s (%s), want review", job.State, job.Reason)
	}
	b.wantTaken("the one", 0)
}

// Somebody else sends the same text to the same number.
func TestForeignRecords(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	id := b.lost([]string{"reset-before"}, jobs.Message{Body: "the one"})[0]
	for range 2 {
		if _, err := b.sim.Plant(flowroutetest.Record{From: ours, To: theirs, Body: "the one"}); err != nil {
			t.Fatal(err)
		}
	}
	if job := b.until(id, ledger.Accepted, ledger.Review); job.Reason != ledger.ReasonForeignTraffic {
		t.Errorf("got %s (%s), want review: foreign traffic", job.State, job.Reason)
	}
	b.wantTaken("the one", 0)
}

func TestOtherAccount(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolve: func(o *resolve.Options) { o.Account = "fr-other" }})
	id := b.lost([]string{"reset-before"}, jobs.Message{Body: "the one"})[0]
	if job := b.until(id, ledger.Review); job.Reason != ledger.ReasonOtherAccount {
		t.Errorf("got %s, want other_account", job.Reason)
	}
	if n := b.reads(); n != 0 {
		t.Errorf("read %d times, want never", n)
	}
}

// AMBIGUOUS_ACTION=review: what is proven absent is a person's too.
func TestHold(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolve: func(o *resolve.Options) { o.Hold = true }})
	id := b.lost([]string{"reset-before"}, jobs.Message{Body: "the one"})[0]
	b.chat()
	if job := b.until(id, ledger.Review); job.Reason != ledger.ReasonHeld {
		t.Errorf("got %s, want held", job.Reason)
	}
}

// Long and short pages, in any order: all is found, nothing is doubled.
func TestPages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]flowroutetest.Choices{
		"capped":          {MDRPageCap: 7},
		"limit ignored":   {MDRIgnoreLimit: true, MDRDefaultLimit: 6},
		"by last change":  {OrderByUpdate: true, MDRPageCap: 9},
		"rounded, capped": {RoundTimestamps: true, MDRPageCap: 25},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{sim: flowroutetest.Options{Choices: c, DeliverAfter: 300 * time.Millisecond}})
			for n := range 60 {
				b.send(jobs.Message{To: "+12065550112", Body: fmt.Sprint("filler ", n)})
			}
			b.eventually(func() string {
				if n := b.sim.Counts().Accepted; n < 60 {
					return fmt.Sprint(n, " fillers accepted")
				}
				return ""
			})
			there := b.lost([]string{"accepted-then-cut"}, jobs.Message{Body: "there"})[0]
			gone := b.lost([]string{"reset-before"}, jobs.Message{Body: "gone"})[0]
			b.chat()
			b.until(there, ledger.Accepted, ledger.Delivered)
			b.until(gone, ledger.Accepted, ledger.Delivered)
			b.wantTaken("there", 1)
			b.wantTaken("gone", 1)
		})
	}
}

// What a round costs does not depend on how many messages are unknown.
func TestCost(t *testing.T) {
	t.Parallel()
	for _, unknown := range []int{1, 200} {
		t.Run(fmt.Sprint(unknown), func(t *testing.T) {
			t.Parallel()
			const page = 50
			b := setup(t, options{resolvers: -1, sim: flowroutetest.Options{Choices: flowroutetest.Choices{MDRPageCap: page}}})
			b.accepted()
			for n := range 2*page + page/2 {
				if _, err := b.sim.Plant(flowroutetest.Record{From: ours, To: "+12065550112", Body: fmt.Sprint("row ", n)}); err != nil {
					t.Fatal(err)
				}
			}
			b.sim.FailNext("reset-before", unknown)
			var ids []string
			for n := range unknown {
				ids = append(ids, b.send(jobs.Message{Body: fmt.Sprint("text ", n), To: fmt.Sprintf("+1206555%04d", 1000+n)}))
			}
			for _, id := range ids {
				b.until(id, ledger.Unknown)
			}
			// All are due, and the records prove themselves current, before the first read.
			b.due()
			b.accepted()
			open := b.due()
			var mu sync.Mutex
			woken := map[string]int{}
			b.start(func(o *resolve.Options) {
				o.Tick = settle + 100*time.Millisecond
				// None is posted again: on a slow machine it might become unknown again.
				o.Nudge = func(_ context.Context, job ledger.Job) error {
					mu.Lock()
					defer mu.Unlock()
					woken[job.ID.String()]++
					return nil
				}
			})
			var last resolve.Round
			b.eventually(func() string {
				state, err := resolve.Status(t.Context(), b.db.Client(), "")
				if last = state.Last; err != nil || last.At.IsZero() {
					return fmt.Sprint("a round: ", err)
				}
				return ""
			})
			rows := 0
			for range b.sim.Records() {
				rows++
			}
			requests := b.reads()
			t.Logf("%d unknown, %d rows: %d requests; last round %+v", open, rows, requests, last)
			if most := 2 * ((rows+page-1)/page + 1); requests > most {
				t.Errorf("got %d requests, want at most %d", requests, most)
			}
			if last.Error != "" || last.Decided != open {
				t.Errorf("round: got %+v, want %d decided", last, open)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids {
				if job := b.get(id); job.State != ledger.Queued || woken[id] != 1 {
					t.Errorf("got %s, woken %d times, want it put back", job.State, woken[id])
				}
			}
		})
	}
}

// accepted sends messages to somebody else until one is known to be accepted: on a
// slow machine the first ones may get no answer in time.
func (b bundle) accepted() {
	b.t.Helper()
	for n := 0; ; n++ {
		id := b.send(jobs.Message{To: "+12065550111", Body: fmt.Sprint("known ", n)})
		if b.until(id, ledger.Accepted, ledger.Unknown).State == ledger.Accepted {
			return
		}
	}
}

// due waits until the records may decide all that is open, and counts it.
func (b bundle) due() (open int) {
	b.t.Helper()
	b.eventually(func() string {
		list, err := b.ledger.Unresolved(b.t.Context(), 1000)
		if err != nil {
			b.t.Fatal(err)
		}
		now, err := b.ledger.Clock(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		for _, job := range list {
			if job.State != ledger.Unknown || job.ResolveAt.After(now) {
				return fmt.Sprintf("job %s is %s, and due %v after %v", job.ID, job.State, job.ResolveAt, now)
			}
		}
		open = len(list)
		return ""
	})
	return open
}
