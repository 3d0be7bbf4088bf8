package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
)

func newRoutes(w world) *cobra.Command {
	return group("routes", "List and create inbound routes, set those of numbers",
		`List and create the account's inbound voice routes, and say which of them a number
takes. A route is where calls go: host:…, number:… or uri:….`,
		`  flowroute-worker routes list
  flowroute-worker routes set-primary +12065550100 host:sip.example.com:5060 --wait`,
		newRoutesList(w), newRoutesCreate(w), newSetRoute(w, "primary"), newSetRoute(w, "failover"))
}

// viewRoute is a route as Flowroute has just told it.
func viewRoute(r flowroute.Route) httpapi.RouteView {
	return httpapi.RouteView{ID: r.ID, Type: r.Type, Value: r.Value, Alias: r.Alias}
}

func newRoutesList(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the account's routes",
		Long:  "List the account's inbound routes from the stored copy; with --live as Flowroute has them now.",
		Example: `  flowroute-worker routes list
  flowroute-worker routes list --live --json`,
		Args: noArguments(),
	}
	live, jsonOut := cmd.Flags().Bool("live", false, "ask Flowroute"), asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list := items[httpapi.RouteView]{Items: []httpapi.RouteView{}}
		var err error
		if *live {
			err = w.askAPI(cmd.Context(), func(ctx context.Context, api *flowroute.Client) error {
				for r, err := range api.Routes(ctx, flowroute.RouteQuery{}) {
					if err != nil {
						return err
					}
					list.Items = append(list.Items, viewRoute(r))
				}
				return nil
			})
		} else {
			err = w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
				return storedRoutes(ctx, w, d, &list)
			})
		}
		if err != nil {
			return err
		}
		if *jsonOut {
			return printJSON(w.out, list)
		}
		return table(w.out, []string{"ID", "TYPE", "VALUE", "ALIAS"}, func(row func(cells ...string)) {
			for _, r := range list.Items {
				row(r.ID, string(r.Type), orDash(r.Value), orDash(r.Alias))
			}
		})
	}
	return cmd
}

func storedRoutes(ctx context.Context, w world, d *desk, list *items[httpapi.RouteView]) error {
	store, err := inventory.New(d.rdb, inventory.Options{})
	if err != nil {
		return err
	}
	routes, err := store.Routes(ctx)
	if err != nil {
		return err
	}
	for _, r := range routes {
		list.Items = append(list.Items, httpapi.ViewRoute(r))
	}
	report, err := store.LastSync(ctx)
	if err == nil {
		fmt.Fprintln(w.errs, asOf("numbers and routes", report.Started))
	}
	return err
}

func newRoutesCreate(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create TYPE:VALUE [--alias NAME]",
		Short: "Create an inbound route",
		Long: `Create an inbound route and print its id. Asks Flowroute at once, with a permit of the
shared limit. A route with this type and value that exists already is taken as it
is, so repeating the command is safe.

TYPE is host (a host or address, with optional port), number, or uri (sip:…).`,
		Example: `  flowroute-worker routes create host:sip.example.com:5060 --alias office
  flowroute-worker routes create number:+12065550123
  flowroute-worker routes create uri:sip:alice@sip.example.com`,
		Args: takes(1, 1, "a route as type:value"),
	}
	alias, jsonOut := cmd.Flags().String("alias", "", "its name, which Flowroute wants unique (default its value)"), asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		spec, err := checkedRoute(args[0], *alias)
		if err != nil {
			return err
		}
		var made flowroute.Route
		err = w.askAPI(cmd.Context(), func(ctx context.Context, api *flowroute.Client) error {
			made, err = createRoute(ctx, api, spec.Flowroute())
			return err
		})
		if err != nil {
			return err
		}
		if *jsonOut {
			return printJSON(w.out, viewRoute(made))
		}
		_, err = fmt.Fprintln(w.out, made.ID)
		return err
	}
	return cmd
}

