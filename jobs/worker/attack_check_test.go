package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

var attackRest = flag.Duration("attack.rest", 60*time.Second, "how long TestAttack waits for all jobs to come to rest")

// all are the ids of all jobs.
func (a *attack) all() []ledger.ID {
	var ids []ledger.ID
	add := func(text string) {
		id, err := ledger.ParseID(text)
		if err != nil {
			a.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	for _, id := range a.messages {
		add(id)
	}
	for _, id := range a.purchases {
		add(id)
	}
	for _, u := range a.updates {
		add(u.job)
	}
	return ids
}

func (a *attack) read() (found []ledger.Job, missing int) {
	a.t.Helper()
	jobs, errs := a.ledger.GetMany(a.t.Context(), a.all())
	for i, err := range errs {
		switch {
		case errors.Is(err, ledger.ErrNotFound):
			missing++
		case err != nil:
			a.t.Fatal(err)
		default:
			found = append(found, jobs[i])
		}
	}
	return found, missing
}

// resting: nothing will happen to the job any more without a person or the records.
func resting(job ledger.Job) bool {
	return job.State.Final() || job.State == ledger.Review || (job.State == ledger.Unknown && job.Type == ledger.SendMessage)
}

// rest waits until every job has come to rest.
func (a *attack) rest() {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), *attackRest)
	defer cancel()
	for ctx.Err() == nil {
		found, missing := a.read()
		if missing == 0 && !slices.ContainsFunc(found, func(j ledger.Job) bool { return !resting(j) }) {
			return
		}
		wait(ctx, 100*time.Millisecond)
	}
}

func (a *attack) report(seed uint64, began, healed time.Time) {
	found, missing := a.read()
	states := map[ledger.Type]map[ledger.State]int{}
	for _, job := range found {
		if states[job.Type] == nil {
			states[job.Type] = map[ledger.State]int{}
		}
		states[job.Type][job.State]++
	}
	truth := a.sim.Truth()
	spoiled := 0
	for name, n := range truth.Counts.Faults {
		if name != "split-records" && name != "purchase-lag" && name != "purchase-207" {
			spoiled += int(n)
		}
	}
	a.t.Logf("seed %d: %d jobs (%d messages, %d purchases, %d updates), %d missing; %d kills, %d freezes, %d cuts, Redis killed %d times, %d spoiled answers; "+
		"trouble %v, rest after %v; states %v; the account took %d messages, sold %d numbers; attempts %+v",
		seed, len(found)+missing, len(a.messages), len(a.purchases), len(a.updates), missing, a.kills, a.freezes, a.cuts, a.redisKills, spoiled,
		healed.Sub(began).Round(time.Second), time.Since(healed).Round(100*time.Millisecond), states, len(truth.Messages), len(truth.Purchases), truth.Attempts)
}

// check compares the account's truth with the ledger.
func (a *attack) check() {
	a.t.Helper()
	found, missing := a.read()
	if missing > 0 {
		a.t.Errorf("%d jobs are not in the ledger", missing)
	}
	jobs := map[string]ledger.Job{}
	for _, job := range found {
		jobs[job.ID.String()] = job
		if !resting(job) {
			a.t.Errorf("%s %s is stuck: %s, history %+v", job.Type, job.ID, job.State, job.History)
		}
	}
	truth := a.sim.Truth()
	a.checkMessages(truth, jobs)
	a.checkPurchases(truth, jobs)
	a.checkUpdates(truth, jobs)
	a.checkCounts(found)
	for _, attempts := range truth.Attempts {
		if attempts.Rejected > 0 {
			a.t.Errorf("the limit was exceeded: %+v", attempts)
		}
	}
}

func (a *attack) checkMessages(truth flowroutetest.Truth, jobs map[string]ledger.Job) {
	times, records := map[string]int{}, map[string]string{}
	for _, m := range truth.Messages {
		times[m.Body]++
		for _, id := range m.MDRIDs {
			records[id] = m.Body
		}
	}
	for body, n := range times {
		if n > 1 {
			a.t.Errorf("%q was accepted %d times: %+v", body, n, jobs[a.messages[body]].History)
		}
	}
	for body, id := range a.messages {
		job, taken := jobs[id], times[body] == 1
		switch {
		case job.State == ledger.Unknown:
		case (job.State == ledger.Accepted) != taken:
			a.t.Errorf("%q is %s, but accepted by the account: %v; %s; history %+v", body, job.State, taken, job.Detail, job.History)
		}
		for _, record := range job.MDRs {
			if records[record] != body {
				a.t.Errorf("%q has the record of %q", body, records[record])
			}
			if owner, _, err := a.ledger.ClaimedBy(a.t.Context(), record); err != nil || owner != job.ID {
				a.t.Errorf("record of %q belongs to %s, %v", body, owner, err)
			}
		}
	}
}

