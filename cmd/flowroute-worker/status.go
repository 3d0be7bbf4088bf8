package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
)

func newStatus(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status JOB_ID",
		Short: "Show a job's state and history",
		Long: `Show what is known of a job of any kind: its state, attempts, the record Flowroute
keeps of it, and every change with its time. JOB_ID is what send, numbers purchase
and the HTTP API answered, or the task id of another app's plain asynq task.`,
		Example: `  flowroute-worker status 0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e5f
  flowroute-worker status 0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e5f --json | jq -r .state`,
		Args: takes(1, 1, "a job id"),
	}
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			job, err := d.jobs.Get(ctx, args[0])
			if err != nil {
				return err
			}
			if *jsonOut {
				return printJSON(w.out, httpapi.ViewJob(job))
			}
			return printJob(w.out, job)
		})
	}
	return cmd
}
