package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// posted identifies a message by its content. The demo's texts are all different.
type posted struct{ from, to, body string }

// askedJob is a message that was asked for, and its job as the ledger has it.
type askedJob struct {
	posted
	jobs.Job
}

// comparison is what the ledger says beside what the simulator alone knows.
type comparison struct {
	Asked  int                  `json:"asked"`
	Ledger map[ledger.State]int `json:"ledger"` // jobs by state
	// Truth counts, for the jobs of each state, how many of them Flowroute really
	// took.
	Truth     map[ledger.State]int `json:"truth"`
	Taken     int                  `json:"taken"`   // messages that Flowroute took, of all
	Doubled   int                  `json:"doubled"` // jobs that it took more than once
	Delivered deliveries           `json:"delivered"`
	Lost      []lostAnswer         `json:"lost_answers"`
	Problems  []string             `json:"problems"` // empty: they agree
}

// deliveries counts what became of taken messages by their records.
type deliveries struct {
	Delivered   int `json:"delivered"`
	Undelivered int `json:"undelivered"`
}

func (c *comparison) disagree(format string, args ...any) {
	c.Problems = append(c.Problems, fmt.Sprintf(format, args...))
}

// compareMessages holds the ledger against the truth, message by message: by the
// ids of records where the ledger has them, else by sender, recipient and text.
// Only a job in review agrees either way: a person decides.
func compareMessages(asked []askedJob, truth flowroutetest.Truth) *comparison {
	c := &comparison{Asked: len(asked), Ledger: map[ledger.State]int{}, Truth: map[ledger.State]int{}, Taken: len(truth.Messages), Lost: []lostAnswer{}, Problems: []string{}}
	byRecord, byContent := map[string]int{}, map[posted][]int{}
	for i, m := range truth.Messages {
		for _, id := range m.MDRIDs {
			byRecord[id] = i
		}
		content := posted{m.From, m.To, m.Body}
		byContent[content] = append(byContent[content], i)
	}
	owners := make([]int, len(truth.Messages)) // how many jobs each message belongs to
	for _, job := range asked {
		c.Ledger[job.State]++
		taken := byContent[job.posted]
		for _, i := range taken {
			owners[i]++
		}
		if len(taken) > 0 {
			c.Truth[job.State]++
		}
		if len(taken) > 1 {
			c.Doubled++
			c.disagree("job %s was taken %d times", job.ID, len(taken))
		}
		c.judge(job, taken, byRecord)
		c.Lost = append(c.Lost, lostAnswers(job)...)
	}
	for i, n := range owners {
		m := truth.Messages[i]
		if n != 1 {
			c.disagree("record %s (%s) belongs to %d jobs", strings.Join(m.MDRIDs, " "), m.At.Format("15:04:05.000"), n)
		}
	}
	return c
}

// judge compares one job with the messages of its content that were taken.
func (c *comparison) judge(job askedJob, taken []int, byRecord map[string]int) {
	for _, id := range job.MDRs {
		if i, ok := byRecord[id]; !ok || !slices.Contains(taken, i) {
			c.disagree("job %s holds record %s, which is not its message's", job.ID, id)
		}
	}
	switch job.State {
	case ledger.Accepted, ledger.Delivered, ledger.Undelivered:
		if len(taken) == 0 {
			c.disagree("job %s is %s, but Flowroute never took it", job.ID, job.State)
		}
	case ledger.Review:
	case ledger.Failed, ledger.Blocked, ledger.Cancelled, ledger.Expired:
		if len(taken) > 0 {
			c.disagree("job %s is %s, but Flowroute took it", job.ID, job.State)
		}
	default:
		c.disagree("job %s is still %s", job.ID, job.State)
	}
}

// compareDeliveries holds delivered and undelivered jobs against the records.
func (c *comparison) compareDeliveries(asked []askedJob, statuses map[string]string) {
	for _, job := range asked {
		if job.State != ledger.Delivered && job.State != ledger.Undelivered || len(job.MDRs) == 0 {
			continue
		}
		delivered := statuses[job.MDRs[0]] == "delivered"
		if delivered {
			c.Delivered.Delivered++
		} else {
			c.Delivered.Undelivered++
		}
		if delivered != (job.State == ledger.Delivered) {
			c.disagree("job %s is %s, its record says %q", job.ID, job.State, statuses[job.MDRs[0]])
		}
	}
}

// comparePurchase holds the number that was bought and its settings against the
// truth.
func (c *comparison) comparePurchase(bought, update jobs.Job, truth flowroutetest.Truth) {
	if bought.State != ledger.Done {
		c.disagree("the purchase is %s", bought.State)
	}
	if len(truth.Purchases) != 1 {
		c.disagree("%d numbers were bought, one was asked for", len(truth.Purchases))
		return
	}
	number := truth.Purchases[0].Number
	if bought.State == ledger.Done && jobs.NumberOf(bought).Digits() != number {
		c.disagree("the purchase says another number than the one that was bought")
	}
	is := truth.Numbers[number]
	if is.Alias != demoAlias {
		c.disagree("the number's alias is %q", is.Alias)
	}
	value := func(id string) string {
		i := slices.IndexFunc(truth.Routes, func(r flowroutetest.Route) bool { return r.ID == id })
		if i < 0 {
			return ""
		}
		return truth.Routes[i].Value
	}
	if got := value(is.PrimaryRoute); got != demoPrimary {
		c.disagree("the number's primary route leads to %q", got)
	}
	if update.State != ledger.Done {
		c.disagree("the route update is %s", update.State)
	} else if got := value(is.FailoverRoute); got != demoFailover {
		c.disagree("the number's failover route leads to %q", got)
	}
}

// compareLimits holds the attempts that were counted against the limits.
func (c *comparison) compareLimits(truth flowroutetest.Truth, limits flowroutetest.Limits) {
	for _, a := range truth.Attempts {
		if limit := limitOf(limits, a.Kind); limit > 0 && a.MaxInWindow > limit {
			c.disagree("%d attempts of %s within one second, the limit is %d", a.MaxInWindow, a.Kind, limit)
		}
		if a.Rejected > 0 {
			c.disagree("%d attempts of %s were answered with 429", a.Rejected, a.Kind)
		}
	}
}

func limitOf(l flowroutetest.Limits, k flowroutetest.Kind) int {
	switch k {
	case flowroutetest.KindSMS:
		return l.SMSPerSecond
	case flowroutetest.KindMMS:
		return l.MMSPerSecond
	case flowroutetest.KindLookup:
		return l.LookupsPerSecond
	}
	return l.NumbersPerSecond
}
