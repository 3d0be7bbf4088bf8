package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

func newCampaignShow(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show how a campaign stands",
		Long: `Show how a campaign stands: recipients by state, how fast it goes and until when, what
it costs, why rows failed, and why it is paused.`,
		Example: `  flowroute-worker campaign show 3f6c2a17
  flowroute-worker campaign show 3f6c2a17 --json | jq .jobs`,
		Args: takes(1, 1, "a campaign's id"),
	}
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return w.ofCampaign(cmd, args[0], func(_ context.Context, _ *campaign.Store, c *campaign.Campaign) error {
			if *jsonOut {
				return printJSON(w.out, c.View())
			}
			return printCampaign(w.out, c, time.Now())
		})
	}
	return cmd
}

func printCampaign(out io.Writer, c *campaign.Campaign, now time.Time) error {
	room := max(80, columns(out)) - 14
	err := table(out, nil, func(row func(cells ...string)) {
		row("campaign", c.ID.String())
		if c.Spec.Name != "" {
			row("name", cutTo(c.Spec.Name, room))
		}
		row("state", stateText(c))
		for _, line := range pauseLines(c) {
			row("", line)
		}
		row("progress", progressText(c))
		if c.State == campaign.Running {
			row("rate", rateText(c))
			if text := etaText(c, now); text != "" {
				row("finish", text)
			}
		}
		row("from", cutTo(strings.Join(c.Spec.From, " "), room))
		row("template", cutTo(strings.ReplaceAll(c.Spec.Template, "\n", "⏎"), room))
		if !c.Spec.StartAt.IsZero() {
			row("starts", stamp(c.Spec.StartAt))
		}
		if !c.Spec.EndAt.IsZero() {
			row("ends", stamp(c.Spec.EndAt))
		}
		row("hours", hoursText(c))
		if text := putOffText(c); text != "" {
			row("", text)
		}
		row("rows", people(c.Rows))
		if skipped := leftOut(c.Skipped.Duplicate, c.Skipped.Blocked, c.Skipped.Invalid); skipped != "" {
			row("left out", strings.Trim(skipped, " ()"))
		}
		row("segments", fmt.Sprintf("%s, about %s in all", thousands(c.Segments), c.Estimate()))
		if c.CostOf > 0 {
			row("cost so far", fmt.Sprintf("%s, by the records of %s", c.Cost, many(c.CostOf, "message")))
		}
	})
	if err != nil {
		return err
	}
	return printCounts(out, c)
}

func stateText(c *campaign.Campaign) string {
	switch c.State {
	case campaign.Draft:
		return "draft: its upload is not finished; after 24 h without a sign it is given up"
	case campaign.Scheduled:
		return "scheduled"
	case campaign.Running:
		return "running since " + stamp(c.Started)
	case campaign.Paused:
		if c.Pause.Brake {
			return "paused by its brake since " + stamp(c.Pause.Since)
		}
		return "paused since " + stamp(c.Pause.Since)
	case campaign.Failed:
		return "failed: nobody finished its upload within 24 h (" + stamp(c.Ended) + ")"
	}
	return fmt.Sprintf("%s since %s", c.State, stamp(c.Ended))
}

// pauseLines say why it is paused and what to do.
func pauseLines(c *campaign.Campaign) []string {
	if c.State != campaign.Paused {
		return nil
	}
	resume := "flowroute-worker campaign resume " + c.ID.String()[:shortID]
	if !c.Pause.Brake {
		return []string{"it goes on with: " + resume}
	}
	lines := []string{brakeText(c.Pause)}
	if why := campaign.ReasonText(ledger.Failed, c.Pause.Reason); why != "" {
		lines = append(lines, why)
	}
	return append(lines,
		"see what was said: flowroute-worker campaign failures "+c.ID.String()[:shortID],
		"once that is mended: "+resume)
}

func brakeText(p campaign.Pause) string {
	return fmt.Sprintf("%s of its last %s were refused, the last one as %s", thousands(p.Refused), many(p.Messages, "message"), orDash(string(p.Reason)))
}

// progressText is how many rows have their outcome.
func progressText(c *campaign.Campaign) string {
	done := c.Rows - c.Left()
	share := 0
	if c.Rows > 0 {
		share = done * 100 / c.Rows
	}
	text := fmt.Sprintf("%s of %s done (%d%%)", thousands(done), thousands(c.Rows), share)
	if c.State.Over() && c.Waiting() > 0 {
		text += fmt.Sprintf("; to %s nothing was sent", thousands(c.Waiting()))
	}
	return text
}

func rateText(c *campaign.Campaign) string {
	text := "not known yet"
	if c.Rate > 0 {
		text = perSecond(c.Rate) + " now"
	}
	if c.Spec.Rate > 0 {
		text += ", its own limit is " + perSecond(c.Spec.Rate)
	}
	return text
}

