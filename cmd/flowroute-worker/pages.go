package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/console"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/scheduler"
)

// httpDrain bounds how long running requests are awaited at the end; with
// SHUTDOWN_TIMEOUT after it, the whole stays below the grace of 80 s that
// containers are given.
const httpDrain = 5 * time.Second

// httpServer puts the API and the console together.
func (v *service) httpServer() (*httpapi.Server, error) {
	pages := console.Options{
		Ledger: v.jobs.Ledger(), Redis: v.redis.producer, Campaigns: v.campaigns, Parked: v.parkedLines, Syncs: v.syncs, Alerts: v.alerts, Events: v.events.last,
		Explain: httpapi.Explain, Queues: []string{worker.QueueResend}, Account: v.account, Version: readBuild().Version, Logger: v.log,
	}
	o := httpapi.Options{
		Jobs: v.jobs, Redis: v.redis.producer, MetricsPublic: v.MetricsPublic, QueuesWrite: v.QueuesUIWrite,
		Ready: v.ready, Registry: v.registry, Numbers: v.numbers, MDRs: v.records, Reconciler: v.reconcile, OptOuts: v.optOuts, Campaigns: v.campaigns, DrainTimeout: httpDrain, Logger: v.log,
		Queues: []string{worker.QueueResend}, WebhookSecret: v.WebhookSecret.Reveal(), Wake: wakeWith(v.jobs),
		Inbound: httpapi.Inbound{Records: v.records, Heed: v.heed}, Forward: v.keepPost,
	}
	clocks, err := campaign.NewClocks(v.SendingZone.Location())
	if err != nil {
		return nil, err
	}
	o.Forecast = func(spec campaign.Spec) campaign.PreflightOptions {
		return campaign.PreflightOptions{Clocks: clocks, Rate: v.rateOfCampaign(spec)}
	}
	if v.limiter != nil {
		pages.Limits = v.limitLines
		from := backlogSource{v.jobs.Ledger(), asynq.NewInspectorFromRedisClient(v.redis.producer), v.caps}
		o.Limits = func(ctx context.Context) (any, error) { return readLimits(ctx, v.limiter, from) }
	}
	for _, token := range v.APITokens {
		o.Tokens = append(o.Tokens, httpapi.Token{Name: token.Name, Secret: token.Value.Reveal()})
	}
	overview, err := console.New(pages)
	if err != nil {
		return nil, err
	}
	o.Console = overview
	return httpapi.New(o)
}

// limitLines are the limits as the overview shows them.
func (v *service) limitLines(ctx context.Context) ([]console.Limit, error) {
	status, err := v.limiter.Status(ctx)
	lines := make([]console.Limit, len(status))
	for i, s := range status {
		lines[i] = console.Limit{
			Name: s.Name, Rate: s.Effective.String() + "/s", Permits: s.Effective.N, Out: s.Out, Waiting: s.Waiting, Penalized: s.PenaltyUntil,
		}
		if s.Effective.Per != time.Second {
			lines[i].Rate = fmt.Sprintf("%d in %v", s.Effective.N, s.Effective.Per)
		}
	}
	return lines, err
}

// parkedLines are where messages wait beside the queues, as the overview shows them.
func (v *service) parkedLines(ctx context.Context) ([]console.Parked, error) {
	places, err := v.jobs.Ledger().Parked(ctx)
	lines := make([]console.Parked, 0, len(places))
	for text, n := range places {
		line := console.Parked{What: text, Messages: n}
		if id, held := ledger.CampaignHeldAt(text); held {
			line.What, line.Campaign, line.Held = "rows of", id, true
		} else if at, ok := worker.ParsePlace(text); ok {
			line.What, line.Lane, line.Campaign, line.Limit = strings.ToUpper(string(at.Kind)), string(at.Lane), at.Campaign, v.capText(at.Sender)
			if !at.Sender.IsZero() {
				line.What += " from " + at.Sender.String()
			}
		}
		lines = append(lines, line)
	}
	slices.SortFunc(lines, func(a, b console.Parked) int { return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.Lane, b.Lane)) })
	return lines, err
}

