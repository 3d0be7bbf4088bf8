package suppress_test

import (
	"flag"
	"strconv"
	"strings"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// scattered is one of a billion recipients.
func scattered(i int) flowroute.E164 {
	n, err := flowroute.E164FromUint64(12010000000 + uint64(i)*7919%7_989_999_999)
	if err != nil {
		panic(err)
	}
	return n
}

// fill opts n recipients out as inbound STOPs do.
func fill(b *testing.B, s *bundle, n int) {
	b.Helper()
	batch := make([]flowroute.MDR, 0, 5000)
	for i := range n {
		batch = append(batch, inbound(minute(i%1000), scattered(i), ours(1+i%20), "STOP"))
		if len(batch) == cap(batch) || i == n-1 {
			s.apply(batch...)
			batch = batch[:0]
		}
	}
}

// many is a size for a gate that runs each benchmark once.
var many = flag.Int("suppress.recipients", 100_000, "how many have opted out, in the benchmarks; 1000000 for the documented figures")

// BenchmarkMemory opts many recipients out and reports what each takes in Redis.
func BenchmarkMemory(b *testing.B) {
	recipients := *many
	s := setup(b)
	before := memory(b, s)
	for b.Loop() {
		fill(b, s, recipients)
	}
	b.ReportMetric(float64(memory(b, s)-before)/float64(recipients), "redisB/entry")
}

func memory(b *testing.B, s *bundle) int {
	b.Helper()
	for line := range strings.Lines(s.rdb.Info(b.Context(), "memory").Val()) {
		if value, ok := strings.CutPrefix(line, "used_memory:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatal("no used_memory")
	return 0
}

// BenchmarkCheckMany asks for 10,000 recipients at a time, as a campaign does, beside
// so many that have opted out; one in a hundred of those asked for has.
func BenchmarkCheckMany(b *testing.B) {
	for _, optedOut := range []int{0, 10_000, *many} {
		b.Run(strconv.Itoa(optedOut), func(b *testing.B) {
			s := setup(b)
			fill(b, s, optedOut)
			pairs := make([]suppress.Pair, 10_000)
			for i := range pairs {
				pairs[i] = suppress.Pair{From: ours(1), To: scattered(2_000_000 + i)}
				if i%100 == 0 {
					pairs[i].To = scattered(i)
				}
			}
			for b.Loop() {
				found, err := s.BlockedMany(b.Context(), pairs)
				if err != nil || optedOut > 0 && len(found) != 100 {
					b.Fatalf("got %d, %v", len(found), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(pairs)), "ns/recipient")
		})
	}
}

// BenchmarkImport reads and adds lists of 10,000 numbers.
func BenchmarkImport(b *testing.B) {
	s, n := setup(b), 0
	for b.Loop() {
		var list strings.Builder
		for range 10_000 {
			list.WriteString(scattered(n).String() + "\n")
			n++
		}
		if _, err := s.Import(b.Context(), suppress.ReadRows(strings.NewReader(list.String())), suppress.ImportOptions{}, func(suppress.Answer) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}
