package resolve

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// round reads the records once for all groups that are due, and once more when
// some of them could be proven absent. What it decides is carried out by
// compare-and-set: a round that was outrun changes nothing.
func (r *Resolver) round(ctx context.Context, due []ledger.Fingerprint) error {
	groups, err := r.groups(ctx, due)
	if err != nil || len(groups) == 0 {
		return err
	}
	started := time.Now()
	report := Round{At: started.UTC(), Open: len(groups), Waiting: map[string]int{}}
	defer func() {
		report.Took = time.Since(started)
		r.pace.ended(time.Now(), report.Took, report.Error != "")
		r.keep(context.WithoutCancel(ctx), report)
	}()
	if err := r.readAndDecide(ctx, groups, &report); err != nil {
		report.Error = err.Error()
		for _, g := range groups {
			r.pace.later(g.fingerprint, time.Now())
		}
		r.unreadable(ctx, groups, &report)
		if ctx.Err() == nil {
			r.alert(ctx, slog.LevelWarn, "records not read: open outcomes wait", "err", err)
		}
	}
	return nil
}

// groups reads the groups that are due, without those that cannot be decided now.
func (r *Resolver) groups(ctx context.Context, due []ledger.Fingerprint) ([]*group, error) {
	began, err := r.o.Ledger.Clock(ctx)
	if err != nil {
		return nil, err
	}
	now := &session{began: began, asked: time.Now()}
	var groups []*group
	for _, f := range due {
		jobs, err := r.o.Ledger.Group(ctx, f)
		if err != nil {
			return nil, err
		}
		if len(jobs) == 0 {
			continue
		}
		g := groupOf(f, jobs)
		if d := decide(r.question(g, now)); g.sending() || d.why == whyEarly {
			r.pace.later(f, time.Now())
			continue
		}
		groups = append(groups, g)
	}
	return groups, nil
}

func (r *Resolver) readAndDecide(ctx context.Context, groups []*group, report *Round) error {
	// What no read can decide must not widen the window for the others.
	groups, err := r.hopeless(ctx, groups, report)
	if err != nil || len(groups) == 0 {
		return err
	}
	s, err := r.begin(ctx, groups)
	if err != nil {
		return err
	}
	fence, err := r.o.Ledger.FenceState(ctx)
	if err != nil {
		return err
	}
	s.fenced = fence.Up
	if err := r.pass(ctx, s, groups); err != nil {
		return err
	}
	report.Passes, report.Rows = 1, s.passes[0].rows
	if s.clock.Offset.Abs() > mostOffset {
		r.alert(ctx, slog.LevelError, "clocks too far apart: nothing is decided", slog.Int64("offset_ms", s.clock.Offset.Milliseconds()))
	}
	side, err := r.look(ctx, s, groups)
	if err != nil {
		return err
	}
	// Records that are found first, so that they stand in nobody else's way.
	rest, err := r.claims(ctx, s, slices.Concat(groups, side), report)
	if err != nil {
		return err
	}
	absent, err := r.conclude(ctx, s, rest, report, true)
	if err != nil || len(absent) == 0 && !s.suspect {
		return err
	}
	if err := r.pass(ctx, s, absent); err != nil {
		return err
	}
	report.Passes = 2
	report.Rows += s.passes[1].rows
	if _, err := r.look(ctx, s, absent); err != nil {
		return err
	}
	_, err = r.conclude(ctx, s, absent, report, false)
	return err
}

