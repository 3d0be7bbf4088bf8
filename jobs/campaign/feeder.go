package campaign

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/internal/lease"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	// feederTTL is how long a feeder that died keeps others from feeding: what is fed
	// ahead lasts longer.
	feederTTL = 3 * time.Second
	// feedAhead is how much there is in the queues of all campaigns together, in time of
	// the account's limit.
	feedAhead = 5 * time.Second
	// Bounds of that, in messages; without a limit there is the most.
	feedLeast, feedMost = 20, 4000
	// feedAtOnce is how many rows of a campaign are fed before that is noted.
	feedAtOnce = 1000
	// How often the feeder looks while campaigns run, and while none does.
	feedTick, feedIdle = 200 * time.Millisecond, time.Second
)

// FeederOptions of a feeder. All but Rate and Logger are required.
type FeederOptions struct {
	Store  *Store
	Jobs   *jobs.Client
	Clocks *Clocks
	Rate   float64      // messages a second that the account's limit allows; 0: there is none
	Logger *slog.Logger // Defaults to none.
}

// Feeder makes jobs of the rows of campaigns that run, some seconds ahead of their being
// sent, and moves campaigns on as time passes. Of all processes one feeds at a time; two
// do no harm.
type Feeder struct {
	FeederOptions
	log *slog.Logger
}

