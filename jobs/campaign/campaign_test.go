package campaign_test

import (
	"errors"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// From the first row to the last outcome.
func TestLife(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	id := r.draft(campaign.Spec{Name: "spring"}, 600)
	c := r.get(id)
	if c.State != campaign.Draft || c.Rows != 600 || c.Segments != 600 || c.Waiting() != 600 {
		t.Errorf("draft: got %+v", c)
	}
	if state, err := r.Start(t.Context(), id); err != nil || state != campaign.Running {
		t.Fatalf("start: got %s, %v", state, err)
	}
	r.feeding(40)
	c = r.until(id, "fed ahead", func(c *campaign.Campaign) bool { return c.Jobs[ledger.Queued] == 200 })
	if c.Waiting() != 400 {
		t.Errorf("got %d waiting, want 400", c.Waiting())
	}
	for row := uint32(1); row <= 600; row++ {
		r.until(id, "fed on", func(c *campaign.Campaign) bool { return c.Fed() >= int(row) })
		if got := r.post(id.OfRow(row), ledger.Accepted, ""); got != ledger.Go {
			t.Fatalf("row %d: got %s", row, got)
		}
	}
	c = r.until(id, "done", func(c *campaign.Campaign) bool { return c.State == campaign.Done })
	if c.Posted() != 600 || c.Waiting() != 0 || c.Left() != 0 || c.Ended.IsZero() {
		t.Errorf("done: got %+v", c)
	}
}

// A paused campaign makes no jobs and posts none; what is queued is held.
func TestPauseHolds(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{})
	id := r.started(campaign.Spec{}, 100)
	stop := r.feeding(4)
	r.until(id, "fed ahead", func(c *campaign.Campaign) bool { return c.Fed() == 20 })
	if state, err := r.Pause(t.Context(), id); err != nil || state != campaign.Paused {
		t.Fatalf("pause: got %s, %v", state, err)
	}
	if got := r.post(id.OfRow(1), ledger.Accepted, ""); got != ledger.Held {
		t.Errorf("row of a paused campaign: got %s, want held", got)
	}
	if _, err := r.Resume(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := r.post(id.OfRow(1), ledger.Accepted, ""); got != ledger.Go {
		t.Errorf("resumed: got %s, want go", got)
	}
	stop()
	if _, err := r.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := r.post(id.OfRow(2), ledger.Accepted, ""); got != ledger.Ended {
		t.Errorf("cancelled: got %s, want ended", got)
	}
	c := r.get(id)
	if c.Jobs[ledger.Accepted] != 1 || c.Jobs[ledger.Cancelled] != 1 || c.State != campaign.Cancelled {
		t.Errorf("got %+v", c)
	}
	if state, err := r.Resume(t.Context(), id); state != campaign.Cancelled {
		t.Errorf("resume: got %s, %v, want it refused", state, err)
	} else if _, ok := errors.AsType[*campaign.StateError](err); !ok {
		t.Errorf("resume: got %v, want a StateError", err)
	}
}

// More refusals than the brake allows pause the campaign; resumed, it looks afresh.
func TestBrake(t *testing.T) {
	t.Parallel()
	r := setup(t, campaign.Options{BrakePercent: 10, BrakeWindow: 100})
	id := r.started(campaign.Spec{}, 200)
	r.feeding(100)
	r.until(id, "fed", func(c *campaign.Campaign) bool { return c.Fed() == 200 })
	row := uint32(0)
	next := func(to ledger.State, reason ledger.Reason) { row++; r.post(id.OfRow(row), to, reason) }
	for range 60 {
		next(ledger.Accepted, "")
	}
	for range 6 {
		next(ledger.Failed, ledger.ReasonRefused)
	}
	if c := r.get(id); c.State != campaign.Running {
		t.Fatalf("6 of 66 refused: got %s", c.State)
	}
	next(ledger.Failed, ledger.ReasonRefused)
	c := r.get(id)
	if c.State != campaign.Paused || !c.Pause.Brake || c.Pause.Refused != 7 || c.Pause.Messages != 67 || c.Pause.Reason != ledger.ReasonRefused || time.Since(c.Pause.Since) > time.Minute {
		t.Fatalf("7 of 67 refused: got %+v, want it paused by the brake", c)
	}
	if len(c.Failures) != 1 || c.Failures[0] != (campaign.Failure{State: ledger.Failed, Reason: ledger.ReasonRefused, Count: 7}) {
		t.Errorf("failures: got %+v", c.Failures)
	}
	if _, err := r.Resume(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	next(ledger.Failed, ledger.ReasonRefused)
	next(ledger.Failed, ledger.ReasonRefused)
	if c := r.get(id); c.State != campaign.Running {
		t.Errorf("resumed: got %s, want it to run until there are refusals anew", c.State)
	}
	next(ledger.Failed, ledger.ReasonRefused)
	if c := r.get(id); c.State != campaign.Paused {
		t.Errorf("3 of 3 refused: got %s", c.State)
	}
	failed := map[int]bool{}
	for f, err := range r.Failures(t.Context(), id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		failed[f.Row] = true
		if f.Fields["name"] == "" || f.Job.Reason != ledger.ReasonRefused {
			t.Errorf("failure: got %+v", f)
		}
	}
	if len(failed) != 10 || !failed[61] || failed[60] {
		t.Errorf("got failures %v", failed)
	}
}
