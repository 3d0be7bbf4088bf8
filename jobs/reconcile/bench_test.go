package reconcile_test

import (
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/reconcile"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// BenchmarkMillion reconciles a day of records, RECORDS of them (default 100,000), with
// a few of each kind of discrepancy among them, and checks that each is found and none
// else. The ledger's final jobs are written as package ledger packs them.
func BenchmarkMillion(b *testing.B) {
	size := 100_000
	if text := os.Getenv("RECORDS"); text != "" {
		size, _ = strconv.Atoi(text)
	}
	d := newBenchDay(b, size)
	var report reconcile.Report
	var peak uint64
	for b.Loop() {
		done := make(chan struct{})
		go func() { // the heap's peak, about
			defer close(done)
			var m runtime.MemStats
			for b.Context().Err() == nil {
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse+m.StackInuse)
				select {
				case <-done:
				case <-time.After(200 * time.Millisecond):
				}
				if report.Version != 0 {
					return
				}
			}
		}()
		var err error
		if report, err = d.reconciler.Run(b.Context(), reconcile.Request{Window: d.window}); err != nil {
			b.Fatal(err)
		}
		<-done
	}
	if report.Totals != d.want {
		b.Errorf("got %+v, want %+v", report.Totals, d.want)
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/float64(size)*1e6, "ms/million")
	b.ReportMetric(float64(peak)/(1<<20), "heapMB")
}

type benchDay struct {
	reconciler *reconcile.Reconciler
	window     reconcile.Window
	want       reconcile.Totals
}

func newBenchDay(b *testing.B, size int) benchDay {
	rdb := redistest.New(b).Client()
	now := time.Now().UTC().Truncate(time.Hour)
	at := now.Add(-30 * time.Hour)
	clock := func() time.Time { return now }
	led, err := ledger.New(rdb, ledger.Options{})
	if err != nil {
		b.Fatal(err)
	}
	store, err := mdr.New(rdb, mdr.Options{Now: clock})
	if err != nil {
		b.Fatal(err)
	}
	d := benchDay{window: reconcile.Window{Since: at, Until: at.Add(20 * time.Hour)}}
	if d.reconciler, err = reconcile.New(rdb, led, store, reconcile.Options{Now: clock}); err != nil {
		b.Fatal(err)
	}
	// As if it had been synced for two days.
	first := now.Add(-48*time.Hour).Unix() / 900
	head := map[string]any{"first": first, "closed": now.Add(-8*time.Hour).Unix() / 900, "epoch": 1, "late": (6 * time.Hour).Milliseconds()}
	if err := rdb.HSet(b.Context(), "{flowroute}:mdr:sync", head).Err(); err != nil {
		b.Fatal(err)
	}
	const buckets = 16384
	pipe := rdb.Pipeline()
	pipe.HSet(b.Context(), "{flowroute}:d", "live", fmt.Sprintf("1:%d:%d", buckets, at.UnixMilli()), "n", size, "g", 1)
	draw := rand.New(rand.NewPCG(3, 4))
	campaign := ledger.NewCampaignID()
	page := make([]flowroute.MDR, 0, 1000)
	flush := func() {
		if _, err := store.Put(b.Context(), page); err != nil {
			b.Fatal(err)
		}
		if _, err := pipe.Exec(b.Context()); err != nil {
			b.Fatal(err)
		}
		page = page[:0]
	}
	step := 20 * time.Hour / time.Duration(size+1)
	for i := range size {
		stamp := at.Add(time.Duration(i) * step).Truncate(10 * time.Millisecond)
		var raw [16]byte
		binary.BigEndian.PutUint64(raw[:], draw.Uint64())
		binary.BigEndian.PutUint64(raw[8:], draw.Uint64())
		id := campaign.OfRow(uint32(i + 1))
		record := flowroute.MDR{ID: "mdr2-" + hex.EncodeToString(raw[:]), Direction: flowroute.Outbound, From: fmt.Sprint(12065550100 + i%20),
			To: fmt.Sprint(12015550000 + i), Body: fmt.Sprint("your order ", i, " is on its way and will be there tomorrow between ten and noon"), Status: "delivered",
			MessageType: "longcode", AmountNanodollars: 4_000_000, AmountDisplay: "$0.0040", Timestamp: stamp,
			Receipts: []flowroute.DeliveryReceipt{{Level: 2, Status: "delivered", StatusCode: new(1004), Description: "Message delivered to handset", Timestamp: stamp.Add(2 * time.Second)}}}
		state, class := byte('d'), reconcile.Matched
		switch {
		case i%20_000 == 11:
			record.AmountNanodollars, class = 12_000_000, reconcile.Differing
		case i%20_000 == 12:
			state, class = 'n', reconcile.Differing
		case i%20_000 == 13:
			class = reconcile.WithoutJob
		case i%20_000 == 14:
			class = reconcile.WithoutRecord
		}
		f := d.want.Of(class)
		if class == reconcile.WithoutRecord {
			f.Messages++
		} else {
			f.Records++
			f.Money += flowroute.Money(record.AmountNanodollars)
			page = append(page, record)
		}
		if class != reconcile.WithoutJob {
			if class != reconcile.WithoutRecord {
				f.Messages++
			}
			sum := sha1.Sum(id[:])
			key := fmt.Sprintf("{flowroute}:d:1:%d", binary.BigEndian.Uint32(sum[:])%buckets)
			value := packedJob(stamp, raw, state)
			pipe.HSet(b.Context(), key, id[:], value[:60], append(id[:], 1), value[60:])
		}
		if len(page) == cap(page) {
			flush()
		}
	}
	flush()
	return d
}

// packedJob is a message that was queued at once, posted and delivered (cold.lua).
func packedJob(at time.Time, mdr [16]byte, state byte) []byte {
	v := []byte{1, 'm', state, 'b'}
	var created [8]byte
	binary.BigEndian.PutUint64(created[:], uint64(at.Add(-time.Second).UnixMilli()))
	v = append(v, created[2:]...)
	v = binary.BigEndian.AppendUint64(v, 12065550100)
	v = binary.BigEndian.AppendUint64(v, 12015550199)
	v = append(append(v, make([]byte, 8)...), 1, 17, 18)
	v = append(append(v, 16), mdr[:]...)
	for i, s := range []byte{'s', 'a', state} {
		v = binary.BigEndian.AppendUint32(append(v, s, 0), uint32(90+10*i))
	}
	return v
}
