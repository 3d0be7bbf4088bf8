package console

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// A tone colours what it is about: good, busy, warn, bad, or quiet (empty).
func tone(s ledger.State) string {
	switch s {
	case ledger.Accepted, ledger.Delivered, ledger.Done:
		return "good"
	case ledger.Queued, ledger.Sending:
		return "busy"
	case ledger.Unknown, ledger.Review:
		return "warn"
	case ledger.Failed, ledger.Undelivered:
		return "bad"
	}
	return ""
}

// tile is one big number.
type tile struct {
	Label, Hint, Tone string
	Value             int64
}

func viewTiles(counts map[ledger.Type]map[ledger.State]int64) []tile {
	sum := func(states ...ledger.State) (n int64) {
		for _, byState := range counts {
			for _, state := range states {
				n += byState[state]
			}
		}
		return n
	}
	tiles := []tile{
		{"Waiting", "queued, due now or later", "busy", sum(ledger.Queued)},
		{"On the wire", "request sent, answer to come", "busy", sum(ledger.Sending)},
		{"Unknown", "answer lost; the records will tell", "warn", sum(ledger.Unknown)},
		{"For review", "a person must decide", "warn", sum(ledger.Review)},
		{"Succeeded", "accepted, delivered or done", "good", sum(ledger.Accepted, ledger.Delivered, ledger.Done)},
		{"Failed", "refused or undelivered", "bad", sum(ledger.Failed, ledger.Undelivered)},
	}
	for i := range tiles {
		if tiles[i].Value == 0 {
			tiles[i].Tone = ""
		}
	}
	return tiles
}

// jobTable has a row for each type of job and a column for each state.
type jobTable struct {
	States []ledger.State
	Rows   []jobRow
}

type jobRow struct {
	Type  ledger.Type
	Cells []jobCell
}

type jobCell struct {
	State ledger.State
	Tone  string
	N     int64
}

// viewJobs leaves out what there is none of, but for what everybody looks for.
func viewJobs(counts map[ledger.Type]map[ledger.State]int64) jobTable {
	var table jobTable
	for _, state := range ledger.States() {
		wanted := slices.Contains([]ledger.State{ledger.Queued, ledger.Sending, ledger.Unknown, ledger.Accepted, ledger.Done, ledger.Failed}, state)
		for _, byState := range counts {
			wanted = wanted || byState[state] > 0
		}
		if wanted {
			table.States = append(table.States, state)
		}
	}
	for _, jobType := range ledger.Types() {
		if counts[jobType] == nil && !slices.Contains([]ledger.Type{ledger.SendMessage, ledger.PurchaseNumber, ledger.RouteUpdate}, jobType) {
			continue
		}
		row := jobRow{Type: jobType}
		for _, state := range table.States {
			cell := jobCell{State: state, N: counts[jobType][state]}
			if cell.N > 0 {
				cell.Tone = tone(state)
			}
			row.Cells = append(row.Cells, cell)
		}
		table.Rows = append(table.Rows, row)
	}
	return table
}

type limitView struct {
	Limit
	Dots   []bool // one for each permit, true when it is out; none when there are many
	Paused string // for how much longer nobody gets one
}

const maxDots = 20

func viewLimits(limits []Limit, now time.Time) []limitView {
	views := make([]limitView, len(limits))
	for i, limit := range limits {
		views[i].Limit = limit
		if limit.Permits > 0 && limit.Permits <= maxDots {
			views[i].Dots = make([]bool, limit.Permits)
			for dot := range min(limit.Out, limit.Permits) {
				views[i].Dots[dot] = true
			}
		}
		if left := limit.Penalized.Sub(now); left > 0 {
			views[i].Paused = span(left)
		}
	}
	return views
}

type queueView struct {
	Name                                        string
	Pending, Active, Scheduled, Retry, Archived int
	Paused                                      bool
	Wait                                        string // of the oldest pending task
}

type syncView struct {
	Sync
	Ago, In string
}

func viewSyncs(syncs []Sync, now time.Time) []syncView {
	views := make([]syncView, len(syncs))
	for i, s := range syncs {
		views[i] = syncView{Sync: s, Ago: ago(s.Last, now)}
		if !s.Next.IsZero() {
			views[i].In = span(max(0, s.Next.Sub(now)))
		}
	}
	return views
}

type alertView struct {
	Title, Detail string
	For           string // how long it has been so
	Severe        bool
	Link          string
}

func viewAlerts(alerts []Alert, now time.Time) []alertView {
	views := make([]alertView, len(alerts))
	for i, a := range alerts {
		views[i] = alertView{Title: a.Title, Detail: a.Detail, Severe: a.Severe, Link: a.Link}
		if !a.Since.IsZero() {
			views[i].For = span(max(0, now.Sub(a.Since)))
		}
	}
	return views
}

type eventView struct {
	At     time.Time
	Ago    string
	Job    string
	Type   ledger.Type
	State  ledger.State
	Reason ledger.Reason
	Tone   string
	To     string // masked
}

// ago is how long something is past; empty when it never was.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	// Redis' clock may be ahead of ours.
	return span(max(0, now.Sub(t))) + " ago"
}

// span is a duration as people say it: its largest unit.
func span(d time.Duration) string {
	switch {
	case d <= 0:
		return "0 s"
	case d < time.Second:
		return "< 1 s"
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " days"
}

// thousands writes 1234567 as 1,234,567.
func thousands(n any) string {
	var text string
	switch n := n.(type) {
	case int:
		text = strconv.Itoa(n)
	case int64:
		text = strconv.FormatInt(n, 10)
	}
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// when is a time in full, for people.
func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

// stamp is for machines, and for those who point at a time.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
