package resolve

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// lostRecord is an outbound record of a gap that is nobody's: what is left of a post
// whose traces Redis may have lost.
type lostRecord struct {
	row
	of pair
	at time.Time // allowing for the clock offset
	// later: stamped after every lost post was over, by the clock that Redis had.
	later bool
}

// waiting is a message that is queued, as far as Redis knows.
type waiting struct {
	id          ledger.ID
	fingerprint ledger.Fingerprint
	of          pair
	text        string // normalised
	created     time.Time
	// keyed: its id was made of a producer's key, so it may have been created again
	// after its loss.
	keyed bool
}

// regained is whose the records of a gap are.
type regained struct {
	claims  []ledger.Claim
	holds   []hold
	orphans map[ledger.Fingerprint][]ledger.Orphan
}

// hold is a message that may have been posted: a person must look.
type hold struct {
	id      ledger.ID
	records []lostRecord
}

// regain gives the records of a gap to the messages that seem never posted. What
// nobody has the text of becomes an orphan: its message may be asked for again under
// its key.
func regain(records []lostRecord, queued []waiting, margin time.Duration) regained {
	found := regained{orphans: map[ledger.Fingerprint][]ledger.Orphan{}}
	records = slices.Clone(records)
	slices.SortStableFunc(records, func(a, b lostRecord) int { return a.at.Compare(b.at) })
	queued = slices.Clone(queued)
	slices.SortStableFunc(queued, func(a, b waiting) int { return a.created.Compare(b.created) })
	free := map[ledger.Fingerprint][]lostRecord{}
	pairs := map[pair][]lostRecord{}
	for _, r := range records {
		if !r.refused && !r.mms { // records of MMS do not say which
			free[r.fingerprint] = append(free[r.fingerprint], r)
		}
		pairs[r.of] = append(pairs[r.of], r)
	}
	for _, w := range queued {
		mine := free[w.fingerprint]
		i := slices.IndexFunc(mine, func(r lostRecord) bool { return w.may(r, margin) })
		if i >= 0 {
			found.claims = append(found.claims, ledger.Claim{ID: w.id, MDR: mine[i].mdr})
			free[w.fingerprint] = slices.Delete(slices.Clone(mine), i, i+1)
			continue
		}
		near := slices.DeleteFunc(slices.Clone(pairs[w.of]), func(r lostRecord) bool { return !w.may(r, margin) || !w.near(r) })
		if len(near) > 0 {
			found.holds = append(found.holds, hold{id: w.id, records: near})
		}
	}
	for f, rest := range free {
		for _, r := range rest {
			found.orphans[f] = append(found.orphans[f], ledger.Orphan{MDR: r.mdr})
		}
	}
	for _, r := range records {
		if r.mms && !r.refused {
			found.orphans[r.fingerprint] = append(found.orphans[r.fingerprint], ledger.Orphan{MDR: r.mdr, Doubtful: true})
		}
	}
	return found
}

// may reports whether the record can be of the message, by time.
func (w waiting) may(r lostRecord, margin time.Duration) bool {
	return w.keyed || !r.at.Before(w.created.Add(-margin))
}

// near reports whether the record may be the message's with another text: refused,
// empty, a part of it, it with something added, or changed within.
func (w waiting) near(r lostRecord) bool {
	if r.fingerprint == w.fingerprint {
		return r.refused || r.mms
	}
	const alike = 8 // characters at one end
	a, b := w.text, r.text
	if a == "" || b == "" || r.mms || strings.Contains(a, b) || strings.Contains(b, a) {
		return true
	}
	return commonPrefix(a, b) >= alike || commonSuffix(a, b) >= alike
}

func commonPrefix(a, b string) int {
	n := 0
	for a != "" && b != "" {
		x, size := utf8.DecodeRuneInString(a)
		if y, _ := utf8.DecodeRuneInString(b); x != y {
			break
		}
		a, b, n = a[size:], b[size:], n+1
	}
	return n
}

func commonSuffix(a, b string) int {
	n := 0
	for a != "" && b != "" {
		x, size := utf8.DecodeLastRuneInString(a)
		if y, _ := utf8.DecodeLastRuneInString(b); x != y {
			break
		}
		a, b, n = a[:len(a)-size], b[:len(b)-size], n+1
	}
	return n
}
