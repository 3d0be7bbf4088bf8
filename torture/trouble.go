package torture

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

// Action is a kind of trouble.
type Action string

// The actions.
const (
	Kill        Action = "kill"          // SIGKILL to a worker; it is started again after For
	Freeze      Action = "freeze"        // SIGSTOP to a worker for For
	CutRedis    Action = "cut redis"     // a worker's connections to Redis are reset, for For
	StallRedis  Action = "stall redis"   // nothing passes between a worker and Redis, for For
	DropReplies Action = "drop replies"  // N commands are executed, their replies lost
	CutAPI      Action = "cut api"       // a worker's connections to the API are reset, for For
	Swallow     Action = "swallow"       // N requests are taken, and delivered after For
	KillRedis   Action = "kill redis"    // SIGKILL; it is started again after For
	Rollback    Action = "roll back"     // a copy of Redis' data is made, and put back after For
	StepClock   Action = "step clock"    // Redis' clock jumps by Offset, and back after For
	Episode     Action = "episode"       // Fault happens with probability P, for For
	Next        Action = "next requests" // Fault happens to the next N requests
	HoldRecords Action = "hold records"  // no further record becomes visible for For, while answers get lost
)

// Step is one planned trouble.
type Step struct {
	At     time.Duration
	Do     Action
	Worker int
	For    time.Duration
	N      int
	Fault  string
	P      float64
	Offset time.Duration
	// Flowing waits a while until messages are being posted again: what Redis forgets
	// while nothing happens is no loss.
	Flowing bool
	// Last is made when everything was asked for and most was posted, and no fence holds
	// jobs back.
	Last bool
	Back float64 // of a power cut: how much of the last second is lost, 0 to 1
}

// trouble draws steps.
type trouble struct {
	o     Options
	t     times
	rng   *rand.Rand
	steps []Step
}

