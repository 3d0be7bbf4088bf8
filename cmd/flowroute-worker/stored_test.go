package main

import (
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// TestStoredCopies: what the syncs keep, and what the commands show of it.
func TestStoredCopies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range [][]string{{"numbers", "list"}, {"routes", "list"}, {"mdr", "list"}} {
		b.run(c...).want(t, exitDone, "", "has run yet")
	}
	b.run("numbers", "show", "+12065550100").want(t, exitFailed, "", "--live asks Flowroute")
	b.run("mdr", "show", "mdr2-00000000000000000000000000000000").want(t, exitFailed, "", "--live asks Flowroute")

	b.start("run")
	id := b.run(sent("--wait")...).want(t, exitDone, "accepted", "").id()
	b.run("numbers", "list").want(t, exitDone, "", "")
	receipt, err := b.client().StartSync(t.Context(), jobs.TypeSyncNumbers, "", jobs.Sync{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.client().Wait(t.Context(), receipt.ID); err != nil {
		t.Fatal(err)
	}
	b.run("mdr", "sync", "--wait").want(t, exitDone, " done\n", `"new":1`)
	report := b.run("mdr", "sync", "--since", "2h", "--wait", "--json").want(t, exitDone, "", "").json(t)["report"].(map[string]any)
	if report["read"] != 1.0 {
		t.Errorf("got %v, want one record read again", report)
	}

	b.run("status", id).want(t, exitDone, "delivered", "")
	mdr := b.run("status", id, "--json").want(t, exitDone, "", "").json(t)["mdr_ids"].([]any)[0].(string)
	list := b.run("mdr", "list", "--number", "(206) 555-0123", "--delivery", "delivered", "--direction", "outbound", "--since", "1h", "--json").want(t, exitDone, mdr, "")
	if strings.Contains(list.out, "Hello") {
		t.Error("a list shows the text of a message")
	}
	b.run("mdr", "list", "--number", "+12065550199").want(t, exitDone, "", "no such records")
	b.run("mdr", "show", mdr).want(t, exitDone, "Hello", "")
	b.run("mdr", "show", mdr, "--live", "--json").want(t, exitDone, `"body": "Hello"`, "")
	b.run("mdr", "list", "--cursor", "x").want(t, exitUsage, "", "cursor")

	b.run("numbers", "list").want(t, exitDone, "+12065550109", "as of the sync of")
	numbers := b.run("numbers", "list", "--starts-with", "1833", "--json").want(t, exitDone, "", "").json(t)
	if n := len(numbers["items"].([]any)); n != 1 {
		t.Errorf("got %d numbers, want the toll-free one", n)
	}
	b.run("numbers", "show", "+12065550100", "--json").want(t, exitDone, `"number": "+12065550100"`, "")
	b.run("routes", "list").want(t, exitDone, "sip-reg", "as of the sync of")
	b.run("routes", "list", "--json").want(t, exitDone, `"id": "0"`, "")
}

// warm leaves the state of a limiter in Redis, so that the next one need not wait
// for what a lost state may mean.
func (b *bundle) warm(limits ratelimit.Limits) {
	b.t.Helper()
	client, err := flowroute.New(flowroute.Options{BaseURL: b.env["FLOWROUTE_BASE_URL"], Credentials: flowroute.Credentials{AccessKey: b.sim.AccessKey, SecretKey: b.sim.SecretKey}})
	if err != nil {
		b.t.Fatal(err)
	}
	l, err := ratelimit.New(b.db.Client(), ratelimit.Options{Account: client.Account(), Limits: limits, FreshStart: true})
	if err != nil {
		b.t.Fatal(err)
	}
	permit, err := l.Take(b.t.Context(), ratelimit.KindSMS, ratelimit.LaneNormal)
	if err != nil {
		b.t.Fatal(err)
	}
	permit.Unsent()
}

// TestLimits: two processes that are told different limits keep the lower one, and
// both commands that look say so.
func TestLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.warm(ratelimit.Limits{SMS: ratelimit.Rate{N: 5, Per: time.Second}})
	low := b.with("RATE_SMS_PER_SECOND", "3")
	low.start("run")
	low.run(sent("--wait")...).want(t, exitDone, "accepted", "")

	high := b.with("RATE_SMS_PER_SECOND", "5/2", "RATE_MMS_PER_SECOND", "1")
	got := high.run("limits", "show", "--json").want(t, exitDone, "", "").json(t)
	sms := got["limits"].([]any)[0].(map[string]any)
	if sms["name"] != "sms" || sms["configured"] != "5/2" || sms["effective"] != "3/2" {
		t.Errorf("got %v, want 5/2 configured and 3/2 in effect", sms)
	}
	high.run("limits", "show").want(t, exitDone, "LANE", "")
	high.run("doctor").want(t, exitDone, "another process is told less", "")
	// Without credentials the account is the one whose jobs are there.
	high.with("FR_ACCESS_KEY", "", "FR_SECRET_KEY", "").run("limits", "show").want(t, exitDone, "sms", "")
	setup(t).with("FR_ACCESS_KEY", "", "RATE_SMS_PER_SECOND", "5").run("limits", "show").want(t, exitFailed, "", "no account is known")
}

// TestDoctor looks at a place where all is well, and at several that are not.
func TestDoctor(t *testing.T) {
	t.Parallel()
	t.Run("well", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.start("run").log("http listening")
		got := b.run("doctor").want(t, exitDone, "OK    credentials", "")
		for _, line := range []string{"OK    ledger", "OK    latency", "OK    clock", "OK    jobs", "OK    fence", "OK    workers      1 worker running", "OK    receipts"} {
			if !strings.Contains(got.out, line) {
				t.Errorf("no %q in:\n%s", line, got.out)
			}
		}
		b.run("doctor", "--json").want(t, exitDone, `"level": "OK"`, "")
	})
	t.Run("no redis", func(t *testing.T) {
		t.Parallel()
		(&bundle{t: t, env: map[string]string{"REDIS_URL": "redis://127.0.0.1:1/0"}}).run("doctor").want(t, exitFailed, "FAIL  redis", "")
	})
	t.Run("things to know", func(t *testing.T) {
		t.Parallel()
		b := setup(t).with("PUBLIC_URL", "http://127.0.0.1:1", "WEBHOOK_SECRET", "0123456789abcdef", "RATE_SMS_PER_SECONDS", "3")
		b.inState(ledger.Review, ledger.ReasonNearMatch)
		b.inState(ledger.Unknown, ledger.ReasonNoAnswer)
		got := b.run("doctor").want(t, exitDone, "", "")
		for _, line := range []string{
			"none is running: jobs wait", "is RATE_SMS_PER_SECOND meant?", "http://127.0.0.1:1 does not lead here", "1 job for a person to decide",
			"flowroute-worker review list", "1 job unknown", "the first of them from",
		} {
			if !strings.Contains(got.out, line) {
				t.Errorf("no %q in:\n%s", line, got.out)
			}
		}
		b.with("FR_ACCESS_KEY", "").run("doctor").want(t, exitDone, "WARN  credentials", "")
	})
	t.Run("flowroute out of reach", func(t *testing.T) {
		t.Parallel()
		setup(t).with("FLOWROUTE_BASE_URL", "http://127.0.0.1:1").run("doctor").want(t, exitFailed, "FAIL  credentials", "")
	})
}
