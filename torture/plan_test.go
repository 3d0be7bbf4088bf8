package torture_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/torture"
)

func TestPlanIsTheSeeds(t *testing.T) {
	t.Parallel()
	plan := func(seed uint64) torture.Plan { return torture.NewPlan(torture.Options{Seed: seed, Messages: 500}) }
	first, again, other := plan(7), plan(7), plan(8)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("one seed, two plans:\n%s", diff)
	}
	if cmp.Equal(first.Items, other.Items) || cmp.Equal(first.Steps, other.Steps) {
		t.Error("two seeds, one plan")
	}
}

func TestPlanHasAllOfIt(t *testing.T) {
	t.Parallel()
	plan := torture.NewPlan(torture.Options{Seed: 3})
	count := map[string]int{}
	keys := map[string]bool{}
	texts := map[string]int{}
	for _, item := range plan.Items {
		if key := item.Key(); key != "" {
			if keys[key] {
				t.Errorf("key %q twice", key)
			}
			keys[key] = true
		}
		switch {
		case item.Purchase != nil:
			count["purchases"]++
		case item.Update != nil:
			count["updates"]++
		case item.Sync != "":
			count["syncs"]++
		default:
			count["messages"]++
			texts[item.Message.Body]++
			for what, is := range map[string]bool{
				"plain": item.Plain != "", "no key": item.Key() == "", "later": item.Later > 0, "again": item.Again, "cancel": item.Cancel,
				"mms": item.Message.IsMMS != nil, "twin": texts[item.Message.Body] == 2,
			} {
				if is {
					count[what]++
				}
			}
		}
	}
	if count["messages"] != 10_000 || count["purchases"] != 200 || count["updates"] != 200 {
		t.Errorf("got %v, want 10000 messages, 200 purchases, 200 updates", count)
	}
	for _, what := range []string{"plain", "no key", "later", "again", "cancel", "mms", "twin", "syncs"} {
		if count[what] == 0 {
			t.Errorf("the load has none of: %s", what)
		}
	}
	done := map[torture.Action]int{}
	for _, step := range plan.Steps {
		done[step.Do]++
	}
	for _, action := range []torture.Action{
		torture.Kill, torture.Freeze, torture.CutRedis, torture.StallRedis, torture.DropReplies, torture.CutAPI, torture.Swallow,
		torture.KillRedis, torture.Rollback, torture.StepClock, torture.Episode, torture.Next, torture.HoldRecords,
	} {
		if done[action] == 0 {
			t.Errorf("the trouble has none of: %s", action)
		}
	}
	if done[torture.KillRedis] != 10 {
		t.Errorf("Redis is killed %d times, want 10", done[torture.KillRedis])
	}
	if !slices.IsSortedFunc(plan.Steps, func(a, b torture.Step) int { return int(a.At - b.At) }) {
		t.Error("steps are not in the order of their times")
	}
	if last := plan.Items[len(plan.Items)-1].At; last > 10*time.Minute {
		t.Errorf("the last item is asked for after %v", last)
	}
}