func newTrouble(o Options, rng *rand.Rand) []Step {
	d := &trouble{o: o, t: o.times(), rng: rng}
	d.toWorkers()
	d.toRedis()
	d.toAPI()
	slices.SortStableFunc(d.steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return d.steps
}

// add puts a step at a random time of the run.
func (d *trouble) add(s Step) {
	s.At = time.Duration((0.02 + 0.93*d.rng.Float64()) * float64(d.o.For))
	d.steps = append(d.steps, s)
}

// last puts a step at the end of the run.
func (d *trouble) last(s Step) {
	s.Last = true
	s.At = time.Duration((0.96 + 0.03*d.rng.Float64()) * float64(d.o.For))
	d.steps = append(d.steps, s)
}

// about is a random time from least to most.
func (d *trouble) about(least, most time.Duration) time.Duration {
	return least + time.Duration(d.rng.Float64()*float64(most-least))
}

// share is how often something happens: so many times in a run of 10,000 messages,
// at least once.
func (d *trouble) share(n int) int {
	return max(1, int(float64(n)*min(1, d.o.For.Seconds()/250)+0.5))
}

// toWorkers: random kills are half of all; the others are aimed.
func (d *trouble) toWorkers() {
	worker := func() int { return d.rng.IntN(d.o.Workers) }
	for range d.o.Kills * 2 / 3 {
		d.add(Step{Do: Kill, Worker: worker(), For: d.about(0, 400*time.Millisecond)})
	}
	if d.o.Kills == 0 {
		return
	}
	for range d.share(10) {
		// Past its requests, its permits' leases and the settle time.
		d.add(Step{Do: Freeze, Worker: worker(), For: d.about(d.t.Timeout, 2*(d.t.Window+d.t.Timeout+d.t.Settle))})
	}
	for range d.share(20) {
		d.add(Step{Do: CutRedis, Worker: worker(), For: d.about(0, time.Second)})
		d.add(Step{Do: DropReplies, Worker: worker(), N: 1 + d.rng.IntN(12)})
	}
	for range d.share(6) {
		d.add(Step{Do: StallRedis, Worker: worker(), For: d.about(200*time.Millisecond, 2*d.t.Timeout)})
		d.add(Step{Do: CutAPI, Worker: worker(), For: d.about(0, time.Second)})
		d.add(Step{Do: Swallow, Worker: worker(), N: 1 + d.rng.IntN(4), For: d.t.Timeout + d.about(0, d.t.Settle/2)})
	}
}

func (d *trouble) toRedis() {
	for i := range d.o.RedisKills {
		d.add(Step{Do: KillRedis, For: d.about(0, 1500*time.Millisecond), Back: d.rng.Float64(), Flowing: d.rng.IntN(4) > 0})
		// Spread evenly: two at once are one.
		at := (float64(i) + 0.2 + 0.6*d.rng.Float64()) / float64(d.o.RedisKills)
		d.steps[len(d.steps)-1].At = time.Duration(0.93 * at * float64(d.o.For))
	}
	if d.o.RedisKills == 0 || d.o.Late {
		return
	}
	if d.o.Fsync == FsyncAlways {
		for i := range d.share(4) {
			d.add(Step{Do: Rollback, For: d.about(time.Second, d.o.For/15), Flowing: true})
			d.steps[len(d.steps)-1].At = time.Duration((float64(i) + 0.1 + 0.6*d.rng.Float64()) / float64(d.share(4)) * 0.8 * float64(d.o.For))
		}
	}
	for range d.share(4) {
		offset := d.about(time.Second, 20*time.Second)
		if d.rng.IntN(2) == 0 {
			offset = -offset
		}
		d.add(Step{Do: StepClock, Offset: offset, For: d.about(time.Second, 10*time.Second)})
	}
}

func (d *trouble) toAPI() {
	// Each of these stops everybody, or most; so they are short.
	for _, name := range []string{"401", "403", "404-url", "405", "415", "429", "429-retry-after", "429-retry-after-date", "503-before",
		"502-html", "408-before", "bare-403-html", "redirect-302", "redirect-308", "silence-before", "mdr-empty-200", "read-garbage", "read-429"} {
		d.add(Step{Do: Episode, Fault: name, P: 0.2 + 0.8*d.rng.Float64(), For: d.about(200*time.Millisecond, d.t.Timeout)})
	}
	for _, name := range []string{"body-suffixed", "body-redacted", "refused-leaves-failed-record", "media-over-limit", "media-fetch-error", "purchase-no-funds"} {
		d.add(Step{Do: Next, Fault: name, N: 1 + d.rng.IntN(3)})
	}
	for range d.share(4) {
		d.add(Step{Do: HoldRecords, For: d.about(0, d.t.Settle/4)})
	}
	// Records that were late once prove nothing by their absence for a day; so this is
	// the end, and leaves some jobs to a person.
	d.last(Step{Do: HoldRecords, For: d.about(d.t.Settle, 2*d.t.Settle)})
	d.last(Step{Do: Next, Fault: "mdr-lag-correlated", N: 1 + d.rng.IntN(2), For: d.about(d.t.Settle, 2*d.t.Settle)})
	d.last(Step{Do: Next, Fault: "mdr-empty-200", N: 1 + d.rng.IntN(5)})
}

// steadyFaults spoil a share of all requests to the end of the trouble: about a
// tenth of the posts get no certain answer.
func steadyFaults(o Options) flowroutetest.Faults {
	t := o.times()
	f := flowroutetest.Faults{}
	for name, p := range map[string]float64{
		"accepted-then-cut": .012, "accepted-then-reset": .008, "accepted-then-500": .01, "accepted-then-502-html": .005, "accepted-then-silence": .005,
		"accepted-late": .005, "accepted-garbage": .005, "accepted-truncated": .005, "accepted-empty": .005,
		"500-before": .012, "503-before": .005, "502-html": .005, "408-before": .004, "reset-before": .012, "silence-before": .004,
		"redirect-307": .003, "bare-403-html": .002, "429": .004, "slow-body": .01, "slow-response": .01,
		"split-records": .02, "body-trimmed": .05, "quotes-replaced": .05, "mdr-lag": .03, "mdr-empty-200": .03,
		"purchase-accepted-then-cut": .1, "purchase-accepted-then-500": .07, "purchase-garbage": .04, "purchase-207": .07, "purchase-lag": .1,
		"route-accepted-then-cut": .08, "route-accepted-then-500": .08, "read-500": .03, "read-cut": .03, "read-garbage": .01,
	} {
		fault := flowroutetest.Fault{Probability: p}
		switch name {
		case "accepted-late":
			fault.Delay = t.Timeout + t.Settle/3
		case "purchase-lag":
			fault.Delay = t.Settle / 3
		case "mdr-lag":
			fault.Delay = t.Settle / 6
		case "slow-body", "slow-response":
			fault.Delay = t.Timeout / 2
		}
		f[name] = fault
	}
	return f
}
