package ledger_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/internal/race"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/internal/record"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// Final jobs and claims of many generations of the packed map are all found, with
// long texts too, and stay in Redis' packed encoding.
func TestPackedMaps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// Beyond the first generation's 4,096. The imitation looks at each key for each
	// command, so that a second one that fills takes it minutes.
	n, batch := 10_000, 100
	if b.db.Kind == redisembed.KindInProcess || race.Enabled {
		n = 4_500
	}
	jobs := make([]ledger.NewJob, n)
	for i := range jobs {
		jobs[i] = message(t)
	}
	records := make([]string, n)
	for i, job := range jobs {
		if i%batch == 0 {
			_, errs := b.CreateMany(t.Context(), jobs[i:i+batch])
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
		}
		b.begin(job.ID, "t")
		s := ledger.Settlement{ID: job.ID, Token: "t", To: ledger.Accepted, MDR: mdr()}
		if i%100 == 7 {
			s = ledger.Settlement{ID: job.ID, Token: "t", To: ledger.Failed, Detail: strings.Repeat("x", 50+i%250)}
		}
		records[i] = s.MDR
		b.settle(s)
	}
	for i, job := range jobs {
		got := b.get(job.ID)
		if i%100 == 7 {
			if want := 50 + i%250; got.State != ledger.Failed || len(got.Detail) != want {
				t.Fatalf("%d: got %s and %d bytes of detail, want failed and %d", i, got.State, len(got.Detail), want)
			}
			continue
		}
		if got.State != ledger.Accepted || !cmp.Equal(got.MDRs, records[i:i+1]) {
			t.Fatalf("%d: got %+v", i, got)
		}
		if owner, ok, err := b.ClaimedBy(t.Context(), records[i]); err != nil || !ok || owner != job.ID {
			t.Fatalf("%d: claim %v %v %v", i, owner, ok, err)
		}
	}
	for _, pattern := range []string{"{flowroute}:d:2:*", "{flowroute}:c:2:*"} {
		keys := b.rdb.Keys(t.Context(), pattern).Val()
		if len(keys) == 0 {
			t.Fatalf("%s: no second generation", pattern)
		}
		for _, key := range keys {
			if ttl := b.rdb.PTTL(t.Context(), key).Val(); ttl <= 0 {
				t.Fatalf("%q has no TTL", key)
			}
			if b.db.Kind == redisembed.KindServer {
				if enc := b.rdb.ObjectEncoding(t.Context(), key).Val(); enc != "listpack" && enc != "ziplist" {
					t.Fatalf("%q is kept as %s with %d entries", key, enc, b.rdb.HLen(t.Context(), key).Val())
				}
			}
		}
	}
}

// BenchmarkMemory prints Redis' bytes for a queued and for a finished message,
// history, key and claim included (and without its share of the event stream).
func BenchmarkMemory(b *testing.B) {
	db := redistest.New(b).Client()
	l, err := ledger.New(db, ledger.Options{})
	if err != nil {
		b.Fatal(err)
	}
	const n = 20_000
	used := func() int64 {
		var bytes int64
		for line := range strings.Lines(db.Info(b.Context(), "memory").Val()) {
			fmt.Sscanf(line, "used_memory:%d", &bytes)
		}
		return bytes
	}
	for b.Loop() {
		db.FlushDB(b.Context())
		empty := used()
		jobs := make([]ledger.NewJob, n)
		for i := range jobs {
			jobs[i] = message(b)
			jobs[i].ID = ledger.KeyID(ledger.SendMessage, fmt.Sprint("order-", i))
			jobs[i].Payload = []byte(`{"v":1,"from":"+12065550100","to":"+12065550199","body":"Your table is ready. Reply STOP to end these messages."}`)
		}
		for at := 0; at < n; at += 1000 {
			l.CreateMany(b.Context(), jobs[at:at+1000])
		}
		stream := db.MemoryUsage(b.Context(), "{flowroute}:events").Val()
		b.ReportMetric(float64(used()-empty-stream)/n, "B/queued")
		var all sync.WaitGroup
		for part := range slices.Chunk(jobs, n/32+1) {
			all.Go(func() {
				for _, job := range part {
					l.Begin(b.Context(), ledger.Intent{ID: job.ID, Generation: 1, Token: "t", Timeout: timeout, Settle: settle})
					l.Settle(b.Context(), ledger.Settlement{ID: job.ID, Token: "t", To: ledger.Accepted, MDR: mdr()})
				}
			})
		}
		all.Wait()
		stream = db.MemoryUsage(b.Context(), "{flowroute}:events").Val()
		b.ReportMetric(float64(used()-empty-stream)/n, "B/finished")
		b.ReportMetric(float64(stream)/n, "B/events")
	}
}

// A job that an earlier version has written, as a hash and with its payload apart, is
// read, and kept as all others once it changes.
func TestRecordOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := message(t)
	id := b.create(job)
	key, payload := "{flowroute}:j:"+id.String(), "{flowroute}:p:"+id.String()
	fields, err := record.Unpack(b.rdb.Get(t.Context(), key).Val())
	if err != nil {
		t.Fatal(err)
	}
	want := b.get(id)
	b.rdb.Set(t.Context(), payload, fields["p"], 0)
	delete(fields, "p")
	b.rdb.Del(t.Context(), key)
	for name, value := range fields {
		b.rdb.HSet(t.Context(), key, name, value)
	}
	if got := b.get(id); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if begun := b.begin(id, "t"); begun.Decision != ledger.Go {
		t.Fatalf("got %+v", begun)
	}
	if kind, left := b.rdb.Type(t.Context(), key).Val(), b.rdb.Exists(t.Context(), payload).Val(); kind != "string" || left != 0 {
		t.Errorf("the record is a %s and %d payloads are left, want a string and none", kind, left)
	}
	if got := b.get(id); got.State != ledger.Sending || !cmp.Equal(got.Payload, want.Payload) {
		t.Errorf("got %s with payload %q, want sending with %q", got.State, got.Payload, want.Payload)
	}
	b.settle(ledger.Settlement{ID: id, Token: "t", To: ledger.Accepted, MDR: mdr()})
	b.wantState(id, ledger.Accepted)
}

// The record of a final job that is kept, since only matching says that it was accepted,
// lapses also when something is changed in it afterwards.
func TestChangedRecordLapses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.unknown("t")
	b.settle(ledger.Settlement{ID: id, Token: "t", To: ledger.Accepted, MDR: mdr(), Inferred: true})
	key := "{flowroute}:j:" + id.String()
	if ttl := b.rdb.PTTL(t.Context(), key).Val(); ttl <= 0 {
		t.Fatalf("got TTL %v of a job that was matched", ttl)
	}
	if done, err := b.Reword(t.Context(), id, "", "look at it"); err != nil || !done {
		t.Fatalf("got %t, %v", done, err)
	}
	if ttl := b.rdb.PTTL(t.Context(), key).Val(); ttl <= 0 || b.get(id).Warning != "look at it" {
		t.Errorf("got TTL %v and warning %q, want that it lapses as before", ttl, b.get(id).Warning)
	}
}