func (a *attack) checkPurchases(truth flowroutetest.Truth, jobs map[string]ledger.Job) {
	sold, owners := map[string]int{}, map[ledger.ID][]string{}
	for _, p := range truth.Purchases {
		if sold[p.Number]++; sold[p.Number] > 1 {
			a.t.Errorf("%s was bought %d times", p.Number, sold[p.Number])
		}
		number, err := flowroute.ParseE164("+" + p.Number)
		if err != nil {
			a.t.Fatal(err)
		}
		owner, claimed, err := a.ledger.NumberClaimedBy(a.t.Context(), number)
		if err != nil || !claimed {
			a.t.Errorf("%s was bought, and is claimed by nobody: %v", p.Number, err)
		}
		owners[owner] = append(owners[owner], p.Number)
	}
	for _, id := range a.purchases {
		job := jobs[id]
		var progress struct{ Number string }
		_ = json.Unmarshal(job.Progress, &progress)
		bought := owners[job.ID]
		switch {
		case len(bought) > 1:
			a.t.Errorf("purchase %s bought %v; history %+v", id, bought, job.History)
		case job.State == ledger.Done && (len(bought) != 1 || bought[0] != progress.Number):
			a.t.Errorf("purchase %s is done with %q, but bought %v; history %+v", id, progress.Number, bought, job.History)
		case job.State == ledger.Failed && len(bought) != 0:
			a.t.Errorf("purchase %s failed (%s), but bought %v; history %+v", id, job.Detail, bought, job.History)
		}
	}
}

// checkUpdates: each number's routes were set in the order in which they were asked
// for, and the last update that is done is the one that holds.
func (a *attack) checkUpdates(truth flowroutetest.Truth, jobs map[string]ledger.Job) {
	made := map[string]string{}
	for _, route := range truth.Routes {
		if made[route.Value] != "" {
			a.t.Errorf("route %s was made twice", route.Value)
		}
		made[route.Value] = route.ID
	}
	for _, number := range updated() {
		for _, slot := range []string{"primary_route", "failover_route"} {
			order, last := map[string]int{}, ""
			for i, u := range a.updates {
				if u.number != number || u.slot != slot {
					continue
				}
				if u.id == "" {
					u.id = made[u.value]
				}
				order[u.id] = i
				if jobs[u.job].State == ledger.Done {
					last = u.id
				} else if s := jobs[u.job]; s.State != ledger.Cancelled {
					a.t.Errorf("update %s is %s: %s; history %+v", u.job, s.State, s.Detail, s.History)
				}
			}
			before, holds := -1, ""
			for _, set := range truth.Numbers[number].RouteSets {
				if set.Slot != slot {
					continue
				}
				if order[set.Route] < before {
					a.t.Errorf("%s of %s went back to %s", slot, number, set.Route)
				}
				before, holds = order[set.Route], set.Route
			}
			if last != "" && holds != last {
				a.t.Errorf("%s of %s is %q, want %q", slot, number, holds, last)
			}
		}
	}
}

// checkCounts compares the ledger's counters with its jobs. Calls without a key
// that failed may have made a job that nobody knows of.
func (a *attack) checkCounts(found []ledger.Job) {
	counts, err := a.ledger.Counts(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	want := map[ledger.Type]map[ledger.State]int64{}
	for _, job := range found {
		if want[job.Type] == nil {
			want[job.Type] = map[ledger.State]int64{}
		}
		want[job.Type][job.State]++
	}
	if diff := cmp.Diff(want, counts); diff != "" && a.uncertain == 0 {
		a.t.Errorf("counters differ from the jobs:\n%s", diff)
	}
	total := func(m map[ledger.Type]map[ledger.State]int64) (n int64) {
		for _, states := range m {
			for _, k := range states {
				n += k
			}
		}
		return n
	}
	if extra := total(counts) - total(want); extra < 0 || extra > int64(a.uncertain) {
		a.t.Errorf("the counters say %d jobs more, with %d that may be", extra, a.uncertain)
	}
}
