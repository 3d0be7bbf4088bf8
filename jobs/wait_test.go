package jobs_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

func TestWaitReturnsAtTheFirstEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, outcome := range []ledger.State{ledger.Accepted, ledger.Failed, ledger.Review} {
		t.Run(string(outcome), func(t *testing.T) {
			t.Parallel()
			receipt, err := b.Send(t.Context(), hello())
			if err != nil {
				t.Fatal(err)
			}
			id, err := ledger.ParseID(receipt.ID)
			if err != nil {
				t.Fatal(err)
			}
			type answer struct {
				job jobs.Job
				err error
			}
			waited := make(chan answer, 1)
			go func() {
				job, err := b.Wait(t.Context(), receipt.ID)
				waited <- answer{job, err}
			}()
			select {
			case got := <-waited:
				t.Fatalf("before the end: got %+v", got)
			case <-time.After(300 * time.Millisecond):
			}
			start := time.Now()
			b.post(t, id, outcome)
			got := <-waited
			if got.err != nil || got.job.State != outcome {
				t.Errorf("got %s, %v, want %s", got.job.State, got.err, outcome)
			}
			// By the event, not by the next look.
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			// What has ended is answered at once.
			if again, err := b.Wait(t.Context(), receipt.ID); err != nil || again.State != outcome {
				t.Errorf("again: got %s, %v", again.State, err)
			}
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	receipt, err := b.Send(t.Context(), hello())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	start := time.Now()
	job, err := b.Wait(ctx, receipt.ID)
	if !errors.Is(err, context.DeadlineExceeded) || job.State != ledger.Queued {
		t.Errorf("got %s, %v, want the job as it is and DeadlineExceeded", job.State, err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("took %v, want 0.2 s", took)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, err := b.Send(t.Context(), hello())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Cancel(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	type line struct {
		job   string
		state ledger.State
	}
	var got []line
	var last string
	for event, err := range b.Events(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		got, last = append(got, line{event.Job.String(), event.State}), event.ID
		if len(got) == 2 {
			break
		}
	}
	if diff := cmp.Diff([]line{{first.ID, ledger.Queued}, {first.ID, ledger.Cancelled}}, got, cmp.AllowUnexported(line{})); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	second, err := b.Send(t.Context(), hello())
	if err != nil {
		t.Fatal(err)
	}
	for event, err := range b.Events(ctx, last) {
		if err != nil || event.Job.String() != second.ID {
			t.Errorf("after the last: got %+v, %v, want job %s", event, err, second.ID)
		}
		break
	}
}
