package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/jobs/console"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// limitMetrics reads the limiter's state, which all processes share, for each scrape.
type limitMetrics struct{ *service }

// Describe says nothing beforehand: which limits there are depends on the settings.
func (limitMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect reads it once. What cannot be had is left out.
func (m limitMetrics) Collect(ch chan<- prometheus.Metric) {
	if m.limiter == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	send := func(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
		names, values := []string{}, []string{}
		for i := 0; i < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("flowroute_worker_"+name, help, names, nil), kind, value, values...)
	}
	if breaker, err := m.jobs.Ledger().PeekBreaker(ctx, worker.BreakerName); err == nil {
		stopped := 0.0
		if breaker.Open {
			stopped = 1
		}
		send(prometheus.GaugeValue, "sending_stopped", "1 while nothing is posted until a probe succeeds: credentials refused, API away; else 0.", stopped)
	}
	limits, err := m.limiter.Status(ctx)
	if err != nil {
		m.log.WarnContext(ctx, "metrics of limits not read", slog.Any("err", err))
	}
	for _, l := range limits {
		const help = "The account's limit: as configured here, and as it is in effect for all processes."
		send(prometheus.GaugeValue, "limit_per_second", help, l.Configured.PerSecond(), "limit", l.Name, "which", "configured")
		send(prometheus.GaugeValue, "limit_per_second", help, l.Effective.PerSecond(), "limit", l.Name, "which", "effective")
		learned := 0.0
		if !l.Learned.IsZero() {
			learned = 1
		}
		send(prometheus.GaugeValue, "limit_learned", "1 while answers 429 keep the limit below what is configured, else 0.", learned, "limit", l.Name)
		send(prometheus.GaugeValue, "limit_paused_seconds", "For how long nobody is given a permit, after a 429.", max(0, time.Until(l.PenaltyUntil).Seconds()), "limit", l.Name)
		send(prometheus.GaugeValue, "permits_out", "Permits out, of all processes, cooling ones included.", float64(l.Out), "limit", l.Name)
		for lane, of := range l.Lanes {
			send(prometheus.GaugeValue, "permit_waiters", "Requests that wait for a permit, of all processes.", float64(of.Waiting), "limit", l.Name, "lane", string(lane))
			send(prometheus.CounterValue, "permits_granted_total", "Permits given out, by all processes.", float64(of.Granted), "limit", l.Name, "lane", string(lane))
		}
	}
	parked, err := m.parked(ctx)
	if err != nil {
		m.log.WarnContext(ctx, "metrics of parked messages not read", slog.Any("err", err))
	}
	for at, n := range parked {
		send(prometheus.GaugeValue, "parked_messages", "Messages that wait for a limit of their own: that of their sending number, or of MMS.", float64(n),
			"kind", string(at.Kind), "lane", string(at.Lane))
	}
}

// parked counts the messages that wait for a limit of their own, all senders together.
func (m limitMetrics) parked(ctx context.Context) (map[worker.Place]int, error) {
	places, err := m.jobs.Ledger().Parked(ctx)
	counts := map[worker.Place]int{}
	for text, n := range places {
		if at, ok := worker.ParsePlace(text); ok {
			counts[worker.Place{Kind: at.Kind, Lane: at.Lane}] += n
		}
	}
	return counts, err
}

const (
	// otpMost is the share of the limit that one-time passwords may take before it is
	// said: they go first, and leave nothing for the others.
	otpMost = 0.8
	// otpOver is the least time that it is measured over.
	otpOver = time.Minute
)

// otpShare remembers how many permits one-time passwords were given.
type otpShare struct {
	mu      sync.Mutex
	at      time.Time
	granted int64
	share   float64 // of the limit, as last measured
}

// measure returns the share, in effect since the measurement before.
func (o *otpShare) measure(now time.Time, l ratelimit.LimitStatus) float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	granted := l.Lanes[ratelimit.LaneOTP].Granted
	switch over := now.Sub(o.at); {
	case o.at.IsZero(), granted < o.granted:
		o.at, o.granted, o.share = now, granted, 0
	case over >= otpOver:
		o.share = float64(granted-o.granted) / over.Seconds() / l.Effective.PerSecond()
		o.at, o.granted = now, granted
	}
	return o.share
}

// limitAlerts are what a person should know of the limits.
func (v *service) limitAlerts(limits []ratelimit.LimitStatus) []console.Alert {
	var list []console.Alert
	for _, l := range limits {
		lowest := l.Configured
		for _, d := range l.Declared {
			lowest.N, lowest.Per = min(lowest.N, d.Rate.N), max(lowest.Per, d.Rate.Per)
		}
		if lowest != l.Configured {
			list = append(list, console.Alert{
				Title:  "Processes are told different limits",
				Detail: fmt.Sprintf("%s: %s here, %s is the lowest and holds for all.", l.Name, l.Configured, lowest),
			})
		}
		if !l.Learned.IsZero() {
			list = append(list, console.Alert{
				Title:  "Somebody else uses the account's limit",
				Detail: fmt.Sprintf("%s: answers 429 came at %s; %s holds for now, and grows back while none come.", l.Name, lowest, l.Learned),
			})
		}
		if l.Name == "sms" {
			if share := v.otp.measure(time.Now(), l); share > otpMost {
				list = append(list, console.Alert{
					Title:  "One-time passwords take the whole limit",
					Detail: fmt.Sprintf("They were given %.0f%% of it lately, and everything else waits.", 100*share),
				})
			}
		}
	}
	return list
}
