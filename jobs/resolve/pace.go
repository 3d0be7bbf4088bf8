package resolve

import (
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// pace says how often a group is read about, and how often anything is read. Groups
// that have to wait are read about less and less often.
type pace struct {
	tick   time.Duration
	groups map[ledger.Fingerprint]*turnOf
	next   time.Time
	fails  int
}

type turnOf struct {
	next time.Time
	wait time.Duration
}

const longestWait = time.Minute

func newPace(tick time.Duration) *pace {
	return &pace{tick: tick, groups: map[ledger.Fingerprint]*turnOf{}}
}

// may reports whether a round may begin.
func (p *pace) may(now time.Time) bool { return !now.Before(p.next) }

// due reports whether it is the group's turn.
func (p *pace) due(f ledger.Fingerprint, now time.Time) bool {
	g := p.groups[f]
	return g == nil || !now.Before(g.next)
}

// later lets a group wait, longer each time.
func (p *pace) later(f ledger.Fingerprint, now time.Time) {
	g := p.groups[f]
	if g == nil {
		g = &turnOf{wait: p.tick / 2}
		p.groups[f] = g
	}
	g.wait = min(g.wait*3/2, longestWait)
	g.next = now.Add(g.wait)
}

// again makes it the group's turn at once.
func (p *pace) again(f ledger.Fingerprint) { delete(p.groups, f) }

// ended leaves a pause after a round: twice what its reads took, so that looking
// never takes most of the look-ups, and more and more after failures.
func (p *pace) ended(now time.Time, took time.Duration, failed bool) {
	rest := 2 * took
	if failed {
		p.fails = min(p.fails+1, 6)
		rest = max(rest, p.tick<<p.fails)
	} else {
		p.fails = 0
	}
	p.next = now.Add(min(rest, longestWait))
}

func (p *pace) prune(now time.Time) {
	for f, g := range p.groups {
		if now.Sub(g.next) > 2*longestWait {
			delete(p.groups, f)
		}
	}
}
