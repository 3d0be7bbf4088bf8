package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
)

// viewLive is a number as Flowroute has just told it.
func viewLive(n flowroute.NumberDetails) httpapi.NumberView {
	v := httpapi.NumberView{
		Number: n.Number.Number.String(), Alias: n.Alias, Type: n.Type, RateCenter: n.RateCenter, State: n.State,
		MessagingEnabled: n.MessagingEnabled,
	}
	if n.PrimaryRoute != nil {
		v.PrimaryRoute = n.PrimaryRoute.ID
	}
	if n.FailoverRoute != nil {
		v.FailoverRoute = n.FailoverRoute.ID
	}
	return v
}

func newNumbersList(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the account's numbers",
		Long: `List the account's numbers from the stored copy, which the numbers sync keeps
(NUMBERS_SYNC_CRON). Routes are shown by their ids; routes list explains them.

With --changed-since it lists what was added, removed, renamed and re-routed from then
on instead, with the times at which a sync noticed it, oldest first.`,
		Example: `  flowroute-worker numbers list
  flowroute-worker numbers list --starts-with 206 --json
  flowroute-worker numbers list --gone
  flowroute-worker numbers list --changed-since 24h`,
		Args: noArguments(),
	}
	var q inventory.Query
	cmd.Flags().StringVar(&q.StartsWith, "starts-with", "", "digits at the beginning")
	cmd.Flags().BoolVar(&q.Gone, "gone", false, "those that the account had before, instead")
	changedSince := cmd.Flags().String("changed-since", "", "what changed from then on: how long ago, or a time like 2026-01-31T15:04:05Z")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if strings.Trim(strings.TrimPrefix(q.StartsWith, "+"), "0123456789") != "" {
			return &usageError{err: fmt.Errorf("--starts-with %.40q: give digits, like 206 or +1206", q.StartsWith), path: cmd.CommandPath()}
		}
		var since time.Time
		if *changedSince != "" {
			var err error
			if since, err = readTime(*changedSince, time.Now(), -1); err != nil {
				return &usageError{err: fmt.Errorf("--changed-since %w", err), path: cmd.CommandPath()}
			}
			if q.Gone {
				return &usageError{err: errors.New("give --gone or --changed-since, which lists those that went too"), path: cmd.CommandPath()}
			}
		}
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			store, err := inventory.New(d.rdb, inventory.Options{})
			if err != nil {
				return err
			}
			if !since.IsZero() {
				return listChanges(ctx, w, store, since, q.StartsWith, *jsonOut)
			}
			list := items[httpapi.NumberView]{Items: []httpapi.NumberView{}}
			for n, err := range store.Each(ctx, q) {
				if err != nil {
					return err
				}
				list.Items = append(list.Items, httpapi.ViewNumber(n))
			}
			if *jsonOut {
				return printJSON(w.out, list)
			}
			if err := printNumbers(w, list.Items); err != nil {
				return err
			}
			report, err := store.LastSync(ctx)
			if err == nil {
				fmt.Fprintln(w.errs, asOf("numbers", report.Started))
			}
			return err
		})
	}
	return cmd
}

// asOf says how old a stored copy is.
func asOf(what string, synced time.Time) string {
	if synced.IsZero() {
		return "no sync of " + what + " has run yet: the copy is filled by flowroute-worker run"
	}
	return fmt.Sprintf("as of the sync of %s", stamp(synced))
}

func printNumbers(w world, list []httpapi.NumberView) error {
	return table(w.out, []string{"NUMBER", "ALIAS", "TYPE", "MESSAGING", "PRIMARY", "FAILOVER", "GONE"}, func(row func(cells ...string)) {
		for _, n := range list {
			row(n.Number, orDash(n.Alias), orDash(n.Type), maybe(n.MessagingEnabled), routeID(n, n.PrimaryRoute), routeID(n, n.FailoverRoute), stamp(n.Gone))
		}
	})
}

func maybe(b *bool) string {
	if b == nil {
		return "?"
	}
	return yesNo(*b)
}

// routeID tells a number without a route from one whose routes are not known yet.
func routeID(n httpapi.NumberView, id string) string {
	if id == "" && n.DetailsRead.IsZero() {
		return "?"
	}
	return orDash(id)
}

func newNumbersShow(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NUMBER",
		Short: "Show one of the account's numbers",
		Long: `Show one of the account's numbers from the stored copy; with --live as Flowroute has it now,
which the copy then knows as well: so a number that was just bought elsewhere can be sent from.`,
		Example: `  flowroute-worker numbers show +12065550100
  flowroute-worker numbers show 2065550100 --live --json`,
		Args: takes(1, 1, "a number"),
	}
	live, jsonOut := cmd.Flags().Bool("live", false, "ask Flowroute"), asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		number, err := flowroute.ParseE164(args[0])
		if err != nil {
			return &usageError{err: err, path: cmd.CommandPath()}
		}
		var v httpapi.NumberView
		if *live {
			v, err = w.liveNumber(cmd.Context(), number)
		} else {
			err = w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
				v, err = storedNumber(ctx, d, number)
				return err
			})
		}
		if err != nil {
			return err
		}
		if *jsonOut {
			return printJSON(w.out, v)
		}
		return printNumber(w, v, *live)
	}
	return cmd
}

// liveNumber asks Flowroute, and has the copy know what it says.
func (w world) liveNumber(ctx context.Context, number flowroute.E164) (v httpapi.NumberView, err error) {
	err = w.atDesk(ctx, withCredentials, func(ctx context.Context, d *desk) error {
		store, err := inventory.New(d.rdb, inventory.Options{})
		if err != nil {
			return err
		}
		return explainAPI(d.withAPI(ctx, w.errs, func(ctx context.Context, api *flowroute.Client) error {
			n, err := store.Read(ctx, api, number)
			v = viewLive(n)
			return err
		}))
	})
	if errors.Is(err, flowroute.ErrNotFound) {
		err = fmt.Errorf("this number is not on the account: %w", err)
	}
	return v, err
}

func storedNumber(ctx context.Context, d *desk, number flowroute.E164) (httpapi.NumberView, error) {
	store, err := inventory.New(d.rdb, inventory.Options{})
	if err != nil {
		return httpapi.NumberView{}, err
	}
	n, err := store.Get(ctx, number)
	if errors.Is(err, inventory.ErrNotFound) {
		return httpapi.NumberView{}, fmt.Errorf("%s is not in the stored copy of the account's numbers; --live asks Flowroute", number)
	}
	if err != nil {
		return httpapi.NumberView{}, err
	}
	return httpapi.ViewNumber(n), nil
}

func printNumber(w world, v httpapi.NumberView, live bool) error {
	return table(w.out, nil, func(row func(cells ...string)) {
		known := v
		if live {
			known.DetailsRead = time.Now()
		}
		row("number", v.Number)
		row("alias", orDash(v.Alias))
		row("type", orDash(v.Type))
		row("rate center", orDash(v.RateCenter))
		row("state", orDash(v.State))
		row("messaging", maybe(v.MessagingEnabled))
		row("primary route", routeID(known, v.PrimaryRoute))
		row("failover route", routeID(known, v.FailoverRoute))
		if live {
			return
		}
		row("first seen", stamp(v.FirstSeen))
		row("last seen", stamp(v.LastSeen))
		if !v.Gone.IsZero() {
			row("gone", stamp(v.Gone))
		}
	})
}
