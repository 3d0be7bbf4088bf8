package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/internal/courier"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// SenderOptions of a [Sender]. The first four are needed.
type SenderOptions struct {
	Redis  redis.UniversalClient // one that keeps to deadlines
	Ledger *ledger.Ledger        // with the same prefix
	URL    string                // where changes are posted to
	Key    []byte                // they are signed with; see [ParseSecret]

	Prefix    string        // of the keys. Defaults to [ledger.DefaultPrefix].
	Timeout   time.Duration // of one post. Defaults to 10 s.
	LastCall  time.Duration // that a post may still take when the sender is stopped. Defaults to 2 s.
	Lease     time.Duration // how long a dead sender keeps others out. Defaults to 15 s.
	MinPause  time.Duration // before the second try; it doubles with each. Defaults to 1 s.
	MaxPause  time.Duration // between two tries. Defaults to 1 min.
	Gather    time.Duration // the least time between two posts while all is taken. Defaults to 200 ms.
	UserAgent string        // Defaults to flowroute-worker.
	Registry  prometheus.Registerer
	Logger    *slog.Logger // Defaults to none.
}

// errMoved: another process has noted another place; this one has slept too long.
var errMoved = errors.New("another process has gone on with the webhook")

// lookAnyway is how often the stream is looked at when nothing tells of a change.
const lookAnyway = 30 * time.Second

// move notes a place, if the one before is the one that is known. A repeated command
// finds its own.
var move = redis.NewScript(`
-- KEYS 1 position; ARGV 1 the place before, 2 the place; returns 1, or 0: moved by another
local at = redis.call('GET', KEYS[1])
if at == ARGV[2] then return 1 end
if at ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`)

// Sender posts changes to a webhook. Any number of processes may have one; one of
// them posts.
type Sender struct {
	o       SenderOptions
	feed    *Feed
	courier *courier.Courier
	metrics *metrics
}

// NewSender checks the options and makes a sender; nothing is posted yet.
func NewSender(o SenderOptions) (*Sender, error) {
	feed, err := NewFeed(FeedOptions{Redis: o.Redis, Ledger: o.Ledger, Prefix: o.Prefix, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	if len(o.Key) < minKey {
		return nil, errSecret
	}
	o.Prefix, o.Logger = feed.o.Prefix, feed.o.Logger
	o.Gather = cmp.Or(o.Gather, 200*time.Millisecond)
	s := &Sender{o: o, feed: feed}
	s.courier, err = courier.New(courier.Options{
		Redis: o.Redis, Lease: keySender(o.Prefix), Box: &box{s: s}, URL: o.URL, Dress: s.dress, Posted: s.posted,
		Timeout: o.Timeout, LastCall: o.LastCall, LeaseTTL: o.Lease, MinPause: o.MinPause, MaxPause: o.MaxPause,
		UserAgent: o.UserAgent, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	s.metrics = newMetrics(o.Registry)
	return s, nil
}

// dress signs a post.
func (s *Sender) dress(h http.Header, m courier.Message, now time.Time) {
	h.Set(headerID, m.ID)
	h.Set(headerTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(headerSignature, sign(s.o.Key, m.ID, now, m.Body))
}

func (s *Sender) posted(result string) { s.metrics.posts.WithLabelValues(result).Inc() }

// Run posts while no other process does, until ctx ends, which is no error. It rides
// out errors of Redis and of the receiver.
func (s *Sender) Run(ctx context.Context) error { return s.courier.Run(ctx) }

// start is the place noted, and at the very first start now.
func (s *Sender) start(ctx context.Context) (ID, error) {
	newest, err := s.feed.Newest(ctx)
	if err != nil {
		return ID{}, err
	}
	key := keyPosition(s.o.Prefix)
	if err := s.o.Redis.SetNX(ctx, key, newest.String(), 0).Err(); err != nil {
		return ID{}, fmt.Errorf("note place of webhook: %w", err)
	}
	return s.position(ctx)
}

// position is the place noted. The error is [redis.Nil] when none is.
func (s *Sender) position(ctx context.Context) (ID, error) {
	text, err := s.o.Redis.Get(ctx, keyPosition(s.o.Prefix)).Result()
	if err != nil {
		return ID{}, fmt.Errorf("read place of webhook: %w", err)
	}
	at, ok := ParseID(text)
	if !ok {
		return ID{}, fmt.Errorf("read place of webhook: Redis has %.40q", text)
	}
	return at, nil
}

// note keeps the place.
func (s *Sender) note(ctx context.Context, before, at ID) error {
	moved, err := move.Run(ctx, s.o.Redis, []string{keyPosition(s.o.Prefix)}, before.String(), at.String()).Int()
	if err != nil {
		return fmt.Errorf("note place of webhook: %w", err)
	}
	if moved != 1 {
		return errMoved
	}
	return nil
}

// Lag is for how long the oldest change waits that the receiver does not have; 0 when
// it has all.
func (s *Sender) Lag(ctx context.Context, now time.Time) (time.Duration, error) {
	at, err := s.position(ctx)
	if errors.Is(err, redis.Nil) {
		return 0, nil // it has never begun
	}
	if err != nil {
		return 0, err
	}
	next, err := s.o.Redis.XRead(ctx, &redis.XReadArgs{
		Streams: []string{keyStream(s.o.Prefix), at.String()}, Count: 1, Block: -1,
	}).Result()
	if errors.Is(err, redis.Nil) || err == nil && (len(next) == 0 || len(next[0].Messages) == 0) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read lag of webhook: %w", err)
	}
	first, err := placeOf(next[0].Messages, nil)
	return max(0, now.Sub(first.Time())), err
}
