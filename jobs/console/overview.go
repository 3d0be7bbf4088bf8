package console

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	// patience bounds the time for everything on the page together.
	patience   = 4 * time.Second
	lastEvents = 20
	// mostReviews and mostOpen bound what is shown of jobs that are not certain.
	mostReviews = 20
	mostOpen    = 20
)

// overview is the changing part of the page.
type overview struct {
	Now     time.Time
	Alerts  []alertView
	Tiles   []tile
	Jobs    jobTable
	Limits  []limitView
	Queues  []queueView
	Syncs   []syncView
	Events  []eventView
	Reviews openTable // what waits for a person
	Open    openTable // what is decided by itself
	Has     struct{ Limits, Syncs, Events bool }
	// Campaigns are those that are not over, Parked where messages wait beside the queues.
	Campaigns campaignsView
	Parked    []parkedView
	Missing   []string // what could not be read
}

// gather reads everything at once. What cannot be read is missing, no more.
func (c *Console) gather(ctx context.Context, now time.Time) overview {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o := overview{Now: now}
	o.Has.Limits, o.Has.Syncs, o.Has.Events = c.o.Limits != nil, c.o.Syncs != nil, c.o.Events != nil
	var counts map[ledger.Type]map[ledger.State]int64
	var active []*campaign.Campaign
	var parked []Parked
	var mu sync.Mutex
	var parts sync.WaitGroup
	read := func(what string, from func() error) {
		parts.Go(func() {
			if err := from(); err != nil {
				c.log.WarnContext(ctx, "part of the overview not read", slog.String("part", what), slog.Any("err", err))
				mu.Lock()
				defer mu.Unlock()
				o.Missing = append(o.Missing, what)
			}
		})
	}
	if err := c.o.Redis.Ping(ctx).Err(); err != nil {
		c.log.WarnContext(ctx, "redis does not answer", slog.Any("err", err))
		o.Alerts = []alertView{{Title: "Redis does not answer", Severe: true,
			Detail: "Nothing can be taken in or sent until it does. Everything goes on by itself afterwards."}}
		return o
	}
	if c.o.Campaigns != nil {
		read("campaigns", func() (err error) { active, err = c.o.Campaigns.Active(ctx); return err })
	}
	if c.o.Parked != nil {
		read("waiting messages", func() (err error) { parked, err = c.o.Parked(ctx); return err })
	}
	read("jobs", func() (err error) { counts, err = c.o.Ledger.Counts(ctx); return err })
	read("reviews", func() (err error) { o.Reviews, err = c.readReviews(ctx, now); return err })
	read("open outcomes", func() (err error) { o.Open, err = c.readOpen(ctx, now); return err })
	read("queues", func() (err error) { o.Queues, err = c.readQueues(); return err })
	if c.o.Limits != nil {
		read("limits", func() error {
			limits, err := c.o.Limits(ctx)
			o.Limits = viewLimits(limits, now)
			return err
		})
	}
	if c.o.Syncs != nil {
		read("syncs", func() error {
			syncs, err := c.o.Syncs(ctx)
			o.Syncs = viewSyncs(syncs, now)
			return err
		})
	}
	if c.o.Alerts != nil {
		read("alerts", func() error {
			alerts, err := c.o.Alerts(ctx)
			o.Alerts = viewAlerts(alerts, now)
			return err
		})
	}
	if c.o.Events != nil {
		read("events", func() (err error) { o.Events, err = c.readEvents(ctx, now); return err })
	}
	parts.Wait()
	slices.Sort(o.Missing)
	o.Campaigns, o.Parked = viewActive(active, now), viewParked(parked, active)
	o.Alerts = append(o.Alerts, viewAlerts(brakeAlerts(active), now)...)
	o.Tiles, o.Jobs = viewTiles(counts), viewJobs(counts)
	return o
}

// readQueues lists our queues; one that nothing was ever put into is empty. One
// that cannot be read does not hide the others.
func (c *Console) readQueues() ([]queueView, error) {
	present, err := c.inspector.Queues()
	if err != nil {
		return nil, err
	}
	var broken []error
	views := make([]queueView, 0, len(ledger.Queues()))
	for _, name := range append(ledger.Queues(), c.o.Queues...) {
		view := queueView{Name: name}
		if slices.Contains(present, name) {
			info, err := c.inspector.GetQueueInfo(name)
			if err != nil {
				broken = append(broken, err)
				continue
			}
			view = queueView{
				Name: name, Pending: info.Pending, Active: info.Active, Scheduled: info.Scheduled,
				Retry: info.Retry, Archived: info.Archived, Paused: info.Paused, Wait: span(info.Latency),
			}
		}
		if slices.Contains(c.o.Queues, name) && view.Pending+view.Active+view.Scheduled+view.Retry+view.Archived == 0 {
			continue
		}
		views = append(views, view)
	}
	return views, errors.Join(broken...)
}

// readEvents lists the last changes with the masked number of each job.
func (c *Console) readEvents(ctx context.Context, now time.Time) ([]eventView, error) {
	events, err := c.o.Events(ctx, lastEvents)
	if err != nil {
		return nil, err
	}
	ids := make([]ledger.ID, len(events))
	for i, event := range events {
		ids[i] = event.Job
	}
	jobs, errs := c.o.Ledger.GetMany(ctx, ids)
	views := make([]eventView, len(events))
	for i, event := range events {
		views[i] = eventView{
			At: event.At, Ago: ago(event.At, now), Job: event.Job.String(), Type: event.Type, State: event.State,
			Reason: event.Reason, Tone: tone(event.State),
		}
		if errs[i] == nil && !jobs[i].To.IsZero() {
			views[i].To = jobs[i].To.Masked()
		}
	}
	return views, nil
}
