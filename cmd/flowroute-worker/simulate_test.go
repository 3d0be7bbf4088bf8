package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// TestSimulateAndRun uses the two commands together, as a person without an
// account would.
func TestSimulateAndRun(t *testing.T) {
	t.Parallel()
	sim := (&bundle{t: t}).start("simulate", "--addr", "127.0.0.1:0", "--json", "--base-path", "/fr", "--access-key", "abc", "--secret-key", "def",
		"--fault", "accepted-then-cut=x1", "--latency", "1ms")
	var at struct {
		BaseURL   string `json:"base_url"`
		AccessKey string `json:"access_key"`
		SecretKey string `json:"secret_key"`
		AdminURL  string `json:"admin_url"`
	}
	if !sim.out.await(t, sim.done, func(string) bool { return json.Unmarshal([]byte(sim.out.String()), &at) == nil }) {
		t.Fatalf("it says no address: %s %s", sim.out, sim.errs)
	}
	b := setup(t).with("FLOWROUTE_BASE_URL", at.BaseURL, "FR_ACCESS_KEY", at.AccessKey, "FR_SECRET_KEY", at.SecretKey)
	b.start("run")
	id := b.run(sent()...).want(t, exitDone, "", "").id()
	// The second message must not meet the fault in place of the first.
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		if job, err := b.client().Get(t.Context(), id); err != nil {
			t.Fatal(err)
		} else if job.State == ledger.Unknown {
			tick.Stop()
			break
		}
	}
	b.run(sent("--wait", "--body", "Another")...).want(t, exitDone, "accepted", "")
	// The first answer was cut: nobody knows, and nothing posts it again.
	b.run("status", id).want(t, exitDone, "unknown", "")
	if _, body := get(t, at.AdminURL+"counts"); !strings.Contains(body, `"accepted":2`) {
		t.Errorf("got %s, want 2 accepted", body)
	}
	if code := sim.end(); code != exitDone {
		t.Errorf("got exit code %d, want 0: %s", code, sim.errs)
	}
}

func TestSimulateSaysHow(t *testing.T) {
	t.Parallel()
	b := &bundle{t: t}
	b.run("simulate", "--list-faults").want(t, exitDone, "accepted-then-cut", "")
	b.run("simulate", "--list-faults", "--json").want(t, exitDone, `"name": "accepted-then-cut"`, "")
	b.run("simulate", "--addr", "256.0.0.1:1").want(t, exitFailed, "", "choose another --addr")
	open := b.start("simulate", "--addr", "0.0.0.0:0")
	if !open.errs.await(t, open.done, func(line string) bool { return strings.Contains(line, "other machines can reach it") }) {
		t.Errorf("it does not say that others can reach it: %s", open.errs)
	}
	if !strings.Contains(open.out.String(), "export FLOWROUTE_BASE_URL=http://127.0.0.1:") {
		t.Errorf("got %s, want an address that can be used here", open.out)
	}
}
