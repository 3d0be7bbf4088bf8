package worker

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

const (
	// parkedEvery is how often places are looked for where other processes have parked.
	parkedEvery = time.Second
	// parkedRest is the pause after a permit could not be had, or not be used.
	parkedRest = time.Second
	// parkedDay is how often a number is looked at again whose day is used up: its caps
	// may have been changed.
	parkedDay = time.Minute
)

// parking posts the messages that wait for a limit of their own. They hold no handler
// and no task: at each place somebody waits for a permit first, and then takes the
// oldest message there. So those of one number hold up no others, however many they are,
// and each leaves its queue once.
type parking struct {
	*Worker

	mu     sync.Mutex
	ctx    context.Context // of run; nil before
	takers map[Place]int   // who wait for permits at a place
	work   sync.WaitGroup
}

func newParking(w *Worker) *parking { return &parking{Worker: w, takers: map[Place]int{}} }

// park lets a message wait at its place. One that is not to be posted any more ends
// instead.
func (w *Worker) park(ctx context.Context, job ledger.Job, at Place) error {
	waiting, err := w.ledger.Park(ctx, job.ID, job.Generation, at.String())
	if err != nil || waiting > 0 {
		w.parking.serve(at, waiting)
		return err
	}
	_, err = w.ready(ctx, job)
	return err
}

// run serves every place until ctx ends.
func (p *parking) run(ctx context.Context) {
	p.mu.Lock()
	p.ctx = ctx
	p.mu.Unlock()
	tick := time.NewTicker(parkedEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		places, err := p.ledger.Parked(ctx)
		if err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "places where messages wait not read", "err", err)
		}
		for text, waiting := range places {
			if campaign, held := ledger.CampaignHeldAt(text); held {
				p.release(ctx, campaign)
			} else if at, ok := ParsePlace(text); ok {
				p.serve(at, waiting)
			} else {
				p.log.WarnContext(ctx, "messages wait at a place that this version does not know", "limit_key", text)
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// wait returns when what is on the wire is settled, or given up.
func (p *parking) wait() {
	over := make(chan struct{})
	go func() {
		p.work.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-p.ended:
	}
}

// serve sees to it that enough wait for permits for this place: for each message there one,
// as long as that is of use, so that they get their turns as those in a queue do.
func (p *parking) serve(at Place, waiting int) {
	most := p.enough(at)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil || p.ctx.Err() != nil {
		return
	}
	for ctx := p.ctx; p.takers[at] < min(max(waiting, 1), most); {
		p.takers[at]++
		p.work.Go(func() {
			for ctx.Err() == nil && p.post(ctx, at) {
			}
		})
	}
}

// takersFor is how long the messages of a place may have to wait in line with all others:
// so many wait there that its limit is used all the same.
const takersFor = 4 * time.Second

// enough is how many takers a place needs at most.
func (p *parking) enough(at Place) int {
	perSecond := p.o.Rates.SMS.PerSecond() // +Inf without a limit
	if at.Kind == ratelimit.KindMMS {
		perSecond = p.o.Rates.MMS.PerSecond()
	}
	for _, limit := range p.caps(at) {
		perSecond = min(perSecond, limit.Rate.PerSecond())
	}
	return int(min(math.Ceil(perSecond*takersFor.Seconds()), float64(p.o.Concurrency)))
}

// superfluous reports whether the caller is not needed any more where so many are left.
func (p *parking) superfluous(at Place, left int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.takers[at]; n <= 1 || left >= n {
		return false
	}
	p.takers[at]--
	return true
}

// post takes permits and posts messages until none is left at the place. It reports
// whether it is to be called again, after a rest.
func (p *parking) post(ctx context.Context, at Place) (again bool) {
	room := make(chan struct{}, p.o.Concurrency)
	for {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		if _, err := p.postable(ctx, at); err != nil {
			p.rest(ctx, err)
			return true
		}
		a, err := p.permit(ctx, at.Kind, at.Lane, p.caps(at)...)
		if err != nil {
			p.rest(ctx, err)
			return true
		}
		var job ledger.Job
		left := 0
		from, err := p.postable(ctx, at) // the permit may have been long in coming
		if err == nil {
			job, left, err = p.next(ctx, at, from)
		}
		if err != nil || job.ID.IsZero() {
			p.unused(ctx, a)
			<-room
		}
		switch {
		case err != nil:
			p.rest(ctx, err)
			return true
		case !job.ID.IsZero():
			p.work.Go(func() {
				defer func() { <-room }()
				p.one(ctx, at, job, a)
			})
		}
		switch {
		case left == 0 && job.ID.IsZero():
			p.leave(ctx, at)
			return false
		case p.superfluous(at, left):
			return false
		}
	}
}

// postable is from when on the messages of a place were created that may be posted:
// behind a fence those that may not be stay where they are, and cost no permit. A
// deferral: there are no others.
func (p *parking) postable(ctx context.Context, at Place) (from time.Time, err error) {
	if !p.fence.lately(time.Now()) {
		return from, nil
	}
	id, found, err := p.ledger.FirstParked(ctx, at.String(), from)
	if err != nil || !found {
		return from, err
	}
	job, err := p.ledger.Get(ctx, id)
	if err != nil {
		return from, ignoreGone(err)
	}
	begun, err := p.ledger.Begin(ctx, ledger.Intent{ID: id, Generation: job.Generation})
	if err != nil || begun.Decision != ledger.Fenced {
		return from, ignoreGone(err)
	}
	if from = begun.FencedBefore; !from.IsZero() {
		if _, found, err = p.ledger.FirstParked(ctx, at.String(), from); found || err != nil {
			return from, err
		}
	}
	_ = p.declined(ctx, job, begun) // says so
	return from, deferral{parkedRest}
}

// ignoreGone leaves an error about one job to whoever takes that job up.
func ignoreGone(err error) error {
	if errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrNewerVersion) {
		return nil
	}
	return err
}

// next takes the oldest message of a place, of those created from then on, that is still
// to be posted. Those whose time is over end here, for which no permit is used.
func (p *parking) next(ctx context.Context, at Place, from time.Time) (job ledger.Job, left int, err error) {
	for range 20 {
		var ids []ledger.ID
		if ids, left, err = p.ledger.Unpark(ctx, at.String(), 1, from); err != nil || len(ids) == 0 {
			return ledger.Job{}, left, err
		}
		job, err = p.ledger.Get(ctx, ids[0])
		switch {
		case errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrNewerVersion):
		case err != nil:
			return ledger.Job{}, left, err
		case job.State != ledger.Queued:
		case job.Expires.IsZero() || time.Until(job.Expires) > 0:
			return job, left, nil
		default:
			// It seems to be over, by this clock: Redis' own decides.
			begun, err := p.ledger.Begin(ctx, ledger.Intent{ID: job.ID, Generation: job.Generation})
			if err != nil || begun.Decision != ledger.Ended {
				return job, left, err
			}
		}
	}
	return ledger.Job{}, left, nil
}

