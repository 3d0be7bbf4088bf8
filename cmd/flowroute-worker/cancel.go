package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// cancelView is the answer as JSON.
type cancelView struct {
	ID        string     `json:"id"`
	State     jobs.State `json:"state"`
	Cancelled bool       `json:"cancelled"` // it has not been posted and never will be
	Requested bool       `json:"requested"` // its outcome is open; it will not be posted again
}

func newCancel(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel JOB_ID",
		Short: "Stop a job while that is possible",
		Long: `Stop a job that has not been posted. When its request may be on the wire already,
the job is marked instead: it will not be posted again, and its state tells what
became of the request. What is final cannot be stopped (exit code 1).`,
		Example: "  flowroute-worker cancel 0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e5f",
		Args:    takes(1, 1, "a job id"),
	}
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			c, err := d.jobs.Cancel(ctx, args[0])
			if err != nil {
				return err
			}
			if *jsonOut {
				if err := printJSON(w.out, cancelView{args[0], c.State, c.Cancelled, c.Requested}); err != nil {
					return err
				}
			}
			switch {
			case c.TooLate:
				return fmt.Errorf("too late to cancel: the job is %s", c.State)
			case *jsonOut:
			case c.Requested:
				fmt.Fprintf(w.out, "%s: its request may be on the wire; it will not be posted again\n", c.State)
			default:
				fmt.Fprintln(w.out, c.State)
			}
			return nil
		})
	}
	return cmd
}
