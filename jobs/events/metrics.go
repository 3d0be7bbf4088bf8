package events

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/jobs/internal/courier"
)

// metrics are what a sender counts. All names begin with flowroute_worker_webhook_.
type metrics struct {
	posts     *prometheus.CounterVec
	delivered prometheus.Counter
	gaps      *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	name := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "flowroute_worker", Subsystem: "webhook", Name: name, Help: help}
	}
	m := &metrics{
		posts:     prometheus.NewCounterVec(name("posts_total", "Posts of changes to EVENTS_URL, by what came of them."), []string{"result"}),
		delivered: prometheus.NewCounter(name("events_delivered_total", "Changes that the receiver took, repeats included.")),
		gaps: prometheus.NewCounterVec(name("gaps_total",
			"Times that changes were gone from the stream before the receiver had them."), []string{"reason"}),
	}
	// At 0 too, or alerts miss the first one.
	for _, result := range courier.Results() {
		m.posts.WithLabelValues(result)
	}
	for _, reason := range []string{Trimmed, Ahead} {
		m.gaps.WithLabelValues(reason)
	}
	if reg != nil {
		reg.MustRegister(m.posts, m.delivered, m.gaps)
	}
	return m
}
