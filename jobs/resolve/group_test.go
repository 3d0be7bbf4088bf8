package resolve_test

import (
	"fmt"
	"strings"
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
			b.until(b.send(jobs.Message{Body: "before"}), ledger.Accepted)
			b.sim.FailNext("reset-before", unknown)
			var ids []string
			for n := range unknown {
				ids = append(ids, b.send(jobs.Message{Body: fmt.Sprint("text ", n), To: fmt.Sprintf("+1206555%04d", 1000+n)}))
			}
			for _, id := range ids {
				b.until(id, ledger.Unknown)
			}
			stop := b.chat()
			b.pass(3 * settle) // all are due before the first read
			stop()
			b.start(func(o *resolve.Options) { o.Tick = settle + 100*time.Millisecond })
			for _, id := range ids {
				b.eventually(func() string {
					if s := b.get(id).State; s == ledger.Unknown {
						return "still unknown"
					}
					return ""
				})
			}
			state, err := resolve.Status(t.Context(), b.db.Client(), "")
			if err != nil {
				t.Fatal(err)
			}
			rows := 0
			for range b.sim.Records() {
				rows++
			}
			rounds := b.reads()
			t.Logf("%d unknown, %d rows: %d requests; last round %+v", unknown, rows, rounds, state.Last)
			if most := 2 * ((rows+page-1)/page + 1); rounds > most {
				t.Errorf("got %d requests, want at most %d", rounds, most)
			}
			if strings.Contains(state.Last.Error, "error") || state.Last.Decided != unknown {
				t.Errorf("last round: %+v", state.Last)
			}
		})
	}
}
