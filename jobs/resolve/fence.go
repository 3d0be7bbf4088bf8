package resolve

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/internal/lease"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// orphanTTL is how long a producer may ask again, under its key, for a message that
// Redis has lost, without its being posted a second time.
// Shorter than a day, so that it swallows no text that is sent to somebody daily.
const orphanTTL = 12 * time.Hour

// fenceEvery is how often a fence that is down is looked at.
const fenceEvery = 5 * time.Second

// fenceWatch is what this process knows of a fence that is up.
type fenceWatch struct {
	id    string
	since time.Time // on the monotonic clock
	wait  time.Duration
	next  time.Time
}

// lookAtFence reads the records of a gap of Redis, when a fence is up, and lowers it.
func (r *Resolver) lookAtFence(ctx context.Context) error {
	now := time.Now()
	if now.Before(r.fence.next) {
		return nil
	}
	fence, err := r.o.Ledger.FenceState(ctx)
	if err != nil {
		return err
	}
	if !fence.Up {
		r.metrics.fence.Set(0)
		r.fence = fenceWatch{next: now.Add(max(fenceEvery, r.o.Tick))}
		return nil
	}
	r.metrics.fence.Set(1)
	if r.fence.id != fence.ID {
		r.fence = fenceWatch{id: fence.ID, since: now, wait: r.o.Tick}
	}
	r.fence.wait = min(r.fence.wait*3/2, 30*time.Second)
	r.fence.next = now.Add(r.fence.wait)
	r.alert(ctx, slog.LevelWarn, "fence up: Redis may have lost writes; jobs from before wait until Flowroute's records were read",
		slog.Time("from", fence.From), slog.Time("at", fence.At))
	if fence.At.Sub(fence.From) > r.o.Reach {
		r.alert(ctx, slog.LevelError, "fence waits for a person: the gap is longer than Flowroute's records are read back",
			slog.Int64("gap_ms", fence.At.Sub(fence.From).Milliseconds()))
		return nil
	}
	if fence.Restarted() || now.Sub(r.fence.since) < r.o.Settle {
		return nil
	}
	clock, err := r.o.Ledger.Clock(ctx)
	if err != nil || clock.Before(fence.Ready) {
		return err
	}
	err = lease.Hold(ctx, r.o.Redis, r.o.LeaseKey, lease.Options{TTL: leaseTTL}, func(ctx context.Context) error {
		return r.clearGap(ctx, fence)
	})
	if errors.Is(err, lease.ErrHeld) {
		return nil
	}
	return err
}

// clearGap matches the records of the gap with everything that is not over, and
// lowers the fence when nothing is left to be told.
func (r *Resolver) clearGap(ctx context.Context, fence ledger.Fence) error {
	started := time.Now()
	report := Round{At: started.UTC(), Waiting: map[string]int{}}
	defer func() {
		report.Took = time.Since(started)
		r.fence.next = time.Now().Add(max(r.fence.wait, min(2*report.Took, longestWait)))
		r.keep(context.WithoutCancel(ctx), report)
	}()
	gap, doubt, err := r.readGap(ctx, fence, &report)
	if err != nil {
		report.Error = err.Error()
		r.alert(ctx, slog.LevelWarn, "records not read: the fence stays up", "err", err)
		return nil
	}
	if doubt != "" {
		report.Waiting["fence: "+string(doubt)]++
		if time.Since(r.fence.since) > r.o.Max {
			r.alert(ctx, slog.LevelError, "fence waits for a person: Flowroute's records do not prove themselves current", slog.String("why", string(doubt)))
		}
		return nil
	}
	queued, open, err := r.allOpen(ctx, gap)
	if err != nil {
		return err
	}
	if open {
		// Its record is among those of the gap, or it is put back and queued soon.
		report.Waiting["fence: "+string(whySending)]++
		return nil
	}
	found := regain(gap.records, queued, gap.session.clock.margin())
	whole, err := r.regained(ctx, gap, found, &report)
	if err != nil || !whole {
		return err // what has changed meanwhile is looked at anew
	}
	if err := r.matchPurchases(ctx, fence); err != nil {
		r.alert(ctx, slog.LevelWarn, "numbers not compared: the fence stays up", "err", err)
		return nil
	}
	lowered, err := r.o.Ledger.LowerFence(ctx, fence.ID, found.orphans, orphanTTL)
	if err != nil || !lowered {
		return err
	}
	r.fence = fenceWatch{}
	r.metrics.fence.Set(0)
	r.log.WarnContext(ctx, "fence lowered: Flowroute's records of the gap were matched with every job",
		slog.Int("found", len(found.claims)), slog.Int("held", len(found.holds)), slog.Int("orphans", len(found.orphans)))
	return nil
}

