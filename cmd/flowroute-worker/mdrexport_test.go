package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sethvargo/go-envconfig"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// keep puts records into the stored copy, one a second before now, and returns the copy.
func (b *bundle) keep(n int, change func(i int, r *flowroute.MDR)) *mdr.Store {
	b.t.Helper()
	store, err := mdr.New(b.db.Client(), mdr.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	records, now := make([]flowroute.MDR, n), time.Now().UTC().Truncate(time.Second)
	for i := range records {
		records[i] = flowroute.MDR{
			ID: fmt.Sprintf("mdr2-%032x", i), Direction: flowroute.Outbound, From: "12065550100", To: fmt.Sprint(12065550000 + i%100), Body: fmt.Sprintf("Hello %d, this is a text\nof two lines", i),
			Status: "message buffered", MessageType: "longcode", AmountNanodollars: 4_000_000, Timestamp: now.Add(time.Duration(-i-1) * time.Second),
		}
		if change != nil {
			change(i, &records[i])
		}
	}
	for at := 0; at < n; at += 2000 {
		if _, err := store.Put(b.t.Context(), records[at:min(at+2000, n)]); err != nil {
			b.t.Fatal(err)
		}
	}
	return store
}

// TestExportRows: what each format makes of records, of ugly ones too.
func TestExportRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Now().UTC().Truncate(time.Hour).Add(-time.Hour)
	b.keep(3, func(i int, r *flowroute.MDR) {
		r.Timestamp = at.Add(time.Duration(-i)*time.Minute + 10*time.Millisecond)
		switch i {
		case 1:
			r.Direction, r.From, r.To, r.Body, r.AmountNanodollars = flowroute.Inbound, "=cmd|x", "12065550100", "@SUM(1)", -1
		case 2:
			r.Body, r.AmountNanodollars, r.Status = "\tx, \"y\"", 12_000_000_001, "delivered"
			r.Receipts = []flowroute.DeliveryReceipt{
				{Level: 1, Status: "smsc submit", Description: "Message has been sent", Timestamp: at},
				{Level: 2, Status: "delivered", StatusCode: new(1004), Description: "+ok", Timestamp: at.Add(time.Second)},
			}
		}
	})
	got := b.run("mdr", "export", "--body").want(t, exitDone, "", "3 records; INCOMPLETE: no sync")
	if !strings.Contains(got.errs, "apostrophe in front: 4;") {
		t.Errorf("got %q, want 4 values changed", got.errs)
	}
	rows, err := csv.NewReader(strings.NewReader(got.out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	times := []string{utc(at.Add(10 * time.Millisecond)), utc(at.Add(-time.Minute + 10*time.Millisecond)), utc(at.Add(-2*time.Minute + 10*time.Millisecond))}
	want := [][]string{
		{"timestamp", "id", "direction", "from", "to", "status", "delivery", "receipt_code", "receipt_text", "receipt_time", "is_mms", "message_type", "amount", "matched", "body"},
		{times[0], "mdr2-" + strings.Repeat("0", 32), "outbound", "+12065550100", "+12065550000", "message buffered", "pending", "", "", "", "false", "longcode", "0.004", "false", "Hello 0, this is a text\nof two lines"},
		{times[1], "mdr2-" + strings.Repeat("0", 31) + "1", "inbound", "'=cmd|x", "+12065550100", "message buffered", "pending", "", "", "", "false", "longcode", "-0.000000001", "false", "'@SUM(1)"},
		{times[2], "mdr2-" + strings.Repeat("0", 31) + "2", "outbound", "+12065550100", "+12065550002", "delivered", "delivered", "1004", "'+ok", utc(at.Add(time.Second)), "false", "longcode", "12.000000001", "false", "'\tx, \"y\""},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("csv (-want +got):\n%s", diff)
	}

	if out := b.run("mdr", "export").want(t, exitDone, "", "").out; strings.Contains(out, "Hello") || !strings.Contains(out, ",amount,matched\n") {
		t.Errorf("without --body got %s", out)
	}
	lines := strings.Split(b.run("mdr", "export", "--json", "--body", "--direction", "inbound").want(t, exitDone, "", "1 record;").out, "\n")
	var v map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &v); err != nil || len(lines) != 2 {
		t.Fatalf("got %q, %v; want one line of JSON", lines, err)
	}
	if v["body"] != "@SUM(1)" || v["from"] != "=cmd|x" || v["amount"] != "-0.000000001" || v["timestamp"] != times[1] {
		t.Errorf("got %v", v)
	}
	b.run("mdr", "export", "--format", "xml").want(t, exitUsage, "", "csv or ndjson")
	b.run("mdr", "export", "--cursor", "x").want(t, exitUsage, "", "as the interrupted export printed it")
	b.run("mdr", "export", "--output", t.TempDir()).want(t, exitUsage, "", "no ordinary file")
	b.run("mdr", "export", "--since", "1h", "--until", "2h").want(t, exitUsage, "", "after --since")
}

// trigger does something when the first bytes are written.
type trigger struct {
	bytes.Buffer
	do func()
}

func (w *trigger) Write(p []byte) (int, error) {
	if w.do != nil {
		w.do()
		w.do = nil
	}
	return w.Buffer.Write(p)
}

// cursorIn is the cursor that an interrupted export has printed.
func cursorIn(t *testing.T, said string) string {
	t.Helper()
	_, cursor, found := strings.Cut(said, "goes on with --cursor ")
	if !found {
		t.Fatalf("no cursor in %q", said)
	}
	return strings.TrimSpace(cursor)
}

// TestExportInterrupted: with its cursor the rest follows, to the byte.
func TestExportInterrupted(t *testing.T) {
	t.Parallel()
	const n = 12_000
	for name, own := range map[string]bool{"by a signal": false, "by a Redis that is away": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			interrupt, says := func(cancel func()) { cancel() }, "interrupted after"
			restart := func() {}
			if own {
				server := redistest.Own(t, redisembed.Options{})
				b.db = &server.DB
				b = b.with("REDIS_URL", server.URL)
				interrupt, restart, says = func(func()) { server.Kill() }, server.Restart, "stopped after"
			}
			b.keep(n, nil)
			flags := []string{"mdr", "export", "--since", "48h", "--until", time.Now().UTC().Format(time.RFC3339)}
			whole := b.run(flags...).want(t, exitDone, "", "12,000 records").out

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out := &trigger{do: func() { interrupt(cancel) }}
			var said bytes.Buffer
			code := run(ctx, flags, world{env: envconfig.MapLookuper(b.env), environ: b.environ(), in: strings.NewReader(""), out: out, errs: &said})
			if code != exitFailed || !strings.Contains(said.String(), says) || strings.Count(out.String(), "\n") > n {
				t.Fatalf("got code %d, %d lines, %s", code, strings.Count(out.String(), "\n"), said.String())
			}
			restart()
			flags[3] = "47h" // as a time from now on means another time
			rest := b.run(append(flags, "--cursor", cursorIn(t, said.String()))...).want(t, exitDone, "", "12,000 records in all")
			if out.String()+rest.out != whole {
				t.Errorf("got %d and %d bytes, want the %d of the whole", out.Len(), len(rest.out), len(whole))
			}
			b.run(append(flags, "--json", "--cursor", cursorIn(t, said.String()))...).want(t, exitUsage, "", "another format")
		})
	}
}