// leave ends the service of a place where nobody waits, unless somebody has come.
func (p *parking) leave(ctx context.Context, at Place) {
	p.mu.Lock()
	p.takers[at]--
	last := p.takers[at] == 0
	if last {
		delete(p.takers, at)
	}
	p.mu.Unlock()
	if !last {
		return
	}
	places, err := p.ledger.Parked(ctx)
	if err == nil && places[at.String()] > 0 {
		p.serve(at, places[at.String()])
	}
}

// rest waits after a permit could not be had.
func (p *parking) rest(ctx context.Context, err error) {
	wait := parkedRest
	if used, ok := errors.AsType[*ratelimit.CapError](err); ok {
		wait = min(max(time.Until(used.Until), parkedRest), parkedDay)
	} else if d, ok := errors.AsType[deferral](err); ok {
		wait = max(d.after, parkedRest)
	} else if ctx.Err() == nil {
		p.log.WarnContext(ctx, "messages that wait for a limit of their own are not posted", "err", err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

// one posts one message with a permit.
func (p *parking) one(ctx context.Context, at Place, job ledger.Job, a *attempt) {
	p.Worker.at(PointPermit, job.ID)
	defer p.Worker.at(PointDone, job.ID)
	wait, again := p.attempt(ctx, job, a)
	if !again {
		return
	}
	// What could not be posted at once waits here again, or rests as any other.
	ctx = context.WithoutCancel(ctx)
	var err error
	if wait <= 0 {
		err = p.park(ctx, job, at)
	} else {
		job.Due = time.Now().Add(wait)
		err = p.nudgeAgain(ctx, job)
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		p.log.WarnContext(ctx, "message not parked again, the sweep will find it", "task_id", job.ID.String(), "err", err)
	}
}

// attempt makes one attempt. again: the message is queued, and may be tried after wait.
func (p *parking) attempt(ctx context.Context, job ledger.Job, a *attempt) (wait time.Duration, again bool) {
	spec, err := jobs.MessageOf(job)
	if err != nil {
		p.unused(ctx, a)
		return parkedRest, true // its handler ends it
	}
	if wait := p.closed(spec); wait > 0 {
		p.unused(ctx, a)
		return wait, true
	}
	if over, err := p.optedOut(ctx, job); over || err != nil {
		p.unused(ctx, a)
		return parkedRest, err != nil
	}
	message := spec.Flowroute()
	attempt, begun, err := p.begin(ctx, job, a, ledger.Intent{Fingerprint: jobs.FingerprintOf(message)})
	switch {
	case err != nil:
	case attempt != nil:
		wait, again, err = p.transmit(ctx, job, attempt, message)
	default:
		err = p.declined(ctx, job, begun)
	}
	if d, ok := errors.AsType[deferral](err); ok {
		return d.after, true
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		p.log.LogAttrs(ctx, slog.LevelWarn, "parked message not posted", slog.String("task_id", job.ID.String()), slog.Any("err", err))
		return parkedRest, true
	}
	return wait, again
}
