package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// Metrics are what a worker counts. All names begin with flowroute_worker_.
type Metrics struct {
	attempts    *prometheus.CounterVec
	outcomes    *prometheus.CounterVec
	permitWaits *prometheus.HistogramVec
	requests    *prometheus.HistogramVec
	rateLimited *prometheus.CounterVec
	deferrals   *prometheus.CounterVec
	woken       *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them; reg may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	const space = "flowroute_worker"
	m := &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: space, Name: "attempts_total",
			Help: "Requests that change something, by operation and by what became of them."}, []string{"operation", "outcome"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: space, Name: "outcomes_total",
			Help: "Outcomes written to the ledger by this process, by the job's new state and the reason."}, []string{"state", "reason"}),
		permitWaits: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: space, Name: "permit_wait_seconds",
			Help: "Time waited for a permit.", Buckets: []float64{.001, .005, .02, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}}, []string{"limit", "lane"}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: space, Name: "api_request_seconds",
			Help: "Time of one API request.", Buckets: prometheus.ExponentialBuckets(.005, 2, 14)}, []string{"endpoint", "status"}),
		rateLimited: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: space, Name: "rate_limited_total",
			Help: "Answers 429: somebody else uses the account's limit, or it is set too high."}, []string{"endpoint"}),
		deferrals: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: space, Name: "tasks_put_back_total",
			Help: "Tasks that rest and come again, by queue and whether it was a failure."}, []string{"queue", "failure"}),
		woken: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: space, Name: "jobs_without_task_total",
			Help: "Jobs whose task was gone and that got a new one."}, []string{"queue"}),
	}
	if reg != nil {
		reg.MustRegister(m.attempts, m.outcomes, m.permitWaits, m.requests, m.rateLimited, m.deferrals, m.woken)
	}
	return m
}

// Observe counts one API request; it is to be given to the client's options.
func (m *Metrics) Observe(o flowroute.Observation) {
	status := "none"
	if o.Status > 0 {
		status = string([]byte{'0' + byte(o.Status/100%10), 'x', 'x'})
	}
	m.requests.WithLabelValues(string(o.Endpoint), status).Observe(o.Duration.Seconds())
	if o.Status == 429 {
		m.rateLimited.WithLabelValues(string(o.Endpoint)).Inc()
	}
}

func (m *Metrics) attempt(op operation, v verdict, err error) {
	outcome := "accepted"
	if err != nil {
		outcome = string(v.Reason)
	}
	m.attempts.WithLabelValues(string(op), outcome).Inc()
}

func (m *Metrics) settled(to ledger.State, reason ledger.Reason, written bool) {
	if written {
		m.outcomes.WithLabelValues(string(to), string(reason)).Inc()
	}
}

func (m *Metrics) permitWait(kind ratelimit.Kind, lane ratelimit.Lane, wait time.Duration) {
	m.permitWaits.WithLabelValues(string(kind), string(lane)).Observe(wait.Seconds())
}

func (m *Metrics) deferred(queue string, failure bool) {
	label := "no"
	if failure {
		label = "yes"
	}
	m.deferrals.WithLabelValues(queue, label).Inc()
}

func (m *Metrics) swept(queue string) { m.woken.WithLabelValues(queue).Inc() }
