package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// getMetrics answers with what the queues and the ledger hold at this moment and
// with what the processes have counted.
func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	now := prometheus.NewRegistry()
	if err := now.Register(&collector{
		ctx: ctx, log: s.log, ledger: s.o.Jobs.Ledger(), ping: func(ctx context.Context) error { return s.o.Redis.Ping(ctx).Err() },
		inspector: asynq.NewInspectorFromRedisClient(s.o.Redis), queues: append(ledger.Queues(), s.o.Queues...),
	}); err != nil {
		return err
	}
	all := prometheus.Gatherers{now, s.counted}
	if s.o.Registry != nil {
		all = append(all, s.o.Registry)
	}
	// What cannot be had is left out; the rest is worth having.
	promhttp.HandlerFor(all, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, DisableCompression: true}).ServeHTTP(w, r)
	return nil
}

// collector reads queues and ledger for one scrape.
type collector struct {
	ctx       context.Context // the scrape's: Collect has none
	log       *slog.Logger
	ledger    *ledger.Ledger
	inspector *asynq.Inspector
	ping      func(context.Context) error
	queues    []string
}

// descriptions are the metrics of one scrape. The names that begin with asynq_
// are those of asynq's own exporter (x/metrics), which dashboards and asynqmon's
// metrics page ask for; so some are called _total and are none.
type descriptions struct {
	redis, jobs                                                        *prometheus.Desc
	enqueued, size, latency, memory, processed, failedTasks, pausedNow *prometheus.Desc
}

func describe() descriptions {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return descriptions{
		redis:       desc("flowroute_worker_redis_up", "1 when Redis answered this scrape, else 0."),
		jobs:        desc("flowroute_worker_jobs", "Jobs in the ledger by type and state; final states count those of all time.", "type", "state"),
		enqueued:    desc("asynq_tasks_enqueued_total", "Number of tasks in a queue now; broken down by queue and state.", "queue", "state"),
		size:        desc("asynq_queue_size", "Number of tasks in a queue.", "queue"),
		latency:     desc("asynq_queue_latency_seconds", "How long the oldest pending task has waited, in seconds.", "queue"),
		memory:      desc("asynq_queue_memory_usage_approx_bytes", "Memory that a queue takes in Redis, in bytes (sampled).", "queue"),
		processed:   desc("asynq_tasks_processed_total", "Number of tasks processed (succeeded and failed).", "queue"),
		failedTasks: desc("asynq_tasks_failed_total", "Number of tasks that failed.", "queue"),
		pausedNow:   desc("asynq_queue_paused_total", "1 when a queue is paused, else 0.", "queue"),
	}
}

// Describe says nothing beforehand: which metrics there are depends on Redis.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads everything once.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	d := describe()
	up := 0.0
	// The inspector takes no context; so it is asked only when Redis is there.
	ctx, cancel := context.WithTimeout(c.ctx, time.Second)
	defer cancel()
	err := c.ping(ctx)
	if err == nil {
		up = 1
		err = errors.Join(c.collectJobs(ch, d), c.collectQueues(ch, d))
	}
	if err != nil {
		c.log.WarnContext(c.ctx, "metrics of queues and jobs not read", slog.Any("err", err))
	}
	ch <- prometheus.MustNewConstMetric(d.redis, prometheus.GaugeValue, up)
}

func (c *collector) collectJobs(ch chan<- prometheus.Metric, d descriptions) error {
	counts, err := c.ledger.Counts(c.ctx)
	if err != nil {
		return err
	}
	for _, jobType := range ledger.Types() {
		for _, state := range ledger.States() {
			// All of them, at 0 too, or rates and alerts miss the first one.
			if n := counts[jobType][state]; n != 0 || possible(jobType, state) {
				ch <- prometheus.MustNewConstMetric(d.jobs, prometheus.GaugeValue, float64(n), string(jobType), string(state))
			}
		}
	}
	return nil
}

// possible reports whether jobs of that type come into that state.
func possible(t ledger.Type, s ledger.State) bool {
	switch s {
	case ledger.Accepted, ledger.Delivered, ledger.Undelivered, ledger.Blocked:
		return t == ledger.SendMessage
	case ledger.Done:
		return t != ledger.SendMessage
	}
	return true
}

// collectQueues keeps to our own queues: what others put into the same Redis
// would add labels without bound.
func (c *collector) collectQueues(ch chan<- prometheus.Metric, d descriptions) error {
	present, err := c.inspector.Queues()
	if err != nil {
		return err
	}
	var broken []error
	for _, queue := range c.queues {
		if !slices.Contains(present, queue) {
			continue // nothing was ever put into it
		}
		info, err := c.inspector.GetQueueInfo(queue)
		if err != nil {
			broken = append(broken, err)
			continue
		}
		sendQueue(ch, d, info)
	}
	return errors.Join(broken...)
}

func sendQueue(ch chan<- prometheus.Metric, d descriptions, info *asynq.QueueInfo) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	counter := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, value, labels...)
	}
	for state, n := range map[string]int{
		"active": info.Active, "pending": info.Pending, "scheduled": info.Scheduled,
		"retry": info.Retry, "archived": info.Archived, "completed": info.Completed,
	} {
		gauge(d.enqueued, float64(n), info.Queue, state)
	}
	gauge(d.size, float64(info.Size), info.Queue)
	gauge(d.latency, info.Latency.Seconds(), info.Queue)
	gauge(d.memory, float64(info.MemoryUsage), info.Queue)
	counter(d.processed, float64(info.ProcessedTotal), info.Queue)
	counter(d.failedTasks, float64(info.FailedTotal), info.Queue)
	paused := 0.0
	if info.Paused {
		paused = 1
	}
	gauge(d.pausedNow, paused, info.Queue)
}
