package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// inState makes a message of which one attempt ended in that state.
func (b *bundle) inState(to ledger.State, reason ledger.Reason) jobs.Job {
	b.t.Helper()
	client := b.client()
	receipt, err := client.Send(b.t.Context(), jobs.Message{From: "+12065550100", To: "+12065550123", Body: "swordfish"})
	if err != nil {
		b.t.Fatal(err)
	}
	job, err := client.Get(b.t.Context(), receipt.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	begun, err := client.Ledger().Begin(b.t.Context(), ledger.Intent{
		ID: job.ID, Generation: job.Generation, Token: "token", Account: "somebody's", Budget: time.Second, Timeout: time.Second,
		Settle: time.Minute, Fingerprint: jobs.Fingerprint(job.From.Digits(), job.To.Digits(), "swordfish", false),
	})
	if err != nil || begun.Decision != ledger.Go {
		b.t.Fatalf("got %+v, %v", begun, err)
	}
	if _, err := client.Ledger().Settle(b.t.Context(), ledger.Settlement{ID: job.ID, Token: "token", To: to, Reason: reason}); err != nil {
		b.t.Fatal(err)
	}
	if job, err = client.Get(b.t.Context(), receipt.ID); err != nil || job.State != to {
		b.t.Fatalf("got %s, %v, want %s", job.State, err, to)
	}
	return job
}

func TestReview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run("review", "list").want(t, exitDone, "nothing waits for a person", "")
	b.run("review", "list", "--json").want(t, exitDone, "[]", "")
	first := b.inState(ledger.Review, ledger.ReasonNearMatch)
	second := b.inState(ledger.Review, ledger.ReasonNotCurrent)
	got := b.run("review", "list").want(t, exitDone, "review resolve "+first.ID.String()+" --as accepted|not-sent", "")
	for _, text := range []string{second.ID.String(), "near_match", "compare the candidate records", "lacked messages"} {
		if !strings.Contains(got.out, text) {
			t.Errorf("no %q in\n%s", text, got.out)
		}
	}
	if strings.Contains(got.out, "swordfish") || strings.Contains(got.out, "+1206555") {
		t.Errorf("a text or a whole number is in\n%s", got.out)
	}
	b.run("review", "list", "--limit", "1").want(t, exitDone, first.ID.String(), "there are more")
	var views []httpapi.ReviewView
	got = b.run("review", "list", "--json").want(t, exitDone, "", "")
	if err := json.Unmarshal([]byte(got.out), &views); err != nil || len(views) != 2 || views[0].ID != first.ID.String() {
		t.Errorf("got %v, %+v", err, views)
	}
	b.run("status", first.ID.String()).want(t, exitDone, "review resolve "+first.ID.String()+" --as", "")

	b.run("review", "resolve", first.ID.String(), "--as", "accepted").want(t, exitDone, "accepted: ", "")
	b.run("review", "resolve", second.ID.String(), "--as", "not-sent", "--json").want(t, exitDone, `"state": "queued"`, "")
	b.run("review", "resolve", first.ID.String(), "--as", "not-sent").want(t, exitFailed, "", "is accepted, not in review")
	b.run("review", "list").want(t, exitDone, "nothing waits", "")

	// A worker posts again what a person had queued again.
	b.start("run", "--roles", "worker")
	if n := b.await(second.ID.String(), ledger.Accepted).Attempts; n != 2 {
		t.Errorf("got %d attempts, want 2", n)
	}
}

// await waits for a job's state.
func (b *bundle) await(id string, want ledger.State) jobs.Job {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	for event, err := range b.client().Events(ctx, "") {
		if err != nil {
			b.t.Fatalf("job %s was not %s in time: %s", id, want, b.run("status", id).out)
		}
		if event.Job.String() == id && event.State == want {
			break
		}
	}
	job, err := b.client().Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return job
}

func TestReviewUsage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := ledger.NewID().String()
	b.run("review", "resolve", id).want(t, exitUsage, "", "give accepted, if Flowroute took it, or not-sent")
	b.run("review", "resolve", id, "--as", "sent").want(t, exitUsage, "", `--as "sent"`)
	b.run("review", "resolve", "--as", "accepted").want(t, exitUsage, "", "give a job id")
	b.run("review", "resolve", id, "--as", "accepted").want(t, exitFailed, "", "no such job")
	b.run("review", "list", "--limit", "0").want(t, exitUsage, "", "from 1 on")
	b.run("review").want(t, exitUsage, "", "give one of fence, list, resolve")
}
