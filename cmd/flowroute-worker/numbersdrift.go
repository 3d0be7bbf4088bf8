package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
)

const desiredFileHelp = `FILE is CSV (- is standard input); its first line names the columns:

  number,alias,primary,failover
  +12065550100,office,83834,
  +12065550101,,office trunk,host:sip2.example.com

A route is named by its id, its alias or its value (routes list), or as host:…,
number:… or uri:…, which is made if there is none. An empty value, or a column that is
left out, means: as it is; - means: none. Lines that begin with # are comments.`

const driftLong = `Hold the account's numbers, as the stored copy has them, against a file that says how
they should be: aliases, routes, and which numbers there are. Exit code 0 if all is as
it should be, 1 if not.

` + desiredFileHelp

// numberDrift is a desired-state file held against the copy.
type numberDrift struct {
	inventory.Drift
	asOf   time.Time
	routes map[string]string // id → alias
	// partial: the file names only some of the account's numbers.
	partial bool
}

func newNumbersDrift(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drift FILE",
		Short: "Compare the account's numbers with a file",
		Long:  driftLong,
		Example: `  flowroute-worker numbers drift numbers.csv
  flowroute-worker numbers drift some-of-them.csv --partial --json`,
		Args: takes(1, 1, "a file that says how the numbers should be"),
	}
	partial := cmd.Flags().Bool("partial", false, "the file names only some of the account's numbers")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return w.compared(cmd, args[0], func(_ context.Context, _ *desk, c *numberDrift) error {
			c.partial = *partial
			if *jsonOut {
				if err := printJSON(w.out, c.view()); err != nil {
					return err
				}
			} else if err := c.print(w); err != nil {
				return err
			}
			if len(c.Differs)+len(c.Wrong) > 0 || len(c.Unlisted) > 0 && !c.partial {
				return errQuiet
			}
			return nil
		})
	}
	return cmd
}

// compared reads the file, holds it against the copy, and goes on with the result.
func (w world) compared(cmd *cobra.Command, name string, do func(ctx context.Context, d *desk, c *numberDrift) error) error {
	file, wrong, err := w.readDesired(name)
	if bad, ok := errors.AsType[*inventory.RowError](err); ok {
		return &usageError{err: fmt.Errorf("%s, %w; nothing was done", name, bad), path: cmd.CommandPath()}
	}
	if err != nil {
		return err
	}
	return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
		c, err := compare(ctx, d, file, wrong)
		if err != nil {
			return err
		}
		return do(ctx, d, c)
	})
}

func (w world) readDesired(name string) ([]inventory.Desired, []inventory.RowError, error) {
	in := w.in
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, nil, err
		}
		defer file.Close()
		in = file
	}
	if in == nil {
		return nil, nil, errors.New("there is no standard input")
	}
	file, wrong, err := inventory.ReadDesired(in)
	if pathErr, ok := errors.AsType[*os.PathError](err); ok { // a directory
		return nil, nil, fmt.Errorf("%s: %w", name, pathErr.Err)
	}
	return file, wrong, err
}

func compare(ctx context.Context, d *desk, file []inventory.Desired, wrong []inventory.RowError) (*numberDrift, error) {
	store, err := inventory.New(d.rdb, inventory.Options{})
	if err != nil {
		return nil, err
	}
	report, err := store.LastSync(ctx)
	if err != nil {
		return nil, err
	}
	if report.Started.IsZero() {
		return nil, errors.New("there is nothing to compare with: no sync of numbers has run yet; start one with flowroute-worker numbers sync --wait")
	}
	var numbers []inventory.Number
	for _, gone := range []bool{false, true} {
		for n, err := range store.Each(ctx, inventory.Query{Gone: gone}) {
			if err != nil {
				return nil, err
			}
			numbers = append(numbers, n)
		}
	}
	routes, err := store.Routes(ctx)
	if err != nil {
		return nil, err
	}
	c := &numberDrift{asOf: report.Started, routes: map[string]string{}, Drift: inventory.Compare(file, wrong, numbers, routes)}
	for _, r := range routes {
		c.routes[r.ID] = r.Alias
	}
	c.checkNew()
	return c, nil
}

