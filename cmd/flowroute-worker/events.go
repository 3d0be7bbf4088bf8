package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/jobs/events"
)

// newWebhook makes the sender of changes; nil when nobody is to be told.
func (v *service) newWebhook() (*events.Sender, error) {
	if v.EventsURL == "" {
		return nil, nil
	}
	key, err := events.ParseSecret(v.EventsSecret.Reveal())
	if err != nil {
		return nil, err
	}
	sender, err := events.NewSender(events.SenderOptions{
		Redis: v.redis.producer, Ledger: v.jobs.Ledger(), URL: string(v.EventsURL), Key: key,
		UserAgent: "flowroute-worker/" + readBuild().Version, Registry: v.registry, Logger: v.log,
	})
	if err != nil {
		return nil, err
	}
	v.registry.MustRegister(webhookLag{sender})
	return sender, nil
}

// webhookLag reads the lag, which all processes share, for each scrape.
type webhookLag struct{ sender *events.Sender }

// Describe says nothing beforehand: without Redis there is none.
func (webhookLag) Describe(chan<- *prometheus.Desc) {}

// Collect leaves out what cannot be had.
func (w webhookLag) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	lag, err := w.sender.Lag(ctx, time.Now())
	if err != nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("flowroute_worker_webhook_lag_seconds",
		"For how long the oldest change waits that EVENTS_URL does not have.", nil, nil), prometheus.GaugeValue, lag.Seconds())
}