// checkedRoute reads a route to be made, with the rules that jobs have.
func checkedRoute(text, alias string) (jobs.RouteSpec, error) {
	spec := routeSpec(text, alias)
	if spec == nil || spec.ID != "" {
		return jobs.RouteSpec{}, usagef("give the route as type:value, like host:sip.example.com:5060")
	}
	// Any number will do: the route alone is checked.
	err := jobs.RouteUpdate{Number: demoSender, Primary: spec}.Validate()
	if bad, ok := errors.AsType[*jobs.ValidationError](err); ok {
		return *spec, usagef("route: %s", bad.Problems[0].Message)
	}
	if flowroute.RouteType(spec.Type) == flowroute.RouteNumber {
		number, err := flowroute.ParseE164(spec.Value)
		if err != nil {
			return *spec, usagef("route: %w", err)
		}
		spec.Value = number.Digits()
	}
	if spec.Alias == "" {
		spec.Alias = spec.Value
	}
	return *spec, err
}

// createRoute makes a route unless there is one already. When the answer leaves
// it open whether it was made, or says that it exists, the list tells.
func createRoute(ctx context.Context, api *flowroute.Client, want flowroute.NewRoute) (flowroute.Route, error) {
	if found, err := findRoute(ctx, api, want); err != nil || found.ID != "" {
		return found, err
	}
	made, err := api.CreateRoute(ctx, want, flowroute.Write{})
	if err == nil && made.ID != "" || errors.Is(err, flowroute.ErrNotSent) {
		return made, err
	}
	found, lookErr := findRoute(ctx, api, want)
	switch {
	case lookErr == nil && found.ID != "":
		return found, nil
	case err == nil && lookErr == nil:
		err = errors.New("create route: accepted, but it is not in the list yet: see routes list --live")
	case errors.Is(err, flowroute.ErrOutcomeUnknown):
		err = fmt.Errorf("%w; repeat the command: it looks first whether the route is there", err)
	}
	return flowroute.Route{}, errors.Join(err, lookErr)
}

// findRoute is the route with that type and value; the zero Route when there is
// none.
func findRoute(ctx context.Context, api *flowroute.Client, want flowroute.NewRoute) (flowroute.Route, error) {
	for r, err := range api.Routes(ctx, flowroute.RouteQuery{Type: want.Type}) {
		if err != nil {
			return flowroute.Route{}, err
		}
		if r.Type == want.Type && r.Value == want.Value {
			return r, nil
		}
	}
	return flowroute.Route{}, nil
}

func newSetRoute(w world, slot string) *cobra.Command {
	when := map[string]string{"primary": "first", "failover": "when the primary route fails"}[slot]
	cmd := &cobra.Command{
		Use:   "set-" + slot + " NUMBER ROUTE",
		Short: "Set the " + slot + " route of a number (enqueued as a job)",
		Long: `Enqueue setting the ` + slot + ` route of one of the account's numbers, where calls go
` + when + `, and print the job's id. Updates of one number are done in the order in which
they were asked for.

ROUTE is an id (see routes list), or host:…, number:… or uri:…, which is looked up and
made if there is none.`,
		Example: `  flowroute-worker routes set-` + slot + ` +12065550100 83834 --wait
  flowroute-worker routes set-` + slot + ` +12065550100 host:sip.example.com:5060 --alias office`,
		Args: takes(2, 2, "a number and a route"),
	}
	alias := cmd.Flags().String("alias", "", "name of the route if it is made (default its value)")
	key := cmd.Flags().String("key", "", "makes the update idempotent")
	result := outcomeFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		u := jobs.RouteUpdate{Number: args[0], Key: *key}
		if slot == "primary" {
			u.Primary = routeSpec(args[1], *alias)
		} else {
			u.Failover = routeSpec(args[1], *alias)
		}
		if err := u.Validate(); err != nil {
			return err
		}
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			receipt, err := d.jobs.UpdateRoute(ctx, u)
			if err != nil {
				return err
			}
			return result.finish(ctx, w, d, receipt)
		})
	}
	return cmd
}
