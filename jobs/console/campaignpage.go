package console

import (
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// campaignView is one campaign as its page shows it.
type campaignView struct {
	campaignRow
	View   campaign.View
	Now    time.Time
	Notice string // something that could not be done
	Unread string // why nothing can be shown
	May    struct{ Pause, Resume, Cancel bool }

	Alert alertView // why it does not go on, and what to do
	Tiles []campaignTile
	Rest  int // rows without an outcome

	States   []stateRow
	Reasons  []reasonRow
	Times    []timeRow
	OwnRate  string
	Hours    string // empty: always
	Segments string // of a message, on average
	Failed   failureTable
}

// campaignTile is one figure.
type campaignTile struct{ Label, Value, Hint, Tone string }

// stateRow is how many rows are in a state.
type stateRow struct {
	State, Tone, Share, Meaning string
	N                           int
}

// reasonRow is how many rows got nothing, and why.
type reasonRow struct {
	State   ledger.State
	Tone    string
	Reason  ledger.Reason
	N       int
	Meaning string
}

type timeRow struct {
	What  string
	At    time.Time
	Since string // "3 h ago", "in 2 h"
}

func viewCampaign(c *campaign.Campaign, now time.Time) campaignView {
	v := campaignView{campaignRow: viewRow(c, now), View: c.View(), Now: now, Rest: c.Left()}
	v.May.Pause = c.State == campaign.Running || c.State == campaign.Scheduled
	v.May.Resume = c.State == campaign.Paused
	v.May.Cancel = !c.State.Over()
	v.Alert = viewHalt(c, now)
	v.Tiles = viewCampaignTiles(c, v)
	v.States = viewStates(c)
	for _, f := range c.Failures {
		v.Reasons = append(v.Reasons, reasonRow{f.State, tone(f.State), f.Reason, f.Count, campaign.ReasonText(f.State, f.Reason)})
	}
	for _, t := range []timeRow{
		{What: "Created", At: c.Created}, {What: "To begin", At: c.Spec.StartAt}, {What: "Began", At: c.Started},
		{What: "To end", At: c.Spec.EndAt}, {What: "Over", At: c.Ended},
	} {
		if t.At.IsZero() {
			continue
		}
		if t.Since = ago(t.At, now); t.At.After(now) {
			t.Since = "in " + span(t.At.Sub(now))
		}
		v.Times = append(v.Times, t)
	}
	if c.Spec.Rate > 0 {
		v.OwnRate = perSecond(c.Spec.Rate)
	}
	if c.Spec.SendingHours != "00:00-24:00" {
		v.Hours = c.Spec.SendingHours
	}
	if c.Rows > 0 {
		v.Segments = strings.TrimSuffix(decimal(float64(c.Segments)/float64(c.Rows)), ".00")
	}
	return v
}

// viewHalt says why the campaign does not go on, and what to do.
func viewHalt(c *campaign.Campaign, now time.Time) alertView {
	switch {
	case c.State == campaign.Paused && c.Pause.Brake:
		detail := brakeText(c.Pause)
		if why := campaign.ReasonText(ledger.Failed, c.Pause.Reason); why != "" && c.Pause.Reason != ledger.ReasonRefused {
			detail += " That means: " + why + "."
		}
		return alertView{
			Title: "Paused by its brake", For: span(max(0, now.Sub(c.Pause.Since))), Severe: true,
			Detail: detail + " See below what was said, and mend that first. Then resume it: it goes on where it stopped, nobody is texted twice, " +
				"and the brake begins to count afresh. Or cancel it.",
		}
	case c.State == campaign.Paused:
		return alertView{
			Title: "Paused by a person", For: span(max(0, now.Sub(c.Pause.Since))),
			Detail: "Nothing more is posted but what was on its way already. Resumed, it goes on where it stopped; nobody is texted twice.",
		}
	case c.State == campaign.Draft:
		return alertView{Title: "Its recipients are not all there yet",
			Detail: "It begins when its upload is finished and it is started. Nothing for 24 hours, and it is given up as failed."}
	case c.State == campaign.Failed:
		return alertView{Title: "Given up", Detail: "Nobody finished its upload within 24 hours. Nothing was sent."}
	case c.State == campaign.Running && !c.WaitsUntil.IsZero():
		return alertView{Title: "Waits for the hours of its recipients",
			Detail: "All that are left wait for their sending hours; the next of them may be texted at " + when(c.WaitsUntil) + ", in " + span(c.WaitsUntil.Sub(now)) + "."}
	}
	return alertView{}
}

func viewCampaignTiles(c *campaign.Campaign, v campaignView) []campaignTile {
	rate := campaignTile{Label: "Rate now", Value: orDash(v.Rate), Hint: "messages a second"}
	switch {
	case v.Rate != "":
		rate.Tone = "busy"
	case c.State == campaign.Running:
		rate.Hint = "nothing went in the last seconds"
	}
	if c.Spec.Rate > 0 {
		rate.Hint = "its own limit is " + perSecond(c.Spec.Rate)
	}
	end := campaignTile{Label: "Time left", Value: orDash(v.Left), Hint: "at the present rate"}
	switch {
	case !v.ETA.IsZero() && c.PutOff > 0:
		end.Hint = "done " + when(v.ETA) + ", or later for sending hours"
	case !v.ETA.IsZero():
		end.Hint = "done " + when(v.ETA)
	case c.State.Over():
		end.Hint = "it is over"
	}
	refused := campaignTile{Label: "Refused", Value: orDash(v.Refused), Hint: "of what was answered"}
	if v.Bad {
		refused.Tone = "bad"
	}
	cost := campaignTile{Label: "Cost so far", Value: "–", Hint: "no records of it yet; estimate " + c.Estimate().String()}
	if c.CostOf > 0 {
		cost.Value, cost.Hint = c.Cost.String(), "by the records of "+thousands(c.CostOf)+"; estimate of all "+c.Estimate().String()
	}
	return []campaignTile{rate, end, refused, cost}
}

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

func viewStates(c *campaign.Campaign) []stateRow {
	var rows []stateRow
	if n := c.Waiting(); n > 0 {
		meaning := "not begun yet"
		if c.State.Over() {
			meaning = "nothing was sent to them"
		}
		rows = append(rows, stateRow{State: "waiting", Share: percent(n, c.Rows), Meaning: meaning, N: n})
	}
	for _, state := range ledger.States() {
		if n := c.Jobs[state]; n > 0 {
			rows = append(rows, stateRow{string(state), tone(state), percent(n, c.Rows), stateText(state), n})
		}
	}
	return rows
}

// stateText says what a state means for a row of a campaign.
func stateText(s ledger.State) string {
	switch s {
	case ledger.Queued:
		return "about to be sent"
	case ledger.Sending:
		return "request sent, answer to come"
	case ledger.Unknown:
		return "answer lost; the records will tell"
	case ledger.Accepted:
		return "Flowroute took it"
	case ledger.Delivered:
		return "the carrier says it arrived"
	case ledger.Undelivered:
		return "the carrier did not deliver it"
	case ledger.Failed:
		return "refused, or surely not sent"
	case ledger.Expired:
		return "its time was over"
	case ledger.Cancelled:
		return "nothing was sent"
	case ledger.Blocked:
		return "the recipient has opted out"
	case ledger.Review:
		return "a person must decide"
	}
	return ""
}
