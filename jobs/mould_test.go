package jobs_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// written is all that asynq's keys hold, without the times at which tasks came.
func (b bundle) written(t *testing.T) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, key := range b.rdb.Keys(t.Context(), "asynq:*").Val() {
		switch kind := b.rdb.Type(t.Context(), key).Val(); kind {
		case "hash":
			fields := b.rdb.HGetAll(t.Context(), key).Val()
			if since := fields["pending_since"]; len(since) == len("1790000000000000000") {
				fields["pending_since"] = "nanoseconds"
			}
			all[key] = fields
		case "list":
			all[key] = b.rdb.LRange(t.Context(), key, 0, -1).Val()
		case "set":
			all[key] = b.rdb.SMembers(t.Context(), key).Val()
		default:
			t.Errorf("%s: got a %s", key, kind)
		}
	}
	return all
}

// commands counts the scripts that a client sends.
type commands struct {
	redis.Hook
	scripts atomic.Int32
}

func (c *commands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *commands) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (c *commands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if strings.HasPrefix(cmd.Name(), "evalsha") {
				c.scripts.Add(1)
			}
		}
		return next(ctx, cmds)
	}
}

// The tasks of many jobs, which one script makes, are to the byte those that asynq's own
// client makes one by one: a version of asynq that writes something else fails here.
func TestNudgesTogetherAreAsynqsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var sent commands
	b.rdb.AddHook(&sent)
	messages := make([]jobs.Message, 300)
	for i := range messages {
		messages[i] = hello()
		messages[i].Key = fmt.Sprint(i)
		if i%50 == 0 {
			messages[i].Priority = jobs.PriorityOTP
		}
	}
	receipts, errs := b.SendMany(t.Context(), messages)
	together := b.written(t)
	if got := sent.scripts.Load(); got > 100 {
		t.Errorf("got %d scripts for 300 jobs: asynq has another script, which nudge.lua has to do the same as", got)
	}
	for key := range together {
		if key != "asynq:queues" {
			b.rdb.Del(t.Context(), key)
		}
	}
	for i, receipt := range receipts {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		id, _ := ledger.ParseID(receipt.ID)
		queue := jobs.PriorityNormal
		if i%50 == 0 {
			queue = jobs.PriorityOTP
		}
		if err := b.Nudge(t.Context(), id, jobs.TypeSendMessage, queue, 1, time.Time{}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(b.written(t), together); diff != "" {
		t.Errorf("(-asynq's +made together):\n%.3000s", diff)
	}
	if len(together) != 300+3 {
		t.Errorf("got %d keys, want one a task, two lists and the set of queues", len(together))
	}
}

// Of tasks that are made together, one that is there is left as it is, a missing one is
// made, and one that comes twice is one.
func TestNudgesTogetherLeaveOthersAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	messages := make([]jobs.Message, 5)
	for i := range messages {
		messages[i] = hello()
		messages[i].Key = fmt.Sprint(i % 4)
	}
	send := func() (ids []string) {
		t.Helper()
		receipts, errs := b.SendMany(t.Context(), messages)
		for i, receipt := range receipts {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			ids = append(ids, receipt.ID+".1")
		}
		return ids
	}
	ids := send()
	list := "asynq:{" + jobs.PriorityNormal + "}:pending"
	if got := b.rdb.LRange(t.Context(), list, 0, -1).Val(); !cmp.Equal(got, []string{ids[3], ids[2], ids[1], ids[0]}) {
		t.Errorf("got %v, want each of %v once, the first to be taken last in the list", got, ids[:4])
	}
	task := func(i int) string { return "asynq:{" + jobs.PriorityNormal + "}:t:" + ids[i] }
	b.rdb.RPop(t.Context(), list) // as if it were being worked on
	b.rdb.HSet(t.Context(), task(0), "state", "active")
	b.rdb.Del(t.Context(), task(2))
	b.rdb.LRem(t.Context(), list, 1, ids[2])
	b.rdb.ScriptFlush(t.Context()) // a new Redis knows no script
	send()
	if got := b.rdb.LRange(t.Context(), list, 0, -1).Val(); !cmp.Equal(got, []string{ids[2], ids[3], ids[1]}) {
		t.Errorf("got %v, want %v", got, []string{ids[2], ids[3], ids[1]})
	}
	if got := b.rdb.HGet(t.Context(), task(0), "state").Val(); got != "active" {
		t.Errorf("a task being worked on: got %s, want it left alone", got)
	}
	if got := b.rdb.HGet(t.Context(), task(2), "state").Val(); got != "pending" {
		t.Errorf("a task that was lost: got %s, want it made", got)
	}
}
