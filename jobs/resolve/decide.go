package resolve

import (
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// question is all that the decision on a group of messages is made from. Times are
// Redis' clock.
type question struct {
	members []member
	records []record
	beside  []time.Time // when MMS of the pair were accepted whose records have an owner
	read    reading
	rules   rules
}

// member is a message of the group, as it was before the records were read.
type member struct {
	ledger.Member
	account string
	content [8]byte       // hash of what was asked
	first   time.Time     // its first intent
	since   time.Time     // unknown, or accepted without an id, since then
	ready   time.Time     // from then on the records may decide
	watched time.Duration // how long this process had seen it so when the read began, on its own clock
	held    int           // records it has already
	pinned  bool          // an earlier post of it was accepted, and its id is pending
}

// record is an outbound record of the group's pair of numbers.
type record struct {
	mdr     string
	parts   []string  // the records of the further parts, of a text that was split
	at      time.Time // allowing for the clock offset
	same    bool      // its text is the group's
	refused bool      // it may be what a refusal has left
	claimed bool      // it is a job's already
	mms     bool      // whose records say nothing of the text
	theirs  bool      // its text is that of another message whose outcome is open
}

// reading is what is known of the read itself.
type reading struct {
	began   time.Time // before its first request
	passes  int
	equal   bool          // the last two passes saw the same records of the pair
	reaches bool          // what is known of accepted messages goes back to the first intent
	missing []time.Time   // when messages were accepted that are not in it
	rows    int           // of all pairs, inbound ones too
	blurred bool          // a record does not say whose it is
	known   int           // messages known to be accepted that it should show
	latest  time.Time     // when the latest message was accepted that is in it
	lag     time.Duration // the largest seen of late
	offset  time.Duration // Flowroute's clock against Redis'
	margin  time.Duration // by which times may be wrong
	slack   time.Duration // the same, closely: what is within may still be something else
	fenced  bool          // Redis may have lost messages that were sent
}

// rules are the operator's.
type rules struct {
	account string
	settle  time.Duration
	idle    time.Duration
	max     time.Duration
	horizon time.Duration // records and claims are not relied on beyond it
}

// shortestSettle is the least that a sender may have given the records (a loopback
// address apart), so its write deadline was over by then.
const shortestSettle = 30 * time.Second

// mostOffset is how far the clocks may be apart.
const mostOffset = 5 * time.Minute

// why says what a decision waits for, or what a person has to look at.
type why string

const (
	whySending  why = "sending"        // a message of the group is on the wire
	whyEarly    why = "early"          // the records need more time
	whyClock    why = "clock"          // the clocks are too far apart
	whyPending  why = "id_pending"     // an accepted message is not among the records
	whyTheirs   why = "other_job"      // a record of the pair is likely another open message's
	whyNear     why = "near_match"     // a record of the pair is nobody's
	whyPart     why = "perhaps_part"   // a late record may be a further one of another MMS
	whyReach    why = "reach"          // the ledger's memory does not go back to the first intent
	whyMissing  why = "missing"        // accepted messages are not among the records
	whyLag      why = "lag"            // records came too late in the last day
	whyQuiet    why = "quiet"          // no later message shows that the records are current
	whyEmpty    why = "empty"          // no records at all
	whySecond   why = "second_pass"    // one more pass is needed
	whyUnsteady why = "unsteady"       // two passes differ
	whyForeign  why = "foreign"        // more records than posts
	whyAccount  why = "other_account"  // posted with another account's key
	whyBlurred  why = "blurred"        // a record does not say whose it is
	whyFailed   why = "read_failed"    // Flowroute's records could not be read
	whyHorizon  why = "beyond_horizon" // too long ago
)

// decision is what is to become of a group.
type decision struct {
	claims  []ledger.Claim
	surplus int // of the claims: records beyond the first of a message, proven duplicates
	rest    ledger.Rest
	reason  ledger.Reason // of a review
	why     why           // empty: nothing is left open
	// candidates are the records that a person has to look at.
	candidates []record
	doubts     []doubt
}

func wait(w why) decision { return decision{why: w} }

func review(reason ledger.Reason, w why, candidates []record) decision {
	return decision{rest: ledger.RestReview, reason: reason, why: w, candidates: candidates}
}

// decide concludes what one read allows to conclude of one group. A message is
// proven absent only by a read that proves itself current; whatever cannot be told
// waits, and in the end is a person's.
func decide(q question) decision {
	open := q.open()
	for _, m := range q.members {
		if m.State == ledger.Sending {
			return wait(whySending)
		}
	}
	if len(open) == 0 {
		found := q.match() // late records of messages that were put back, or are with a person
		return decision{claims: found.claims, surplus: found.surplus, doubts: found.doubts}
	}
	for _, m := range open {
		if q.read.began.Before(m.ready) || m.watched < q.rules.settle {
			return wait(whyEarly)
		}
	}
	for _, m := range open {
		if m.account != q.rules.account {
			return review(ledger.ReasonOtherAccount, whyAccount, nil)
		}
		if q.read.began.Sub(m.first) > q.rules.horizon {
			return review(ledger.ReasonBeyondReach, whyHorizon, nil)
		}
	}
	if q.read.offset.Abs() > mostOffset {
		return q.waitOr(open, ledger.ReasonNotCurrent, whyClock, nil)
	}
	found := q.match()
	d := decision{claims: found.claims, surplus: found.surplus, doubts: found.doubts}
	if len(found.left) == 0 {
		return d
	}
	rest := q.conclude(found)
	d.rest, d.reason, d.why, d.candidates = rest.rest, rest.reason, rest.why, rest.candidates
	return d
}

// open are the members that need a decision.
func (q question) open() []member {
	return slices.DeleteFunc(slices.Clone(q.members), func(m member) bool {
		return m.State != ledger.Unknown && m.State != ledger.Accepted
	})
}

// conclude decides on the messages for which there is no record.
func (q question) conclude(found match) decision {
	left, doubt := found.left, q.notCurrent(found.left)
	switch {
	case len(found.more) > 0:
		return review(ledger.ReasonForeignTraffic, whyForeign, found.more)
	case slices.ContainsFunc(left, func(m member) bool { return m.State == ledger.Accepted || m.pinned }):
		return q.waitOr(left, noRecord(left), whyPending, found.near)
	case len(found.near) > 0 && !slices.ContainsFunc(found.near, func(r record) bool { return !r.theirs }):
		return q.waitOr(left, ledger.ReasonNearMatch, whyTheirs, found.near)
	case len(found.near) > 0 && doubt == "":
		return review(ledger.ReasonNearMatch, whyNear, found.near)
	case len(found.near) > 0:
		return q.waitOr(left, ledger.ReasonNearMatch, doubt, found.near)
	case doubt == whyReach:
		return q.waitOr(left, ledger.ReasonBeyondReach, doubt, nil)
	case doubt != "":
		return q.waitOr(left, ledger.ReasonNotCurrent, doubt, nil)
	case q.read.passes < 2:
		return wait(whySecond)
	case !q.read.equal:
		return q.waitOr(left, ledger.ReasonNotCurrent, whyUnsteady, nil)
	}
	return decision{rest: ledger.RestAbsent}
}

// noRecord is the reason for messages that were accepted, unless others are with
// them of which that is not known.
func noRecord(left []member) ledger.Reason {
	if slices.ContainsFunc(left, func(m member) bool { return m.State != ledger.Accepted && !m.pinned }) {
		return ledger.ReasonNotCurrent
	}
	return ledger.ReasonNoRecord
}

// waitOr waits until the messages have been open for too long. A twin that came
// later has its own time, within bounds.
func (q question) waitOr(left []member, reason ledger.Reason, w why, candidates []record) decision {
	since := func(a, b member) int { return a.since.Compare(b.since) }
	first, last := slices.MinFunc(left, since).since, slices.MaxFunc(left, since).since
	if q.read.began.Sub(last) >= q.rules.max || q.read.began.Sub(first) >= 2*q.rules.max {
		return review(reason, w, candidates)
	}
	return wait(w)
}

// notCurrent says why the absence of a record proves nothing; empty when it does.
func (q question) notCurrent(left []member) why {
	first, ready, watched := left[0].first, left[0].ready, left[0].watched
	for _, m := range left {
		if m.first.Before(first) {
			first = m.first
		}
		if m.ready.After(ready) {
			ready = m.ready
		}
		watched = min(watched, m.watched)
	}
	over := q.over(member{ready: ready}) // all of their write deadlines are
	unseen := false
	for _, at := range q.read.missing {
		if !at.Before(first) && !at.After(ready) {
			return whyMissing
		}
		unseen = unseen || at.After(over)
	}
	switch {
	case q.read.blurred:
		return whyBlurred
	case !q.read.reaches:
		return whyReach
	case 2*q.read.lag >= q.rules.settle:
		return whyLag
	case !q.read.latest.Before(over):
		return ""
	case unseen || q.read.known > 0 && len(q.read.missing) == q.read.known:
		return whyMissing
	case q.read.rows == 0:
		return whyEmpty
	case q.read.began.Sub(over) < q.rules.idle || watched < q.rules.idle:
		return whyQuiet
	}
	return ""
}

// over is when a message's write deadline is over for sure.
func (q question) over(m member) time.Time { return m.ready.Add(-min(q.rules.settle, shortestSettle)) }
