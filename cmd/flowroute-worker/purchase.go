package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

const purchaseLong = `Enqueue the purchase of one number, by the number itself or by what it must look
like, and print the job's id. A worker buys it: at most one number for each job,
also when an answer is lost. Money is spent at once; --max-setup-cost and
--max-monthly-cost bound it.

A route is an id (see routes list), or host:…, number:… or uri:…, which is looked up
and made if there is none.`

func newNumbersPurchase(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "purchase [NUMBER] [--starts-with DIGITS …]",
		Short: "Buy a number (enqueued as a job)",
		Long:  purchaseLong,
		Example: `  flowroute-worker numbers purchase +12065550130 --max-setup-cost 1 --wait
  flowroute-worker numbers purchase --state WA --starts-with 206 --alias office --messaging --key office-line
  flowroute-worker numbers purchase --type toll-free --primary-route host:sip.example.com:5060`,
		Args: takes(0, 1, "one number, or flags that say what it must look like"),
	}
	var p jobs.Purchase
	search := searchFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar((*string)(&p.MaxSetupCost), "max-setup-cost", "", "the most it may cost at once, in US dollars (default no bound)")
	flags.StringVar((*string)(&p.MaxMonthlyCost), "max-monthly-cost", "", "the most it may cost a month, in US dollars (default no bound)")
	flags.StringVar(&p.Alias, "alias", "", "a name for it")
	messaging := flags.Bool("messaging", false, "enable messaging")
	primary := flags.String("primary-route", "", "where calls go: an id, or type:value")
	failover := flags.String("failover-route", "", "where calls go when the primary route fails")
	flags.StringVar(&p.Key, "key", "", "makes the purchase idempotent")
	result := outcomeFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			p.Number = args[0]
		}
		if *search != (jobs.NumberSearch{}) {
			p.Search = search
		}
		if cmd.Flags().Changed("messaging") {
			p.MessagingEnabled = messaging
		}
		p.PrimaryRoute, p.FailoverRoute = routeSpec(*primary, ""), routeSpec(*failover, "")
		if err := p.Validate(); err != nil {
			return err
		}
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			receipt, err := d.jobs.Purchase(ctx, p)
			if err != nil {
				return err
			}
			return result.finish(ctx, w, d, receipt)
		})
	}
	return cmd
}

// routeSpec reads a route: an id, or type:value; nil for none. What it is worth
// is for the jobs' own checks to say.
func routeSpec(text, alias string) *jobs.RouteSpec {
	if text == "" {
		return nil
	}
	kind, value, found := strings.Cut(text, ":")
	if !found {
		return &jobs.RouteSpec{ID: text, Alias: alias}
	}
	return &jobs.RouteSpec{Type: kind, Value: value, Alias: alias}
}
