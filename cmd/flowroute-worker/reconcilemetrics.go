package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/jobs/reconcile"
)

// reconcileMetrics tell of the latest report on a whole day, in whatever process it was
// made; they read it when they are asked.
type reconcileMetrics struct {
	reconciler *reconcile.Reconciler
	log        *slog.Logger

	items, dollars, complete, day *prometheus.Desc
}

func newReconcileMetrics(r *reconcile.Reconciler, log *slog.Logger) reconcileMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("flowroute_worker_reconciliation_"+name, help, labels, nil)
	}
	return reconcileMetrics{
		reconciler: r, log: log,
		items:    desc("items", "Records of each class in the latest reconciliation of a day; of without-mdr and waiting, messages.", "class"),
		dollars:  desc("dollars", "What the records of each class cost.", "class"),
		complete: desc("complete", "1 when the records of that day were complete."),
		day:      desc("day_timestamp_seconds", "When that day began."),
	}
}

// Describe says what there is to tell.
func (m reconcileMetrics) Describe(all chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.items, m.dollars, m.complete, m.day} {
		all <- d
	}
}

// Collect tells it; nothing before the first report.
func (m reconcileMetrics) Collect(all chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	report, ok, err := m.reconciler.LastDaily(ctx)
	if err != nil {
		m.log.WarnContext(ctx, "reconciliation is not known", "err", err)
	}
	if err != nil || !ok {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		all <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, class := range reconcile.Classes() {
		f := report.Of(class)
		n := f.Records
		if class == reconcile.WithoutRecord {
			n = f.Messages
		}
		gauge(m.items, float64(n), string(class))
		gauge(m.dollars, float64(f.Money)/1e9, string(class))
	}
	gauge(m.items, float64(report.Waiting.Messages), "waiting")
	complete := 0.0
	if report.Complete {
		complete = 1
	}
	gauge(m.complete, complete)
	gauge(m.day, float64(report.Window.Since.Unix()))
}
