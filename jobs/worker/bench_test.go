package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// BenchmarkSend compares, in one run, messages per second without a limit: an
// asynq worker as people write it by hand (net/http, no ledger) and this one.
// The simulated account answers at once and shares the machine with both.
func BenchmarkSend(b *testing.B) {
	const messages, handlers = 5000, 64
	var plain float64
	for b.Loop() {
		plain = max(plain, plainRate(b, messages, handlers))
		ours := ledgerRate(b, messages, handlers)
		b.ReportMetric(plain, "plain-msg/s")
		b.ReportMetric(ours, "ours-msg/s")
		b.ReportMetric(ours/plain, "ratio")
	}
}

func plainRate(b *testing.B, messages, handlers int) float64 {
	sim, db := flowroutetest.NewServer(b, flowroutetest.Options{KeepRequests: 1}), redistest.New(b)
	client := asynq.NewClientFromRedisClient(db.Client())
	for i := range messages {
		payload, _ := json.Marshal(map[string]string{"from": "12065550100", "to": "12065550177", "body": fmt.Sprint("hello ", i)})
		if _, err := client.Enqueue(asynq.NewTask("plain", payload), asynq.Queue("normal")); err != nil {
			b.Fatal(err)
		}
	}
	api := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: handlers}, Timeout: time.Minute}
	var done atomic.Int64
	ended := make(chan struct{})
	server := asynq.NewServerFromRedisClient(db.Client(), asynq.Config{Concurrency: handlers, Queues: map[string]int{"normal": 1}, LogLevel: asynq.FatalLevel})
	started := time.Now()
	err := server.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		request, err := http.NewRequestWithContext(ctx, "POST", sim.URL+"/v2.1/messages", bytes.NewReader(task.Payload()))
		if err != nil {
			return err
		}
		request.SetBasicAuth(sim.AccessKey, sim.SecretKey)
		request.Header.Set("Content-Type", "application/vnd.api+json")
		response, err := api.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var sent struct{ Data struct{ ID string } }
		if err := json.NewDecoder(response.Body).Decode(&sent); err != nil || response.StatusCode != 202 {
			return fmt.Errorf("status %d: %w", response.StatusCode, err)
		}
		if done.Add(1) == int64(messages) {
			close(ended)
		}
		return nil
	}))
	if err != nil {
		b.Fatal(err)
	}
	<-ended
	took := time.Since(started)
	server.Shutdown()
	return float64(messages) / took.Seconds()
}

func ledgerRate(b *testing.B, messages, handlers int) float64 {
	sim, db := flowroutetest.NewServer(b, flowroutetest.Options{KeepRequests: 1}), redistest.New(b)
	producer, err := jobs.NewClient(db.Client(), jobs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]jobs.Message, messages)
	for i := range batch {
		batch[i] = jobs.Message{From: ours, To: theirs, Body: fmt.Sprint("hello ", i)}
	}
	if _, errs := producer.SendMany(b.Context(), batch); errs[0] != nil {
		b.Fatal(errs[0])
	}
	rdb := db.Worker()
	api, err := flowroute.New(flowroute.Options{BaseURL: sim.URL, Credentials: flowroute.Credentials{AccessKey: sim.AccessKey, SecretKey: sim.SecretKey}})
	if err != nil {
		b.Fatal(err)
	}
	defer api.Close()
	limiter, err := ratelimit.New(rdb, ratelimit.Options{Account: api.Account(), FreshStart: true})
	if err != nil {
		b.Fatal(err)
	}
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	w, err := worker.New(worker.Options{Redis: rdb, Jobs: client, API: api, Limiter: limiter, Concurrency: handlers})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	started := time.Now()
	go func() {
		defer close(done)
		_ = w.Run(ctx)
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for sim.Counts().Accepted < int64(messages) {
		<-tick.C
	}
	took := time.Since(started)
	cancel()
	<-done
	return float64(messages) / took.Seconds()
}
