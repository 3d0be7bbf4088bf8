package forward

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Kind is what Flowroute posts.
type Kind string

// The kinds, by the last part of their webhook's path.
const (
	Receipts Kind = "dlr"
	SMS      Kind = "sms"
	MMS      Kind = "mms"
)

// Kinds lists them.
func Kinds() []Kind { return []Kind{Receipts, SMS, MMS} }

// Why a body was dropped.
const (
	Lapsed = "lapsed" // it waited for too long
	Full   = "full"   // too many waited
)

// longest is how long the text of a message may wait here.
const longest = 72 * time.Hour

// Options of a [Store]. The zero value is the documented default.
type Options struct {
	Prefix     string        // Defaults to [ledger.DefaultPrefix]; needs a hash tag.
	MaxBodies  int           // of one kind that wait. Defaults to 100,000.
	MaxBytes   int64         // of their bodies. Defaults to 64 MiB.
	MaxAge     time.Duration // Defaults to 72 h, which is the most.
	SweepEvery time.Duration // how often a sender looks for what has lapsed. Defaults to 1 min.
	Registry   prometheus.Registerer
	Logger     *slog.Logger // Defaults to none.
}

// Store is what was posted to us and waits to be passed on. It is safe for concurrent
// use, by any number of processes.
type Store struct {
	rdb     redis.UniversalClient
	prefix  string
	o       Options
	log     *slog.Logger
	metrics *metrics
}

//go:embed put.lua
var putLua string

var (
	putScript = redis.NewScript(putLua)
	// A repeated command finds that it was done.
	takenScript = redis.NewScript(`
-- KEYS 1 stream, 2 sums; ARGV 1 id, 2 length of the body
local n = redis.call('XDEL', KEYS[1], ARGV[1])
if n == 1 then
  redis.call('HINCRBY', KEYS[2], 'b', -ARGV[2])
  redis.call('HINCRBY', KEYS[2], 'n', -1)
end
return n`)
)

