package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

const mdrExportLong = `Write message records from the stored copy as CSV or NDJSON, the newest first: all that
are kept, or those of --since and --until. Times are UTC, amounts exact US dollars.
--body adds the texts.

A name that ends with .gz makes the file gzip. The file appears once it is whole. When
an export is interrupted, what was written stays beside it as FILE.part, and you are
told the --cursor with which the same command goes on, here or on standard output (>>);
the two parts are what one run would have written.

At the end standard error says up to when the copy is complete: later records may still
come or change (mdr sync reads them). In a CSV, a value that a spreadsheet would take
for a formula gets an apostrophe in front; NDJSON has all values as they are.`

// recordExport is one run of an export.
type recordExport struct {
	world
	records  func(ctx context.Context, q mdr.Query) iter.Seq2[mdr.Record, error]
	query    mdr.Query
	format   string
	body     bool
	output   string
	from     exportCursor // where it goes on; zero: from the beginning
	coverage mdr.Coverage // before the first record was read
}

func newMDRExport(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [--since WHEN] [--until WHEN] [--output FILE]",
		Short: "Write message records as CSV or NDJSON",
		Long:  mdrExportLong,
		Example: `  flowroute-worker mdr export --since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z --output january.csv.gz
  flowroute-worker mdr export --delivery failed --format ndjson --since 24h | jq -r .to`,
		Args: noArguments(),
	}
	e := &recordExport{world: w}
	e.query.Limit = 1
	recordFilters(cmd, &e.query)
	flags := cmd.Flags()
	since := flags.String("since", "", "from then on: how long ago, or a time like 2026-01-31T15:04:05Z (default all that are kept)")
	until := flags.String("until", "", "before then (default now)")
	flags.StringVar(&e.format, "format", "", "csv or ndjson (default by the name of --output, else csv)")
	flags.BoolVar(&e.body, "body", false, "with the texts")
	flags.StringVar(&e.output, "output", "", "a file to write (default standard output)")
	cursor := flags.String("cursor", "", "goes on where an export was interrupted")
	jsonOut := flags.Bool("json", false, "the same as --format ndjson")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *jsonOut {
			e.format = formatNDJSON
		}
		err := recordQuery(&e.query, *since, *until, time.Now())
		if err = cmp.Or(err, e.choose(*cursor)); err != nil {
			return &usageError{err: err, path: cmd.CommandPath()}
		}
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			store, err := d.records()
			if err != nil {
				return err
			}
			e.records = store.Each
			coverage, err := store.Coverage(ctx)
			if err != nil {
				return err
			}
			return e.run(ctx, coverage)
		})
	}
	return cmd
}

const (
	formatCSV    = "csv"
	formatNDJSON = "ndjson"
)

// choose settles the format and where to begin.
func (e *recordExport) choose(cursor string) (err error) {
	if e.output == "-" {
		e.output = ""
	}
	plain := strings.TrimSuffix(e.output, ".gz")
	switch {
	case e.format != "":
	case strings.HasSuffix(plain, ".ndjson") || strings.HasSuffix(plain, ".jsonl"):
		e.format = formatNDJSON
	default:
		e.format = formatCSV
	}
	if e.format != formatCSV && e.format != formatNDJSON {
		return fmt.Errorf("--format %.40q: use csv or ndjson", e.format)
	}
	if info, err := os.Stat(e.output); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("--output: %s is no ordinary file; without --output it goes to standard output", e.output)
	}
	if cursor == "" {
		return nil
	}
	if e.from, err = readExportCursor(cursor); err != nil {
		return fmt.Errorf("--cursor: %w", err)
	}
	if e.from.kind != e.kind() {
		return errors.New("--cursor: it is of an export with another format, --body or filter: give those that it was begun with")
	}
	// As it was begun: what was typed may mean another time now.
	e.query.Cursor, e.query.Since, e.query.Until = e.from.place, e.from.since, e.from.until
	return nil
}

// kind tells exports apart whose parts do not fit together.
func (e *recordExport) kind() uint32 {
	q := e.query
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%s %t %q %q %q", e.format, e.body, q.Number, q.Direction, q.Delivery))
}

// exportCursor is where an export was interrupted.
type exportCursor struct {
	place        string // in the listing
	since, until time.Time
	kind         uint32
	count        int   // records before it
	size         int64 // of the part that is kept; 0: it went to standard output
	// complete is up to when the copy was complete when the export was begun; zero: there
	// was no sync yet.
	complete time.Time
}

func (c exportCursor) String() string {
	ns := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return strconv.FormatInt(t.UnixNano(), 36)
	}
	return strings.Join([]string{
		c.place, ns(c.since), ns(c.until), ns(c.complete), strconv.FormatInt(int64(c.kind), 36), strconv.FormatInt(int64(c.count), 36), strconv.FormatInt(c.size, 36),
	}, ".")
}

func readExportCursor(text string) (exportCursor, error) {
	var c exportCursor
	bad := errors.New("give the cursor as the interrupted export printed it (one of mdr list is another thing)")
	parts := strings.Split(text, ".")
	if len(parts) != 7 {
		return c, bad
	}
	c.place = parts[0]
	numbers := make([]int64, len(parts))
	for i := 1; i < len(parts); i++ {
		if parts[i] == "" && i <= 3 {
			continue
		}
		n, err := strconv.ParseInt(parts[i], 36, 64)
		if err != nil {
			return c, bad
		}
		numbers[i] = n
	}
	for i, t := range []*time.Time{&c.since, &c.until, &c.complete} {
		if parts[i+1] != "" {
			*t = time.Unix(0, numbers[i+1]).UTC()
		}
	}
	c.kind, c.count, c.size = uint32(numbers[4]), int(numbers[5]), numbers[6]
	return c, nil
}