// checkNew finds rows whose routes would be made and could not.
func (c *numberDrift) checkNew() {
	kept := c.Differs[:0]
	for _, diff := range c.Differs {
		if update, any := routeUpdate(diff); any {
			if err := update.Validate(); err != nil {
				c.Wrong = append(c.Wrong, inventory.RowError{Line: diff.Line, Number: diff.Is.Number, Text: err.Error()})
				continue
			}
		}
		kept = append(kept, diff)
	}
	c.Differs = kept
}

// routeUpdate is the job that takes a difference away, as far as jobs can: none takes a
// route away.
func routeUpdate(diff inventory.Difference) (jobs.RouteUpdate, bool) {
	u := jobs.RouteUpdate{Number: diff.Is.Number.String(), Alias: diff.Alias, Primary: wishSpec(diff.Primary), Failover: wishSpec(diff.Failover)}
	return u, u.Alias != nil || u.Primary != nil || u.Failover != nil
}

func wishSpec(wish *inventory.RouteWish) *jobs.RouteSpec {
	switch {
	case wish == nil || wish.IsNone():
		return nil
	case wish.ID != "":
		return &jobs.RouteSpec{ID: wish.ID}
	}
	return &jobs.RouteSpec{Type: string(wish.New.Type), Value: wish.New.Value}
}

// one is a thing that differs, for people.
type one struct {
	what, is, should, apply string
}

// What numbers apply does about a thing that differs.
const (
	applied = "yes"
	byHand  = "no: by hand"
)

// each lists what differs at a number.
func (c *numberDrift) each(diff inventory.Difference) []one {
	var list []one
	if diff.Alias != nil {
		list = append(list, one{"alias", orDash(diff.Is.Alias), orDash(*diff.Alias), applied})
	}
	for _, slot := range []struct {
		name, is string
		wish     *inventory.RouteWish
	}{{"primary", diff.Is.PrimaryRoute, diff.Primary}, {"failover", diff.Is.FailoverRoute, diff.Failover}} {
		if slot.wish == nil {
			continue
		}
		o := one{slot.name, c.routeName(slot.is), c.routeName(slot.wish.ID), applied}
		switch {
		case slot.wish.IsNone():
			o.apply = byHand
		case slot.wish.ID == "":
			o.should = slot.wish.String()
		}
		if diff.Is.DetailsRead.IsZero() {
			o.is = "?"
		}
		list = append(list, o)
	}
	return list
}

func (c *numberDrift) routeName(id string) string {
	if alias := c.routes[id]; alias != "" && alias != id {
		return id + " (" + alias + ")"
	}
	return orDash(id)
}

// print shows what differs.
func (c *numberDrift) print(w world) error {
	if len(c.Differs) > 0 {
		err := table(w.out, []string{"LINE", "NUMBER", "WHAT", "IS", "SHOULD BE", "NUMBERS APPLY SETS IT"}, func(row func(cells ...string)) {
			for _, diff := range c.Differs {
				for _, o := range c.each(diff) {
					row(strconv.Itoa(diff.Line), diff.Is.Number.String(), o.what, o.is, o.should, o.apply)
				}
			}
		})
		if err != nil {
			return err
		}
	}
	if !c.partial {
		for _, n := range c.Unlisted {
			if _, err := fmt.Fprintf(w.out, "%s is on the account, and not in the file\n", n.Number); err != nil {
				return err
			}
		}
	}
	c.sayWrong(w.errs)
	fmt.Fprintf(w.errs, "%s as they should be, %s not, %s wrong", many(c.Same, "number"), thousands(len(c.Differs)), many(len(c.Wrong), "row"))
	if len(c.Unlisted) > 0 {
		fmt.Fprintf(w.errs, ", %s not in the file", thousands(len(c.Unlisted)))
	}
	fmt.Fprintln(w.errs)
	c.sayAge(w.errs)
	return nil
}

