package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
)

const reviewLong = `Jobs come into the state review when Flowroute's records cannot decide whether a
request was accepted. They are never posted again by themselves: a person looks,
and decides.`

func newReview(w world) *cobra.Command {
	return group("review", "Decide what the records cannot", reviewLong, `  flowroute-worker review list
  flowroute-worker review resolve 0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e5f --as accepted
  flowroute-worker review fence`,
		newReviewList(w), newReviewResolve(w), newReviewFence(w))
}

// reviewPage is how many jobs are read at once.
const reviewPage = 200

func newReviewList(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what waits for a person",
		Long: `List the jobs in review, those that wait longest first: what is known of each, why
the records could not decide, what to look at, and the records that may be its own.
Numbers are masked; status shows a job whole.`,
		Example: `  flowroute-worker review list
  flowroute-worker review list --json | jq -r '.[].id'`,
		Args: noArguments(),
	}
	limit := cmd.Flags().Int("limit", 100, "how many at most")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *limit < 1 {
			return &usageError{err: fmt.Errorf("--limit %d: give a number from 1 on", *limit), path: cmd.CommandPath()}
		}
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			list, more, err := d.reviews(ctx, *limit)
			if err != nil {
				return err
			}
			if *jsonOut {
				return printJSON(w.out, list)
			}
			return printReviews(w, list, more, time.Now())
		})
	}
	return cmd
}

// reviews reads the jobs in review; more: there are others.
func (d *desk) reviews(ctx context.Context, limit int) (list []httpapi.ReviewView, more bool, err error) {
	list = []httpapi.ReviewView{}
	for cursor := ""; ; {
		page, next, err := d.jobs.Ledger().Reviews(ctx, cursor, min(reviewPage, limit-len(list)))
		if err != nil {
			return nil, false, err
		}
		for _, job := range page {
			list = append(list, httpapi.ViewReview(job))
		}
		if next == "" || len(list) >= limit {
			return list, next != "", nil
		}
		cursor = next
	}
}

func printReviews(w world, list []httpapi.ReviewView, more bool, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w.out, "nothing waits for a person")
		return err
	}
	for i, v := range list {
		if i > 0 {
			fmt.Fprintln(w.out)
		}
		fmt.Fprintf(w.out, "%s  %s, in review since %s (%s)\n", v.ID, v.Type, stamp(v.Since), now.Sub(v.Since).Round(time.Second))
		if err := table(w.out, nil, func(row func(cells ...string)) { reviewRows(v, row) }); err != nil {
			return err
		}
	}
	if more {
		fmt.Fprintln(w.errs, "there are more: --limit")
	}
	return nil
}

func reviewRows(v httpapi.ReviewView, row func(cells ...string)) {
	switch {
	case v.To != "":
		row("  message", "from "+v.From+" to "+v.To)
	case v.Number != "":
		row("  number", v.Number)
	}
	row("  attempts", fmt.Sprintf("%d, the first one at %s, the last one at %s", v.Attempts, stamp(v.FirstTried), stamp(v.LastTried)))
	row("  why", fmt.Sprintf("%s (%s)", v.Why, v.Reason))
	if v.Detail != "" {
		row("  detail", v.Detail)
	}
	var e evidence
	if json.Unmarshal(v.Evidence, &e) == nil {
		e.rows(row)
	}
	row("  look at", v.LookAt)
	row("  decide", "flowroute-worker review resolve "+v.ID+" --as accepted|not-sent")
}

// evidence is what the resolver leaves for a person, as far as it is shown.
type evidence struct {
	ReadAt     []time.Time `json:"read_at"`
	Records    int         `json:"records_read"`
	Missing    int         `json:"accepted_but_not_listed"`
	More       int         `json:"more_candidates"`
	Candidates []struct {
		MDR     string    `json:"mdr_id"`
		At      time.Time `json:"timestamp"`
		Status  string    `json:"status"`
		Differs string    `json:"differs"`
	} `json:"candidates"`
}

// rows shows what the records had, a candidate a line.
func (e evidence) rows(row func(cells ...string)) {
	if len(e.ReadAt) > 0 {
		text := fmt.Sprintf("%s, last at %s", plural(e.Records, "record"), stamp(slices.MaxFunc(e.ReadAt, time.Time.Compare)))
		if e.Missing > 0 {
			text += fmt.Sprintf("; lacking %s known to be accepted", plural(e.Missing, "message"))
		}
		row("  read", text)
	}
	for _, c := range e.Candidates {
		row("  record", fmt.Sprintf("%s of %s, %s; different is: %s", c.MDR, stamp(c.At), orDash(c.Status), c.Differs))
	}
	if e.More > 0 {
		row("  record", fmt.Sprintf("and %d more", e.More))
	}
}

func newReviewResolve(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resolve JOB_ID --as accepted|not-sent",
		Short: "Decide a job in review",
		Long: `Decide a job in review. Look first at what review list names: nothing else stands
between the decision and the recipient.

  --as accepted   Flowroute took it: nothing is posted, the job counts as accepted
                  (a purchase as bought: what was asked for the number follows)
  --as not-sent   Flowroute surely did not take it: it is posted again, unless it
                  was cancelled or its time is over`,
		Example: `  flowroute-worker review resolve 0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e5f --as accepted
  flowroute-worker review resolve 0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e5f --as not-sent`,
		Args: takes(1, 1, "a job id"),
	}
	as := cmd.Flags().String("as", "", "accepted or not-sent")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ruling, err := httpapi.ParseRuling(*as)
		if err != nil {
			return &usageError{err: fmt.Errorf("--as %.40q: %w", *as, err), path: cmd.CommandPath()}
		}
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			v, err := httpapi.Rule(ctx, d.jobs, wakeWith(d.jobs), args[0], ruling)
			if err != nil {
				return err
			}
			if *jsonOut {
				return printJSON(w.out, v)
			}
			_, err = fmt.Fprintf(w.out, "%s: %s\n", v.State, v.Says)
			return err
		})
	}
	return cmd
}