// capText is the limits of a sending number; empty: it has none of its own.
func (v *service) capText(sender flowroute.E164) string {
	if sender.IsZero() {
		return ""
	}
	var parts []string
	for _, c := range v.caps.at(sender) {
		if !c.Rate.IsZero() {
			parts = append(parts, c.Rate.String())
		}
		if c.PerDay > 0 {
			parts = append(parts, strconv.Itoa(c.PerDay)+" a day")
		}
	}
	return strings.Join(parts, ", ")
}

// alerts are what a person should see first.
func (v *service) alerts(ctx context.Context) ([]console.Alert, error) {
	var list []console.Alert
	breaker, err := v.jobs.Ledger().PeekBreaker(ctx, worker.BreakerName)
	if err == nil && breaker.Open {
		list = append(list, console.Alert{Title: "Sending has stopped", Detail: breaker.Reason, Since: breaker.Since, Severe: true})
	}
	if v.access != nil && !breaker.Open {
		if refused, _ := v.access.last(); errors.Is(refused, flowroute.ErrUnauthorized) {
			list = append(list, console.Alert{Title: "Flowroute refuses the credentials", Detail: "Check FR_ACCESS_KEY and FR_SECRET_KEY.", Severe: true})
		}
	}
	more, safetyErr := v.safetyAlerts(ctx)
	list, err = append(list, more...), errors.Join(err, safetyErr)
	if v.limiter == nil {
		return list, err
	}
	limits, limitErr := v.limiter.Status(ctx)
	list = append(list, v.limitAlerts(limits)...)
	return list, errors.Join(err, limitErr)
}

// syncs are the scheduled jobs with what their last run found.
func (v *service) syncs(ctx context.Context) ([]console.Sync, error) {
	entries, err := v.scheduler.Status(ctx)
	if err != nil {
		return nil, err
	}
	next := func(t ledger.Type) time.Time {
		i := slices.IndexFunc(entries, func(e scheduler.EntryStatus) bool { return e.Type == t })
		if i < 0 {
			return time.Time{}
		}
		return entries[i].Next
	}
	records, err := v.records.LastSync(ctx)
	if err != nil {
		return nil, err
	}
	numbers, err := v.numbers.LastSync(ctx)
	if err != nil {
		return nil, err
	}
	return []console.Sync{
		{
			Name: "MDRs", Last: records.Started, OK: records.Warning == "", Next: next(ledger.SyncMDR),
			Detail: detail(records.Warning, strconv.Itoa(records.New)+" new, "+strconv.Itoa(records.Changed)+" changed"),
		},
		{
			Name: "Numbers", Last: numbers.Started, OK: numbers.Warning == "", Next: next(ledger.SyncNumbers),
			Detail: detail(numbers.Warning, plural(numbers.Numbers, "number")+", "+plural(numbers.Routes, "route")),
		},
	}, nil
}

func detail(warning, text string) string {
	if warning != "" {
		return warning
	}
	return text
}

// recentEvents follows the changes of states and remembers the last ones, so that
// a page costs Redis nothing.
type recentEvents struct {
	client *jobs.Client
	log    *slog.Logger

	mu   sync.Mutex
	list []ledger.Event // oldest first
}

const keptEvents = 50

func newRecentEvents(client *jobs.Client, log *slog.Logger) *recentEvents {
	return &recentEvents{client: client, log: log}
}

// run follows the stream until ctx ends, from a little before the start on.
func (r *recentEvents) run(ctx context.Context) error {
	after := strconv.FormatInt(time.Now().Add(-time.Minute).UnixMilli(), 10) + "-0"
	for ctx.Err() == nil {
		for event, err := range r.client.Events(ctx, after) {
			if err != nil {
				r.log.DebugContext(ctx, "events not read", "err", err)
				break
			}
			after = event.ID
			r.mu.Lock()
			if len(r.list) >= keptEvents {
				r.list = slices.Delete(r.list, 0, len(r.list)-keptEvents+1)
			}
			r.list = append(r.list, event)
			r.mu.Unlock()
		}
		pause(ctx, time.Second)
	}
	return nil
}

// last returns the n latest events, the newest first.
func (r *recentEvents) last(_ context.Context, n int) ([]ledger.Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	latest := slices.Clone(r.list[max(0, len(r.list)-n):])
	slices.Reverse(latest)
	return latest, nil
}

// pause waits for d; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
