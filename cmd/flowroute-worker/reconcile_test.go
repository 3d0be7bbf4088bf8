package main

import (
	"encoding/csv"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

func TestReconcile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plant := func(r flowroutetest.Record) {
		t.Helper()
		if _, err := b.sim.Plant(r); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-10 * time.Hour)
	plant(flowroutetest.Record{From: "12065550100", To: "12065550177", Body: "not ours", Timestamp: old, Code: 1116})
	plant(flowroutetest.Record{Direction: "inbound", From: "12065550177", To: "12065550100", Body: "hi", Timestamp: old})
	b.run("reconcile").want(t, 0, "No records were ever synced", "")
	service := b.start("run")
	b.run(sent("--wait")...).want(t, 0, "", "")
	b.run("mdr", "sync", "--wait").want(t, 0, "", "")

	since := time.Now().Add(-12 * time.Hour).UTC().Truncate(time.Minute).Format(time.RFC3339)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Minute).Format(time.RFC3339)
	window := func(more ...string) []string {
		return append([]string{"reconcile", "--since", since, "--until", until}, more...)
	}
	shown := b.run(window()...).want(t, 0, "not complete", "records of nobody here: 1 ($0.004)")
	for line := range strings.Lines(shown.out) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("wider than 80 columns: %q", line)
		}
	}
	for _, text := range []string{"The copy is complete up to", "1116 Destination Address", "prices of a segment"} {
		if !strings.Contains(shown.out, text) {
			t.Errorf("got no %q in\n%s", text, shown.out)
		}
	}
	report := b.run(window("--json")...).want(t, 0, "", "").json(t)
	if got := report["matched"].(map[string]any); got["records"] != 1.0 || got["nanodollars"] != 4e6 {
		t.Errorf("matched: got %v", got)
	}
	if report["before"] == nil {
		t.Error("the report before is not told")
	}
	listed := b.run(window("--class", "without-job", "--format", "json")...).want(t, 0, "", "warning").json(t)
	if got := listed["items"].([]any); len(got) != 1 || got[0].(map[string]any)["to"] != "12065550177" {
		t.Errorf("items: got %v", got)
	}
	b.run(window("--class", "without-job")...).want(t, 0, "12065550177", "note: The copy")
	table, err := csv.NewReader(strings.NewReader(b.run(window("--format", "csv")...).want(t, 0, "", "").out)).ReadAll()
	if err != nil || len(table) != 2 || table[1][0] != "without-job" || table[1][13] != "0.004" {
		t.Errorf("CSV: got %q, %v", table, err)
	}
	b.run("reconcile", "--list").want(t, 0, "NO JOB", "")
	b.run("reconcile").want(t, 0, "00:00Z, complete", "") // the first sync has read that day
	if code := service.end(); code != 0 {
		t.Errorf("the service ended with %d", code)
	}
	for _, args := range [][]string{{"--format", "xml"}, {"--class", "all"}, {"--since", "1h", "--until", "2h"}, {"--list", "--since", "1h"}, {"x"}} {
		b.run(append([]string{"reconcile"}, args...)...).want(t, 2, "", "")
	}
}

// The service reconciles by itself, logs what it found, and its metrics tell of it.
func TestReconcileByCron(t *testing.T) {
	t.Parallel()
	b := setup(t)
	service := b.with("RECONCILE_CRON", "* * * * *").start("run")
	line := service.log("reconciled")
	if line["matched"] != 0.0 || line["complete"] != false {
		t.Errorf("got %v, want figures of an empty day", line)
	}
	response, err := http.Get(service.url() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{`flowroute_worker_reconciliation_items{class="without-job"} 0`, "flowroute_worker_reconciliation_complete 0", "flowroute_worker_reconciliation_day_timestamp_seconds "} {
		if !strings.Contains(string(body), text) {
			t.Errorf("metrics have no %q", text)
		}
	}
}
