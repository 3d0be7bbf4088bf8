package httpapi_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	own := prometheus.NewRegistry()
	calls := prometheus.NewCounter(prometheus.CounterOpts{Name: "test_calls_total", Help: "Calls."})
	own.MustRegister(calls)
	calls.Add(7)
	b := setup(t, func(o *httpapi.Options) { o.Registry = own })
	b.do("POST", "/v1/messages", goodMessage).want(t, 202)
	b.do("POST", "/v1/number-purchases", `{"number":"+12065550100"}`).want(t, 202)
	if _, err := asynq.NewClientFromRedisClient(b.rdb).EnqueueContext(t.Context(), asynq.NewTask("x", nil), asynq.Queue("somebody-elses")); err != nil {
		t.Fatal(err)
	}

	a := b.do("GET", "/metrics", "").want(t, 200)
	if got := a.header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain") {
		t.Errorf("got content type %q", got)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(string(a.body)) {
		lines[strings.TrimSpace(line)] = true
	}
	// The names of asynq's own exporter, which asynqmon's metrics page asks for.
	for _, want := range []string{
		"# TYPE asynq_tasks_enqueued_total gauge", `asynq_tasks_enqueued_total{queue="normal",state="pending"} 1`,
		`asynq_tasks_enqueued_total{queue="normal",state="retry"} 0`, `asynq_tasks_enqueued_total{queue="numbers",state="archived"} 0`,
		"# TYPE asynq_queue_size gauge", `asynq_queue_size{queue="normal"} 1`,
		"# TYPE asynq_queue_latency_seconds gauge", "# TYPE asynq_queue_memory_usage_approx_bytes gauge",
		"# TYPE asynq_tasks_processed_total counter", `asynq_tasks_processed_total{queue="normal"} 0`,
		"# TYPE asynq_tasks_failed_total counter", `asynq_tasks_failed_total{queue="normal"} 0`,
		"# TYPE asynq_queue_paused_total gauge", `asynq_queue_paused_total{queue="normal"} 0`,
		"# TYPE flowroute_worker_jobs gauge", `flowroute_worker_jobs{state="queued",type="send-message"} 1`,
		`flowroute_worker_jobs{state="queued",type="purchase-number"} 1`, `flowroute_worker_jobs{state="review",type="send-message"} 0`,
		`flowroute_worker_redis_up 1`, `test_calls_total 7`,
	} {
		if !lines[want] {
			t.Errorf("no line %q in\n%s", want, a.body)
		}
	}
	if strings.Contains(string(a.body), "somebody-elses") {
		t.Error("another app's queue makes labels")
	}
	if impossible := regexp.MustCompile(`state="delivered",type="route-update"`).Find(a.body); impossible != nil {
		t.Errorf("got %s", impossible)
	}
}

func TestMetricsWithoutRedis(t *testing.T) {
	t.Parallel()
	own := prometheus.NewRegistry()
	own.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "test_gauge", Help: "A gauge."}))
	db := redistest.New(t)
	proxy := db.Proxy(t)
	b := setupOn(t, proxy.Client(), func(o *httpapi.Options) { o.Registry = own })
	proxy.Cut()
	a := b.do("GET", "/metrics", "").want(t, 200)
	for _, want := range []string{"flowroute_worker_redis_up 0", "test_gauge 0"} {
		if !strings.Contains(string(a.body), want) {
			t.Errorf("no %q in %s", want, a.body)
		}
	}
}

func TestMetricsPublic(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpapi.Options) { o.MetricsPublic = true })
	b.do("GET", "/metrics", "", "Authorization", "").want(t, http.StatusOK)
	b.do("GET", "/v1/jobs/x", "", "Authorization", "").want(t, http.StatusUnauthorized)
}
