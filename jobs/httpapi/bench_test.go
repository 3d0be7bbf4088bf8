package httpapi_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// BenchmarkMessageLines sends single messages as NDJSON, ledger and all, against 16
// goroutines that call asynq's Client.Enqueue with the same content, by turns in one run.
// One operation is a round of both.
func BenchmarkMessageLines(b *testing.B) {
	const n, workers = 20_000, 16
	db := redistest.New(b)
	rdb := db.Client()
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	server, err := httpapi.New(httpapi.Options{Jobs: client, Redis: rdb})
	if err != nil {
		b.Fatal(err)
	}
	listener := httptest.NewServer(server)
	defer listener.Close()
	plain := asynq.NewClientFromRedisClient(db.Client())
	payloads := make([][]byte, n)
	for i := range payloads {
		payloads[i] = []byte(text(i, fmt.Sprintf(`,"key":"bench/%d"`, i)))
	}
	body := bytes.Join(payloads, []byte("\n"))

	timed := func(f func()) float64 {
		b.Helper()
		if err := rdb.FlushDB(b.Context()).Err(); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		f()
		return n / time.Since(began).Seconds()
	}
	lines := func() {
		response, err := http.Post(listener.URL+"/v1/messages", asLines, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		defer response.Body.Close()
		got, err := io.ReadAll(response.Body)
		if want := fmt.Sprintf(`{"total":{"lines":%d,"accepted":%d,`, n, n); err != nil || !strings.Contains(string(got), want) {
			b.Fatalf("got %.300s, %v", got[max(0, len(got)-300):], err)
		}
	}
	enqueue := func() {
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				for i := w; i < n; i += workers {
					if _, err := plain.Enqueue(asynq.NewTask("send-message", payloads[i]), asynq.Queue("normal")); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	var ours, theirs, ratios []float64
	for b.Loop() {
		o, t := timed(lines), timed(enqueue)
		ours, theirs, ratios = append(ours, o), append(theirs, t), append(ratios, o/t)
	}
	b.ReportMetric(median(ours), "lines/s")
	b.ReportMetric(median(theirs), "enqueued/s")
	b.ReportMetric(median(ratios), "ratio")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// BenchmarkInvalidLines is what a line costs apart from Redis. One operation is a line.
func BenchmarkInvalidLines(b *testing.B) {
	rdb := redistest.New(b).Client()
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	server, err := httpapi.New(httpapi.Options{Jobs: client, Redis: rdb})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	r := httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(strings.Repeat("{\"to\":\"\"}\n", b.N)))
	r.Header.Set("Content-Type", asLines)
	r.Host = "localhost"
	b.ResetTimer()
	server.ServeHTTP(discard{http.Header{}}, r)
}

// discard is for answers that nobody wants.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) Flush()                      {}
