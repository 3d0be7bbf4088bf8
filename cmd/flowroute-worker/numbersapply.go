package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
)

const applyLong = `Enqueue the updates that make the account's numbers what a file says: one job for each
number whose alias, primary or failover route differs in the stored copy. It prints the
jobs' ids. Doing it again asks for nothing twice; what failed is asked for again.

No number is bought or released, and a route is not taken away, only set to another. A
row that is wrong costs itself alone; the others are done, and the exit code is 1.

` + desiredFileHelp

// application is numbers apply as it was asked for.
type application struct {
	world
	dry    bool
	result outcome
}

func newNumbersApply(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply FILE --dry-run | --yes",
		Short: "Set aliases and routes of numbers as a file says (enqueued as jobs)",
		Long:  applyLong,
		Example: `  flowroute-worker numbers apply numbers.csv --dry-run
  flowroute-worker numbers apply numbers.csv --yes --wait`,
		Args: takes(1, 1, "a file that says how the numbers should be"),
	}
	a := &application{world: w}
	cmd.Flags().BoolVar(&a.dry, "dry-run", false, "say what would be done, and do nothing")
	yes := cmd.Flags().Bool("yes", false, "do it")
	a.result = outcomeFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.dry == *yes {
			return &usageError{err: errors.New("give --dry-run to see what would be done, or --yes to do it"), path: cmd.CommandPath()}
		}
		return w.compared(cmd, args[0], a.run)
	}
	return cmd
}

// applyView is what numbers apply does, as JSON.
type applyView struct {
	driftView
	DryRun bool          `json:"dry_run"`
	Jobs   []appliedView `json:"jobs"`
}

// appliedView is the update of one number.
type appliedView struct {
	Line     int             `json:"line"`
	Number   string          `json:"number"`
	Alias    *string         `json:"alias,omitempty"`
	Primary  *jobs.RouteSpec `json:"primary,omitempty"`
	Failover *jobs.RouteSpec `json:"failover,omitempty"`
	// With a dry run there are no more.
	ID        string     `json:"id,omitempty"`
	State     jobs.State `json:"state,omitempty"`
	Duplicate bool       `json:"duplicate"` // it was asked for before
}

func (a *application) run(ctx context.Context, d *desk, c *numberDrift) error {
	c.partial = true // numbers that the file does not name stay as they are
	if !*a.result.json {
		c.sayWrong(a.errs)
		a.sayByHand(c)
		c.sayAge(a.errs)
	}
	list, err := a.enqueue(ctx, d, c)
	var failed error
	if err == nil && *a.result.wait && !a.dry {
		failed, err = a.await(ctx, d, list)
	}
	if *a.result.json {
		view := applyView{driftView: c.view(), DryRun: a.dry, Jobs: list}
		err = errors.Join(printJSON(a.out, view), err)
	}
	if err != nil {
		return err
	}
	if !*a.result.json {
		a.sayTotal(d, c, list)
	}
	if len(c.Wrong) > 0 && failed == nil {
		return errQuiet
	}
	return failed
}

// enqueue asks for the updates, or only lists them.
func (a *application) enqueue(ctx context.Context, d *desk, c *numberDrift) ([]appliedView, error) {
	list := []appliedView{}
	for _, diff := range c.Differs {
		update, any := routeUpdate(diff)
		if !any {
			continue
		}
		v := appliedView{Line: diff.Line, Number: update.Number, Alias: update.Alias, Primary: update.Primary, Failover: update.Failover}
		if !a.dry {
			receipt, err := ask(ctx, d, update, diff)
			if err != nil {
				return list, fmt.Errorf("line %d, after %s: %w; give the same command again, nothing is asked for twice", diff.Line, many(len(list), "job"), err)
			}
			v.ID, v.State, v.Duplicate = receipt.ID, receipt.State, receipt.Duplicate
		}
		list = append(list, v)
		if *a.result.json || *a.result.wait && !a.dry {
			continue
		}
		if _, err := fmt.Fprintln(a.out, a.line(c, diff, v)); err != nil {
			return list, err
		}
	}
	return list, nil
}

// line is an update for people, its id first.
func (a *application) line(c *numberDrift, diff inventory.Difference, v appliedView) string {
	parts := []string{}
	for _, o := range c.each(diff) {
		if o.apply == applied {
			parts = append(parts, fmt.Sprintf("%s %s → %s", o.what, clean(o.is), clean(o.should)))
		}
	}
	text := v.Number + " " + strings.Join(parts, ", ")
	switch {
	case a.dry:
		return text
	case v.Duplicate:
		return fmt.Sprintf("%s %s (asked for before; it is %s)", v.ID, text, v.State)
	}
	return v.ID + " " + text
}

