package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
)

// desiredFile writes a file that says how numbers should be.
func desiredFile(t *testing.T, lines ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "numbers.csv")
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestDriftAndApply goes the whole way: what differs, what would be done, doing it, doing
// it again, and nothing left to do.
func TestDriftAndApply(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := desiredFile(t, "number,alias,primary,failover",
		"+12065550100,office,host:sip.example.com,", "+12065550101,,sip-reg,", "+12065550199,,0,", "+12065550102,,nowhere,", "+12065550103,,,host:sip.example.com")
	b.run("numbers", "drift", file).want(t, exitFailed, "", "numbers sync --wait")
	b.start("run")
	b.run("numbers", "sync", "--wait").want(t, exitDone, " done\n", "")

	got := b.run("numbers", "drift", file).want(t, exitFailed, "+12065550104 is on the account, and not in the file", "1 number as they should be, 2 not, 2 rows wrong, 7 not in the file")
	for _, line := range []string{"alias     -        office", "primary   0 (sip-reg)  host:sip.example.com", "failover  -"} {
		if !strings.Contains(strings.Join(strings.Fields(got.out), " "), strings.Join(strings.Fields(line), " ")) {
			t.Errorf("no %q in\n%s", line, got.out)
		}
	}
	got.want(t, exitFailed, "", "line 4: +12065550199 is not on the account\nline 5: primary: no route has the id, alias or value \"nowhere\"")
	v := b.run("numbers", "drift", file, "--json").want(t, exitFailed, "", "").json(t)
	if v["same"] != 1.0 || len(v["differing"].([]any)) != 2 || len(v["wrong"].([]any)) != 2 || len(v["not_in_file"].([]any)) != 7 {
		t.Errorf("got %v", v)
	}

	b.run("numbers", "apply", file).want(t, exitUsage, "", "--dry-run to see what would be done, or --yes to do it")
	b.run("numbers", "apply", file, "--yes", "--dry-run").want(t, exitUsage, "", "--dry-run")
	b.run("numbers", "apply", file, "--dry-run").want(t, exitFailed, "+12065550100 alias - → office, primary 0 (sip-reg) → host:sip.example.com\n", "2 updates would be enqueued")
	if jobs, err := b.client().Ledger().Counts(t.Context()); err != nil || len(jobs) > 1 {
		t.Errorf("got jobs %v, %v; want that of the sync alone", jobs, err)
	}
	got = b.run("numbers", "apply", file, "--yes", "--wait").want(t, exitFailed, " +12065550100 done\n", "2 updates enqueued;")
	if n := strings.Count(got.out, " done\n"); n != 2 {
		t.Errorf("got %d jobs, want 2\n%s", n, got.out)
	}
	// The copy is right at once, without a sync.
	b.run("numbers", "apply", file, "--yes").want(t, exitFailed, "", "nothing is to be set; 3 numbers as they should be, 2 rows wrong")
	truth := b.sim.Truth()
	if got := truth.Numbers["12065550100"]; got.PrimaryRoute == "" || got.PrimaryRoute == "0" || got.Alias != "office" {
		t.Errorf("got %+v, want an alias and a route", got)
	}
	b.run("numbers", "list").want(t, exitDone, "+12065550100  office", "")
	b.run("routes", "list").want(t, exitDone, "sip.example.com", "")
	good := desiredFile(t, "number,alias,primary,failover", "+12065550100,office,sip.example.com,", "+12065550101,,0,", "+12065550103,-,,host:sip.example.com")
	b.run("numbers", "drift", good, "--partial").want(t, exitDone, "", "3 numbers as they should be, 0 not, 0 rows wrong, 8 not in the file")
	b.run("numbers", "drift", good).want(t, exitFailed, "", "")
	b.run("numbers", "apply", good, "--yes").want(t, exitDone, "", "nothing is to be set")

	// Somebody sets it back: the same file sets it anew.
	b.run("routes", "set-primary", "+12065550100", "0", "--wait").want(t, exitDone, " done\n", "")
	b.rename("+12065550100", "")
	b.run("numbers", "sync", "--wait").want(t, exitDone, " done\n", "")
	b.run("numbers", "apply", good, "--yes", "--wait").want(t, exitDone, " +12065550100 done\n", "1 update enqueued;")
	// The alias alone: a listing is enough to see that it is to be set anew.
	b.rename("+12065550100", "")
	b.run("numbers", "sync", "--wait").want(t, exitDone, " done\n", "")
	b.run("numbers", "apply", good, "--yes", "--wait").want(t, exitDone, " +12065550100 done\n", "1 update enqueued;")
	b.rename("+12065550100", "")
	b.run("numbers", "sync", "--wait").want(t, exitDone, " done\n", "")
	b.run("numbers", "apply", good, "--yes", "--wait").want(t, exitDone, " +12065550100 done\n", "1 update enqueued;")
	if got, want := b.sim.Truth().Numbers["12065550100"], truth.Numbers["12065550100"]; got.PrimaryRoute != want.PrimaryRoute || got.Alias != want.Alias {
		t.Errorf("got %+v, want %+v again", got, want)
	}
	changes := b.run("numbers", "list", "--changed-since", "1h").want(t, exitDone, "+12065550100  primary route   0 ", "as of the sync of")
	if strings.Contains(changes.out, "+12065550101") {
		t.Errorf("got\n%s\nwant nothing of a number that did not change", changes.out)
	}
}