// gap is what was read of the time in which writes may have been lost.
type gap struct {
	session *session
	records []lostRecord
}

// readGap reads the gap's records twice, and says why they cannot be relied on;
// empty when they can.
func (r *Resolver) readGap(ctx context.Context, fence ledger.Fence, report *Round) (*gap, why, error) {
	s, err := r.beginAt(ctx, []time.Time{fence.From})
	if err != nil {
		return nil, "", err
	}
	var rows [2]map[string]lostRecord
	for i := range rows {
		if rows[i], err = r.gapPass(ctx, s); err != nil {
			return nil, "", err
		}
		report.Passes++
		report.Rows += s.passes[i].rows
		if err := r.compare(ctx, s); err != nil {
			return nil, "", err
		}
	}
	if s.clock.Offset.Abs() > mostOffset {
		return nil, whyClock, nil
	}
	steady := func(some, other map[string]lostRecord) bool {
		for id, rec := range some {
			if _, ok := other[id]; !ok && !rec.stamp.Add(-s.clock.Offset).After(fence.Ready) {
				return false
			}
		}
		return true
	}
	if !steady(rows[0], rows[1]) || !steady(rows[1], rows[0]) {
		return nil, whyUnsteady, nil
	}
	q := question{rules: r.rules(), read: reading{
		began: s.began, passes: 2, lag: s.lag, missing: s.missing, latest: s.latest, known: len(s.known.list), rows: s.passes[1].rows,
		blurred: s.passes[1].blurred,
		// What Redis has forgotten of its own past cannot be asked of it.
		reaches: true,
	}}
	// The gap's messages were accepted before the fence was raised: after twice the
	// longest lag seen of late they are there.
	if s.began.Sub(fence.At) > 2*s.lag {
		q.read.lag = 0
	}
	last := member{first: fence.From, ready: fence.Ready, watched: s.asked.Sub(r.fence.since)}
	if doubt := q.notCurrent([]member{last}); doubt != "" {
		return nil, doubt, nil
	}
	g := &gap{session: s}
	// The times of the gap are Redis', whose clock may have been wrong just then.
	since, until := fence.From.Add(-s.clock.margin()), fence.Ready.Add(s.clock.margin())
	for id, rec := range rows[1] {
		rec.at = rec.stamp.Add(-s.clock.Offset)
		if rec.at.Before(since) || rec.at.After(until) {
			continue
		}
		rec.later = rec.at.After(fence.Ready)
		_, claimed, err := r.o.Ledger.ClaimedBy(ctx, id)
		if err != nil {
			return nil, "", err
		}
		if !claimed {
			g.records = append(g.records, rec)
		}
	}
	return g, "", nil
}

// gapPass reads the window and keeps the outbound records that the ledger's memory
// does not have.
func (r *Resolver) gapPass(ctx context.Context, s *session) (map[string]lostRecord, error) {
	rows := map[string]lostRecord{}
	p, err := r.readPass(ctx, s.start, s.known, func(m flowroute.MDR) {
		if _, known := s.known.index[m.ID]; !known {
			rows[m.ID] = lostRecord{row: rowOf(m), of: pair{m.From, m.To}}
		}
	})
	if err != nil {
		return nil, err
	}
	s.passes = append(s.passes, p)
	return rows, nil
}

