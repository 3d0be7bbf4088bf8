package resolve

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what a resolver counts. All names begin with flowroute_worker_resolve_.
type Metrics struct {
	decisions  *prometheus.CounterVec
	reads      *prometheus.CounterVec
	rows       prometheus.Counter
	duplicates prometheus.Counter
	open       prometheus.Gauge
	oldest     prometheus.Gauge
	lag        prometheus.Gauge
	offset     prometheus.Gauge
	fence      prometheus.Gauge
}

// NewMetrics makes the metrics and registers them; reg may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	name := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "flowroute_worker", Subsystem: "resolve", Name: name, Help: help}
	}
	gauge := func(n, help string) prometheus.Gauge { return prometheus.NewGauge(prometheus.GaugeOpts(name(n, help))) }
	counter := func(n, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts(name(n, help)))
	}
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts(name("decisions_total",
			"Messages whose outcome was unknown and that this process has decided, by their new state and the reason.")), []string{"state", "reason"}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts(name("reads_total",
			"Passes over Flowroute's records, by whether they could be read.")), []string{"result"}),
		rows:       counter("rows_total", "Records that were read."),
		duplicates: counter("proven_duplicates_total", "Records beyond the first of one message: texts that were sent twice."),
		open:       gauge("open", "Messages whose outcome is unknown."),
		oldest:     gauge("oldest_seconds", "For how long the oldest of them is."),
		lag:        gauge("record_lag_seconds", "The most by which a record came late in the last 24 hours."),
		offset:     gauge("clock_offset_seconds", "Flowroute's clock against that of Redis."),
		fence:      gauge("fence_up", "1 while nothing is posted since Redis may have lost writes."),
	}
	if reg != nil {
		reg.MustRegister(m.decisions, m.reads, m.rows, m.duplicates, m.open, m.oldest, m.lag, m.offset, m.fence)
	}
	return m
}
