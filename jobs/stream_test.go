package jobs_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// gate keeps tasks back until it is opened.
type gate struct {
	opened chan struct{}
	redis.Hook
}

func (g gate) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (g gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if args := cmds[0].Args(); len(args) > 3 && args[3] == "asynq:{"+ledger.QueueNormal+"}:pending" {
			<-g.opened
		}
		return next(ctx, cmds)
	}
}

// Jobs are taken when they are written down: who streams them does not wait for the
// workers to be told, but for all of that at the end.
func TestStreamAnswersBeforeWorkersKnow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := gate{opened: make(chan struct{})}
	b.rdb.AddHook(g)
	messages := make([]jobs.Message, 600)
	for i := range messages {
		messages[i] = hello()
		messages[i].Key = strconv.Itoa(i)
	}
	stream := b.Stream()
	send := func(messages []jobs.Message, duplicates bool) {
		t.Helper()
		receipts, errs := stream.SendMany(t.Context(), messages)
		for i := range messages {
			if errs[i] != nil || receipts[i].State != ledger.Queued || receipts[i].Duplicate != duplicates {
				t.Fatalf("%d: got %+v, %v, want it queued, duplicate %t", i, receipts[i], errs[i], duplicates)
			}
		}
	}
	send(messages[:400], false)
	if got, nudges := b.total(t), len(b.nudges(t, ledger.QueueNormal)); got != 400 || nudges != 0 {
		t.Errorf("got %d jobs, %d tasks, want 400 and none", got, nudges)
	}
	close(g.opened)
	send(messages[:400], true)
	send(messages[400:], false)
	stream.Wait()
	if got, nudges := b.total(t), len(b.nudges(t, ledger.QueueNormal)); got != 600 || nudges != 600 {
		t.Errorf("got %d jobs, %d tasks, want 600 of each", got, nudges)
	}
}
