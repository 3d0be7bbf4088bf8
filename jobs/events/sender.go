package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/internal/lease"
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

var (
	errAddress = errors.New("events: the address must be an http or https URL")
	// errMoved: another process has noted another place; this one has slept too long.
	errMoved = errors.New("another process has gone on with the webhook")
)

const (
	// lookAnyway is how often the stream is looked at when nothing tells of a change.
	lookAnyway = 30 * time.Second
	// sayAgain is how often a warning is given while Redis is away.
	sayAgain = time.Minute
)

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
	client  *http.Client
	metrics *metrics
}

// NewSender checks the options and makes a sender; nothing is posted yet.
func NewSender(o SenderOptions) (*Sender, error) {
	feed, err := NewFeed(FeedOptions{Redis: o.Redis, Ledger: o.Ledger, Prefix: o.Prefix, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	if u, err := url.Parse(o.URL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errAddress
	}
	if len(o.Key) < minKey {
		return nil, errSecret
	}
	o.Prefix, o.Logger = feed.o.Prefix, feed.o.Logger
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.LastCall = cmp.Or(o.LastCall, 2*time.Second)
	o.Lease = cmp.Or(o.Lease, 15*time.Second)
	o.MinPause = cmp.Or(o.MinPause, time.Second)
	o.MaxPause = cmp.Or(o.MaxPause, time.Minute)
	o.Gather = cmp.Or(o.Gather, 200*time.Millisecond)
	o.UserAgent = cmp.Or(o.UserAgent, "flowroute-worker")
	return &Sender{o: o, feed: feed, client: newHTTPClient(o.Timeout), metrics: newMetrics(o.Registry)}, nil
}

// Run posts while no other process does, until ctx ends, which is no error. It rides
// out errors of Redis and of the receiver.
func (s *Sender) Run(ctx context.Context) error {
	defer s.client.CloseIdleConnections()
	var said time.Time
	for ctx.Err() == nil {
		err := lease.Hold(ctx, s.o.Redis, keySender(s.o.Prefix), lease.Options{TTL: s.o.Lease, Wait: true}, s.send)
		if ctx.Err() != nil {
			break
		}
		level := slog.LevelDebug
		if time.Since(said) > sayAgain {
			level, said = slog.LevelWarn, time.Now()
		}
		s.o.Logger.Log(ctx, level, "webhook interrupted", slog.Any("err", err))
		pause(ctx, rest)
	}
	return nil
}

// send posts page after page, under the lease.
func (s *Sender) send(ctx context.Context) error {
	at, err := s.start(ctx)
	if err != nil {
		return err
	}
	s.o.Logger.InfoContext(ctx, "webhook goes on", slog.String("after", at.String()))
	defer s.feed.Join(ctx)()
	for ctx.Err() == nil {
		began, changed := time.Now(), s.feed.Changed()
		page, err := s.feed.Page(ctx, at)
		if err != nil {
			return err
		}
		if at, err = s.deliver(ctx, at, page); err != nil {
			return err
		}
		if !page.More {
			s.wait(ctx, changed, began)
		}
	}
	return ctx.Err()
}

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

// wait returns when there may be more, and not before some could gather.
func (s *Sender) wait(ctx context.Context, changed <-chan struct{}, began time.Time) {
	timer := time.NewTimer(lookAnyway)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
		pause(ctx, s.o.Gather-time.Since(began))
	case <-timer.C:
	}
}

// deliver posts a page in batches and notes each that was taken. It returns the place
// it has come to.
func (s *Sender) deliver(ctx context.Context, at ID, page Page) (ID, error) {
	if page.Gap != nil {
		s.metrics.gaps.WithLabelValues(page.Gap.Reason).Inc()
		s.o.Logger.WarnContext(ctx, "changes were gone before the webhook had them", slog.String("reason", page.Gap.Reason),
			slog.String("after", page.Gap.After), slog.String("oldest", page.Gap.Oldest))
	}
	gap := page.Gap
	for left := page.Events; len(left) > 0; {
		events := left[:min(batchSize, len(left))]
		left = left[len(events):]
		m, err := newMessage(events, gap)
		if err != nil {
			return at, err
		}
		if err := s.insist(ctx, m); err != nil {
			return at, err
		}
		s.metrics.delivered.Add(float64(len(events)))
		if err := s.note(ctx, at, m.last); err != nil {
			return at, err
		}
		at, gap = m.last, nil
	}
	if page.Next != at { // the stream is empty now
		return page.Next, s.note(ctx, at, page.Next)
	}
	return at, nil
}

// note keeps the place, also while the sender is being stopped.
func (s *Sender) note(ctx context.Context, before, at ID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pagePatience)
	defer cancel()
	moved, err := move.Run(ctx, s.o.Redis, []string{keyPosition(s.o.Prefix)}, before.String(), at.String()).Int()
	if err != nil {
		return fmt.Errorf("note place of webhook: %w", err)
	}
	if moved != 1 {
		return errMoved
	}
	return nil
}

// insist posts until the receiver has taken it, or ctx ends.
func (s *Sender) insist(ctx context.Context, m message) error {
	for try, wait := 1, s.o.MinPause; ; try, wait = try+1, min(2*wait, s.o.MaxPause) {
		err := s.try(ctx, m)
		if err == nil {
			if try > 1 {
				s.o.Logger.InfoContext(ctx, "webhook taken again", slog.Int("attempt", try))
			}
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		// Not all senders of a receiver that comes back at the same moment.
		rest := wait/2 + rand.N(wait/2+1)
		if refusal, ok := errors.AsType[*refusal](err); ok {
			rest = max(rest, refusal.after)
		}
		s.o.Logger.WarnContext(ctx, "webhook not taken", slog.Any("err", err), slog.Int("attempt", try),
			slog.Int64("retry_after_ms", rest.Milliseconds()))
		if !pause(ctx, rest) {
			return ctx.Err()
		}
	}
}

// try posts once. A stop leaves the post a moment to end, so that it need not be
// repeated; the loss of the lease does not, since another process may be posting.
func (s *Sender) try(ctx context.Context, m message) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	posting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stopped := context.AfterFunc(ctx, func() {
		if !errors.Is(context.Cause(ctx), lease.ErrLost) {
			pause(posting, s.o.LastCall)
		}
		cancel()
	})
	defer stopped()
	err := s.post(posting, m)
	switch _, answered := errors.AsType[*refusal](err); {
	case err == nil:
		s.metrics.posts.WithLabelValues(taken).Inc()
	case answered:
		s.metrics.posts.WithLabelValues(refused).Inc()
	default:
		s.metrics.posts.WithLabelValues(failed).Inc()
	}
	return err
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
