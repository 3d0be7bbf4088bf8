package resolve

import (
	"cmp"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// match says whose the records are.
type match struct {
	claims  []ledger.Claim
	surplus int
	left    []member // open ones without a record
	more    []record // of the text, more than were ever posted
	near    []record // nobody's, and not to be claimed
	doubts  []doubt
}

// doubt is a message that was put back, and a record that has come since: it may be the
// message's, or a further one of another MMS that has one.
type doubt struct {
	id     ledger.ID
	record record
}

// match gives the records of the text to the messages of the group: first to those
// that are known to be accepted, then in order of their first intents; messages
// proven absent before, and such that wait for a person, come last. What is left goes
// to those that were posted more than once.
func (q question) match() match {
	var found match
	free := slices.DeleteFunc(slices.Clone(q.records), func(r record) bool { return r.claimed || !r.same || r.refused })
	slices.SortStableFunc(free, func(a, b record) int { return a.at.Compare(b.at) })
	members := slices.Clone(q.members)
	slices.SortStableFunc(members, func(a, b member) int {
		return cmp.Or(cmp.Compare(turn(a), turn(b)), a.first.Compare(b.first))
	})
	given := make([]int, len(members))
	parts := mmsParts{beside: q.beside}
	mine := map[int]record{} // MMS, by the place of their message
	give := func(i int, more bool) bool {
		since := members[i].first.Add(-q.read.margin)
		at := slices.IndexFunc(free, func(r record) bool {
			// Of an MMS the record does not say which it is, and behind a fence Redis may have lost others.
			sure := !r.mms || !more && turn(members[i]) == turnAccepted || !q.read.fenced && !parts.of(r)
			return sure && q.may(members[i], r)
		})
		if at < 0 {
			return false
		}
		if free[at].mms {
			mine[i] = free[at]
		}
		for _, mdr := range append([]string{free[at].mdr}, free[at].parts...) {
			found.claims = append(found.claims, ledger.Claim{ID: members[i].ID, MDR: mdr})
		}
		parts.given(free[at], since, members[i].ID)
		free = slices.Delete(free, at, at+1)
		given[i]++
		return true
	}
	for i, m := range members {
		if give(i, false) || turn(m) != turnQueued || q.read.fenced {
			continue
		}
		if at := slices.IndexFunc(free, func(r record) bool { return r.mms && q.may(m, r) }); at >= 0 {
			found.doubts = append(found.doubts, doubt{m.ID, free[at]})
		}
	}
	for i, m := range members {
		for !q.read.fenced && given[i]+m.held < m.Attempt && give(i, true) { // behind a fence it may be a lost twin's
			found.surplus++
		}
		if given[i] == 0 && (m.State == ledger.Unknown || m.State == ledger.Accepted) {
			found.left = append(found.left, m)
		}
	}
	q.unsure(&found, members, mine)
	further := parts.take(&free)
	if len(found.left) == 0 && len(found.doubts) == 0 && !q.read.fenced { // behind a fence it may be a lost one's only record
		found.claims = append(found.claims, parts.claims(further)...)
	} else {
		found.near = append(found.near, further...)
	}
	q.strangers(&found, members, free)
	return found
}

// The order in which messages are given records.
const (
	turnAccepted = iota
	turnUnknown
	turnQueued
	turnPerson
)

func turn(m member) int {
	switch {
	case m.State == ledger.Accepted || m.pinned:
		return turnAccepted
	case m.State == ledger.Unknown:
		return turnUnknown
	case m.State == ledger.Queued:
		return turnQueued
	}
	return turnPerson
}

// strangers looks at the records that nobody was given. When there are more of this
// text than this group has ever posted, somebody else sends it too, and none of them
// is surely a message's whose outcome is unknown.
func (q question) strangers(found *match, members []member, free []record) {
	first := time.Time{}
	for _, m := range members {
		if m.State == ledger.Unknown && (first.IsZero() || m.first.Before(first)) {
			first = m.first
		}
	}
	if first.IsZero() {
		return
	}
	since := first.Add(-q.read.margin)
	for _, r := range free {
		if !r.at.Before(since) && !r.mms {
			found.more = append(found.more, r)
		} else {
			found.near = append(found.near, r)
		}
	}
	for _, r := range q.records {
		if !r.claimed && (!r.same || r.refused) && !r.at.Before(since) {
			found.near = append(found.near, r)
		}
	}
	if q.read.fenced {
		found.more = nil // they may be what Redis has lost: the fence's read tells
	}
	if len(found.more) == 0 {
		return
	}
	certain := func(id ledger.ID) bool {
		return slices.ContainsFunc(members, func(m member) bool { return m.ID == id && turn(m) == turnAccepted })
	}
	for _, c := range slices.Clone(found.claims) {
		if !certain(c.ID) {
			if i := slices.IndexFunc(q.records, func(r record) bool { return r.mdr == c.MDR }); i >= 0 {
				found.more = append(found.more, q.records[i])
			}
		}
	}
	if found.claims = slices.DeleteFunc(found.claims, func(c ledger.Claim) bool { return !certain(c.ID) }); len(found.claims) == 0 {
		found.claims = nil
	}
	found.surplus = 0
	found.left = slices.DeleteFunc(slices.Clone(members), func(m member) bool {
		claimed := slices.ContainsFunc(found.claims, func(c ledger.Claim) bool { return c.ID == m.ID })
		return claimed || m.State != ledger.Unknown && m.State != ledger.Accepted
	})
}
