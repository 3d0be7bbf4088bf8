package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// TestRedisGoesAway kills Redis in the middle of the work and brings it back: the
// service lives through it, nothing is lost and nothing is sent twice.
func TestRedisGoesAway(t *testing.T) {
	t.Parallel()
	own := redistest.Own(t, redisembed.Options{})
	b := setup(t)
	b.db = &own.DB
	b = b.with("REDIS_URL", own.URL, "WORKER_CONCURRENCY", "4")
	service := b.start("run")
	service.log("http listening")
	client := b.client()

	const n = 300
	list := make([]jobs.Message, n)
	for i := range list {
		list[i] = jobs.Message{From: "+12065550100", To: "+12065550123", Body: fmt.Sprintf("Message %d", i)}
	}
	receipts, errs := client.SendMany(t.Context(), list)
	for i, err := range errs {
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	if err := b.sim.WaitFor(ctx, func(c flowroutetest.Counts) bool { return c.Accepted >= n/4 }); err != nil {
		t.Fatal(err)
	}
	own.Kill()
	own.Restart()

	asked := make([]askedJob, n)
	for i, receipt := range receipts {
		job, err := client.Wait(ctx, receipt.ID)
		if err != nil {
			t.Fatalf("message %d is %s: %v\n%s", i, job.State, err, service.errs)
		}
		asked[i] = askedJob{posted{"12065550100", "12065550123", list[i].Body}, job}
	}
	got := compareMessages(asked, b.sim.Truth())
	if len(got.Problems) > 0 || got.Ledger[ledger.Accepted] != n {
		t.Errorf("got %v: %v", got.Ledger, got.Problems)
	}
	if code := service.end(); code != exitDone {
		t.Errorf("got exit code %d, want 0", code)
	}
}
