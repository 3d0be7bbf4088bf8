package resolve

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/internal/race"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Whatever groups, records and reads there are: a record goes to one message, and only
// one with the text; and a message is absent only where nothing speaks against it.
func TestDecideProperties(t *testing.T) {
	t.Parallel()
	seen, draws := map[ledger.Rest]int{}, 200_000
	if race.Enabled { // one goroutine decides
		draws /= 10
	}
	for seed := range uint64(draws) {
		q := randomQuestion(rand.New(rand.NewPCG(seed, 1)))
		d := decide(q)
		if problem := wrong(q, d); problem != "" {
			t.Fatalf("seed %d: %s\nquestion %+v\ndecision %+v", seed, problem, q, d)
		}
		seen[d.rest]++
	}
	if seen[ledger.RestAbsent] < draws/400 || seen[ledger.RestReview] < draws/400 {
		t.Errorf("the questions are too alike: %v", seen)
	}
}

func randomQuestion(r *rand.Rand) question {
	q := ask(began(r.IntN(8000)), latest(r.IntN(8000)), passes(1+r.IntN(2)))
	maybe := func(n int) bool { return r.IntN(n) == 0 }
	q.read.lag = time.Duration(r.IntN(90)) * time.Second
	q.read.reaches, q.read.blurred, q.read.fenced = !maybe(10), maybe(20), maybe(10)
	q.read.equal = q.read.equal && !maybe(5)
	for range r.IntN(3) {
		lacks(r.IntN(8000))(&q)
	}
	states := []ledger.State{ledger.Unknown, ledger.Unknown, ledger.Unknown, ledger.Accepted, ledger.Queued, ledger.Review}
	for i := range 1 + r.IntN(4) {
		job(byte('a'+i), states[r.IntN(len(states))], r.IntN(1000))(&q)
		m := &q.members[i]
		m.Attempt = 1 + r.IntN(3)
		m.pinned = maybe(20)
		m.content[0] = byte(r.IntN(2))
		if maybe(30) {
			m.State = ledger.Sending
		}
		if maybe(10) {
			m.watched = time.Duration(r.IntN(200)) * time.Second
		}
	}
	for i := range r.IntN(5) {
		rec(fmt.Sprint("r", i), r.IntN(1200)-100)(&q)
		x := &q.records[i]
		x.same, x.refused, x.claimed = !maybe(4), maybe(8), maybe(4)
		x.theirs = !x.same && maybe(2)
		x.mms = maybe(3)
	}
	for range r.IntN(3) {
		beside(r.IntN(1200) - 100)(&q)
	}
	return q
}

// wrong says what a decision must not be.
func wrong(q question, d decision) string {
	owner := map[string]ledger.ID{}
	for _, c := range d.claims {
		if _, twice := owner[c.MDR]; twice {
			return "one record for two"
		}
		owner[c.MDR] = c.ID
		i := slices.IndexFunc(q.records, func(r record) bool { return r.mdr == c.MDR })
		m := slices.IndexFunc(q.members, func(m member) bool { return m.ID == c.ID })
		switch {
		case i < 0 || m < 0:
			return "a claim of nothing"
		case q.records[i].claimed || !q.records[i].same || q.records[i].refused:
			return "a record that is not to be claimed"
		case q.records[i].at.Before(q.members[m].first.Add(-q.read.margin)):
			return "a record from before the first intent"
		case q.records[i].mms && turn(q.members[m]) != turnAccepted && partOfAnother(q, d, c):
			return "a record that may be a part of another's"
		}
	}
	sending := slices.ContainsFunc(q.members, func(m member) bool { return m.State == ledger.Sending })
	if sending && (len(d.claims) > 0 || d.rest != ledger.RestWaits) {
		return "decided while one is on the wire"
	}
	if d.rest == ledger.RestReview && d.reason == "" {
		return "review without a reason"
	}
	if d.rest != ledger.RestAbsent {
		return ""
	}
	for _, m := range q.members {
		if _, found := ownedBy(owner, m.ID); found || m.State != ledger.Unknown {
			continue
		}
		for _, r := range q.records {
			if _, taken := owner[r.mdr]; !taken && !r.claimed && !r.at.Before(m.first.Add(-q.read.margin)) {
				return "absent beside a record that is nobody's"
			}
		}
		for _, missing := range q.read.missing {
			if !missing.Before(m.first) && !missing.After(m.ready) {
				return "absent in a list that is not complete"
			}
		}
		if q.read.passes < 2 || !q.read.equal || !q.read.reaches || q.read.blurred || 2*q.read.lag >= q.rules.settle || m.watched < q.rules.settle || q.read.began.Before(m.ready) {
			return "absent without proof"
		}
	}
	return ""
}

// partOfAnother reports whether the record may be a further one of an MMS that has an
// owner already, or of one that another message of the group was given.
func partOfAnother(q question, d decision, c ledger.Claim) bool {
	when := func(mdr string) record {
		return q.records[slices.IndexFunc(q.records, func(r record) bool { return r.mdr == mdr })]
	}
	this := when(c.MDR)
	for _, other := range d.claims {
		if that := when(other.MDR); that.mms && other.MDR != c.MDR && that.at.Sub(this.at).Abs() <= splitWithin {
			return other.ID != c.ID && !slices.Contains(d.claims[:slices.Index(d.claims, other)], c)
		}
	}
	mine := slices.ContainsFunc(d.claims, func(o ledger.Claim) bool { return o.ID == c.ID && o.MDR != c.MDR })
	return !mine && slices.ContainsFunc(q.beside, func(at time.Time) bool { return at.Sub(this.at).Abs() <= splitWithin })
}

func ownedBy(owner map[string]ledger.ID, id ledger.ID) (string, bool) {
	for mdr, of := range owner {
		if of == id {
			return mdr, true
		}
	}
	return "", false
}
