package torture

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Report is what a run found.
type Report struct {
	Seed  uint64  `json:"seed"`
	Scale float64 `json:"scale"`
	Fsync Fsync   `json:"fsync"`
	Late  bool    `json:"late"`

	Verdict
	Rested bool `json:"rested"` // everything came to rest in time

	Messages  int `json:"messages"` // asked for
	Twins     int `json:"twins"`    // of them, those whose text was asked for more than once
	NoKey     int `json:"no_key"`
	Rows      int `json:"rows"` // of campaigns, of the messages
	Campaigns int `json:"campaigns"`
	Pauses    int `json:"pauses"` // of campaigns
	Purchases int `json:"purchases"`
	Updates   int `json:"updates"`
	Repeated  int `json:"repeated"` // asked for again after a rollback

	Accepted int `json:"accepted"` // messages, by the account
	Sold     int `json:"sold"`     // numbers, by the account
	// Ambiguous is the share of messages whose outcome was not certain at some time.
	Ambiguous float64                              `json:"ambiguous_share"`
	States    map[ledger.Type]map[ledger.State]int `json:"states"`
	Reasons   map[ledger.Reason]int                `json:"review_reasons"`
	Failures  map[ledger.Reason]int                `json:"failure_reasons"` // of messages that were not sent
	OverLimit int                                  `json:"over_limit"`      // attempts refused by the account's limits
	Spoiled   int64                                `json:"spoiled"`         // faults that happened at the API
	Faults    int                                  `json:"faults"`          // kinds of them

	Kills          int            `json:"kills"`
	Aimed          map[string]int `json:"aimed"` // of them, by the point where a worker was
	Actions        map[Action]int `json:"actions"`
	Skipped        map[Action]int `json:"skipped,omitempty"`
	LateRequests   int            `json:"late_requests"` // delivered after their client had gone
	DroppedReplies int            `json:"dropped_replies"`
	CutBytes       int64          `json:"cut_bytes"`

	TroubleSeconds float64  `json:"trouble_seconds"`
	RestSeconds    float64  `json:"rest_seconds"`
	Notes          []string `json:"notes,omitempty"`
}

func newReport(o Options, e Evidence, v Verdict) Report {
	r := Report{
		Seed: o.Seed, Scale: o.Scale, Fsync: o.Fsync, Late: o.Late, Verdict: v,
		Accepted: len(e.Truth.Messages), Sold: len(e.Truth.Purchases),
		States: map[ledger.Type]map[ledger.State]int{}, Reasons: map[ledger.Reason]int{}, Failures: map[ledger.Reason]int{},
	}
	texts := map[string]int{}
	for _, a := range e.Asked {
		switch {
		case a.Message != nil:
			r.Messages++
			texts[groupKey(a.Message.From, a.Message.To, a.Message.Body, false)]++
			if a.Key() == "" {
				r.NoKey++
			}
			if a.Row {
				r.Rows++
			}
		case a.Purchase != nil:
			r.Purchases++
		case a.Update != nil:
			r.Updates++
		}
	}
	for _, n := range texts {
		if n > 1 {
			r.Twins += n
		}
	}
	r.jobs(e)
	for _, attempts := range e.Truth.Attempts {
		r.OverLimit += attempts.Rejected
	}
	for _, n := range e.Truth.Counts.Faults {
		r.Spoiled += n
		r.Faults++
	}
	return r
}

func (r *Report) jobs(e Evidence) {
	messages, uncertain := 0, 0
	for _, job := range e.Jobs {
		if r.States[job.Type] == nil {
			r.States[job.Type] = map[ledger.State]int{}
		}
		r.States[job.Type][job.State]++
		if job.State == ledger.Review {
			r.Reasons[job.Reason]++
		}
		if job.Type != ledger.SendMessage {
			continue
		}
		if job.State == ledger.Failed || job.State == ledger.Expired || job.State == ledger.Blocked {
			r.Failures[job.Reason]++
		}
		messages++
		if slices.ContainsFunc(job.History, func(c ledger.Change) bool { return c.State == ledger.Unknown || c.Reason == ledger.ReasonIDPending }) {
			uncertain++
		}
	}
	r.Ambiguous = float64(uncertain) / float64(max(messages, 1))
}

