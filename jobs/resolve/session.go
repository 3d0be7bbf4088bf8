package resolve

import (
	"context"
	"slices"
	"sort"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// group are messages that cannot be told apart, as they were before the records
// were read.
type group struct {
	fingerprint ledger.Fingerprint
	pair        pair
	jobs        []ledger.Job
	side        bool // not due; a record may be one of its messages'
}

func groupOf(f ledger.Fingerprint, jobs []ledger.Job) *group {
	return &group{fingerprint: f, pair: pair{jobs[0].From.Digits(), jobs[0].To.Digits()}, jobs: jobs}
}

// first is the earliest first intent.
func (g *group) first() time.Time {
	first := g.jobs[0].FirstTried
	for _, job := range g.jobs {
		if job.FirstTried.Before(first) {
			first = job.FirstTried
		}
	}
	return first
}

func (g *group) sending() bool {
	return slices.ContainsFunc(g.jobs, func(j ledger.Job) bool { return j.State == ledger.Sending })
}

// session is one round's look at the records.
type session struct {
	began   time.Time // Redis' clock, before the first request
	asked   time.Time // the same moment on ours
	clock   Clock
	lag     time.Duration
	start   time.Time // of the window, Flowroute's clock
	known   controls
	lagFrom time.Time // messages accepted before are not measured
	reach   time.Time // what is known of accepted messages goes back to it
	missing []time.Time
	latest  time.Time
	fenced  bool // Redis may have lost messages that were sent
	suspect bool // a lag was seen that one more pass has to confirm
	passes  []*pass
	free    map[pair][]row // unclaimed rows
	owners  map[ledger.Fingerprint]bool
	beside  map[pair][]row // MMS that have an owner
	times   []time.Time    // when each pass was asked for
}

// begin prepares the read for these groups.
func (r *Resolver) begin(ctx context.Context, groups []*group) (*session, error) {
	firsts := make([]time.Time, len(groups))
	for i, g := range groups {
		firsts[i] = g.first()
	}
	slices.SortFunc(firsts, time.Time.Compare)
	return r.beginAt(ctx, firsts)
}

// beginAt prepares a read that tells of everything since these moments, the earliest
// first.
func (r *Resolver) beginAt(ctx context.Context, firsts []time.Time) (*session, error) {
	s := &session{free: map[pair][]row{}, owners: map[ledger.Fingerprint]bool{}, beside: map[pair][]row{}}
	var err error
	if s.clock, _, err = readClock(ctx, r.o.Redis, r.o.Prefix); err != nil {
		return nil, err
	}
	first := firsts[0]
	s.start = first.Add(-max(windowBefore, s.clock.margin()))
	if s.clock.learned() {
		s.start = s.start.Add(s.clock.Offset)
	} else {
		s.start = s.start.Add(min(s.clock.Offset, 0))
	}
	if s.began, err = r.o.Ledger.Clock(ctx); err != nil {
		return nil, err
	}
	// A little later than the window begins: the times of acceptance and of the
	// record differ.
	s.lagFrom = first.Add(-windowBefore / 2)
	list, reaches, err := r.o.Ledger.Acceptances(ctx, s.lagFrom, s.began)
	if err != nil {
		return nil, err
	}
	if s.reach = s.lagFrom; !reaches {
		if s.reach, err = r.reach(ctx, firsts); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		anchor, err := r.anchor(ctx, first)
		if err != nil {
			return nil, err
		}
		for _, a := range anchor {
			list = append(list, a)
			if before := a.At.Add(-windowBefore).Add(min(s.clock.Offset, 0)); before.Before(s.start) {
				s.start = before
			}
		}
	}
	s.known = newControls(list)
	s.asked = time.Now()
	return s, nil
}

// reach is the earliest of these moments to which the ledger's memory goes back;
// far in the future when it goes back to none.
func (r *Resolver) reach(ctx context.Context, firsts []time.Time) (time.Time, error) {
	var failed error
	at := sort.Search(len(firsts), func(i int) bool {
		if failed != nil {
			return true
		}
		_, reaches, err := r.o.Ledger.Acceptances(ctx, firsts[i], firsts[i])
		failed = err
		return reaches
	})
	if failed != nil || at == len(firsts) {
		return time.Now().AddDate(1, 0, 0), failed
	}
	return firsts[at], nil
}

// anchor is a message accepted before the window, on an account so quiet that there
// is none in it: a list that has it is at least not an empty one.
func (r *Resolver) anchor(ctx context.Context, first time.Time) ([]ledger.Acceptance, error) {
	for _, back := range []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, r.o.Horizon} {
		list, _, err := r.o.Ledger.Acceptances(ctx, first.Add(-back), first)
		if err != nil {
			return nil, err
		}
		for _, a := range slices.Backward(list) {
			if a.Direct {
				return []ledger.Acceptance{a}, nil
			}
		}
	}
	return nil, nil
}

