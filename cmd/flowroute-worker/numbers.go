package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
)

func newNumbers(w world) *cobra.Command {
	return group("numbers", "Find, buy, list and compare numbers",
		`Find numbers that are for sale, buy one, list those of the account, and hold them
against a file that says how they should be. What is for sale is asked of Flowroute,
with permits of the shared limit; the account's numbers come from the stored copy that
the numbers sync keeps.`,
		`  flowroute-worker numbers search --state WA --starts-with 206
  flowroute-worker numbers list --changed-since 24h
  flowroute-worker numbers drift numbers.csv`,
		newAreaCodes(w), newExchanges(w), newSearch(w), newNumbersList(w), newNumbersShow(w), newNumbersPurchase(w),
		newNumbersSync(w), newNumbersDrift(w), newNumbersApply(w))
}

// maxCostFlag is an upper bound for the price, as a text so that it is exact.
func maxCostFlag(cmd *cobra.Command) func() (*float64, error) {
	text := cmd.Flags().String("max-setup-cost", "", "in US dollars; Flowroute drops the fraction")
	return func() (*float64, error) {
		if *text == "" {
			return nil, nil
		}
		money, err := jobs.Decimal(*text).Money()
		if err != nil {
			return nil, &usageError{err: fmt.Errorf("--max-setup-cost %.40q %w", *text, err), path: cmd.CommandPath()}
		}
		dollars := float64(money) / 1e9
		return &dollars, nil
	}
}

// codeView is an area code or an exchange as JSON.
type codeView struct {
	ID string `json:"id"`
}

type items[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next_cursor,omitempty"`
}

// printCodes prints ids, as many in a line as fit.
func printCodes(w world, ids []string, jsonOut bool) error {
	if jsonOut {
		list := items[codeView]{Items: make([]codeView, len(ids))}
		for i, id := range ids {
			list.Items[i].ID = id
		}
		return printJSON(w.out, list)
	}
	const inLine = 12
	for len(ids) > 0 {
		n := min(inLine, len(ids))
		if _, err := fmt.Fprintln(w.out, clean(strings.Join(ids[:n], "  "))); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

func newAreaCodes(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "areacodes",
		Short:   "List area codes with numbers for sale",
		Long:    "List the area codes in which numbers are for sale. Asks Flowroute.",
		Example: "  flowroute-worker numbers areacodes --max-setup-cost 1",
		Args:    noArguments(),
	}
	cost, jsonOut := maxCostFlag(cmd), asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		most, err := cost()
		if err != nil {
			return err
		}
		return w.askAPI(cmd.Context(), func(ctx context.Context, api *flowroute.Client) error {
			var ids []string
			for code, err := range api.AreaCodes(ctx, flowroute.AreaCodeQuery{MaxSetupCost: most}) {
				if err != nil {
					return err
				}
				ids = append(ids, code.ID)
			}
			return printCodes(w, ids, *jsonOut)
		})
	}
	return cmd
}

func newExchanges(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "exchanges [--area-code CODE]",
		Short:   "List exchanges with numbers for sale",
		Long:    "List the area codes with exchange (NPA-NXX) in which numbers are for sale. Asks Flowroute.",
		Example: "  flowroute-worker numbers exchanges --area-code 206",
		Args:    noArguments(),
	}
	area := cmd.Flags().String("area-code", "", "three digits, like 206")
	cost, jsonOut := maxCostFlag(cmd), asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		most, err := cost()
		if err != nil {
			return err
		}
		return w.askAPI(cmd.Context(), func(ctx context.Context, api *flowroute.Client) error {
			var ids []string
			for exchange, err := range api.Exchanges(ctx, flowroute.ExchangeQuery{AreaCode: *area, MaxSetupCost: most}) {
				if err != nil {
					return err
				}
				ids = append(ids, exchange.ID)
			}
			return printCodes(w, ids, *jsonOut)
		})
	}
	return cmd
}

// askAPI is for commands that read from Flowroute alone.
func (w world) askAPI(ctx context.Context, do func(ctx context.Context, api *flowroute.Client) error) error {
	return w.atDesk(ctx, withCredentials, func(ctx context.Context, d *desk) error {
		return explainAPI(d.withAPI(ctx, w.errs, do))
	})
}

// availableView is a number for sale as JSON.
type availableView struct {
	Number      string `json:"number"`
	Type        string `json:"type,omitempty"`
	RateCenter  string `json:"rate_center,omitempty"`
	State       string `json:"state,omitempty"`
	SetupCost   string `json:"setup_cost"` // US dollars
	MonthlyCost string `json:"monthly_cost"`
}

func newSearch(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "search [--starts-with DIGITS] [--state ST] …",
		Short: "Search numbers for sale",
		Long: `Search the numbers that are for sale. Asks Flowroute. Finding a number does not
reserve it: numbers purchase with the same flags buys the first that fits.`,
		Example: `  flowroute-worker numbers search --state WA --starts-with 206 --limit 5
  flowroute-worker numbers search --type toll-free --contains 777 --json`,
		Args: noArguments(),
	}
	q, limit := searchFlags(cmd), cmd.Flags().Int("limit", 20, "how many to show; 0 is all")
	order := cmd.Flags().String("order-by", "", "tn, monthly_cost, state, rate_center or number_type, then ,asc or ,desc")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *limit < 0 {
			return &usageError{err: errors.New("--limit: give a number from 0"), path: cmd.CommandPath()}
		}
		search := flowroute.NumberSearch{
			StartsWith: q.StartsWith, Contains: q.Contains, EndsWith: q.EndsWith,
			RateCenter: q.RateCenter, State: q.State, NumberType: q.NumberType, OrderBy: *order,
		}
		if *limit > 0 {
			search.Limit = min(*limit, 200)
		}
		return w.askAPI(cmd.Context(), func(ctx context.Context, api *flowroute.Client) error {
			list := items[availableView]{Items: []availableView{}}
			for n, err := range api.AvailableNumbers(ctx, search) {
				if err != nil {
					return err
				}
				list.Items = append(list.Items, availableView{n.Number.String(), n.Type, n.RateCenter, n.State, n.SetupCost.String()[1:], n.MonthlyCost.String()[1:]})
				if len(list.Items) == *limit {
					break
				}
			}
			if *jsonOut {
				return printJSON(w.out, list)
			}
			return printAvailable(w, list.Items)
		})
	}
	return cmd
}

// searchFlags are those of search and purchase.
func searchFlags(cmd *cobra.Command) *jobs.NumberSearch {
	s := &jobs.NumberSearch{}
	flags := cmd.Flags()
	flags.StringVar(&s.StartsWith, "starts-with", "", "digits at its beginning, with or without the leading 1")
	flags.StringVar(&s.Contains, "contains", "", "digits anywhere")
	flags.StringVar(&s.EndsWith, "ends-with", "", "digits at its end")
	flags.StringVar(&s.State, "state", "", "two letters, like WA")
	flags.StringVar(&s.RateCenter, "rate-center", "", "like seattle; needs --state")
	flags.StringVar(&s.NumberType, "type", "", "longcode or toll-free")
	return s
}

func printAvailable(w world, list []availableView) error {
	if len(list) == 0 {
		fmt.Fprintln(w.errs, "no number for sale fits")
		return nil
	}
	return table(w.out, []string{"NUMBER", "TYPE", "RATE CENTER", "STATE", "SETUP $", "MONTHLY $"}, func(row func(cells ...string)) {
		for _, n := range list {
			row(n.Number, n.Type, orDash(n.RateCenter), orDash(n.State), n.SetupCost, n.MonthlyCost)
		}
	})
}
