package torture

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Evidence is all that a run is judged by: what was asked for, what the ledger says,
// and what the account really took.
type Evidence struct {
	Asked      []Asked
	Jobs       map[string]ledger.Job // by id; those that are not in the ledger are missing
	Truth      flowroutetest.Truth
	Owners     map[string]string // of each record that a job holds, the job that the ledger gives it to
	Buyers     map[string]string // of each number that was sold, the job that claims it
	RolledBack bool              // Redis was put back to an older state at least once
}

// Verdict is what the evidence shows. All but the last three must be zero.
type Verdict struct {
	// Lost: accepted from the producer and never sent, or said to be accepted by
	// Flowroute and not.
	Lost int `json:"lost"`
	// Duplicated: sent more often than it was asked for. Twins cannot be told apart:
	// they are counted together.
	Duplicated int `json:"duplicated"`
	// BoughtTwice: numbers bought beyond one for a purchase, or one number sold twice.
	BoughtTwice int `json:"bought_twice"`
	// WrongState: a final state that is not what happened.
	WrongState int `json:"wrong_state"`
	// Stuck: neither over nor with a person.
	Stuck int `json:"stuck"`

	// Review: waits for a person. Then it may have happened or not, but once at most.
	Review int `json:"review"`
	// GoneWithRedis: jobs without a key, so that nobody could ask again, that were
	// lost with writes that Redis lost.
	GoneWithRedis int `json:"gone_with_redis"`
	// BoughtBefore: purchases whose job Redis lost after they were made. Asked for
	// again, they say that the number was on the account before.
	BoughtBefore int `json:"bought_before"`

	Findings []Finding `json:"findings,omitempty"`
}

// Finding is one thing that is wrong, with what is known of it.
type Finding struct {
	Kind string `json:"kind"`
	Job  string `json:"job,omitempty"`
	Text string `json:"text"`
}

// Passed says that nothing was lost, doubled, wrong or stuck.
func (v Verdict) Passed() bool {
	return v.Lost+v.Duplicated+v.BoughtTwice+v.WrongState+v.Stuck == 0
}

// Check compares.
func Check(e Evidence) Verdict {
	c := &check{Evidence: e}
	c.rest()
	c.messages()
	c.records()
	c.purchases()
	c.updates()
	return c.verdict
}

type check struct {
	Evidence
	verdict Verdict
}

func (c *check) find(n *int, by int, kind, job, format string, args ...any) {
	*n += by
	c.verdict.Findings = append(c.verdict.Findings, Finding{kind, job, fmt.Sprintf(format, args...)})
}

// rest counts what has not ended.
func (c *check) rest() {
	for _, id := range slices.Sorted(maps.Keys(c.Jobs)) {
		switch job := c.Jobs[id]; {
		case job.State == ledger.Review:
			c.verdict.Review++
		case !job.State.Final():
			c.find(&c.verdict.Stuck, 1, "stuck", id, "%s is %s: %s", job.Type, job.State, history(job))
		}
	}
}

// group is the messages that are the same to the recipient, and how often they came.
type group struct {
	members  []Asked
	accepted []flowroutetest.AcceptedMessage
}

func groupKey(from, to, body string, mms bool) string {
	return strings.Join([]string{strings.TrimPrefix(from, "+"), strings.TrimPrefix(to, "+"), body, fmt.Sprint(mms)}, "\x00")
}

func (c *check) messages() {
	groups := map[string]*group{}
	of := func(key string) *group {
		if groups[key] == nil {
			groups[key] = &group{}
		}
		return groups[key]
	}
	for _, a := range c.Asked {
		if m := a.Message; m != nil && a.Tried {
			g := of(groupKey(m.From, m.To, m.Body, m.IsMMS != nil && *m.IsMMS))
			g.members = append(g.members, a)
		}
	}
	for _, m := range c.Truth.Messages {
		g := of(groupKey(m.From, m.To, m.Body, m.MMS))
		g.accepted = append(g.accepted, m)
	}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		c.group(groups[key])
	}
}