func etaText(c *campaign.Campaign, now time.Time) string {
	eta := c.ETA(now)
	if eta.IsZero() {
		return ""
	}
	text := stamp(eta) + " (in " + span(eta.Sub(now)) + ")"
	if c.PutOff > 0 {
		text += ", or later for sending hours"
	}
	return text
}

func hoursText(c *campaign.Campaign) string {
	if c.Spec.SendingHours == "00:00-24:00" {
		return "always"
	}
	return c.Spec.SendingHours + " where the recipient is"
}

// putOffText is how many wait for their hours.
func putOffText(c *campaign.Campaign) string {
	switch {
	case c.PutOff == 0:
		return ""
	case c.WaitsUntil.IsZero():
		return people(c.PutOff) + " wait for that"
	}
	return fmt.Sprintf("all that are left, %s, wait for %s", people(c.PutOff), stamp(c.WaitsUntil))
}

// span is a time that something takes, as people say it.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()+0.5))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()+0.5))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%.1f days", d.Hours()/24)
}

// printCounts shows the rows by state, and why some failed.
func printCounts(out io.Writer, c *campaign.Campaign) error {
	if c.Rows == 0 {
		return nil
	}
	fmt.Fprintln(out, "\nrecipients")
	err := table(out, nil, func(row func(cells ...string)) {
		if n := c.Waiting(); n > 0 {
			row("  waiting", thousands(n))
		}
		for _, state := range ledger.States() {
			if n := c.Jobs[state]; n > 0 {
				row("  "+string(state), thousands(n)+meaning(state))
			}
		}
	})
	if err != nil || len(c.Failures) == 0 {
		return err
	}
	fmt.Fprintln(out, "\nwhy some got nothing")
	err = table(out, nil, func(row func(cells ...string)) {
		for _, f := range c.Failures {
			row("  "+string(f.State), orDash(string(f.Reason)), thousands(f.Count), campaign.ReasonText(f.State, f.Reason))
		}
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\nthese rows: flowroute-worker campaign failures %s\n", c.ID.String()[:shortID])
	return err
}

// change is a command that changes a campaign's state.
func newCampaignChange(w world, use, short, long string, do func(*campaign.Store, context.Context, ledger.ID) (campaign.State, error), says func(before *campaign.Campaign, now campaign.State) string) *cobra.Command {
	cmd := &cobra.Command{
		Use: use + " ID", Short: short, Long: long,
		Example: "  flowroute-worker campaign " + use + " 3f6c2a17",
		Args:    takes(1, 1, "a campaign's id"),
	}
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return w.ofCampaign(cmd, args[0], func(ctx context.Context, store *campaign.Store, before *campaign.Campaign) error {
			state, err := do(store, ctx, before.ID)
			if err != nil {
				return err
			}
			if *jsonOut {
				after, err := store.Get(ctx, before.ID)
				if err != nil {
					return err
				}
				return printJSON(w.out, after.View())
			}
			_, err = fmt.Fprintf(w.out, "%s: %s\n", state, says(before, state))
			return err
		})
	}
	return cmd
}

func newCampaignPause(w world) *cobra.Command {
	return newCampaignChange(w, "pause", "Stop a campaign for now",
		`Stop a campaign at once: nothing more of it is posted, except for the messages whose
request is on its way. Nothing is lost; campaign resume goes on where it stopped.`,
		(*campaign.Store).Pause, func(before *campaign.Campaign, _ campaign.State) string {
			if before.State == campaign.Paused {
				return "it was so already, since " + stamp(before.Pause.Since)
			}
			return fmt.Sprintf("%s; it goes on with: flowroute-worker campaign resume %s", progressText(before), before.ID.String()[:shortID])
		})
}

func newCampaignResume(w world) *cobra.Command {
	return newCampaignChange(w, "resume", "Let a paused campaign go on",
		`Let a paused campaign go on where it stopped. Where its brake had paused it, the brake
looks afresh: see to the reason first.`,
		(*campaign.Store).Resume, func(before *campaign.Campaign, now campaign.State) string {
			switch {
			case before.State == now:
				return "it was so already"
			case before.Pause.Brake:
				return "its brake had paused it at " + stamp(before.Pause.Since) + ", since " + brakeText(before.Pause)
			case now == campaign.Scheduled:
				return "it begins at " + stamp(before.Spec.StartAt)
			}
			return progressText(before)
		})
}

func newCampaignCancel(w world) *cobra.Command {
	return newCampaignChange(w, "cancel", "End a campaign for good",
		`End a campaign: what has not been posted never will be. It cannot be resumed; to stop
it for now there is campaign pause.`,
		(*campaign.Store).Cancel, func(before *campaign.Campaign, _ campaign.State) string {
			if before.State == campaign.Cancelled {
				return "it was so already, since " + stamp(before.Ended)
			}
			return fmt.Sprintf("%s, %s had none yet", progressText(before), people(before.Left()))
		})
}