// shownWrong is how many wrong rows are named.
const shownWrong = 20

func (c *numberDrift) sayWrong(errs io.Writer) {
	for i, e := range c.Wrong {
		if i == shownWrong {
			fmt.Fprintf(errs, "and %s more; --json has them all\n", many(len(c.Wrong)-i, "wrong row"))
			return
		}
		fmt.Fprintln(errs, clean(e.Error()))
	}
}

// oldCopy is the age from which on a copy is said to be old: it is read each hour.
const oldCopy = time.Hour + 5*time.Minute

// unread is how many numbers differ whose routes nobody has read yet.
func (c *numberDrift) unread() int {
	n := 0
	for _, diff := range c.Differs {
		if diff.Is.DetailsRead.IsZero() && (diff.Primary != nil || diff.Failover != nil) {
			n++
		}
	}
	return n
}

func (c *numberDrift) sayAge(errs io.Writer) {
	if n := c.unread(); n > 0 {
		fmt.Fprintf(errs, "%s of which the routes are not known yet count as not as they should be: each numbers sync reads more of them\n", many(n, "number"))
	}
	fmt.Fprintln(errs, asOf("numbers", c.asOf))
	if age := time.Since(c.asOf); age > oldCopy {
		fmt.Fprintf(errs, "warning: the copy is %v old, and what was changed since is not seen; flowroute-worker numbers sync --wait reads it anew\n", age.Round(time.Minute))
	}
}

// driftView is a comparison as JSON.
type driftView struct {
	AsOf     time.Time        `json:"as_of"`
	Same     int              `json:"same"`
	Unread   int              `json:"routes_not_known"` // of those that differ
	Differs  []differenceView `json:"differing"`
	Wrong    []rowErrorView   `json:"wrong"`
	Unlisted []flowroute.E164 `json:"not_in_file"`
}

type differenceView struct {
	Line     int            `json:"line"`
	Number   flowroute.E164 `json:"number"`
	Alias    *changeView    `json:"alias,omitempty"`
	Primary  *changeView    `json:"primary,omitempty"`
	Failover *changeView    `json:"failover,omitempty"`
}

type changeView struct {
	Is       *string `json:"is"` // null: not known yet
	ShouldBe string  `json:"should_be"`
}

type rowErrorView struct {
	Line   int    `json:"line"`
	Number string `json:"number,omitempty"`
	Error  string `json:"error"`
}

func (c *numberDrift) view() driftView {
	v := driftView{AsOf: c.asOf.UTC(), Same: c.Same, Unread: c.unread(), Differs: []differenceView{}, Wrong: c.wrongViews(), Unlisted: []flowroute.E164{}}
	for _, diff := range c.Differs {
		v.Differs = append(v.Differs, viewDifference(diff))
	}
	for _, n := range c.Unlisted {
		v.Unlisted = append(v.Unlisted, n.Number)
	}
	return v
}

func viewDifference(diff inventory.Difference) differenceView {
	d := differenceView{Line: diff.Line, Number: diff.Is.Number}
	if diff.Alias != nil {
		d.Alias = &changeView{&diff.Is.Alias, *diff.Alias}
	}
	route := func(is string, wish *inventory.RouteWish) *changeView {
		if wish == nil {
			return nil
		}
		v := &changeView{Is: &is}
		if diff.Is.DetailsRead.IsZero() {
			v.Is = nil
		}
		if !wish.IsNone() {
			v.ShouldBe = wish.String()
		}
		return v
	}
	d.Primary, d.Failover = route(diff.Is.PrimaryRoute, diff.Primary), route(diff.Is.FailoverRoute, diff.Failover)
	return d
}

func (c *numberDrift) wrongViews() []rowErrorView {
	list := []rowErrorView{}
	for _, e := range c.Wrong {
		v := rowErrorView{Line: e.Line, Error: e.Text}
		if !e.Number.IsZero() {
			v.Number = e.Number.String()
		}
		list = append(list, v)
	}
	return list
}