// NewFeeder makes a feeder.
func NewFeeder(o FeederOptions) (*Feeder, error) {
	if o.Store == nil || o.Jobs == nil || o.Clocks == nil {
		return nil, errors.New("campaign: a feeder needs Store, Jobs and Clocks")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Feeder{FeederOptions: o, log: o.Logger}, nil
}

// Run feeds until ctx ends.
func (f *Feeder) Run(ctx context.Context) error {
	for {
		err := lease.Hold(ctx, f.Store.rdb, f.Store.keys.feeder(), lease.Options{TTL: feederTTL, Wait: true}, func(ctx context.Context) error {
			r := &rounds{Feeder: f, cursors: map[ledger.ID]*cursor{}, paces: map[ledger.ID]*pace{}, seen: map[ledger.ID]State{}}
			return r.run(ctx)
		})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			f.log.WarnContext(ctx, "campaigns are not fed", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(feedIdle):
		}
	}
}

// rounds is the feeding by one process while it has the lease.
type rounds struct {
	*Feeder
	cursors map[ledger.ID]*cursor
	paces   map[ledger.ID]*pace
	seen    map[ledger.ID]State
}

func (r *rounds) run(ctx context.Context) error {
	for {
		wait, err := r.round(ctx)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// round looks at every campaign that is not over, and feeds those that run. It returns
// when to look again.
func (r *rounds) round(ctx context.Context) (wait time.Duration, err error) {
	campaigns, err := r.Store.Active(ctx)
	if err != nil || len(campaigns) == 0 {
		clear(r.cursors)
		clear(r.paces)
		clear(r.seen)
		return feedIdle, err
	}
	var hungry []*Campaign
	wait = feedIdle
	for _, c := range campaigns {
		if err := r.move(ctx, c); err != nil {
			return 0, err
		}
		if c.State == Running {
			wait = feedTick
		}
		if r.hungry(c) {
			hungry = append(hungry, c)
		}
	}
	fed, err := r.feed(ctx, hungry)
	if fed > 0 && r.Rate == 0 {
		wait = feedTick / 10
	}
	return wait, err
}

// move changes a campaign's state where its time has come.
func (r *rounds) move(ctx context.Context, c *Campaign) error {
	now := r.Store.o.Now()
	ended := !c.Spec.EndAt.IsZero() && !now.Before(c.Spec.EndAt)
	op := ""
	switch {
	case c.State == Draft && now.Sub(c.uploaded) > 24*time.Hour:
		op = "stale"
	case ended && (c.State == Paused || c.State == Scheduled):
		op = "ended"
	case c.State == Scheduled && !now.Before(c.Spec.StartAt):
		op = "due"
	case c.State == Running && (ended || c.at >= c.Rows && c.PutOff == 0) && c.Jobs[ledger.Queued]+c.Jobs[ledger.Sending]+c.Jobs[ledger.Unknown] == 0:
		op = "done"
	}
	if op != "" {
		a := r.Store.run(ctx, scriptChange, c.ID, op, r.Store.o.Retention.Milliseconds())
		if a.err != nil {
			return a.err
		}
		if a.verdict() != "missing" {
			c.State = a.state()
		}
	}
	if before := r.seen[c.ID]; before != c.State {
		r.seen[c.ID] = c.State
		r.say(ctx, c, before)
	}
	if c.State == Running {
		return r.measure(ctx, c, now)
	}
	delete(r.cursors, c.ID)
	delete(r.paces, c.ID)
	return nil
}

// say logs what became of a campaign.
func (r *rounds) say(ctx context.Context, c *Campaign, before State) {
	if c.State == Paused && c.Pause.Brake {
		r.log.ErrorContext(ctx, "campaign paused by its brake: too many messages were refused", "campaign", c.ID.String(), "name", c.Spec.Name,
			"refused", c.Pause.Refused, "messages", c.Pause.Messages, "reason", c.Pause.Reason)
		return
	}
	r.log.InfoContext(ctx, "campaign", "campaign", c.ID.String(), "name", c.Spec.Name, "state", c.State, "before", before, "rows", c.Rows)
}

// hungry reports whether there are rows that could be fed.
func (r *rounds) hungry(c *Campaign) bool {
	now := r.Store.o.Now()
	return c.State == Running && (c.Spec.EndAt.IsZero() || now.Before(c.Spec.EndAt)) && (c.at < c.Rows || c.PutOff > 0) && c.WaitsUntil.IsZero()
}

// feed makes jobs for each of these campaigns, in turn, until as much of each waits in the
// queues.
func (r *rounds) feed(ctx context.Context, hungry []*Campaign) (fed int, err error) {
	if len(hungry) == 0 {
		return 0, nil
	}
	ahead := feedMost
	if r.Rate > 0 {
		ahead = min(max(int(r.Rate*feedAhead.Seconds()), feedLeast), feedMost)
	}
	share := max(ahead/len(hungry), 2)
	var steps []step
	for _, c := range hungry {
		room := share
		if c.Spec.Rate > 0 {
			room = min(room, max(int(c.Spec.Rate*feedAhead.Seconds()), 2))
		}
		room -= c.Jobs[ledger.Queued] + c.Jobs[ledger.Sending]
		if room <= 0 {
			continue
		}
		cur, err := r.cursor(c)
		if err != nil {
			return 0, err
		}
		s, err := cur.step(ctx, c, min(room, feedAtOnce))
		if err != nil {
			return 0, err
		}
		steps = append(steps, s)
	}
	taken, err := r.make(ctx, steps)
	for i, s := range steps {
		s.cut(taken[i])
		fed += len(s.rows)
		if s.to == s.from && s.toPass == s.pass {
			continue
		}
		cur := r.cursors[s.id]
		noted, notedErr := cur.fed(ctx, s)
		if !noted {
			delete(r.cursors, s.id)
		}
		err = errors.Join(err, notedErr)
	}
	return fed, err
}

func (r *rounds) cursor(c *Campaign) (*cursor, error) {
	if cur := r.cursors[c.ID]; cur != nil {
		return cur, nil
	}
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	cur := &cursor{store: r.Store, clocks: r.Clocks, plan: p, chunks: chunkReader{store: r.Store, id: c.ID}}
	r.cursors[c.ID] = cur
	return cur, nil
}

// make makes the jobs of all steps, a row of each in turn, and returns of how many rows of
// each step there is one.
func (r *rounds) make(ctx context.Context, steps []step) (taken []int, err error) {
	var rows []jobs.Row
	var of []int
	for at, more := 0, true; more; at++ {
		more = false
		for i, s := range steps {
			if at < len(s.messages) {
				rows, of, more = append(rows, s.messages[at]), append(of, i), true
			}
		}
	}
	taken = make([]int, len(steps))
	stopped := make([]bool, len(steps))
	_, errs := r.Jobs.SendRows(ctx, rows)
	for at, i := range of {
		switch {
		case stopped[i]:
		case errs[at] == nil:
			taken[i]++
		case errors.Is(errs[at], jobs.ErrConflict), errors.Is(errs[at], ledger.ErrNewerVersion):
			taken[i]++
			r.log.ErrorContext(ctx, "row of a campaign not sent: there is another job under its id", "task_id", rows[at].ID.String(), "err", errs[at])
		default:
			stopped[i] = true
			if !errors.Is(errs[at], ledger.ErrHeld) {
				err = errs[at]
			}
		}
	}
	return taken, err
}

// pace measures how fast a campaign goes.
type pace struct {
	samples []sample
}

type sample struct {
	at time.Time
	n  int
}

const (
	paceOver  = 10 * time.Second
	paceEvery = time.Second
)

// measure notes the rate of a campaign over the last seconds.
func (r *rounds) measure(ctx context.Context, c *Campaign, now time.Time) error {
	p := r.paces[c.ID]
	if p == nil {
		p = &pace{}
		r.paces[c.ID] = p
	}
	last := len(p.samples) - 1
	if last >= 0 && now.Sub(p.samples[last].at) < paceEvery {
		return nil
	}
	p.samples = append(p.samples, sample{now, c.Posted() + c.Jobs[ledger.Failed]})
	for len(p.samples) > 2 && now.Sub(p.samples[1].at) >= paceOver {
		p.samples = p.samples[1:]
	}
	first, latest := p.samples[0], p.samples[len(p.samples)-1]
	if len(p.samples) < 3 {
		return nil
	}
	rate := float64(latest.n-first.n) / latest.at.Sub(first.at).Seconds()
	return r.Store.rdb.HSet(ctx, r.Store.keys.campaign(c.ID), "ra", int(max(rate, 0)*1000), "rt", now.UnixMilli()).Err()
}
