package campaign_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

var (
	benchRows   = flag.Int("campaign.rows", 50_000, "recipients of the benchmarks")
	benchRounds = flag.Int("campaign.rounds", 3, "rounds of each benchmark")
)

// crowd writes a CSV of so many recipients, with a first name and a short code each.
func crowd(rows int) []byte {
	rng := rand.New(rand.NewPCG(7, 7))
	names := strings.Fields("Ann Ben Carla David Emma Frank Grace Henry Isabel Jack Katherine Liam Mia Noah Olivia Peter Quinn Rachel Samuel Theresa Uma Victor Wendy Xavier Yolanda Zoe")
	var b bytes.Buffer
	b.WriteString("phone,name,code\n")
	for i := range rows {
		fmt.Fprintf(&b, "+1%d,%s,%06d\n", 2012000000+i*37%7_990_000+i/7_990_000*10_000_000, names[rng.IntN(len(names))], rng.IntN(1_000_000))
	}
	return b.Bytes()
}

const benchTemplate = "Hi {{name}}, your code is {{code}}."

// takeIn uploads a file to a new campaign.
func takeIn(b *testing.B, store *campaign.Store, file io.Reader, rows int) ledger.ID {
	b.Helper()
	spec := always(campaign.Spec{Template: benchTemplate})
	created, err := store.Create(b.Context(), spec.ID(nil), spec)
	if err != nil {
		b.Fatal(err)
	}
	totals, err := store.Upload(b.Context(), created.ID, file, campaign.Input{}, nil)
	if err != nil || totals.Accepted != rows {
		b.Fatalf("got %+v, %v, want %d accepted", totals, err, rows)
	}
	return created.ID
}

// byHand is what people do without this: a task for each row, by 16 goroutines, with
// nothing looked at. It returns how many it made a second.
func byHand(b *testing.B, rdb redis.UniversalClient, tasks int) float64 {
	b.Helper()
	client := asynq.NewClientFromRedisClient(rdb)
	began := time.Now()
	var callers sync.WaitGroup
	for c := range 16 {
		callers.Go(func() {
			for i := c; i < tasks; i += 16 {
				payload, _ := json.Marshal(map[string]string{"from": ours, "to": fmt.Sprintf("+1%d", 2012000000+i), "body": fmt.Sprintf("Hi Name, your code is %06d.", i)})
				if _, err := client.EnqueueContext(b.Context(), asynq.NewTask("send-message", payload), asynq.Queue("by-hand")); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	callers.Wait()
	return float64(tasks) / time.Since(began).Seconds()
}

// BenchmarkAccept compares the taking in of a campaign's recipients with tasks made by
// hand, in alternating rounds.
func BenchmarkAccept(b *testing.B) {
	db := redistest.New(b)
	rdb := db.Client()
	store, err := campaign.New(rdb, campaign.Options{})
	if err != nil {
		b.Fatal(err)
	}
	file := crowd(*benchRows)
	for b.Loop() {
		var ours, theirs, ratios []float64
		peak := uint64(0)
		for range *benchRounds {
			began := time.Now()
			takeIn(b, store, bytes.NewReader(file), *benchRows)
			ours = append(ours, float64(*benchRows)/time.Since(began).Seconds())
			var mem runtime.MemStats
			runtime.ReadMemStats(&mem)
			peak = max(peak, mem.Sys-mem.HeapReleased)
			theirs = append(theirs, byHand(b, rdb, min(*benchRows/10, 50_000)))
			ratios = append(ratios, ours[len(ours)-1]/theirs[len(theirs)-1])
			flush(b, rdb)
		}
		b.ReportMetric(median(ours), "rows/s")
		b.ReportMetric(median(theirs), "asynq/s")
		b.ReportMetric(median(ratios), "×asynq")
		b.ReportMetric(float64(peak-uint64(len(file)))/1e6, "MB")
		b.ReportMetric(0, "ns/op")
	}
}

// BenchmarkMemory is what a waiting recipient takes in Redis, and what a task with the same
// content does.
func BenchmarkMemory(b *testing.B) {
	db := redistest.New(b)
	rdb := db.Client()
	store, err := campaign.New(rdb, campaign.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		flush(b, rdb)
		before := used(b, rdb)
		id := takeIn(b, store, bytes.NewReader(crowd(*benchRows)), *benchRows)
		rested := used(b, rdb)
		tasks := min(*benchRows, 20_000)
		byHand(b, rdb, tasks)
		b.ReportMetric(float64(rested-before)/float64(*benchRows), "B/recipient")
		b.ReportMetric(float64(used(b, rdb)-rested)/float64(tasks), "B/task")
		began := time.Now()
		const looks = 50
		for range looks {
			if _, err := store.Get(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000/looks, "ms/show")
		b.ReportMetric(0, "ns/op")
	}
}

func flush(b *testing.B, rdb redis.UniversalClient) {
	b.Helper()
	if err := rdb.FlushDB(context.WithoutCancel(b.Context())).Err(); err != nil {
		b.Fatal(err)
	}
}

// used is what Redis has allocated.
func used(b *testing.B, rdb redis.UniversalClient) int64 {
	b.Helper()
	info, err := rdb.Info(b.Context(), "memory").Result()
	if err != nil {
		b.Fatal(err)
	}
	var n int64
	_, text, _ := strings.Cut(info, "used_memory:")
	_, _ = fmt.Sscan(text, &n)
	return n
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