// breaking are records that end with an error after so many.
func breaking(store *mdr.Store, after int) func(context.Context, mdr.Query) iter.Seq2[mdr.Record, error] {
	return func(ctx context.Context, q mdr.Query) iter.Seq2[mdr.Record, error] {
		return func(yield func(mdr.Record, error) bool) {
			n := 0
			for r, err := range store.Each(ctx, q) {
				if n++; n > after {
					yield(mdr.Record{}, errors.New("redis is away"))
					return
				}
				if !yield(r, err) {
					return
				}
			}
		}
	}
}

func TestExportToFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	store := b.keep(1000, nil)
	dir := t.TempDir()
	until := time.Now()
	for _, name := range []string{"records.csv", "records.csv.gz", "records.ndjson.gz"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(dir, name)
			read := func(name string) string {
				t.Helper()
				content, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(name, ".gz") {
					return string(content)
				}
				zip, err := gzip.NewReader(bytes.NewReader(content))
				if err != nil {
					t.Fatal(err)
				}
				if content, err = io.ReadAll(zip); err != nil {
					t.Fatal(err)
				}
				return string(content)
			}
			b.run("mdr", "export", "--output", file, "--until", until.Format(time.RFC3339Nano)).want(t, exitDone, "", "1,000 records")
			want := read(file)
			if err := os.WriteFile(file, []byte("of yesterday"), 0o600); err != nil {
				t.Fatal(err)
			}

			again := func(after int, cursor string) string {
				e := &recordExport{world: world{errs: io.Discard}, records: breaking(store, after), output: file, query: mdr.Query{Until: until}}
				if err := e.choose(cursor); err != nil {
					t.Fatal(err)
				}
				return fmt.Sprint(e.run(t.Context(), mdr.Coverage{}))
			}
			if said := again(0, ""); !strings.Contains(said, "before the first record") {
				t.Errorf("got %v, want that nothing was written", said)
			}
			first := again(123, "")
			second := again(400, cursorIn(t, first))
			if content, err := os.ReadFile(file); err != nil || string(content) != "of yesterday" {
				t.Errorf("got %q, %v; want the old file until the new one is whole", content, err)
			}
			if said := again(400, cursorIn(t, first)); !strings.Contains(said, "is not what it goes on with") {
				t.Errorf("got %v, want that the part has grown", said)
			}
			if second = again(0, cursorIn(t, second)); !strings.Contains(second, "after 523 records") {
				t.Errorf("got %v, want that it got no further", second)
			}
			b.run("mdr", "export", "--output", file, "--cursor", cursorIn(t, second)).want(t, exitDone, "", "477 more, 1,000 records in all")
			if got := read(file); got != want {
				t.Errorf("got %d bytes, want the %d of one run", len(got), len(want))
			}
			b.run("mdr", "export", "--output", file, "--cursor", cursorIn(t, second)).want(t, exitUsage, "", "which is not there")
			if left, _ := filepath.Glob(file + "?*"); len(left) > 0 && name != "records.csv" {
				t.Errorf("left over: %v", left)
			}
		})
	}
	t.Cleanup(func() {
		if left, _ := filepath.Glob(filepath.Join(dir, ".flowroute-worker-*")); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	})
	b.run("mdr", "export", "--output", filepath.Join(dir, "none", "x.csv")).want(t, exitFailed, "", "--output")
}