// allOpen goes through all messages that are not over, and returns those that are
// queued and concern a record of the gap. undecided: the outcome of one with the text
// of such a record is still open; whose the record is has to wait for it.
func (r *Resolver) allOpen(ctx context.Context, g *gap) (queued []waiting, undecided bool, err error) {
	texts, pairs, onTheWire := map[ledger.Fingerprint]bool{}, map[pair]bool{}, map[ledger.Fingerprint]bool{}
	for _, rec := range g.records {
		texts[rec.fingerprint], pairs[rec.of] = texts[rec.fingerprint] || !rec.later, true
	}
	defer func() {
		// One of later is rather that of a message that was posted since.
		g.records = slices.DeleteFunc(g.records, func(rec lostRecord) bool { return rec.later && onTheWire[rec.fingerprint] })
	}()
	seen := map[ledger.ID]bool{}
	for cursor := "0"; ; {
		open, next, err := r.o.Ledger.OpenJobs(ctx, cursor, 1000)
		if err != nil {
			return nil, false, err
		}
		for _, job := range open {
			of := pair{job.From.Digits(), job.To.Digits()}
			if job.Type != ledger.SendMessage || !pairs[of] || seen[job.ID] {
				continue
			}
			seen[job.ID] = true
			spec, err := jobs.MessageOf(job)
			if err != nil {
				continue // a newer version's, or one that cannot be posted either
			}
			message := spec.Flowroute()
			w := waiting{id: job.ID, fingerprint: jobs.FingerprintOf(message), of: of, text: jobs.NormalBody(message.Body),
				created: asked(job), keyed: job.ID.Drawn().IsZero()}
			switch {
			case job.State == ledger.Queued:
				queued = append(queued, w)
			case job.State != ledger.Review:
				onTheWire[w.fingerprint] = true
				undecided = undecided || texts[w.fingerprint]
			}
		}
		if cursor = next; cursor == "0" {
			return queued, undecided, nil
		}
	}
}

// asked is when the job was asked for first, as far as its id tells.
func asked(job ledger.Job) time.Time {
	if drawn := job.ID.Drawn(); !drawn.IsZero() && drawn.Before(job.Created) {
		return drawn
	}
	return job.Created
}

// regained writes down what was found. whole is false when something has changed
// meanwhile.
func (r *Resolver) regained(ctx context.Context, g *gap, found regained, report *Round) (whole bool, err error) {
	whole = true
	for _, c := range found.claims {
		ok, err := r.o.Ledger.ClaimQueued(ctx, c.ID, c.MDR)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return false, err
		}
		if whole = whole && ok; ok {
			report.Decided++
			r.metrics.decisions.WithLabelValues(string(ledger.Accepted), string(ledger.ReasonRedisLost)).Inc()
			r.log.InfoContext(ctx, "message found that Redis had lost", slog.String("task_id", c.ID.String()), slog.String("mdr_id", c.MDR))
		}
	}
	for _, h := range found.holds {
		ok, err := r.o.Ledger.HoldQueued(ctx, h.id, ledger.ReasonNearMatch, explainHold, g.evidence(h))
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return false, err
		}
		if whole = whole && ok; ok {
			report.Decided++
			r.metrics.decisions.WithLabelValues(string(ledger.Review), string(ledger.ReasonNearMatch)).Inc()
			r.log.ErrorContext(ctx, "message may have been sent: Redis has lost writes, and a record is like it", slog.String("task_id", h.id.String()))
		}
	}
	return whole, nil
}

const explainHold = "Redis has lost writes, and a record of that time is nearly this message: it may have been sent"

// evidence is what a person gets to decide on a message that was never posted as far
// as Redis knows.
func (g *gap) evidence(h hold) []byte {
	e := evidence{Why: string(whyNear), Explanation: explainHold, Records: g.session.passes[1].rows,
		LagMS: g.session.lag.Milliseconds(), OffsetMS: g.session.clock.Offset.Milliseconds()}
	for _, rec := range h.records[:min(len(h.records), mostCandidates)] {
		e.Candidates = append(e.Candidates, candidate{MDR: rec.mdr, At: rec.stamp, Status: clip(rec.status), Differs: differs(record{refused: rec.refused})})
	}
	e.More = len(h.records) - len(e.Candidates)
	raw, err := json.Marshal(e)
	if err != nil {
		return nil
	}
	return raw
}