// New makes a store on rdb, which stays the caller's to close and should be a client
// that keeps to deadlines.
func New(rdb redis.UniversalClient, o Options) (*Store, error) {
	if rdb == nil {
		return nil, errors.New("forward: no redis client")
	}
	o.Prefix = cmp.Or(o.Prefix, ledger.DefaultPrefix)
	if open := strings.IndexByte(o.Prefix, '{'); open < 0 || strings.IndexByte(o.Prefix[open:], '}') < 2 {
		return nil, fmt.Errorf("forward: prefix %q needs a hash tag like {flowroute}", o.Prefix)
	}
	o.MaxBodies = cmp.Or(o.MaxBodies, 100_000)
	o.MaxBytes = cmp.Or(o.MaxBytes, 64<<20)
	o.MaxAge = cmp.Or(o.MaxAge, longest)
	o.SweepEvery = cmp.Or(o.SweepEvery, time.Minute)
	if o.MaxBodies < 0 || o.MaxBytes < 0 || o.MaxAge < 0 || o.MaxAge > longest || o.SweepEvery < 0 {
		return nil, fmt.Errorf("forward: bounds must be positive, and the age at most %v", longest)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Store{rdb: rdb, prefix: o.Prefix, o: o, log: o.Logger, metrics: newMetrics(o.Registry)}, nil
}

// mostDropped bounds how long one script runs.
const mostDropped = 1000

// Add writes a body down to be passed on; when it returns without an error, it is in
// Redis. When too much waits, the oldest is dropped. An empty body is not passed on.
// Errors are Redis' own; then it may or may not have been added.
func (s *Store) Add(ctx context.Context, k Kind, contentType string, body []byte) error {
	if len(body) == 0 {
		return nil
	}
	if _, err := s.put(ctx, k, contentType, body); err != nil {
		return fmt.Errorf("write down to pass on: %w", err)
	}
	return nil
}

// sweep drops what has waited for too long.
func (s *Store) sweep(ctx context.Context, k Kind) error {
	for {
		dropped, err := s.put(ctx, k, "", nil)
		if err != nil || dropped < mostDropped {
			return err
		}
	}
}

func (s *Store) put(ctx context.Context, k Kind, contentType string, body []byte) (dropped int64, err error) {
	// What would be too old before the next look is too old.
	age := max(s.o.MaxAge-s.o.SweepEvery, 0)
	n, err := putScript.Run(ctx, s.rdb, []string{s.streamKey(k), s.sumsKey(k)}, body, contentType,
		s.o.MaxBodies, s.o.MaxBytes, age.Milliseconds(), s.o.MaxAge.Milliseconds(), mostDropped).Int64Slice()
	if err != nil {
		return 0, err
	}
	for i, reason := range []string{Lapsed, Full} {
		if n[i] == 0 {
			continue
		}
		s.metrics.dropped.WithLabelValues(string(k), reason).Add(float64(n[i]))
		s.log.ErrorContext(ctx, "dropped before it was passed on", slog.String("kind", string(k)), slog.String("reason", reason), slog.Int64("count", n[i]))
	}
	return n[0] + n[1], nil
}

// taken forgets a body.
func (s *Store) taken(ctx context.Context, k Kind, id string, size int) error {
	if err := takenScript.Run(ctx, s.rdb, []string{s.streamKey(k), s.sumsKey(k)}, id, size).Err(); err != nil {
		return fmt.Errorf("note what was passed on: %w", err)
	}
	return nil
}

// entry is a body that waits.
type entry struct {
	id          string
	contentType string
	body        []byte
}

// after reads the first body behind an id, and waits for one for up to block; block < 0:
// not at all. ok is false when there is none.
func (s *Store) after(ctx context.Context, k Kind, id string, block time.Duration) (e entry, ok bool, err error) {
	got, err := s.rdb.XRead(ctx, &redis.XReadArgs{Streams: []string{s.streamKey(k), id}, Count: 1, Block: block}).Result()
	if errors.Is(err, redis.Nil) || err == nil && len(got) == 0 {
		return entry{}, false, nil
	}
	if err != nil {
		return entry{}, false, fmt.Errorf("read what to pass on: %w", err)
	}
	return read(got[0].Messages)
}

// at reads the body with that id.
func (s *Store) at(ctx context.Context, k Kind, id string) (e entry, ok bool, err error) {
	got, err := s.rdb.XRangeN(ctx, s.streamKey(k), id, id, 1).Result()
	if err != nil {
		return entry{}, false, fmt.Errorf("read what to pass on: %w", err)
	}
	return read(got)
}

func read(messages []redis.XMessage) (entry, bool, error) {
	if len(messages) == 0 {
		return entry{}, false, nil
	}
	body, _ := messages[0].Values["b"].(string)
	contentType, _ := messages[0].Values["t"].(string)
	return entry{id: messages[0].ID, contentType: contentType, body: []byte(body)}, true, nil
}

// Backlog is what a receiver does not have.
type Backlog struct {
	Waiting  int64     // bodies
	Bytes    int64     // of them
	Oldest   time.Time // when the first of them arrived; zero: none waits
	Lapsed   int64     // dropped ever, because they waited for too long
	Full     int64     // dropped ever, because too many waited
	LastDrop time.Time // zero: never
}

// Backlog reads what waits, and what was dropped.
func (s *Store) Backlog(ctx context.Context, k Kind) (Backlog, error) {
	pipe := s.rdb.Pipeline()
	length := pipe.XLen(ctx, s.streamKey(k))
	first := pipe.XRangeN(ctx, s.streamKey(k), "-", "+", 1)
	sums := pipe.HMGet(ctx, s.sumsKey(k), "b", "lapsed", "full", "at")
	if _, err := pipe.Exec(ctx); err != nil {
		return Backlog{}, fmt.Errorf("read what waits to be passed on: %w", err)
	}
	n := make([]int64, 4)
	for i, value := range sums.Val() {
		text, _ := value.(string) // nil: there was never one
		n[i], _ = strconv.ParseInt(text, 10, 64)
	}
	b := Backlog{Waiting: length.Val(), Lapsed: n[1], Full: n[2]}
	if n[3] > 0 {
		b.LastDrop = time.UnixMilli(n[3])
	}
	if len(first.Val()) > 0 {
		b.Bytes, b.Oldest = n[0], arrival(first.Val()[0].ID)
	}
	return b, nil
}

// arrival is when the entry with that id was added.
func arrival(id string) time.Time {
	text, _, _ := strings.Cut(id, "-")
	ms, _ := strconv.ParseInt(text, 10, 64)
	return time.UnixMilli(ms)
}
