package resolve_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/resolve"
)

// Answers and records get lost in the same minutes: nothing is posted again, and
// once the records come each message has its own.
func TestRecordsComeLate(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(b bundle){
		"lag of everything": func(b bundle) {
			b.sim.SetFault("mdr-lag-correlated", flowroutetest.Fault{Count: 1, Delay: 6 * settle})
		},
		"records held": func(b bundle) {
			b.sim.FailNext("accepted-then-cut", 1)
			b.sim.HoldRecords(6 * settle)
		},
		"lists are empty": func(b bundle) {
			b.sim.FailNext("accepted-then-cut", 1)
			b.sim.SetFault("mdr-empty-200", flowroutetest.Fault{Count: 12})
		},
		"lists are garbage": func(b bundle) {
			b.sim.FailNext("accepted-then-cut", 1)
			b.sim.SetFault("read-garbage", flowroutetest.Fault{Count: 4})
		},
		"lists are refused": func(b bundle) {
			b.sim.FailNext("accepted-then-cut", 1)
			b.sim.SetFault("read-429", flowroutetest.Fault{Count: 4})
		},
		"lists are cut": func(b bundle) {
			b.sim.FailNext("accepted-then-cut", 1)
			b.sim.SetFault("read-cut", flowroutetest.Fault{Count: 4})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{})
			b.known()
			spoil(b)
			id := b.lost(nil, jobs.Message{Body: "the one"})[0]
			b.chat()
			b.until(id, ledger.Accepted)
			b.wantTaken("the one", 1)
		})
	}
}

// Lag beyond all measure: the message is a person's, not doubled.
func TestRecordsNeverCome(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolve: func(o *resolve.Options) { o.Max = 3 * time.Second }})
	b.known()
	b.sim.HoldRecords(time.Hour)
	id := b.lost([]string{"accepted-then-cut"}, jobs.Message{Body: "the one"})[0]
	b.chat()
	if job := b.until(id, ledger.Review); job.Reason != ledger.ReasonNotCurrent {
		t.Errorf("got %s, want not_current", job.Reason)
	}
	b.wantTaken("the one", 1)
	state, err := resolve.Status(t.Context(), b.db.Client(), "")
	if err != nil || state.Lag < settle {
		t.Errorf("got %+v, %v, want a lag", state, err)
	}
}

// A record that came too late to be waited for is found with the next read that
// concerns its pair of numbers: proof of acceptance beats a person's queue.
func TestLateRecordEndsReview(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolve: func(o *resolve.Options) { o.Max = 2 * time.Second }})
	b.known()
	b.sim.HoldRecords(time.Hour)
	late := b.lost([]string{"accepted-then-cut"}, jobs.Message{Body: "late"})[0]
	stop := b.chat()
	b.until(late, ledger.Review)
	stop()
	b.sim.HoldRecords(0)
	next := b.lost([]string{"accepted-then-cut"}, jobs.Message{Body: "next"})[0]
	b.until(next, ledger.Accepted)
	if job := b.until(late, ledger.Accepted); job.Reason != ledger.ReasonMatched {
		t.Errorf("got %s, want matched", job.Reason)
	}
}

// On an account where nothing else happens, silence counts after the longer time
// only.
func TestQuietAccount(t *testing.T) {
	t.Parallel()
	b := setup(t, options{})
	b.until(b.send(jobs.Message{Body: "before"}), ledger.Accepted)
	b.sim.FailNext("reset-before", 1)
	id := b.send(jobs.Message{Body: "the one"})
	unknown := b.until(id, ledger.Unknown)
	job := b.until(id, ledger.Accepted)
	b.wantTaken("the one", 1)
	if waited := job.Updated().Sub(unknown.Updated()); waited < idle {
		t.Errorf("posted again after %v, want at least %v", waited, idle)
	}
}

func TestClocks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		skew   time.Duration
		want   ledger.State
		reason ledger.Reason
	}{
		"ahead":     {3 * time.Minute, ledger.Accepted, ledger.ReasonMatched},
		"behind":    {-3 * time.Minute, ledger.Accepted, ledger.ReasonMatched},
		"too far":   {6 * time.Minute, ledger.Review, ledger.ReasonNotCurrent},
		"too early": {-6 * time.Minute, ledger.Review, ledger.ReasonNotCurrent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{sim: flowroutetest.Options{ClockSkew: c.skew}, resolve: func(o *resolve.Options) {
				if c.want == ledger.Review {
					o.Max = 3 * time.Second
				}
			}})
			b.known()
			id := b.lost([]string{"accepted-then-cut"}, jobs.Message{Body: "the one"})[0]
			b.chat()
			if job := b.until(id, ledger.Accepted, ledger.Review); job.State != c.want || job.Reason != c.reason {
				t.Errorf("got %s (%s), want %s (%s)", job.State, job.Reason, c.want, c.reason)
			}
			state, err := resolve.Status(t.Context(), b.db.Client(), "")
			if off := (state.Clock.Offset - c.skew).Abs(); err != nil || off > time.Second || state.Clock.Samples == 0 {
				t.Errorf("clock: got %+v, %v, want about %v", state.Clock, err, c.skew)
			}
			if state.ClockOff() != (c.want == ledger.Review) {
				t.Errorf("clock off: got %v", state.ClockOff())
			}
		})
	}
}

// A record of an MMS that was proven absent comes late, beside the record of another MMS
// to the same number: it may be a further one of that. Nobody can tell, so the message,
// which is queued again, is not posted, and not taken for sent either: a person looks.
func TestLateRecordBesideAnotherMMS(t *testing.T) {
	t.Parallel()
	b := setup(t, options{resolve: func(o *resolve.Options) {
		o.Nudge = func(context.Context, ledger.Job) error { return errors.New("asynq is away") } // it stays queued
	}})
	isMMS := true
	late := b.lost([]string{"reset-before"}, jobs.Message{Body: "late", IsMMS: &isMMS})[0]
	stop := b.chat()
	b.until(late, ledger.Queued)
	b.until(b.send(jobs.Message{Body: "beside", IsMMS: &isMMS}), ledger.Accepted)
	if _, err := b.sim.Plant(flowroutetest.Record{From: ours, To: theirs, Body: "x", MMS: true, Timestamp: b.get(late).FirstTried.Add(100 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	b.lost([]string{"accepted-then-cut"}, jobs.Message{Body: "next"}) // has the pair's records read
	job := b.until(late, ledger.Accepted, ledger.Review)
	stop()
	if job.State != ledger.Review || job.Reason != ledger.ReasonNearMatch || !strings.Contains(string(job.Evidence), "perhaps_part") {
		t.Errorf("got %s (%s) %s, want review with the record as evidence", job.State, job.Reason, job.Evidence)
	}
	b.wantTaken("late", 0)
}