// Passed says that the promise was kept.
func (r Report) Passed() bool { return r.Rested && r.Verdict.Passed() }

// shownFindings bounds what the table shows; JSON has all.
const shownFindings = 20

// Print writes the table, and what was found wrong.
func (r Report) Print(out io.Writer) error {
	tabs := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tabs, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	kind := "appendfsync " + string(r.Fsync)
	if r.Late {
		kind += ", records later than the settle time"
	}
	row("run", "seed %d, %s, times 1/%g", r.Seed, kind, r.Scale)
	row("asked for", "%d messages (%d twins, %d without a key), %d purchases, %d route updates", r.Messages, r.Twins, r.NoKey, r.Purchases, r.Updates)
	row("campaigns", "%d with %d of the messages, paused %d times, one cancelled", r.Campaigns, r.Rows, r.Pauses)
	row("lost", "%d", r.Lost)
	row("duplicated", "%d", r.Duplicated)
	row("bought twice", "%d", r.BoughtTwice)
	row("wrong final state", "%d", r.WrongState)
	row("not at rest", "%d", r.Stuck)
	row("in review", "%d%s", r.Review, listed(r.Reasons))
	row("gone with Redis' own writes", "%d without a key; %d purchases found bought already", r.GoneWithRedis, r.BoughtBefore)
	row("the account took", "%d messages, sold %d numbers", r.Accepted, r.Sold)
	for _, t := range ledger.Types() {
		if len(r.States[t]) > 0 {
			row("  "+string(t), "%s", strings.TrimPrefix(listed(r.States[t]), ": "))
		}
	}
	row("not sent, for a reason", "%s", strings.TrimPrefix(listed(r.Failures), ": "))
	row("ambiguous", "%.1f%% of the messages; %d answers spoiled by %d kinds of faults", 100*r.Ambiguous, r.Spoiled, r.Faults)
	row("workers killed", "%d times%s", r.Kills, listed(r.Aimed))
	row("redis", "killed %d times, rolled back %d times, clock stepped %d times", r.Actions[KillRedis], r.Actions[Rollback], r.Actions[StepClock])
	if r.Fsync == FsyncEverySecond {
		row("  cut from its file", "%d bytes", r.CutBytes)
	}
	row("frozen", "%d times", r.Actions[Freeze])
	row("connections", "cut %d times, stalled %d times, %d replies lost, %d requests delivered late",
		r.Actions[CutRedis]+r.Actions[CutAPI], r.Actions[StallRedis], r.DroppedReplies, r.LateRequests)
	row("records", "held back %d times", r.Actions[HoldRecords])
	row("over the limit", "%d attempts (the %d delivered late obey none)", r.OverLimit, r.LateRequests)
	row("asked for again", "%d, after rollbacks", r.Repeated)
	row("time", "%.0f s of trouble, %.1f s to rest", r.TroubleSeconds, r.RestSeconds)
	if err := tabs.Flush(); err != nil {
		return err
	}
	return r.printFindings(out)
}

func (r Report) printFindings(out io.Writer) error {
	for _, note := range r.Notes {
		fmt.Fprintf(out, "note: %s\n", note)
	}
	for i, f := range r.Findings {
		if i == shownFindings {
			fmt.Fprintf(out, "and %d more\n", len(r.Findings)-i)
			break
		}
		fmt.Fprintf(out, "%s %s: %s\n", strings.ToUpper(f.Kind), f.Job, f.Text)
	}
	verdict := "passed"
	if !r.Passed() {
		verdict = "FAILED"
	}
	_, err := fmt.Fprintf(out, "%s\n", verdict)
	return err
}

// listed is counts by name, the most first.
func listed[K ~string](counts map[K]int) string {
	names := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(names, func(a, b K) int { return counts[b] - counts[a] })
	var parts []string
	for _, name := range names {
		if counts[name] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[name], strings.ReplaceAll(string(name), "_", " ")))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}
