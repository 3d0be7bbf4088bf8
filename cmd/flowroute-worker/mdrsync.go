package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

func newMDRSync(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sync [--since 48h]",
		Short: "Start a sync of message records (enqueued as a job)",
		Long: `Enqueue a sync of message records and print the job's id. A worker reads what is
new, or with --since everything from then on, and updates the states of messages.

The first sync goes back MDR_RETENTION, or to --since, the newest records first. It
takes several jobs when there is much to read: MDR_SYNC_CRON makes them, and so does
this command with --wait, which says how far it is.`,
		Example: `  flowroute-worker mdr sync --wait
  flowroute-worker mdr sync --since 48h`,
		Args: noArguments(),
	}
	since := cmd.Flags().String("since", "", "read all from then on: how long ago, or a time like 2026-01-31T15:04:05Z (default where the last sync ended)")
	result := outcomeFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var s jobs.Sync
		if *since != "" {
			var err error
			if s.Since, err = readTime(*since, time.Now(), -1); err != nil {
				return &usageError{err: fmt.Errorf("--since %w", err), path: cmd.CommandPath()}
			}
		}
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			receipt, err := d.jobs.StartSync(ctx, jobs.TypeSyncMDR, "", s)
			if err == nil && *result.wait {
				receipt, err = d.syncAll(ctx, w.errs, receipt)
			}
			if err != nil {
				return err
			}
			return result.finish(ctx, w, d, receipt)
		})
	}
	return cmd
}

// syncAll waits until nothing is left to sync, starts what further jobs that takes, and
// returns the last one.
func (d *desk) syncAll(ctx context.Context, errs io.Writer, receipt jobs.Receipt) (jobs.Receipt, error) {
	store, err := d.records()
	if err != nil {
		return receipt, err
	}
	for {
		left, err := d.awaitSync(ctx, errs, store, receipt.ID)
		if err != nil || left == 0 {
			return receipt, err
		}
		if receipt, err = d.jobs.StartSync(ctx, jobs.TypeSyncMDR, "", jobs.Sync{}); err != nil {
			return receipt, err
		}
	}
}

// syncNotice is how often a command says how far a sync is.
const syncNotice = 5 * time.Second

// awaitSync waits for a sync job, says how far it is, and returns how many windows it left
// to the next one. If another sync is at work, that one is waited for.
func (d *desk) awaitSync(ctx context.Context, errs io.Writer, store *mdr.Store, id string) (left int, err error) {
	ended, over := context.WithCancel(ctx)
	told := make(chan struct{})
	go func() {
		defer close(told)
		tellSync(ended, errs, store, func(mdr.Report) bool { return true })
	}()
	job, err := d.await(ctx, errs, id)
	over()
	<-told
	if err != nil || !job.State.Succeeded() {
		return 0, err // a job that failed is shown as every other one
	}
	var report mdr.Report
	said := httpapi.ViewJob(job).Report
	if said == nil {
		return 0, nil
	}
	if err := json.Unmarshal(said, &report); err != nil {
		return 0, fmt.Errorf("the report of the sync cannot be read: %w", err)
	}
	if !report.Skipped {
		return report.Left, nil
	}
	tellSync(ctx, errs, store, func(r mdr.Report) bool {
		return !r.Started.IsZero() && time.Since(r.Started.Add(r.Duration)) < syncDead
	})
	return 1, ctx.Err()
}

// syncDead is after how long without a word of it a sync is not at work any more.
const syncDead = time.Minute

// tellSync says how far the sync that is at work is, until ctx ends or while says false.
func tellSync(ctx context.Context, errs io.Writer, store *mdr.Store, while func(mdr.Report) bool) {
	last := ""
	for pause(ctx, syncNotice) {
		report, err := store.Running(ctx)
		if line := syncProgress(report); err == nil && line != last {
			fmt.Fprintln(errs, line)
			last = line
		}
		if !while(report) {
			return
		}
	}
}

// syncProgress says how far a sync is; empty when there is nothing to say.
func syncProgress(r mdr.Report) string {
	if r.Left == 0 || r.First.IsZero() {
		return ""
	}
	line := fmt.Sprintf("%d records read; complete from %s on, to go back to %s", r.Read, stamp(r.First), stamp(r.Goal))
	if r.Remaining > 0 {
		line += fmt.Sprintf(", which takes about %v", r.Remaining.Round(time.Second))
	}
	return line
}
