package forward

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/jobs/internal/courier"
)

// metrics are what a store and its senders count. All names begin with
// flowroute_worker_forward_.
type metrics struct{ posts, dropped *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "flowroute_worker", Subsystem: "forward", Name: name, Help: help}, labels)
	}
	m := &metrics{
		posts:   counter("posts_total", "Posts of what Flowroute had posted here to FORWARD_…_URL, by what came of them.", "kind", "result"),
		dropped: counter("dropped_total", "Bodies that were dropped before their receiver had them, by why.", "kind", "reason"),
	}
	// At 0 too, or alerts miss the first one.
	for _, k := range Kinds() {
		for _, result := range courier.Results() {
			m.posts.WithLabelValues(string(k), result)
		}
		for _, reason := range []string{Lapsed, Full} {
			m.dropped.WithLabelValues(string(k), reason)
		}
	}
	if reg != nil {
		reg.MustRegister(m.posts, m.dropped)
	}
	return m
}
