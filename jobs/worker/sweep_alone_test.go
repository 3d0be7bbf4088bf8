package worker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// The only worker is killed, and started anew at once: nobody has watched it meanwhile.
func TestOnlyWorkerIsKilled(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	limits := ratelimit.Limits{SMS: ratelimit.Rate{N: 3, Per: 2 * time.Second}}
	wire := b.sim.HoldNext(flowroutetest.OpSend, true)
	defer wire.Release()
	held := b.send(jobs.Message{Body: "on the wire"})
	kill := b.killable(limits)
	<-wire.Reached()
	var ids []string
	for i := range 6 {
		ids = append(ids, b.send(jobs.Message{Body: fmt.Sprint("waits ", i)}))
	}
	rdb := b.db.Client()
	b.eventually("all in its hands", func() bool { return rdb.LLen(t.Context(), normalQueue+"pending").Val() == 0 })
	before, err := rdb.ZRangeWithScores(t.Context(), normalQueue+"lease", 0, -1).Result()
	if err != nil || len(before) < 5 {
		t.Fatalf("%d tasks in its hands: %v", len(before), err)
	}
	kill()
	killed := time.Now()
	b.start(options{limits: limits, worker: b.likeInUse})
	var slowest time.Duration
	for _, z := range before {
		id := z.Member.(string)
		b.eventually("a task given back", func() bool {
			now := rdb.ZScore(t.Context(), normalQueue+"lease", id)
			return now.Err() != nil || now.Val() != z.Score
		})
		slowest = time.Since(killed)
	}
	resolving := b.until(held, ledger.Unknown).Updated().Sub(killed)
	t.Logf("%d tasks: the last one given back after %v, the message on the wire resolving after %v", len(before), slowest, resolving)
	if slowest > handBack || resolving > handBack {
		t.Errorf("given back after %v, resolving after %v", slowest, resolving)
	}
	for _, id := range ids {
		b.until(id, ledger.Accepted, ledger.Unknown) // which one may have been on the wire as well
	}
	b.noTwins()
}
