package inventory_test

import (
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
)

var size = flag.Int("inventory.numbers", 600, "numbers of the account in the benchmarks")

// account is a simulated one with many numbers and no limits.
func account(n int) flowroutetest.Options {
	o := flowroutetest.Options{Owned: make([]string, n)}
	for i := range o.Owned {
		o.Owned[i] = fmt.Sprintf("1206%07d", 2_000_000+i)
	}
	return o
}

// BenchmarkSync is the first sync of an account, one that finds nothing new, and pages of
// the copy. The simulator runs in the same process: its memory is not counted, its time is.
func BenchmarkSync(b *testing.B) {
	for b.Loop() {
		r := setup(b, account(*size), inventory.SyncerOptions{FirstReads: *size})
		before := heap()
		r.timed(b, "first", func() {
			if report, err := r.syncer.Sync(b.Context()); err != nil || report.DetailsRead != *size || report.DetailsDue != 0 {
				b.Fatalf("got %+v, %v", report, err)
			}
		})
		r.timed(b, "again", func() {
			if report, err := r.syncer.Sync(b.Context()); err != nil || report.Numbers != *size || report.Added+report.Removed+report.Rerouted != 0 {
				b.Fatalf("got %+v, %v", report, err)
			}
		})
		b.ReportMetric(float64(max(heap()-before, 0))/1e6, "MB-kept")
		r.pages(b)
	}
}

// timed reports how long something takes and how many requests.
func (r *rig) timed(b *testing.B, what string, do func()) {
	r.onRequest(nil)
	began := time.Now()
	do()
	b.ReportMetric(time.Since(began).Seconds(), what+"-s")
	b.ReportMetric(float64(r.asked), what+"-requests")
}

// pages reads the whole copy in pages, and those that nothing is on.
func (r *rig) pages(b *testing.B) {
	var slowest time.Duration
	read := func(q inventory.Query) inventory.Page {
		began := time.Now()
		page, err := r.store.List(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		slowest = max(slowest, time.Since(began))
		return page
	}
	seen, cursor := 0, ""
	for {
		page := read(inventory.Query{Cursor: cursor})
		if seen += len(page.Numbers); page.Next == "" {
			break
		}
		cursor = page.Next
	}
	if seen != *size {
		b.Fatalf("the pages have %d numbers, want %d", seen, *size)
	}
	b.ReportMetric(slowest.Seconds()*1000, "slowest-page-ms")
	slowest = 0
	for range 5 {
		if page := read(inventory.Query{Gone: true}); len(page.Numbers) != 0 {
			b.Fatalf("got %d gone numbers", len(page.Numbers))
		}
	}
	b.ReportMetric(slowest.Seconds()*1000, "slowest-gone-ms")
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