// TestExportIsAsCompleteAsItsFirstPart: what was synced in between is not in it.
func TestExportIsAsCompleteAsItsFirstPart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	store := b.keep(10, nil)
	hour := func(n int) time.Time { return time.Now().Truncate(time.Hour).Add(time.Duration(n) * time.Hour) }
	export := func(after int, cursor string, c mdr.Coverage) string {
		t.Helper()
		var says bytes.Buffer
		e := &recordExport{world: world{out: io.Discard, errs: &says}, records: breaking(store, after)}
		if err := e.choose(cursor); err != nil {
			t.Fatal(err)
		}
		if err := e.run(t.Context(), c); err != nil {
			return fmt.Sprint(err)
		}
		return says.String()
	}
	early, late := mdr.Coverage{First: hour(-9), Through: hour(-1), Complete: hour(-6)}, mdr.Coverage{First: hour(-9), Through: hour(4), Complete: hour(3)}
	if says, want := export(99, cursorIn(t, export(5, "", early)), late), "complete from "+stamp(hour(-9))+" to "+stamp(hour(-6))+", NOT YET after it"; !strings.Contains(says, want) {
		t.Errorf("got %q, want %q", says, want)
	}
	if says := export(99, cursorIn(t, export(5, "", mdr.Coverage{})), late); !strings.Contains(says, "no sync of records has run yet") {
		t.Errorf("got %q, want that the first part is of a copy without a sync", says)
	}
	if says := export(99, cursorIn(t, export(5, "", late)), late); !strings.Contains(says, "10 records in all; complete from") {
		t.Errorf("got %q, want that it is complete", says)
	}
}

// TestExportSaysWhatIsComplete follows the copy from its first sync on.
func TestExportSaysWhatIsComplete(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start("run")
	if _, err := b.sim.Plant(flowroutetest.Record{From: "12065550100", To: "12065550123", Body: "Hello", Timestamp: time.Now().Add(-20 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	b.run("mdr", "sync", "--since", "30h", "--wait").want(t, exitDone, " done\n", "")
	b.run("mdr", "export").want(t, exitDone, "mdr2-", "NOT YET after it")
	b.run("mdr", "export", "--since", "29h", "--until", "12h").want(t, exitDone, "mdr2-", "1 record; complete from ")
	b.run("mdr", "export", "--since", "1h").want(t, exitDone, "", "0 records; NOT YET COMPLETE")
	b.run("mdr", "export", "--since", "100h", "--until", "12h").want(t, exitDone, "mdr2-", "INCOMPLETE at its beginning")
}