// run writes the records.
func (e *recordExport) run(ctx context.Context, coverage mdr.Coverage) error {
	e.coverage = coverage
	if e.from.place != "" && e.from.complete.Before(coverage.Complete) {
		// Its first part was written when the copy had less.
		if e.coverage.Complete = e.from.complete; e.from.complete.IsZero() {
			e.coverage = mdr.Coverage{}
		}
	}
	if e.query.Until.IsZero() {
		e.query.Until = time.Now() // so that a part that goes on later knows it too
	}
	file, err := e.open()
	if err != nil {
		return err
	}
	defer file.discard()
	rows := newRecordRows(file, e.format, e.body, e.from.place == "")
	last, err := e.write(ctx, rows)
	if errors.Is(err, mdr.ErrBadCursor) {
		return usagef("--cursor: %w", err)
	}
	failed := cmp.Or(rows.flush(), file.close())
	switch {
	case failed != nil:
		return e.unwritten(failed)
	case err != nil:
		return e.broken(ctx, err, file, rows.count, last)
	}
	if err := file.finish(); err != nil {
		return e.unwritten(err)
	}
	e.say(rows)
	return nil
}

// write writes all records, and returns the last one that was written.
func (e *recordExport) write(ctx context.Context, rows *recordRows) (last mdr.Record, err error) {
	for r, err := range e.records(ctx, e.query) {
		if err != nil {
			return last, err
		}
		if err := rows.write(r); err != nil {
			return last, nil // the same error comes when it is flushed
		}
		last = r
	}
	return last, nil
}

func (e *recordExport) open() (*exportFile, error) {
	if e.output == "" {
		return newExportFile(e.out), nil
	}
	return createExportFile(e.output, e.from.size)
}

// unwritten says that the output failed.
func (e *recordExport) unwritten(err error) error {
	switch {
	case e.output == "":
		return fmt.Errorf("the output cannot be written: %w", err)
	case e.from.size > 0:
		return fmt.Errorf("%s cannot be written: %w; %s is as it was, and the same command goes on with it", e.output, err, partOf(e.output))
	}
	return fmt.Errorf("%s cannot be written: %w; nothing was kept", e.output, err)
}

// broken says how far an export came that was interrupted, and how to go on.
func (e *recordExport) broken(ctx context.Context, err error, file *exportFile, count int, last mdr.Record) error {
	why := "interrupted "
	if ctx.Err() == nil {
		why = "stopped "
	}
	at, goOn := "before the first record", "give the same command again"
	if count > 0 || e.from.count > 0 {
		c := exportCursor{place: e.from.place, since: e.query.Since, until: e.query.Until, kind: e.kind(), count: e.from.count + count, complete: e.coverage.Complete}
		at = "after " + many(c.count, "record")
		if count > 0 {
			c.place = last.Cursor()
			at += ", the last of them " + last.ID + " of " + utc(last.Timestamp)
		}
		var keepErr error
		if c.size, keepErr = file.keep(); keepErr != nil {
			return errors.Join(e.unwritten(keepErr), err)
		}
		goOn = "the same command goes on with --cursor " + c.String()
		if e.output != "" {
			goOn = "they are in " + partOf(e.output) + ", and " + goOn
		}
	}
	if ctx.Err() != nil {
		return errors.New(why + at + "; " + goOn)
	}
	return fmt.Errorf("%s%s: %w; %s", why, at, err, goOn) // what is to be copied is at the end
}

// say tells what was written, and whether that is all there is.
func (e *recordExport) say(rows *recordRows) {
	total := many(e.from.count+rows.count, "record")
	if e.from.count > 0 {
		total = fmt.Sprintf("%s more, %s in all", thousands(rows.count), total)
	}
	fmt.Fprintf(e.errs, "%s; %s\n", total, completeness(e.coverage, e.query.Since, e.query.Until))
	if rows.marked > 0 {
		fmt.Fprintf(e.errs, "values that begin as a formula does got an apostrophe in front: %s; --format ndjson has them as they were\n", thousands(rows.marked))
	}
}

// completeness says whether a window of the copy is all that Flowroute has.
func completeness(c mdr.Coverage, since, until time.Time) string {
	if c.Through.IsZero() {
		return "INCOMPLETE: no sync of records has run yet"
	}
	begin := stamp(since)
	if since.Before(c.First) {
		begin = stamp(c.First)
	}
	var parts []string
	if !since.IsZero() && since.Before(c.First) {
		parts = append(parts, "INCOMPLETE at its beginning: the copy has nothing before "+stamp(c.First))
	}
	switch {
	case !until.After(c.Complete):
		parts = append(parts, fmt.Sprintf("complete from %s to %s", begin, stamp(until)))
	case !since.Before(c.Complete) || !c.First.Before(c.Complete):
		parts = append(parts, "NOT YET COMPLETE: the copy is complete up to "+stamp(c.Complete)+"; later records may still come or change")
	default:
		parts = append(parts, fmt.Sprintf("complete from %s to %s, NOT YET after it: later records may still come or change", begin, stamp(c.Complete)))
	}
	return strings.Join(parts, "; ")
}
