package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const campaignLong = `One text to many people: recipients from a CSV or NDJSON file, a template with
fields of their rows, and as fast as the account's limit, or the campaign's own,
allows.

Where an ID is asked for, its first 8 characters will do.`

func newCampaign(w world) *cobra.Command {
	return group("campaign", "Send one text to many people", campaignLong, `  flowroute-worker campaign create --file people.csv --from +12065550100 --template 'Hi {{name}}!' --dry-run
  flowroute-worker campaign create --file people.csv --from +12065550100 --template 'Hi {{name}}!'
  flowroute-worker campaign list
  flowroute-worker campaign pause 3f6c2a17`,
		newCampaignCreate(w), newCampaignList(w), newCampaignShow(w),
		newCampaignPause(w), newCampaignResume(w), newCampaignCancel(w),
		newCampaignFailures(w), newCampaignResend(w))
}

// withCampaigns gives do the campaigns.
func (w world) withCampaigns(cmd *cobra.Command, do func(ctx context.Context, d *desk, store *campaign.Store) error) error {
	err := w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
		store, err := d.newCampaigns(d.rdb, d.senders)
		if err != nil {
			return err
		}
		return do(ctx, d, store)
	})
	if errors.Is(err, campaign.ErrNotFound) {
		err = fmt.Errorf("%w; campaigns are kept for LEDGER_RETENTION after their end: see flowroute-worker campaign list", err)
	}
	return err
}

// ofCampaign gives do the campaign that was named by its id, or the beginning of it.
func (w world) ofCampaign(cmd *cobra.Command, name string, do func(ctx context.Context, store *campaign.Store, c *campaign.Campaign) error) error {
	return w.withCampaigns(cmd, func(ctx context.Context, _ *desk, store *campaign.Store) error {
		c, err := findCampaign(ctx, store, name)
		if usage, bad := errors.AsType[*usageError](err); bad {
			usage.path = cmd.CommandPath()
		}
		if err != nil {
			return err
		}
		return do(ctx, store, c)
	})
}

// shortID is how much of an id is shown, and at least wanted.
const shortID = 8

// findCampaign reads the campaign with an id, or with the only one that begins so.
func findCampaign(ctx context.Context, store *campaign.Store, name string) (*campaign.Campaign, error) {
	name = strings.ToLower(name)
	if id, err := ledger.ParseID(name); err == nil {
		return store.Get(ctx, id)
	}
	if len(name) < shortID || len(name) > 36 || strings.Trim(name, "0123456789abcdef-") != "" {
		return nil, usagef("%.60q is no campaign's id: give it, or its first %d characters, as campaign list shows it", name, shortID)
	}
	var found []*campaign.Campaign
	err := everyCampaign(ctx, store, func(c *campaign.Campaign) bool {
		if strings.HasPrefix(c.ID.String(), name) {
			found = append(found, c)
		}
		return true
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fmt.Errorf("%s: %w", name, campaign.ErrNotFound)
	case len(found) > 1:
		return nil, usagef("%s is the beginning of several: %s and %s", name, found[0].ID, found[1].ID)
	}
	return found[0], nil
}

// everyCampaign calls is with each, the newest first, until it says false.
func everyCampaign(ctx context.Context, store *campaign.Store, is func(*campaign.Campaign) bool) error {
	for after := (ledger.ID{}); ; {
		page, next, err := store.List(ctx, campaign.MaxPage, after)
		if err != nil {
			return err
		}
		for _, c := range page {
			if !is(c) {
				return nil
			}
		}
		if next.IsZero() {
			return nil
		}
		after = next
	}
}

func newCampaignList(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the campaigns",
		Long: `List the campaigns, the newest first: how many of the recipients have their outcome,
and how fast it goes. IDs are cut to what the other commands need; --json has them whole.`,
		Example: `  flowroute-worker campaign list
  flowroute-worker campaign list --state running,paused --json | jq -r '.items[].id'`,
		Args: noArguments(),
	}
	limit := cmd.Flags().Int("limit", 50, "how many at most")
	words := cmd.Flags().StringSlice("state", nil, "those in this state, or one of these")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *limit < 1 || *limit > campaign.MaxPage {
			return &usageError{err: fmt.Errorf("--limit: give a number from 1 to %d", campaign.MaxPage), path: cmd.CommandPath()}
		}
		states, err := campaignStates(*words)
		if err != nil {
			return &usageError{err: err, path: cmd.CommandPath()}
		}
		return w.withCampaigns(cmd, func(ctx context.Context, _ *desk, store *campaign.Store) error {
			var found []*campaign.Campaign
			more := false
			err := everyCampaign(ctx, store, func(c *campaign.Campaign) bool {
				if len(states) > 0 && !slices.Contains(states, c.State) {
					return true
				}
				if more = len(found) == *limit; !more {
					found = append(found, c)
				}
				return !more
			})
			if err != nil {
				return err
			}
			if *jsonOut {
				list := items[campaign.View]{Items: make([]campaign.View, len(found))}
				for i, c := range found {
					list.Items[i] = c.View()
				}
				return printJSON(w.out, list)
			}
			if more {
				defer fmt.Fprintln(w.errs, "there are more: --limit")
			}
			return printCampaigns(w.out, found, len(states) > 0)
		})
	}
	return cmd
}

func campaignStates(words []string) ([]campaign.State, error) {
	var states []campaign.State
	for _, word := range words {
		if !slices.Contains(campaign.States(), campaign.State(word)) {
			return nil, fmt.Errorf("--state: there is no state %.40q; there are %v", word, campaign.States())
		}
		states = append(states, campaign.State(word))
	}
	return states, nil
}

func printCampaigns(out io.Writer, list []*campaign.Campaign, some bool) error {
	if len(list) == 0 {
		text := "there is no campaign yet: flowroute-worker campaign create"
		if some {
			text = "there is no such campaign"
		}
		_, err := fmt.Fprintln(out, text)
		return err
	}
	header := []string{"ID", "STATE", "DONE", "OF", "RATE", "CREATED", "NAME"}
	rows := make([][]string, len(list))
	ids := shortIDs(list)
	widths := make([]int, len(header))
	for i, title := range header {
		widths[i] = len(title)
	}
	for i, c := range list {
		rows[i] = []string{ids[i], string(c.State), thousands(c.Rows - c.Left()), thousands(c.Rows), "-", c.Created.UTC().Format(time.DateOnly), orDash(clean(c.Spec.Name))}
		if c.Rate > 0 {
			rows[i][4] = perSecond(c.Rate)
		}
		for at, cell := range rows[i] {
			widths[at] = max(widths[at], len(cell))
		}
	}
	room := max(80, columns(out))
	for _, width := range widths[:len(widths)-1] {
		room -= width + 2
	}
	return table(out, header, func(row func(cells ...string)) {
		for _, cells := range rows {
			cells[6] = cutTo(cells[6], max(room, 8))
			row(cells...)
		}
	})
}

// shortIDs cuts the ids of a list to the length at which they differ, and at least to the
// usual one.
func shortIDs(list []*campaign.Campaign) []string {
	ids := make([]string, len(list))
	for length := shortID; ; length++ {
		seen := map[string]bool{}
		for i, c := range list {
			ids[i] = c.ID.String()[:length]
			seen[ids[i]] = true
		}
		if len(seen) == len(list) || length == 36 {
			return ids
		}
	}
}

// perSecond is a rate as people read it.
func perSecond(rate float64) string {
	text := fmt.Sprintf("%.1f", rate)
	if rate < 0.1 {
		text = fmt.Sprintf("%.3f", rate)
	}
	return strings.TrimSuffix(text, ".0") + "/s"
}
