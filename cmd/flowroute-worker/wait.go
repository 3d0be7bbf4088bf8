package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hibiken/asynq"
	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
)

// outcome holds the flags of commands that enqueue a job and may wait for it.
type outcome struct {
	wait *bool
	json *bool
}

func outcomeFlags(cmd *cobra.Command) outcome {
	return outcome{
		wait: cmd.Flags().Bool("wait", false, "wait for the job's first final state (needs a worker somewhere); exit code 3 unless it succeeded"),
		json: asJSON(cmd),
	}
}

// finish prints the receipt, or waits for the job and prints what became of it.
// Standard output gets the job's id, with --wait its state too, and the number
// that was bought; all else goes to standard error.
func (o outcome) finish(ctx context.Context, w world, d *desk, receipt jobs.Receipt) error {
	if receipt.Duplicate && !*o.json {
		fmt.Fprintf(w.errs, "the key's job exists already, with the same content; it is %s\n", receipt.State)
	}
	if !*o.wait {
		if *o.json {
			return printJSON(w.out, receipt)
		}
		_, err := fmt.Fprintln(w.out, receipt.ID)
		return err
	}
	job, err := d.await(ctx, w.errs, receipt.ID)
	if err != nil {
		return err
	}
	if *o.json {
		err = printJSON(w.out, httpapi.ViewJob(job))
	} else {
		line := []any{receipt.ID, job.State}
		if job.Type == jobs.TypePurchaseNumber && job.State.Succeeded() {
			line = append(line, jobs.NumberOf(job))
		}
		_, err = fmt.Fprintln(w.out, line...)
		if report := httpapi.ViewJob(job).Report; report != nil {
			fmt.Fprintln(w.errs, clean(string(report)))
		}
		if job.Warning != "" {
			fmt.Fprintln(w.errs, "warning:", clean(job.Warning))
		}
	}
	if err == nil && !job.State.Succeeded() {
		return &jobError{job}
	}
	return err
}

// waitNotice is after how long a command says what it waits for.
const waitNotice = time.Second

// await waits for the job, and says that somebody must do it.
func (d *desk) await(ctx context.Context, errs io.Writer, id string) (jobs.Job, error) {
	noticed := make(chan struct{})
	notice := time.AfterFunc(waitNotice, func() {
		defer close(noticed)
		fmt.Fprintln(errs, waitText(d.workers()))
	})
	job, err := d.jobs.Wait(ctx, id)
	if !notice.Stop() {
		<-noticed
	}
	if errors.Is(err, context.Canceled) {
		return job, fmt.Errorf("job %s goes on without this command, ask for it with: flowroute-worker status %s: %w", id, id, err)
	}
	return job, err
}

func waitText(workers int, err error) string {
	switch {
	case err != nil:
		return "waiting for a worker to do the job …"
	case workers == 0:
		return "waiting, but no worker is running: start one with flowroute-worker run"
	}
	return "waiting for the worker; Ctrl-C ends the waiting, not the job …"
}

// workers counts the processes that work on our queues.
func (d *desk) workers() (int, error) {
	servers, err := asynq.NewInspectorFromRedisClient(d.rdb).Servers()
	if err != nil {
		return 0, err
	}
	processes := map[string]bool{}
	for _, server := range servers {
		processes[fmt.Sprintf("%s:%d", server.Host, server.PID)] = true
	}
	return len(processes), nil
}
