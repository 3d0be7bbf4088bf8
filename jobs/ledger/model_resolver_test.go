package ledger_test

import (
	"cmp"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// reader is a resolver. It reads the group, then Flowroute's records, and decides: each
// perhaps long after the other.
type reader struct {
	text    int
	members []ledger.Job
	began   time.Time
	records []*modelRecord // that are nobody's
	read    bool
	current bool
}

func (w *world) readGroup() bool {
	open, err := w.l.Unresolved(w.ctx, 10)
	w.must(err)
	job, ok := pick(w, open)
	if !ok {
		return false
	}
	w.readers[w.choose(len(w.readers))] = w.reader(w.textOf(job.ID))
	w.t.Logf("a resolver reads the group of text %d", w.textOf(job.ID))
	return true
}

func (w *world) reader(text int) *reader {
	r := &reader{text: text}
	var err error
	r.members, err = w.l.Group(w.ctx, fingerprint(text))
	w.must(err)
	slices.SortFunc(r.members, func(a, b ledger.Job) int {
		return cmp.Or(a.FirstTried.Compare(b.FirstTried), slices.Compare(a.ID[:], b.ID[:]))
	})
	r.began, err = w.l.Clock(w.ctx)
	w.must(err)
	return r
}

func (w *world) textOf(id ledger.ID) int {
	for _, job := range w.jobs {
		if job.new.ID == id {
			return job.text
		}
	}
	w.t.Fatalf("no such job: %s", id)
	return 0
}

func (w *world) readRecords() bool {
	i := w.choose(len(w.readers))
	r := w.readers[i]
	if r == nil || r.read {
		return false
	}
	w.readFor(r)
	w.t.Logf("a resolver has read %d unclaimed records of text %d, current: %v", len(r.records), r.text, r.current)
	return true
}

func (w *world) readFor(r *reader) {
	r.read = true
	var list []*modelRecord
	list, r.current = w.visible(r.text)
	for _, record := range list {
		_, claimed, err := w.l.ClaimedBy(w.ctx, record.mdr)
		w.must(err)
		if !claimed {
			r.records = append(r.records, record)
		}
	}
}

func (w *world) decide() bool {
	i := w.choose(len(w.readers))
	r := w.readers[i]
	if r == nil || !r.read {
		return false
	}
	w.readers[i] = nil
	w.resolve(r, w.choose(4) == 3, w.choose(4) == 3)
	return true
}

func (w *world) resolveAtOnce() bool {
	open, err := w.l.Unresolved(w.ctx, 10)
	w.must(err)
	job, ok := pick(w, open)
	if !ok {
		return false
	}
	r := w.reader(w.textOf(job.ID))
	w.readFor(r)
	w.resolve(r, w.choose(4) == 3, w.choose(8) == 7)
	return true
}

// resolve decides by the rules: a record for each that has none, the rest absent when
// the read is current. Whether a read is too early is the ledger's to say.
func (w *world) resolve(r *reader, tired, hold bool) ledger.Resolved {
	res := ledger.Resolution{Fingerprint: fingerprint(r.text), Began: r.began, Hold: hold, Fenced: w.fence != nil}
	for _, m := range r.members {
		res.Members = append(res.Members, ledger.Member{ID: m.ID, State: m.State, Attempt: m.Attempts})
	}
	claims, left, foreign := match(r, w.fence != nil)
	res.Claims = claims
	pending := slices.ContainsFunc(left, func(m ledger.Job) bool { return m.State == ledger.Accepted })
	switch {
	case len(left) == 0:
	case foreign && w.fence != nil: // not before the records of the gap were matched
	case foreign:
		res.Claims, res.Rest, res.Reason = nil, ledger.RestReview, ledger.ReasonForeignTraffic
	case pending && (tired || r.current):
		res.Rest, res.Reason = ledger.RestReview, ledger.ReasonNoRecord
	case pending:
	case r.current:
		res.Rest = ledger.RestAbsent
	case tired:
		res.Rest, res.Reason = ledger.RestReview, ledger.ReasonNotCurrent
	}
	doubt := w.doubt(res)
	got, err := w.l.Resolve(w.ctx, res)
	w.must(err)
	if got.Verdict == ledger.VerdictDone && doubt != "" {
		w.t.Fatalf("text %d was resolved although %s", r.text, doubt)
	}
	w.t.Logf("text %d is resolved, %d members, %d claims, rest %q: %s", r.text, len(res.Members), len(res.Claims), res.Rest, got.Verdict)
	for _, job := range got.Jobs {
		w.t.Logf("  %s is %s", w.nameOf(job.ID), job.State)
	}
	w.unchanged("the resolution again", func() {
		_, err := w.l.Resolve(w.ctx, res)
		w.must(err)
	})
	return got
}

// doubt says why a resolution must not be carried out: a group is decided as a whole, as
// it is now, and by a read from after the last of its posts.
func (w *world) doubt(res ledger.Resolution) string {
	group, err := w.l.Group(w.ctx, res.Fingerprint)
	w.must(err)
	for _, job := range group {
		at := slices.IndexFunc(res.Members, func(m ledger.Member) bool { return m.ID == job.ID })
		open := job.State == ledger.Unknown || job.State == ledger.Accepted
		switch {
		case job.State == ledger.Sending:
			return w.nameOf(job.ID) + " is on the wire"
		case at < 0 && open:
			return w.nameOf(job.ID) + " was not read"
		case at >= 0 && (job.State != res.Members[at].State || job.Attempts != res.Members[at].Attempt):
			return w.nameOf(job.ID) + " has changed"
		case job.State == ledger.Unknown && job.ResolveAt.After(res.Began):
			return "it is too early for " + w.nameOf(job.ID)
		}
	}
	return ""
}

// match gives the records to the members: to accepted ones first, then unknown ones,
// those put back, those in review. left are the open ones without one; foreign says
// that there are more records than posts. With a gap whose records were not matched yet,
// none gets more than one.
func match(r *reader, gap bool) (claims []ledger.Claim, left []ledger.Job, foreign bool) {
	turn := map[ledger.State]int{ledger.Accepted: 0, ledger.Unknown: 1, ledger.Queued: 2, ledger.Review: 3}
	members := slices.Clone(r.members)
	slices.SortStableFunc(members, func(a, b ledger.Job) int { return cmp.Compare(turn[a.State], turn[b.State]) })
	free := slices.Clone(r.records)
	given := make([]int, len(members))
	give := func(i int) bool {
		at := slices.IndexFunc(free, func(record *modelRecord) bool { return !record.at.Before(members[i].FirstTried) })
		if at < 0 {
			return false
		}
		claims = append(claims, ledger.Claim{ID: members[i].ID, MDR: free[at].mdr})
		free = slices.Delete(free, at, at+1)
		given[i]++
		return true
	}
	for i, m := range members {
		if len(m.MDRs) == 0 {
			give(i)
		}
	}
	for i, m := range members {
		for !gap && given[i]+len(m.MDRs) < m.Attempts && give(i) {
		}
		open := m.State == ledger.Unknown || m.State == ledger.Accepted
		if open && given[i]+len(m.MDRs) == 0 {
			left = append(left, m)
		}
		foreign = foreign || m.State == ledger.Unknown && slices.ContainsFunc(free, func(record *modelRecord) bool { return !record.at.Before(m.FirstTried) })
	}
	return claims, left, foreign
}

// rule lets a person decide: by the records, once all is to be seen and nothing else of
// that text is open.
func (w *world) rule() bool {
	reviews, _, err := w.l.Reviews(w.ctx, "", 10)
	w.must(err)
	job, ok := pick(w, reviews)
	return ok && w.ruleOn(job)
}

func (w *world) ruleOn(job ledger.Job) bool {
	text := w.textOf(job.ID)
	visible, current := w.visible(text)
	if !current || w.underWay(text) || w.fence != nil {
		return false
	}
	ruling := ledger.RuledNotSent
	for _, r := range visible {
		_, claimed, err := w.l.ClaimedBy(w.ctx, r.mdr)
		w.must(err)
		if !claimed && !r.ruledOn {
			ruling, r.ruledOn = ledger.RuledAccepted, true
			break
		}
	}
	after, done, err := w.l.Rule(w.ctx, job.ID, ruling)
	w.must(err)
	w.t.Logf("a person says of %s: %s; it is %s", w.nameOf(job.ID), ruling, after.State)
	if !done {
		w.t.Fatalf("ruling %s on %s was not carried out", ruling, w.nameOf(job.ID))
	}
	w.unchanged("the ruling again", func() {
		_, _, err := w.l.Rule(w.ctx, job.ID, ruling)
		w.must(err)
	})
	return true
}

// underWay reports whether a message of that text may still turn up, or has to be
// resolved.
func (w *world) underWay(text int) bool {
	for _, f := range w.flights {
		if f.job.text == text && (f.onWire || f.alive) {
			return true
		}
	}
	group, err := w.l.Group(w.ctx, fingerprint(text))
	w.must(err)
	return slices.ContainsFunc(group, func(job ledger.Job) bool { return job.State != ledger.Review })
}
