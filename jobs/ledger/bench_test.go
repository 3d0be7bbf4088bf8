package ledger_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// BenchmarkMessage is what Redis' processor spends on the intent and on the outcome of
// one message, with so many of each under way at once.
//
//	go test ./jobs/ledger -run=^$ -bench=Message -benchtime=20000x
func BenchmarkMessage(b *testing.B) {
	for _, atOnce := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(atOnce), func(b *testing.B) {
			db := redistest.New(b)
			l, err := ledger.New(db.Client(), ledger.Options{})
			if err != nil {
				b.Fatal(err)
			}
			list := make([]ledger.NewJob, b.N)
			for i := range list {
				list[i] = message(b)
				list[i].Fingerprint = ledger.Fingerprint{byte(i >> 16), byte(i >> 8), byte(i), 1}
			}
			for part := range slices.Chunk(list, 1000) {
				if _, errs := l.CreateMany(b.Context(), part); slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
					b.Fatal(errs)
				}
			}
			each := func(name string, do func(i int) error) {
				before, started := redisBusy(b, db.Client()), time.Now()
				var all sync.WaitGroup
				for first := range atOnce {
					all.Go(func() {
						for i := first; i < len(list); i += atOnce {
							if err := do(i); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				b.ReportMetric((redisBusy(b, db.Client())-before)*1e6/float64(len(list)), "redis-µs/"+name)
				b.ReportMetric(float64(len(list))/time.Since(started).Seconds(), name+"/s")
			}
			b.ResetTimer()
			each("intent", func(i int) error {
				begun, err := l.Begin(b.Context(), ledger.Intent{ID: list[i].ID, Generation: 1, Token: "t", Budget: time.Minute, Timeout: time.Minute, Settle: time.Minute, Unread: true})
				if err == nil && begun.Decision != ledger.Go {
					err = fmt.Errorf("got %s", begun.Decision)
				}
				return err
			})
			each("outcome", func(i int) error {
				_, err := l.Settle(b.Context(), ledger.Settlement{ID: list[i].ID, Token: "t", To: ledger.Accepted, MDR: fmt.Sprintf("mdr2-%032x", i)})
				return err
			})
		})
	}
}

// redisBusy is how many seconds of a processor Redis has used.
func redisBusy(b *testing.B, rdb redis.UniversalClient) (sum float64) {
	b.Helper()
	for line := range strings.Lines(rdb.Info(b.Context(), "cpu").Val()) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, err := strconv.ParseFloat(text, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += seconds
		}
	}
	return sum
}