// wakeWith makes a worker look at a job that is queued again, at the head of its
// lane.
func wakeWith(client *jobs.Client) httpapi.Waker {
	return func(ctx context.Context, job jobs.Job) error { return worker.Resend(ctx, client, job) }
}

func newReviewFence(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fence [--accept]",
		Short: "Show or lower the fence after a loss in Redis",
		Long: `When Redis has lost writes (a restored copy, a cut file, a power cut), or may have,
a fence is raised: jobs that may have been sent in the time that is lost are not
posted until Flowroute's records of that time were read and matched with all of
them. That happens by itself where the records reach back far enough.

With --accept a person lowers the fence without that. What was sent in the time
that is lost, and is queued again now, is then sent a second time.`,
		Example: `  flowroute-worker review fence
  flowroute-worker review fence --accept`,
		Args: noArguments(),
	}
	accept := cmd.Flags().Bool("accept", false, "lower the fence without the records")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			f, err := d.jobs.Ledger().FenceState(ctx)
			if err != nil {
				return err
			}
			if *accept {
				return d.acceptFence(ctx, w, f, *jsonOut)
			}
			if *jsonOut {
				return printJSON(w.out, viewFence(f))
			}
			return printFence(w.out, f, time.Now())
		})
	}
	return cmd
}

// fenceView is the fence as JSON.
type fenceView struct {
	Up       bool      `json:"up"`
	ID       string    `json:"id,omitempty"`
	From     time.Time `json:"from,omitzero"`  // the last moment that surely was not lost
	At       time.Time `json:"at,omitzero"`    // raised then
	Ready    time.Time `json:"ready,omitzero"` // from then on the records can lower it
	Noticed  time.Time `json:"restart_noticed,omitzero"`
	Waiting  []string  `json:"waiting_for_workers,omitempty"`
	Says     string    `json:"says"`
	Accepted bool      `json:"accepted,omitempty"` // by this command
}

func viewFence(f ledger.Fence) fenceView {
	v := fenceView{Up: f.Up, ID: f.ID, Noticed: f.Noticed.UTC(), Waiting: f.Waiting, Says: fenceText(f)}
	if f.Up {
		v.From, v.At, v.Ready = f.From.UTC(), f.At.UTC(), f.Ready.UTC()
	}
	return v
}

// fenceText says in a sentence what the fence is.
func fenceText(f ledger.Fence) string {
	switch {
	case f.Restarted() && !f.Noticed.IsZero():
		return fmt.Sprintf("Redis was restarted or replaced (noticed at %s): nothing is posted until the workers have said what they did, some seconds", stamp(f.Noticed))
	case f.Restarted():
		return "Redis was restarted or replaced: nothing is posted until a worker has looked at it"
	case f.Up:
		return fmt.Sprintf("up since %s: Redis has lost writes of the time from %s on, or may have; older jobs, and those with a key, rest until Flowroute's records of that time were read", stamp(f.At), stamp(f.From))
	case f.Run == "":
		return "not needed yet: no worker has run on this Redis"
	}
	return "down: nothing that was written is known to be lost"
}

const fenceRisk = "what was sent in that time, and is queued again now, will be sent a second time"

func printFence(out io.Writer, f ledger.Fence, now time.Time) error {
	fmt.Fprintln(out, fenceText(f))
	for _, name := range f.Waiting {
		fmt.Fprintln(out, "  waiting for worker", clean(name))
	}
	if !f.Up {
		return nil
	}
	when := "now"
	if left := f.Ready.Sub(now); left > 0 {
		when = "in " + left.Round(time.Second).String()
	}
	_, err := fmt.Fprintf(out, `
The records can lower it from %s on (%s); a running worker reads them by itself.
If they do not reach back that far, a person must lower it:
  flowroute-worker review fence --accept
Then %s.
`, stamp(f.Ready), when, fenceRisk)
	return err
}

// acceptFence lowers the fence because a person says so.
func (d *desk) acceptFence(ctx context.Context, w world, f ledger.Fence, jsonOut bool) error {
	switch {
	case f.Restarted():
		return errors.New("there is no fence to lower yet: " + fenceText(f))
	case !f.Up && jsonOut:
		return printJSON(w.out, viewFence(f))
	case !f.Up:
		_, err := fmt.Fprintln(w.out, fenceText(f))
		return err
	}
	fmt.Fprintf(w.errs, "lowering the fence of %s to %s: %s\n", stamp(f.From), stamp(f.At), fenceRisk)
	done, err := d.jobs.Ledger().AcceptFence(ctx, f.ID)
	switch {
	case err != nil:
		return err
	case !done:
		return errors.New("the fence has changed meanwhile: look again with flowroute-worker review fence")
	case jsonOut:
		v := viewFence(f)
		v.Up, v.Accepted, v.Says = false, true, "lowered by a person"
		return printJSON(w.out, v)
	}
	_, err = fmt.Fprintln(w.out, "lowered: jobs are posted again")
	return err
}
