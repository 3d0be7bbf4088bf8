package main

import (
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// TestBacklog: messages of a capped number wait for its own limit, and both the command
// and the metrics say so, with when the last of them goes.
func TestBacklog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.warm(ratelimit.Limits{SMS: ratelimit.Rate{N: 5, Per: time.Second}})
	capped := b.with("RATE_SMS_PER_SECOND", "5", "RATE_OVERRIDES", "+12065550100=1/600,20/d", "METRICS_PUBLIC", "true")
	running := capped.start("run")
	for range 3 {
		capped.run(sent()...).want(t, exitDone, "", "")
	}
	ctx := t.Context()
	running.log("message posted")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for parked := 0; parked != 2; <-tick.C {
		places, err := b.client().Ledger().Parked(ctx)
		if err != nil {
			t.Fatal(err)
		}
		parked = places["sms.normal.12065550100"]
	}
	got := capped.run("limits", "show", "--json").want(t, exitDone, "", "").json(t)
	parked := got["parked"].([]any)[0].(map[string]any)
	if parked["from"] != "+12065550100" || parked["messages"] != 2.0 || parked["limit"] != "1/600" || parked["eta_seconds"] != 1200.0 || parked["per_day"] != "20" {
		t.Errorf("got %v", parked)
	}
	capped.run("limits", "show").want(t, exitDone, "+12065550100", "")
	if _, body := get(t, running.url()+"/metrics"); !strings.Contains(body, `flowroute_worker_parked_messages{kind="sms",lane="normal"} 2`) ||
		!strings.Contains(body, `flowroute_worker_limit_per_second{limit="sms",which="effective"} 5`) || !strings.Contains(body, "flowroute_worker_sending_stopped 0") {
		t.Errorf("metrics: %s", body)
	}
}