// hopeless sends those to a person that were posted with another account's key, or
// too long ago.
func (r *Resolver) hopeless(ctx context.Context, groups []*group, report *Round) ([]*group, error) {
	began, err := r.o.Ledger.Clock(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{began: began, asked: time.Now()}
	var rest []*group
	for _, g := range groups {
		q := r.question(g, s)
		if d := decide(q); d.why == whyAccount || d.why == whyHorizon {
			if err := r.carry(ctx, s, g, d, report); err != nil {
				return nil, err
			}
			continue
		}
		rest = append(rest, g)
	}
	return rest, nil
}

// unreadable sends those to a person that have waited for a day longer than they
// should, and whose records could not be read at the end of it. A failed read
// itself decides nothing.
func (r *Resolver) unreadable(ctx context.Context, groups []*group, report *Round) {
	began, err := r.o.Ledger.Clock(ctx)
	if err != nil {
		return
	}
	s := &session{began: began, asked: time.Now()}
	for _, g := range groups {
		q := r.question(g, s)
		q.rules.max += 24 * time.Hour
		if d := q.waitOr(q.members, ledger.ReasonNotCurrent, whyFailed, nil); d.rest == ledger.RestReview {
			_ = r.carry(ctx, s, g, d, report)
		}
	}
}

// claims carries out what is found, and returns the groups of which nothing was.
func (r *Resolver) claims(ctx context.Context, s *session, groups []*group, report *Round) ([]*group, error) {
	var rest []*group
	for _, g := range groups {
		d := decide(r.question(g, s))
		if err := r.hold(ctx, s, g, d, report); err != nil {
			return nil, err
		}
		if len(d.claims) == 0 {
			if !g.side {
				rest = append(rest, g)
			}
			continue
		}
		if g.side || d.rest == ledger.RestAbsent {
			d.rest = ledger.RestWaits
		}
		if err := r.carry(ctx, s, g, d, report); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// conclude carries out what is decided of groups without a record of their own. It
// returns those of which a second pass may prove the absence.
func (r *Resolver) conclude(ctx context.Context, s *session, groups []*group, report *Round, first bool) ([]*group, error) {
	var second []*group
	for _, g := range groups {
		d := decide(r.question(g, s))
		switch {
		case d.why == whySecond && first:
			second = append(second, g)
		case d.rest == ledger.RestWaits && len(d.claims) == 0:
			if d.why != "" {
				report.Waiting[string(d.why)]++
			}
			r.pace.later(g.fingerprint, time.Now())
		default:
			if err := r.carry(ctx, s, g, d, report); err != nil {
				return nil, err
			}
		}
	}
	return second, nil
}

func (r *Resolver) rules() rules {
	return rules{account: r.o.Account, settle: r.o.Settle, idle: r.o.SettleIdle, max: r.o.Max, horizon: r.o.Horizon}
}

// question puts together what is known of a group.
func (r *Resolver) question(g *group, s *session) question {
	q := question{rules: r.rules()}
	q.read, q.records = s.reading(g), s.records(g)
	for _, row := range s.beside[g.pair] {
		q.beside = append(q.beside, row.stamp.Add(-s.clock.Offset))
	}
	q.read.fenced = s.fenced
	for _, job := range g.jobs {
		m := member{
			Member:  ledger.Member{ID: job.ID, State: job.State, Attempt: job.Attempts},
			account: job.Account, content: job.Content, first: job.FirstTried, since: job.Updated(), ready: job.ResolveAt, held: len(job.MDRs),
		}
		if m.watched = r.watched(job, s.asked); m.watched > 0 {
			m.pinned = r.watch.seen[watched{job.ID, job.Attempts}].pinned
		}
		q.members = append(q.members, m)
	}
	return q
}

// reading is what the read is worth for this group.
func (s *session) reading(g *group) reading {
	read := reading{
		began: s.began, passes: len(s.passes), lag: s.lag, offset: s.clock.Offset, margin: s.clock.margin(), slack: s.clock.slack(),
		reaches: !g.first().Before(s.reach), missing: s.missing, latest: s.latest, known: len(s.known.list),
	}
	if n := len(s.passes); n > 0 {
		read.rows, read.blurred = s.passes[n-1].rows, s.passes[n-1].blurred
		read.equal = n > 1 && s.passes[n-1].same(s.passes[n-2], g.pair)
	}
	return read
}

// records are the unclaimed ones of the group's pair.
func (s *session) records(g *group) []record {
	list, rest := g.split(s.free[g.pair], s.clock.Offset)
	for _, row := range rest {
		same := row.fingerprint == g.fingerprint
		list = append(list, record{
			mdr: row.mdr, at: row.stamp.Add(-s.clock.Offset), same: same, refused: row.refused, mms: row.mms,
			theirs: !same && s.owners[row.fingerprint],
		})
	}
	return list
}

// carry has the ledger carry out a decision, unless something has changed since.
func (r *Resolver) carry(ctx context.Context, s *session, g *group, d decision, report *Round) error {
	if stale, err := r.stale(ctx, g, d); err != nil || stale {
		r.pace.later(g.fingerprint, time.Now())
		return err
	}
	res := ledger.Resolution{Fingerprint: g.fingerprint, Began: s.began, Claims: d.claims, Rest: d.rest, Hold: r.o.Hold, Fenced: s.fenced}
	for _, job := range g.jobs {
		res.Members = append(res.Members, ledger.Member{ID: job.ID, State: job.State, Attempt: job.Attempts})
	}
	if d.rest == ledger.RestReview {
		res.Reason, res.Detail, res.Evidence = d.reason, explain(d.why), r.evidence(s, g, d)
	}
	out, err := r.o.Ledger.Resolve(ctx, res)
	if err != nil {
		return err
	}
	if out.Verdict != ledger.VerdictDone {
		r.pace.later(g.fingerprint, time.Now())
		report.Waiting[string(out.Verdict)]++
		return nil
	}
	r.pace.again(g.fingerprint)
	s.taken(g.pair, d.claims)
	report.Decided += len(out.Jobs)
	r.metrics.duplicates.Add(float64(d.surplus))
	r.tell(ctx, g, d, out)
	return nil
}

// hold gives messages that were put back to a person, before they are posted again: a
// record has come that may be of the post that was proven absent.
func (r *Resolver) hold(ctx context.Context, s *session, g *group, d decision, report *Round) error {
	for _, doubt := range d.doubts {
		evidence := r.evidence(s, g, decision{why: whyPart, candidates: []record{doubt.record}})
		held, err := r.o.Ledger.HoldQueued(ctx, doubt.id, ledger.ReasonNearMatch, explain(whyPart), evidence)
		if errors.Is(err, ledger.ErrNotFound) || err == nil && !held {
			continue // it has gone on: there is another round when it is unknown again
		}
		if err != nil {
			return err
		}
		report.Decided++
		r.metrics.decisions.WithLabelValues(string(ledger.Review), string(ledger.ReasonNearMatch)).Inc()
		r.log.ErrorContext(ctx, "message that was put back may have been sent: a record of an MMS has come late",
			slog.String("task_id", doubt.id.String()), slog.String("mdr_id", doubt.record.mdr))
	}
	return nil
}

// taken takes records that have an owner now out of everybody's way.
func (s *session) taken(of pair, claims []ledger.Claim) {
	if len(claims) == 0 {
		return
	}
	s.free[of] = slices.DeleteFunc(s.free[of], func(row row) bool {
		owned := slices.ContainsFunc(claims, func(c ledger.Claim) bool { return c.MDR == row.mdr })
		if owned && row.mms {
			s.beside[of] = append(s.beside[of], row)
		}
		return owned
	})
}

// stale looks, before a person is troubled, whether a record that seemed to be
// nobody's has an owner now, by a twin that came and went meanwhile.
func (r *Resolver) stale(ctx context.Context, g *group, d decision) (bool, error) {
	for _, c := range d.candidates {
		_, claimed, err := r.o.Ledger.ClaimedBy(ctx, c.mdr)
		if err != nil || claimed {
			return true, err
		}
	}
	return false, nil
}

// tell says what was decided, and wakes the workers for what is posted again.
func (r *Resolver) tell(ctx context.Context, g *group, d decision, out ledger.Resolved) {
	moved := map[ledger.ID]bool{}
	for _, j := range out.Jobs {
		moved[j.ID] = true
		reason, level := ledger.ReasonMatched, slog.LevelInfo
		switch {
		case j.State == ledger.Review:
			level = slog.LevelError
			if reason = d.reason; d.rest != ledger.RestReview {
				reason = ledger.ReasonHeld
			}
		case j.State != ledger.Accepted:
			reason = ledger.ReasonAbsent
		}
		r.metrics.decisions.WithLabelValues(string(j.State), string(reason)).Inc()
		r.log.LogAttrs(ctx, level, "unknown outcome decided", slog.String("task_id", j.ID.String()),
			slog.String("state", string(j.State)), slog.String("reason", string(reason)), slog.String("why", string(d.why)))
		if j.State == ledger.Queued {
			r.wake(ctx, j.ID)
		}
	}
	if d.rest != ledger.RestAbsent {
		return
	}
	for _, job := range g.jobs {
		if sight := r.watch.seen[watched{job.ID, job.Attempts}]; sight != nil && job.State == ledger.Unknown && !moved[job.ID] {
			sight.pinned = true // the ledger knows of an earlier post that was accepted
		}
	}
}

func (r *Resolver) wake(ctx context.Context, id ledger.ID) {
	job, err := r.o.Ledger.Get(ctx, id)
	if err == nil {
		err = r.o.Nudge(ctx, job)
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		// The sweeper finds it.
		r.log.WarnContext(ctx, "job not woken", slog.String("task_id", id.String()), slog.Any("err", err))
	}
}
