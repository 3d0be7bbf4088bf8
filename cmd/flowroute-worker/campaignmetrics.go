package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
)

// campaignMetrics reads the campaigns, which all processes share, for each scrape.
type campaignMetrics struct {
	store   *campaign.Store
	log     *slog.Logger
	number  *prometheus.Desc
	waiting *prometheus.Desc
	braked  *prometheus.Desc
}

func newCampaignMetrics(store *campaign.Store, log *slog.Logger) *campaignMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("flowroute_worker_"+name, help, labels, nil)
	}
	return &campaignMetrics{
		store: store, log: log,
		number:  desc("campaigns", "Campaigns that are not over, by state.", "state"),
		waiting: desc("campaign_recipients_waiting", "Recipients of campaigns that run or will, of which no job was made yet."),
		braked:  desc("campaigns_braked", "Campaigns that paused by themselves, since too many messages were refused."),
	}
}

// Describe names the metrics.
func (m *campaignMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.number
	ch <- m.waiting
	ch <- m.braked
}

// Collect reads the campaigns once. What cannot be had is left out.
func (m *campaignMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	active, err := m.store.Active(ctx)
	if err != nil {
		m.log.WarnContext(ctx, "metrics of campaigns not read", slog.Any("err", err))
		return
	}
	states := map[campaign.State]int{campaign.Draft: 0, campaign.Scheduled: 0, campaign.Running: 0, campaign.Paused: 0}
	waiting, braked := 0, 0
	for _, c := range active {
		states[c.State]++
		if c.State != campaign.Draft {
			waiting += c.Waiting()
		}
		if c.Pause.Brake {
			braked++
		}
	}
	gauge := func(desc *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), labels...)
	}
	for state, n := range states {
		gauge(m.number, n, string(state))
	}
	gauge(m.waiting, waiting)
	gauge(m.braked, braked)
}