// mostAsked bounds how often the same is asked for again, as long as jobs are kept.
const mostAsked = 100

// ask asks for an update. Its key is what shall be and what is, so that the same again is
// the same job: until that has failed, or the copy, read after its end, is as before.
func ask(ctx context.Context, d *desk, update jobs.RouteUpdate, diff inventory.Difference) (jobs.Receipt, error) {
	n := diff.Is
	form := fmt.Appendf(nil, "%q %q %q %q", wishText(diff.Primary), wishText(diff.Failover), n.PrimaryRoute, n.FailoverRoute)
	if diff.Alias != nil {
		form = fmt.Appendf(form, " alias %q %q", *diff.Alias, n.Alias)
	}
	sum := sha256.Sum256(form)
	for try := 1; ; try++ {
		update.Key = fmt.Sprintf("numbers-apply/%s/%x/%d", n.Number.Digits(), sum[:8], try)
		receipt, err := d.jobs.UpdateRoute(ctx, update)
		if err != nil || !receipt.Duplicate || !receipt.State.Final() || try == mostAsked {
			return receipt, err
		}
		if !receipt.State.Succeeded() {
			continue
		}
		job, err := d.jobs.Get(ctx, receipt.ID)
		if err != nil || !seenSince(diff, job.Updated()) {
			return receipt, err
		}
	}
}

// seenSince: something that differs was read at Flowroute after that time. An alias is in
// each listing, routes are in a number's details.
func seenSince(diff inventory.Difference, t time.Time) bool {
	return diff.Alias != nil && diff.Is.LastSeen.After(t) || (diff.Primary != nil || diff.Failover != nil) && diff.Is.DetailsRead.After(t)
}

func wishText(wish *inventory.RouteWish) string {
	if wish == nil {
		return ""
	}
	return wish.String()
}

// await waits for all updates, and returns the first that did not succeed.
func (a *application) await(ctx context.Context, d *desk, list []appliedView) (failed, err error) {
	errs := a.errs
	if *a.result.json {
		errs = io.Discard
	}
	for i, v := range list {
		job, err := d.await(ctx, errs, v.ID)
		if err != nil {
			return failed, err
		}
		errs = io.Discard // once is enough
		list[i].State = job.State
		if !*a.result.json {
			if _, err := fmt.Fprintln(a.out, v.ID, v.Number, job.State); err != nil {
				return failed, err
			}
		}
		if !job.State.Succeeded() {
			if failed == nil {
				failed = &jobError{job}
			} else if !*a.result.json {
				fmt.Fprintln(a.errs, (&jobError{job}).Error())
			}
		}
	}
	return failed, nil
}

// sayByHand names what differs and is not set.
func (a *application) sayByHand(c *numberDrift) {
	named := 0
	for _, diff := range c.Differs {
		for _, o := range c.each(diff) {
			if o.apply == applied {
				continue
			}
			if named++; named <= shownWrong {
				fmt.Fprintf(a.errs, "line %d: %s: the %s is %s and should be %s: NOT SET by this command\n", diff.Line, diff.Is.Number, o.what, clean(o.is), clean(o.should))
			}
		}
	}
	if named > shownWrong {
		fmt.Fprintf(a.errs, "and %s more that are not set; numbers drift has them all\n", thousands(named-shownWrong))
	}
}

func (a *application) sayTotal(d *desk, c *numberDrift, list []appliedView) {
	verb := "enqueued"
	if a.dry {
		verb = "would be enqueued; --yes does it"
	}
	again := 0
	for _, v := range list {
		if v.Duplicate {
			again++
		}
	}
	text := fmt.Sprintf("%s %s", many(len(list), "update"), verb)
	if again > 0 {
		text = fmt.Sprintf("%s, %s of them asked for before", text, thousands(again))
	}
	if len(list) == 0 {
		text = "nothing is to be set"
	}
	fmt.Fprintf(a.errs, "%s; %s as they should be, %s wrong\n", text, many(c.Same, "number"), many(len(c.Wrong), "row"))
	if len(list) > 0 && !a.dry {
		if n, err := d.workers(); err == nil && n == 0 {
			fmt.Fprintln(a.errs, "no worker is running: start one with flowroute-worker run")
		}
	}
}
