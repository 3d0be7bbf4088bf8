package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
)

// numberChange is a change of a number as JSON.
type numberChange struct {
	At     time.Time            `json:"at"` // when it was noticed
	Number string               `json:"number"`
	Kind   inventory.ChangeKind `json:"kind"`
	Old    string               `json:"old"`
	New    string               `json:"new"`
}

// changeList is what changed as JSON.
type changeList struct {
	Items []numberChange `json:"items"`
	AsOf  time.Time      `json:"as_of,omitzero"` // of the last sync
	// From is given where older changes than this are not kept any more.
	From time.Time `json:"complete_from,omitzero"`
}

// listChanges prints what became of numbers from a time on.
func listChanges(ctx context.Context, w world, store *inventory.Store, since time.Time, startsWith string, jsonOut bool) error {
	report, err := store.LastSync(ctx)
	if err != nil {
		return err
	}
	list := changeList{Items: []numberChange{}, AsOf: report.Started.UTC()}
	if from, err := store.ChangesFrom(ctx); err != nil {
		return err
	} else if from.After(since) {
		list.From = from
	}
	prefix := inventory.Query{StartsWith: startsWith}.Digits()
	for after := ""; ; {
		changes, err := store.Changes(ctx, since, after, 1000)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if after = c.Cursor; c.Number.IsZero() || !strings.HasPrefix(c.Number.Digits(), prefix) {
				continue
			}
			list.Items = append(list.Items, numberChange{c.At.UTC(), c.Number.String(), c.Kind, c.Old, c.New})
		}
		if len(changes) == 0 {
			break
		}
	}
	if jsonOut {
		return printJSON(w.out, list)
	}
	if len(list.Items) > 0 {
		if err := printChanges(w, list.Items); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(w.errs, "nothing changed since", stamp(since))
	}
	if !list.From.IsZero() {
		fmt.Fprintf(w.errs, "older changes are not kept: these are those from %s on\n", stamp(list.From))
	}
	fmt.Fprintln(w.errs, asOf("numbers", report.Started))
	return nil
}

func printChanges(w world, changes []numberChange) error {
	return table(w.out, []string{"NOTICED", "NUMBER", "CHANGE", "OLD", "NEW"}, func(row func(cells ...string)) {
		for _, c := range changes {
			before, after := orDash(c.Old), orDash(c.New)
			if c.Kind == inventory.MessagingChanged {
				before, after = yesNo(c.Old == "1"), yesNo(c.New == "1")
			}
			row(stamp(c.At), c.Number, strings.ReplaceAll(string(c.Kind), "_", " "), before, after)
		}
	})
}

func newNumbersSync(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Start a sync of numbers and routes (enqueued as a job)",
		Long: `Enqueue a sync of the account's numbers and routes and print the job's id, without
waiting for the next one of NUMBERS_SYNC_CRON.`,
		Example: "  flowroute-worker numbers sync --wait",
		Args:    noArguments(),
	}
	result := outcomeFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			receipt, err := d.jobs.StartSync(ctx, jobs.TypeSyncNumbers, "", jobs.Sync{})
			if err != nil {
				return err
			}
			return result.finish(ctx, w, d, receipt)
		})
	}
	return cmd
}
