package scheduler_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/scheduler"
)

func TestLastRunsOnlyMoveForward(t *testing.T) {
	t.Parallel()
	runs := scheduler.NewLastRuns(redistest.New(t).Client(), "")
	tick := time.Date(2026, 11, 22, 10, 5, 0, 0, time.UTC)
	for _, step := range []struct{ store, want time.Time }{
		{time.Time{}, time.Time{}},
		{tick, tick},
		{tick.Add(-time.Hour), tick},
		{tick.Add(time.Hour), tick.Add(time.Hour)},
	} {
		if !step.store.IsZero() {
			if err := runs.Store(t.Context(), "mdr", step.store); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := runs.Load(t.Context(), "mdr"); err != nil || !got.Equal(step.want) {
			t.Errorf("after storing %v: got %v, %v; want %v", step.store, got, err, step.want)
		}
	}
	if got, err := runs.Load(t.Context(), "numbers"); err != nil || !got.IsZero() {
		t.Errorf("another entry: got %v, %v; want none", got, err)
	}
}

func TestNewReportsAllProblems(t *testing.T) {
	t.Parallel()
	_, err := scheduler.New(nil, scheduler.Options{Entries: []scheduler.Entry{
		{Name: "mdr", Type: ledger.SyncMDR, Spec: "* * *"},
		{Name: "mdr", Type: ledger.SyncMDR},
		{Name: "typeless", Spec: "@daily"},
		{Name: "never", Type: ledger.Reconcile, Spec: "0 0 31 4 *"},
	}})
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != 5 {
		t.Fatalf("got %v, want five problems", err)
	}
	if got := strings.Count(err.Error(), "\n"); got != 4 {
		t.Errorf("got %d line breaks in %q, want one problem a line", got, err)
	}
}
