package jobs_test

import (
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

func BenchmarkSend(b *testing.B) {
	client := setup(b)
	for b.Loop() {
		if _, err := client.Send(b.Context(), hello()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// One operation is 10,000 messages.
func BenchmarkSendMany(b *testing.B) {
	const n = 10_000
	messages := make([]jobs.Message, n)
	for i := range messages {
		messages[i] = hello()
	}
	client := setup(b)
	for b.Loop() {
		_, errs := client.SendMany(b.Context(), messages)
		for _, err := range errs {
			if err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		if err := client.rdb.FlushDB(b.Context()).Err(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "msg/s")
}

// The same without a ledger, to compare with: asynq's client alone, as many at
// once.
func BenchmarkPlainEnqueue(b *testing.B) {
	const n, workers = 10_000, 64
	payload := mustJSON(b, hello())
	s := setup(b)
	client := asynq.NewClientFromRedisClient(s.rdb)
	for b.Loop() {
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range n / workers {
					if _, err := client.Enqueue(asynq.NewTask("send-message", payload), asynq.Queue("normal")); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		b.StopTimer()
		if err := s.rdb.FlushDB(b.Context()).Err(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(n/workers*workers*b.N)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkDecodeMessage(b *testing.B) {
	payload := mustJSON(b, hello())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jobs.DecodeMessage(payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	m, now := hello(), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Validate(now); err != nil {
			b.Fatal(err)
		}
	}
}
