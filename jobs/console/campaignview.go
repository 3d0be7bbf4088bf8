package console

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// campaignRow is a campaign in a list.
type campaignRow struct {
	ID, Name string // Name is never empty
	State    campaign.State
	Tone     string
	Brake    bool // it paused by itself
	Bar      []barPart
	Done, Of int
	Percent  string
	Rate     string // "4.8/s"; empty: nothing goes
	ETA      time.Time
	Left     string // "3 h" until then
	Note     string // why nothing goes: "begins in 2 h"
	Refused  string // share of the answered; empty: none was
	Bad      bool   // of them, so many that one should look
	Created  time.Time
	Ago      string
}

// barPart is one stretch of a bar of 0 to 100.
type barPart struct {
	X, Width string
	Tone     string
}

func campaignTone(s campaign.State) string {
	switch s {
	case campaign.Running:
		return "busy"
	case campaign.Done:
		return "good"
	case campaign.Paused:
		return "warn"
	case campaign.Failed:
		return "bad"
	}
	return ""
}

func viewRow(c *campaign.Campaign, now time.Time) campaignRow {
	row := campaignRow{
		ID: c.ID.String(), Name: cmp.Or(c.Spec.Name, "Campaign "+c.ID.String()[:8]), State: c.State, Tone: campaignTone(c.State),
		Brake: c.State == campaign.Paused && c.Pause.Brake, Bar: viewBar(c), Done: c.Rows - c.Left(), Of: c.Rows,
		Percent: percent(c.Rows-c.Left(), c.Rows), ETA: c.ETA(now), Created: c.Created, Ago: ago(c.Created, now),
	}
	if c.Rate > 0 {
		row.Rate = perSecond(c.Rate)
	}
	if !row.ETA.IsZero() {
		row.Left = span(max(0, row.ETA.Sub(now)))
	}
	row.Note = viewNote(c, now)
	refused := c.Jobs[ledger.Failed]
	row.Refused = percent(refused, refused+c.Posted())
	row.Bad = refused*100 > refused+c.Posted() // more than one in a hundred
	return row
}

// viewNote says why nothing goes; empty while something does, or could.
func viewNote(c *campaign.Campaign, now time.Time) string {
	switch {
	case c.State == campaign.Draft:
		return "upload not finished"
	case c.State == campaign.Scheduled:
		return "begins in " + span(c.Spec.StartAt.Sub(now))
	case c.State == campaign.Paused:
		return "for " + span(max(0, now.Sub(c.Pause.Since)))
	case c.State == campaign.Running && !c.WaitsUntil.IsZero():
		return "waits " + span(c.WaitsUntil.Sub(now)) + " for sending hours"
	case c.State.Over():
		return ago(c.Ended, now)
	}
	return ""
}

// viewBar lays the rows end to end by how they stand; those that wait are left empty.
func viewBar(c *campaign.Campaign) []barPart {
	var parts []barPart
	at := 0.0
	for _, of := range []struct {
		tone   string
		states []ledger.State
	}{
		{"good", []ledger.State{ledger.Accepted, ledger.Delivered, ledger.Done}},
		{"bad", []ledger.State{ledger.Failed, ledger.Undelivered}},
		{"quiet", []ledger.State{ledger.Expired, ledger.Cancelled, ledger.Blocked}},
		{"warn", []ledger.State{ledger.Unknown, ledger.Review}},
		{"busy", []ledger.State{ledger.Queued, ledger.Sending}},
	} {
		n := 0
		for _, state := range of.states {
			n += c.Jobs[state]
		}
		if n == 0 || c.Rows == 0 {
			continue
		}
		width := max(100*float64(n)/float64(c.Rows), 0.4) // so that it is seen
		parts = append(parts, barPart{decimal(at), decimal(width), of.tone})
		at += width
	}
	return parts
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// percent is a share; empty when it is one of nothing. Only all is 100%, only none is 0%.
func percent(n, of int) string {
	if of == 0 {
		return ""
	}
	share := 100 * float64(n) / float64(of)
	switch {
	case n == 0:
		return "0%"
	case share < 0.1:
		return "< 0.1%"
	case share < 10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", share), ".0") + "%"
	case n < of && share > 99:
		return "> 99%"
	}
	return fmt.Sprintf("%.0f%%", share)
}

// perSecond is a rate as people read it.
func perSecond(rate float64) string {
	text := fmt.Sprintf("%.1f", rate)
	if rate < 0.1 {
		text = fmt.Sprintf("%.3f", rate)
	}
	return strings.TrimSuffix(text, ".0") + "/s"
}

// mostActive bounds how many campaigns the overview shows.
const mostActive = 8

// viewActive lists those that are not over: what runs first, then what waits for a person.
func viewActive(active []*campaign.Campaign, now time.Time) campaignsView {
	rank := func(c *campaign.Campaign) int {
		return slices.Index([]campaign.State{campaign.Running, campaign.Paused, campaign.Scheduled}, c.State)
	}
	shown := slices.DeleteFunc(slices.Clone(active), func(c *campaign.Campaign) bool { return rank(c) < 0 })
	slices.SortFunc(shown, func(a, b *campaign.Campaign) int {
		return cmp.Or(rank(a)-rank(b), b.Created.Compare(a.Created), cmp.Compare(a.ID.String(), b.ID.String()))
	})
	v := campaignsView{Now: now, More: len(shown) > mostActive}
	for _, c := range shown[:min(len(shown), mostActive)] {
		v.Rows = append(v.Rows, viewRow(c, now))
	}
	return v
}

// brakeAlerts are the campaigns that have paused by themselves.
func brakeAlerts(active []*campaign.Campaign) []Alert {
	var alerts []Alert
	for _, c := range active {
		if c.State == campaign.Paused && c.Pause.Brake {
			alerts = append(alerts, Alert{
				Title: "Campaign paused by its brake: " + cmp.Or(c.Spec.Name, c.ID.String()[:8]), Detail: brakeText(c.Pause),
				Since: c.Pause.Since, Link: campaignAt(c.ID),
			})
		}
	}
	slices.SortFunc(alerts, func(a, b Alert) int { return a.Since.Compare(b.Since) })
	return alerts
}

// brakeText is why a brake acted.
func brakeText(p campaign.Pause) string {
	text := fmt.Sprintf("%s of its last %s messages were refused", thousands(p.Refused), thousands(p.Messages))
	if p.Reason != "" && p.Reason != ledger.ReasonRefused {
		text += ", the last one as " + string(p.Reason)
	}
	return text + "."
}

// parkedView is messages that wait beside the queues.
type parkedView struct {
	Parked
	Link, Name string // of the campaign
}

func viewParked(parked []Parked, active []*campaign.Campaign) []parkedView {
	var views []parkedView
	for _, p := range parked {
		if p.Messages == 0 {
			continue
		}
		v := parkedView{Parked: p}
		if !p.Campaign.IsZero() {
			v.Link, v.Name = campaignAt(p.Campaign), "campaign "+p.Campaign.String()[:8]
			if at := slices.IndexFunc(active, func(c *campaign.Campaign) bool { return c.ID == p.Campaign }); at >= 0 {
				v.Name = cmp.Or(active[at].Spec.Name, v.Name)
				if rate := active[at].Spec.Rate; rate > 0 && v.Limit == "" && !p.Held {
					v.Limit = perSecond(rate)
				}
			}
		}
		views = append(views, v)
	}
	slices.SortStableFunc(views, func(a, b parkedView) int { return b.Messages - a.Messages })
	return views
}