// group compares how often a text was accepted with what its jobs say.
func (c *check) group(g *group) {
	sure, open, gone, unheard, ids := 0, 0, 0, 0, map[string]bool{}
	for _, a := range g.members {
		job, found := c.Jobs[a.ID]
		if a.ID != "" && ids[a.ID] {
			continue
		}
		ids[a.ID] = true
		switch {
		case !found && a.Row && a.Cancelled: // none was made
		case !found && a.At.IsZero():
			unheard++ // nobody was told that it is taken
		case !found && a.Exposed:
			gone++
		case !found:
			c.find(&c.verdict.Lost, 1, "lost", a.ID, "%s was taken, and is not in the ledger", a.name())
		case job.State == ledger.Accepted || job.State == ledger.Delivered || job.State == ledger.Undelivered:
			sure++
		case !job.State.Final():
			open++
		}
	}
	n := len(g.accepted)
	switch most := sure + open + gone + unheard; {
	case n > len(g.members):
		c.find(&c.verdict.Duplicated, n-len(g.members), "duplicated", "", "accepted %d times, asked for %d times: %s", n, len(g.members), c.describe(g))
	case n < sure:
		c.find(&c.verdict.Lost, sure-n, "lost", "", "%d jobs say accepted, the account took %d: %s", sure, n, c.describe(g))
	case n > most:
		c.find(&c.verdict.WrongState, n-most, "wrong state", "", "the account took %d, only %d jobs may say so: %s", n, most, c.describe(g))
	}
	c.verdict.GoneWithRedis += gone - min(gone, max(0, n-sure))
}

// records: each record that a job holds is of its text, and the ledger's claims say
// the same.
func (c *check) records() {
	texts := map[string]string{}
	for _, m := range c.Truth.Messages {
		for _, id := range m.MDRIDs {
			texts[id] = groupKey(m.From, m.To, m.Body, m.MMS)
		}
	}
	for _, a := range c.Asked {
		m, job := a.Message, c.Jobs[a.ID]
		if m == nil {
			continue
		}
		mine := groupKey(m.From, m.To, m.Body, m.IsMMS != nil && *m.IsMMS)
		for _, record := range job.MDRs {
			if texts[record] != mine && texts[record] != "" {
				c.find(&c.verdict.WrongState, 1, "wrong record", a.ID, "%s has record %s of another text: %s", a.name(), record, history(job))
			}
			if owner, asked := c.Owners[record]; asked && owner != a.ID {
				c.find(&c.verdict.WrongState, 1, "wrong record", a.ID, "%s has record %s, which is claimed by %q: %s", a.name(), record, owner, history(job))
			}
		}
	}
}

// describe is what is known of a group, for a person who looks for the cause.
func (c *check) describe(g *group) string {
	var b strings.Builder
	for _, a := range g.members {
		job, found := c.Jobs[a.ID]
		fmt.Fprintf(&b, "\n    %s job %s", a.name(), a.ID)
		if found {
			fmt.Fprintf(&b, " is %s %s, attempts %d, records %v: %s", job.State, job.Detail, job.Attempts, job.MDRs, history(job))
		} else {
			b.WriteString(" is not in the ledger")
		}
	}
	for _, m := range g.accepted {
		_, attempt, _ := strings.Cut(m.DLRCallback, ".invalid/")
		fmt.Fprintf(&b, "\n    accepted %s by attempt %s, mms %v, %q, records %v, %s", stamp(m.At), attempt, m.MMS, m.Body, m.MDRIDs, m.Fault)
	}
	return b.String()
}

// name is the item as its producer knows it.
func (a Asked) name() string {
	if key := a.Key(); key != "" {
		return fmt.Sprintf("%q", key)
	}
	return "(no key)"
}

func stamp(t time.Time) string { return t.UTC().Format("15:04:05.000") }

func history(job ledger.Job) string {
	var b strings.Builder
	for _, h := range job.History {
		fmt.Fprintf(&b, "%s %s %s; ", stamp(h.At), h.State, h.Reason)
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// reached is what a purchase has bought.
func reached(job ledger.Job) string {
	var progress struct {
		Number string `json:"number"`
	}
	if json.Unmarshal(job.Progress, &progress) != nil {
		return ""
	}
	return progress.Number
}
