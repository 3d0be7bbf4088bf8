package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/reconcile"
)

const reconcileLong = `Compare what was sent with Flowroute's message records, from the stored copy, for a
window of time: by default the last day (UTC) for which the copy is complete.

  matched      records of our messages; both sides say the same
  without-mdr  messages that were posted, and have no record though they should
  without-job  outbound records that no message of ours has claimed: another system
               sends with this account
  differing    records of our messages that say something else: state, segments,
               price or encoding

What may only not be synced yet is counted apart, as waiting. The report is kept; doing
it again shows what has changed. --class lists what is behind a class; with --format csv
it is written as it is found, with an apostrophe before what a spreadsheet would take for
a formula, and without --class it lists everything that does not match.

The exit code says whether it could be done, not what it found.`

// reconciling is what was asked for.
type reconciling struct {
	since, until, format, class string
	list                        bool
}

func newReconcile(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reconcile [--since TIME] [--until TIME]",
		Short: "Compare what was sent with Flowroute's records",
		Long:  reconcileLong,
		Example: `  flowroute-worker reconcile
  flowroute-worker reconcile --since 2026-01-31T00:00:00Z --until 2026-02-01T00:00:00Z
  flowroute-worker reconcile --class without-job --format csv > foreign.csv`,
		Args: noArguments(),
	}
	var a reconciling
	flags := cmd.Flags()
	flags.StringVar(&a.since, "since", "", "from then on: how long ago, or a time like 2026-01-31T15:04:05Z")
	flags.StringVar(&a.until, "until", "", "before then (default now)")
	flags.StringVar(&a.format, "format", "table", "table, json or csv")
	flags.StringVar(&a.class, "class", "", "list a class: matched, without-mdr, without-job or differing")
	flags.BoolVar(&a.list, "list", false, "list the reports that are kept")
	jsonOut := flags.Bool("json", false, "the same as --format json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *jsonOut {
			a.format = "json"
		}
		if err := a.check(); err != nil {
			return &usageError{err: err, path: cmd.CommandPath()}
		}
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			r, err := d.reconciler()
			if err != nil {
				return err
			}
			if a.list {
				return listReports(ctx, w, r, a.format)
			}
			window, err := a.window(ctx, r, time.Now())
			if err != nil {
				return &usageError{err: err, path: cmd.CommandPath()}
			}
			return a.run(ctx, w, r, window)
		})
	}
	return cmd
}

func (a reconciling) check() error {
	switch {
	case !slices.Contains([]string{"table", "json", "csv"}, a.format):
		return fmt.Errorf("--format %.40q: use table, json or csv", a.format)
	case a.class != "" && !slices.Contains(reconcile.Classes(), reconcile.Class(a.class)):
		return fmt.Errorf("--class %.40q: use matched, without-mdr, without-job or differing", a.class)
	case a.list && (a.format == "csv" || a.class != "" || a.since != "" || a.until != ""):
		return errors.New("--list goes with --format table or json alone")
	}
	return nil
}

// window is the one that was typed, or the last complete day.
func (a reconciling) window(ctx context.Context, r *reconcile.Reconciler, now time.Time) (reconcile.Window, error) {
	if a.since == "" && a.until == "" {
		return r.LastDay(ctx)
	}
	var since, until time.Time
	var err error
	if a.until != "" {
		if until, err = readTime(a.until, now, -1); err != nil {
			return reconcile.Window{}, fmt.Errorf("--until %w", err)
		}
	}
	if a.since != "" {
		if since, err = readTime(a.since, now, -1); err != nil {
			return reconcile.Window{}, fmt.Errorf("--since %w", err)
		}
	}
	window, err := reconcile.NewWindow(since, until, now)
	if err != nil {
		return window, fmt.Errorf("--since: %w", err)
	}
	return window, nil
}

func (d *desk) reconciler() (*reconcile.Reconciler, error) {
	store, err := d.records()
	if err != nil {
		return nil, err
	}
	return d.newReconciler(d.rdb, d.jobs.Ledger(), store, nil)
}

func (s settings) newReconciler(rdb redis.UniversalClient, l *ledger.Ledger, records *mdr.Store, log *slog.Logger) (*reconcile.Reconciler, error) {
	return reconcile.New(rdb, l, records, reconcile.Options{
		Retention: s.MDRRetention, Settle: s.AmbiguousSettle, SegmentPrice: flowroute.Money(s.SegmentPrice), Logger: log,
	})
}

func (a reconciling) run(ctx context.Context, w world, r *reconcile.Reconciler, window reconcile.Window) error {
	q := reconcile.Request{Window: window}
	list := newItemList(w, a.format)
	switch {
	case a.class != "":
		q.Classes, q.Each = []reconcile.Class{reconcile.Class(a.class)}, list.add
	case a.format == "csv":
		q.Classes, q.Each = reconcile.Classes()[1:], list.add
	}
	report, err := r.Run(ctx, q)
	if err != nil {
		return err
	}
	if q.Each != nil {
		err = list.end(report)
	} else if a.format == "json" {
		err = printJSON(w.out, report)
	} else {
		err = printReport(w.out, report)
	}
	if err != nil {
		return err
	}
	if a.format == "csv" || a.class != "" {
		for _, note := range report.Notes {
			fmt.Fprintln(w.errs, "note:", note)
		}
	}
	for _, class := range report.Warnings() {
		fmt.Fprintln(w.errs, "warning:", reconcileWarning(report, class))
	}
	return nil
}

// reconcileWarning says what a class that is not empty means.
func reconcileWarning(r reconcile.Report, c reconcile.Class) string {
	f := r.Of(c)
	switch c {
	case reconcile.WithoutRecord:
		return fmt.Sprintf("posted messages without a record: %s (--class %s)", thousands(int(f.Messages)), c)
	case reconcile.WithoutJob:
		return fmt.Sprintf("records of nobody here: %s (%s). Does another system send with this account? (--class %s)", thousands(int(f.Records)), f.Money, c)
	}
	var issues []string
	for _, issue := range reconcile.Issues() {
		if n := r.Issues[issue]; n > 0 {
			issues = append(issues, fmt.Sprintf("%s %s", issue, thousands(int(n))))
		}
	}
	return fmt.Sprintf("records that differ: %s (%s), by %s (--class %s)", thousands(int(f.Records)), f.Money, strings.Join(issues, ", "), c)
}

func listReports(ctx context.Context, w world, r *reconcile.Reconciler, format string) error {
	reports, err := r.Reports(ctx, 100)
	if err != nil {
		return err
	}
	if format == "json" {
		return printJSON(w.out, items[reconcile.Report]{Items: append([]reconcile.Report{}, reports...)})
	}
	return table(w.out, []string{"SINCE", "UNTIL", "MATCHED", "NO MDR", "NO JOB", "DIFFER", "COMPLETE"}, func(row func(cells ...string)) {
		for _, report := range reports {
			row(shortTime(report.Window.Since), shortTime(report.Window.Until), grouped(report.Matched.Records), grouped(report.WithoutRecord.Messages),
				grouped(report.WithoutJob.Records), grouped(report.Differing.Records), yesNo(report.Complete))
		}
	})
}

func shortTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

func grouped(n int64) string { return thousands(int(n)) }