// pass reads the window and takes it into account.
func (r *Resolver) pass(ctx context.Context, s *session, groups []*group) error {
	pairs := make(map[pair]bool, len(groups))
	for _, g := range groups {
		pairs[g.pair] = true
	}
	s.times = append(s.times, time.Now())
	found := map[pair]map[string]row{}
	p, err := r.readPass(ctx, s.start, s.known, func(m flowroute.MDR) {
		of := pair{m.From, m.To}
		if !pairs[of] {
			return
		}
		if found[of] == nil {
			found[of] = map[string]row{}
		}
		found[of][m.ID] = rowOf(m)
	})
	if err != nil {
		return err
	}
	p.pairs = found
	s.passes = append(s.passes, p)
	return r.compare(ctx, s)
}

// seen is when the record of a control was stamped, if each pass has it, and whether
// some pass has it.
func (s *session) seen(control int) (stamp time.Time, each, some bool) {
	each = true
	for _, p := range s.passes {
		if at := p.seen[control]; at.IsZero() {
			each = false
		} else {
			stamp, some = at, true
		}
	}
	return stamp, each, some
}

// compare learns from the messages that are known to be accepted: what is missing,
// how late records come, and how far the clocks are apart.
func (r *Resolver) compare(ctx context.Context, s *session) error {
	var samples []int64
	var lag time.Duration
	var doubtful []int
	shown := false
	s.missing, s.latest = nil, time.Time{}
	for i, a := range s.known.list {
		stamp, each, some := s.seen(i)
		shown = shown || some
		switch {
		case !each && !a.Direct:
			doubtful = append(doubtful, i)
		case !each:
			s.missing = append(s.missing, a.At)
			if !some && !a.At.Before(s.lagFrom) {
				lag = max(lag, s.began.Sub(a.At))
			}
		case a.Direct && a.At.After(r.sampled):
			samples = append(samples, stamp.Sub(a.At).Milliseconds())
		}
	}
	var err error
	if s.clock, err = learn(ctx, r.o.Redis, r.o.Prefix, samples, s.began); err != nil {
		return err
	}
	for i, a := range s.known.list {
		stamp, each, _ := s.seen(i)
		if !each || !a.Direct {
			continue
		}
		if a.At.After(r.sampled) {
			r.sampled = a.At
		}
		// One that was written down late was accepted earlier than that.
		if at := earlier(a.At, stamp.Add(-s.clock.Offset).Add(s.clock.slack())); at.After(s.latest) {
			s.latest = at
		}
	}
	// Rows can slip past while pages are turned: what would forbid conclusions for a
	// day must be missing twice.
	if !shown {
		lag = 0 // a list that shows none of them is broken, and tells nothing of a lag
	}
	if s.suspect = len(s.passes) < 2 && 4*lag >= r.o.Settle; s.suspect {
		lag = 0
	}
	if s.lag, err = noteLag(ctx, r.o.Redis, r.o.Prefix, lag, s.began); err != nil {
		return err
	}
	r.metrics.lag.Set(s.lag.Seconds())
	r.metrics.offset.Set(s.clock.Offset.Seconds())
	return r.doubt(ctx, s, doubtful)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// doubt finds out which messages, known from records or receipts, ought to be among
// the records: those that were posted after the window's beginning.
func (r *Resolver) doubt(ctx context.Context, s *session, places []int) error {
	ids := make([]ledger.ID, len(places))
	for i, at := range places {
		ids[i] = s.known.list[at].Job
	}
	found, errs := r.o.Ledger.GetMany(ctx, ids)
	for i, job := range found {
		if errs[i] != nil {
			continue
		}
		if job.Created.After(s.start.Add(-s.clock.Offset)) {
			s.missing = append(s.missing, s.known.list[places[i]].At)
		}
	}
	return ctx.Err()
}

// look finds the records that are nobody's, and the groups that they may be of.
func (r *Resolver) look(ctx context.Context, s *session, groups []*group) ([]*group, error) {
	known := map[ledger.Fingerprint]bool{}
	for _, g := range groups {
		known[g.fingerprint], s.owners[g.fingerprint] = true, true
	}
	var side []*group
	clear(s.free)
	clear(s.beside)
	for of, rows := range s.passes[len(s.passes)-1].pairs {
		for _, row := range rows {
			_, owned := s.known.index[row.mdr]
			if !owned {
				var err error
				if _, owned, err = r.o.Ledger.ClaimedBy(ctx, row.mdr); err != nil {
					return nil, err
				}
			}
			if owned {
				if row.mms {
					s.beside[of] = append(s.beside[of], row)
				}
				continue
			}
			s.free[of] = append(s.free[of], row)
			if known[row.fingerprint] {
				continue
			}
			known[row.fingerprint] = true
			jobs, err := r.o.Ledger.Group(ctx, row.fingerprint)
			if err != nil {
				return nil, err
			}
			if len(jobs) > 0 {
				s.owners[row.fingerprint] = true
				g := groupOf(row.fingerprint, jobs)
				g.side = true
				side = append(side, g)
			}
		}
	}
	return side, nil
}
