package resolve

import (
	"encoding/json"
	"slices"
	"time"
)

// evidence is what a person gets to decide with. It has no text and no numbers of
// the message; those are the job's.
type evidence struct {
	Why         string      `json:"why"`
	Explanation string      `json:"explanation"`
	ReadAt      []time.Time `json:"read_at,omitempty"`
	Records     int         `json:"records_read"`
	FirstIntent time.Time   `json:"first_intent"`
	ResolveAt   time.Time   `json:"resolve_at"`
	Posts       int         `json:"posts"`
	Candidates  []candidate `json:"candidates,omitempty"`
	More        int         `json:"more_candidates,omitempty"`
	Missing     int         `json:"accepted_but_not_listed,omitempty"`
	Latest      *time.Time  `json:"latest_listed,omitempty"`
	LagMS       int64       `json:"lag_ms"`
	OffsetMS    int64       `json:"clock_offset_ms"`
}

// candidate is a record that may be the message's.
type candidate struct {
	MDR     string    `json:"mdr_id"`
	At      time.Time `json:"timestamp"` // as Flowroute has it
	Status  string    `json:"status"`
	Differs string    `json:"differs"`
}

const (
	mostEvidence   = 2000
	mostCandidates = 8
)

func (r *Resolver) evidence(s *session, g *group, d decision) []byte {
	e := evidence{
		Why: string(d.why), Explanation: explain(d.why), ReadAt: s.times, FirstIntent: g.first().UTC(),
		Missing: len(s.missing), LagMS: s.lag.Milliseconds(), OffsetMS: s.clock.Offset.Milliseconds(),
	}
	for _, job := range g.jobs {
		e.Posts += job.Attempts
		if job.ResolveAt.After(e.ResolveAt) {
			e.ResolveAt = job.ResolveAt.UTC()
		}
	}
	for i := range e.ReadAt {
		e.ReadAt[i] = e.ReadAt[i].UTC()
	}
	if n := len(s.passes); n > 0 {
		e.Records = s.passes[n-1].rows
	}
	if !s.latest.IsZero() {
		latest := s.latest.UTC()
		e.Latest = &latest
	}
	rows := s.free[g.pair]
	for _, c := range d.candidates {
		if i := slices.IndexFunc(rows, func(row row) bool { return row.mdr == c.mdr }); i >= 0 {
			e.Candidates = append(e.Candidates, candidate{MDR: c.mdr, At: rows[i].stamp, Status: clip(rows[i].status), Differs: differs(c)})
		}
	}
	for {
		if n := len(e.Candidates); n > mostCandidates {
			e.More += n - mostCandidates
			e.Candidates = e.Candidates[:mostCandidates]
		}
		raw, err := json.Marshal(e)
		if err != nil || len(raw) <= mostEvidence || len(e.Candidates) == 0 {
			return raw
		}
		e.Candidates = e.Candidates[:len(e.Candidates)-1]
		e.More++
	}
}

func differs(c record) string {
	switch {
	case !c.same && c.theirs:
		return "text; another open message has it"
	case !c.same:
		return "text"
	case c.refused:
		return "nothing; but it failed before a carrier took it"
	}
	return "nothing"
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40]
	}
	return s
}

// explain says in words why a person must look.
func explain(w why) string {
	switch w {
	case whyClock:
		return "the clocks of Flowroute and Redis are more than five minutes apart"
	case whyPending:
		return "the message was accepted, but there is no record of it"
	case whyTheirs, whyNear:
		return "a record of these two numbers is nobody's, and differs in its text or was refused"
	case whyPart:
		return "its post was proven absent, and since then a record has come that may be of it, or a further one of another MMS to the same number"
	case whyReach:
		return "the ledger's memory of accepted messages does not go back to the first post"
	case whyMissing:
		return "messages known to be accepted are missing in Flowroute's list, so it is not complete"
	case whyLag:
		return "records came late in the last 24 hours, so that their absence proves nothing"
	case whyQuiet:
		return "no later message showed that Flowroute's list is current"
	case whyEmpty:
		return "Flowroute's list was empty"
	case whyUnsteady:
		return "two reads of Flowroute's list showed different records"
	case whyForeign:
		return "there are more records of this text than posts: somebody else sends it too"
	case whyAccount:
		return "it was posted with the key of another account"
	case whyBlurred:
		return "a record of Flowroute's does not say from whom or to whom it is"
	case whyFailed:
		return "Flowroute's records could not be read for a day"
	case whyHorizon:
		return "it was posted too long ago for the records to tell"
	}
	return "its outcome could not be found out in time"
}
