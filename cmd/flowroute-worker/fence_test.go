package main

import (
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// raise puts a fence up, as workers do that find a gap nobody can explain.
func (b *bundle) raise(at time.Time) {
	b.t.Helper()
	rdb := b.db.Client()
	fields := []any{"up", "1", "id", "f1", "from", at.Add(-time.Hour).UnixMilli(), "at", at.UnixMilli(), "ready", at.Add(90 * time.Minute).UnixMilli()}
	if err := rdb.HSet(b.t.Context(), ledger.DefaultPrefix+"fence", fields...).Err(); err != nil {
		b.t.Fatal(err)
	}
}

// TestReviewFence shows the fence in each of its states, and lowers it.
func TestReviewFence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run("review", "fence").want(t, exitDone, "no worker has run on this Redis", "")
	b.run("review", "fence", "--accept").want(t, exitDone, "no worker has run", "")
	service := b.start("run")
	b.run(sent("--wait")...).want(t, exitDone, "accepted", "")
	b.run("review", "fence").want(t, exitDone, "down: nothing", "")

	b.raise(time.Now())
	got := b.run("review", "fence").want(t, exitDone, "up since", "")
	for _, text := range []string{"review fence --accept", "will be sent a second time", "(in 1h"} {
		if !strings.Contains(got.out, text) {
			t.Errorf("no %q in\n%s", text, got.out)
		}
	}
	if v := b.run("review", "fence", "--json").want(t, exitDone, "", "").json(t); v["up"] != true || v["id"] != "f1" || v["from"] == nil {
		t.Errorf("got %v", v)
	}
	b.run("doctor").want(t, exitDone, "WARN  fence", "")
	if _, page := get(t, service.url()+"/"); !strings.Contains(page, "The fence is up") {
		t.Error("the overview does not say that the fence is up")
	}
	// A message with a key may be one that was sent in the gap.
	keyed := b.run(sent("--key", "k")...).want(t, exitDone, "", "").id()
	service.log("jobs wait, nothing may be posted yet")
	b.run("status", keyed).want(t, exitDone, "queued", "")

	b.run("review", "fence", "--accept").want(t, exitDone, "lowered", "will be sent a second time")
	b.await(keyed, ledger.Accepted)
	b.run("review", "fence", "--accept", "--json").want(t, exitDone, `"up": false`, "")
}

// TestFenceOfAnotherRun: before the workers have looked at a restarted Redis there
// is nothing to accept.
func TestFenceOfAnotherRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.db.Client().HSet(t.Context(), ledger.DefaultPrefix+"fence", "run", "another").Err(); err != nil {
		t.Fatal(err)
	}
	b.run("review", "fence").want(t, exitDone, "Redis was restarted or replaced", "")
	b.run("review", "fence", "--accept").want(t, exitFailed, "", "there is no fence to lower yet")
	b.run("doctor").want(t, exitDone, "WARN  fence", "")
}
