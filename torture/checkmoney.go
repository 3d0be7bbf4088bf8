package torture

import (
	"maps"
	"slices"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// purchases: a job buys one number at most, and says which; a number is sold once.
func (c *check) purchases() {
	sold := map[string]int{}
	for _, p := range c.Truth.Purchases {
		if sold[p.Number]++; sold[p.Number] > 1 {
			c.find(&c.verdict.BoughtTwice, 1, "bought twice", c.Buyers[p.Number], "%s was sold %d times", p.Number, sold[p.Number])
		}
	}
	holders := map[string][]string{} // of a number: the jobs that say they have bought it
	for _, a := range c.Asked {
		if a.Purchase == nil || !a.Tried {
			continue
		}
		job, found := c.Jobs[a.ID]
		if !found {
			if !a.At.IsZero() && !a.Exposed {
				c.find(&c.verdict.Lost, 1, "lost", a.ID, "%s was taken, and is not in the ledger", a.name())
			}
			continue
		}
		if job.State == ledger.Done {
			holders[reached(job)] = append(holders[reached(job)], a.ID)
		}
		if a.Block != "" {
			c.block(a, job, sold)
		}
	}
	for _, number := range slices.Sorted(maps.Keys(holders)) {
		switch jobs := holders[number]; {
		case sold[number] == 0:
			c.find(&c.verdict.Lost, 1, "lost", jobs[0], "purchases %v say that they bought %q, which was not sold", jobs, number)
		case len(jobs) > 1:
			c.find(&c.verdict.WrongState, len(jobs)-1, "wrong state", jobs[0], "purchases %v all say that they bought %s", jobs, number)
		}
	}
	c.claims(sold)
}

// block: of the numbers that only this job can buy, one at most is sold.
func (c *check) block(a Asked, job ledger.Job, sold map[string]int) {
	var bought []string
	for _, number := range slices.Sorted(maps.Keys(sold)) {
		if strings.HasPrefix(number, a.Block) {
			bought = append(bought, number)
		}
	}
	switch {
	case len(bought) > 1:
		c.find(&c.verdict.BoughtTwice, len(bought)-1, "bought twice", a.ID, "%s bought %v, is %s %s: %s", a.name(), bought, job.State, job.Detail, history(job))
	case job.State == ledger.Done && len(bought) == 1 && bought[0] != reached(job):
		c.find(&c.verdict.WrongState, 1, "wrong state", a.ID, "%s is done with %q, and bought %v: %s", a.name(), reached(job), bought, history(job))
	case job.State.Final() && job.State != ledger.Done && len(bought) == 1:
		if c.RolledBack && job.Reason == ledger.ReasonAlreadyOwned {
			c.verdict.BoughtBefore++
			return
		}
		c.find(&c.verdict.WrongState, 1, "wrong state", a.ID, "%s is %s %s, and bought %v: %s", a.name(), job.State, job.Detail, bought, history(job))
	}
}

// claims: the ledger knows whose each number is.
func (c *check) claims(sold map[string]int) {
	if c.Buyers == nil || c.RolledBack {
		return
	}
	for _, number := range slices.Sorted(maps.Keys(sold)) {
		if c.Buyers[number] == "" {
			c.find(&c.verdict.WrongState, 1, "wrong state", "", "%s was bought, and is claimed by nobody", number)
		}
	}
}

// updates: of each number and slot, the last update that is done is the one that
// holds, and none was overtaken by an older one.
func (c *check) updates() {
	made := map[string]string{}
	for _, route := range c.Truth.Routes {
		if made[route.Value] != "" && strings.HasPrefix(route.Value, "made") {
			c.find(&c.verdict.WrongState, 1, "made twice", "", "route %s was made twice", route.Value)
		}
		made[route.Value] = route.ID
	}
	slots := map[string][]slotUpdate{}
	for _, a := range c.Asked {
		if a.Update == nil || !a.Tried {
			continue
		}
		job, found := c.Jobs[a.ID]
		if !found {
			if !a.At.IsZero() && !a.Exposed {
				c.find(&c.verdict.Lost, 1, "lost", a.ID, "%s was taken, and is not in the ledger", a.name())
			}
			continue
		}
		slot, spec := "primary_route", a.Update.Primary
		if spec == nil {
			slot, spec = "failover_route", a.Update.Failover
		}
		route := spec.ID
		if route == "" {
			route = made[spec.Value]
		}
		key := strings.TrimPrefix(a.Update.Number, "+") + " " + slot
		slots[key] = append(slots[key], slotUpdate{a, job, route})
	}
	for _, key := range slices.Sorted(maps.Keys(slots)) {
		c.slot(key, slots[key])
	}
}

type slotUpdate struct {
	Asked
	job   ledger.Job
	route string
}

func (c *check) slot(key string, updates []slotUpdate) {
	number, slot, _ := strings.Cut(key, " ")
	order, last := map[string]int{}, -1
	for i, u := range updates {
		order[u.route] = i
		if u.job.State == ledger.Done && u.job.Reason != ledger.ReasonSuperseded {
			last = i
		}
	}
	holds, latest := "", -1
	for _, set := range c.Truth.Numbers[number].RouteSets {
		if set.Slot != slot {
			continue
		}
		at, ours := order[set.Route]
		if ours && at < latest && !c.RolledBack {
			c.find(&c.verdict.WrongState, 1, "went back", updates[at].ID, "%s of %s went back to %s, of %s: %s", slot, number, set.Route, updates[at].name(), history(updates[at].job))
		}
		holds, latest = set.Route, at
	}
	if last < 0 || holds == updates[last].route {
		return
	}
	// One that waits for a person may have been set or not.
	if at, ours := order[holds]; ours && at > last && !updates[at].job.State.Final() {
		return
	}
	c.find(&c.verdict.WrongState, 1, "wrong state", updates[last].ID, "%s of %s is %q, and the last update done, %s, sets %q: %s",
		slot, number, holds, updates[last].name(), updates[last].route, history(updates[last].job))
}