// rename sets an alias at Flowroute, past the worker.
func (b *bundle) rename(number, alias string) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodPatch, b.sim.URL+"/v2/numbers/"+strings.TrimPrefix(number, "+"),
		strings.NewReader(`{"type":"number","alias":"`+alias+`"}`))
	if err != nil {
		b.t.Fatal(err)
	}
	request.SetBasicAuth(b.sim.AccessKey, b.sim.SecretKey)
	request.Header.Set("Content-Type", "application/vnd.api+json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		b.t.Fatalf("rename: got status %d", response.StatusCode)
	}
}

// TestApplyRepeats: what failed is asked for again, what waits is not.
func TestApplyRepeats(t *testing.T) {
	t.Parallel()
	b := setup(t)
	store, err := inventory.New(b.db.Client(), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	number, err := flowroute.ParseE164("+12065550100")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.PutDetails(t.Context(), flowroute.NumberDetails{Number: flowroute.Number{Number: number}}); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-3 * time.Hour).UTC().Format(time.RFC3339)
	if err := b.db.Client().HSet(t.Context(), "{flowroute}:inv:sync", "last", `{"started":"`+old+`"}`).Err(); err != nil {
		t.Fatal(err)
	}
	file := desiredFile(t, "number,primary", "+12065550100,host:sip.example.com")
	first := b.run("numbers", "apply", file, "--yes").want(t, exitDone, "", "the copy is 3h0m0s old").id()
	// A sync in between makes no other job of it.
	if err := store.PutDetails(t.Context(), flowroute.NumberDetails{Number: flowroute.Number{Number: number}}); err != nil {
		t.Fatal(err)
	}
	if again := b.run("numbers", "apply", file, "--yes", "--json").want(t, exitDone, `"duplicate": true`, "").json(t); again["jobs"].([]any)[0].(map[string]any)["id"] != first {
		t.Errorf("got %v, want job %s", again, first)
	}
	b.run("cancel", first).want(t, exitDone, "", "")
	if third := b.run("numbers", "apply", file, "--yes").want(t, exitDone, "", "1 update enqueued;").id(); third == first {
		t.Errorf("got the job that was cancelled")
	}
	for _, args := range [][]string{{"drift"}, {"apply", "--dry-run"}} {
		name := desiredFile(t, "number;color", "+12065550100;red")
		b.run(append([]string{"numbers", args[0], name}, args[1:]...)...).want(t, exitUsage, "", `numbers.csv, line 1: no column is called "color"`)
		b.run(append([]string{"numbers", args[0], t.TempDir()}, args[1:]...)...).want(t, exitFailed, "", "is a directory")
		b.run(append([]string{"numbers", args[0], "/none"}, args[1:]...)...).want(t, exitFailed, "", "no such file")
	}
	b.runWith(t.Context(), strings.NewReader("number,primary\n+12065550100,ftp:x\n"), "numbers", "drift", "-").want(t, exitFailed, "", "line 2: primary: no route")
	b.runWith(t.Context(), strings.NewReader("number,primary\n+12065550100,host:a b\n"), "numbers", "drift", "-").want(t, exitFailed, "", "line 2: ")
}

// TestDriftOfUnreadRoutes: on a large account it takes some syncs until all routes are
// known, and until then the file is not to blame.
func TestDriftOfUnreadRoutes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.known("+12065550100")
	if err := b.db.Client().HDel(t.Context(), "{flowroute}:inv:n:12065550100", "dr", "pr", "fo").Err(); err != nil {
		t.Fatal(err)
	}
	if err := b.db.Client().HSet(t.Context(), "{flowroute}:inv:sync", "last", `{"started":"`+time.Now().UTC().Format(time.RFC3339)+`"}`).Err(); err != nil {
		t.Fatal(err)
	}
	file := desiredFile(t, "number,primary", "+12065550100,host:sip.example.com")
	b.run("numbers", "drift", file).want(t, exitFailed, "?", "1 number of which the routes are not known yet")
	b.run("numbers", "drift", file, "--json").want(t, exitFailed, `"routes_not_known": 1`, "")
}

func TestChangedSince(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run("numbers", "list", "--changed-since", "1h").want(t, exitDone, "", "nothing changed since")
	b.run("numbers", "list", "--starts-with", "seattle").want(t, exitUsage, "", "give digits, like 206 or +1206")
	b.run("numbers", "show", "+12065550199").want(t, exitFailed, "", "+12065550199 is not in the stored copy of the account's numbers; --live asks Flowroute")
	b.run("numbers", "list", "--changed-since", "soon").want(t, exitUsage, "", "--changed-since")
	b.run("numbers", "list", "--changed-since", "1h", "--gone").want(t, exitUsage, "", "--gone or --changed-since")
	store, err := inventory.New(b.db.Client(), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(text, alias, primary string) {
		t.Helper()
		number, err := flowroute.ParseE164(text)
		if err != nil {
			t.Fatal(err)
		}
		details := flowroute.NumberDetails{Number: flowroute.Number{Number: number, Alias: alias}, PrimaryRoute: &flowroute.RouteRef{ID: primary}}
		if err := store.PutDetails(t.Context(), details); err != nil {
			t.Fatal(err)
		}
	}
	put("+12065550100", "", "0")
	put("+12065550100", "office", "83834")
	put("+14255550100", "", "0")
	got := b.run("numbers", "list", "--changed-since", "1h").want(t, exitDone, "+14255550100  added", "").out
	for _, line := range []string{"+12065550100  added          -    -", "+12065550100  alias          -    office", "+12065550100  primary route  0    83834"} {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
	v := b.run("numbers", "list", "--changed-since", "1h", "--starts-with", "206", "--json").want(t, exitDone, "", "").json(t)
	list := v["items"].([]any)
	if len(list) != 3 || list[2].(map[string]any)["kind"] != "primary_route" || list[2].(map[string]any)["new"] != "83834" {
		t.Errorf("got %v", v)
	}
}
