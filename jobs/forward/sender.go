package forward

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/internal/courier"
)

// SenderOptions of a [Sender]. The first three are needed.
type SenderOptions struct {
	Store *Store
	Kind  Kind
	URL   string // http or https; user and password in it are used

	Tries     int           // of a body that is refused, before others go on. Defaults to 5.
	Timeout   time.Duration // of one post. Defaults to 10 s.
	LastCall  time.Duration // that a post may still take when the sender is stopped. Defaults to 2 s.
	Lease     time.Duration // how long a dead sender keeps others out. Defaults to 15 s.
	MinPause  time.Duration // before the second try; it doubles until one is taken. Defaults to 1 s.
	MaxPause  time.Duration // between two tries. Defaults to 1 min.
	Again     time.Duration // before a body that was passed over is tried again; it doubles, up to 16 times as long. Defaults to 1 min.
	UserAgent string        // Defaults to flowroute-worker.
	Logger    *slog.Logger  // Defaults to none.
}

const (
	// block is how long one read waits: short, so that the client's own timeout does
	// not end it.
	block = time.Second
	// maxOvertaken bounds how many bodies are passed over: behind them, all wait.
	maxOvertaken = 100
)

// Sender passes on what was posted of one kind. Any number of processes may have one;
// one of them posts.
type Sender struct {
	courier *courier.Courier
	store   *Store
	kind    Kind
}

// NewSender checks the options and makes a sender; nothing is posted yet. The error
// does not show the address.
func NewSender(o SenderOptions) (*Sender, error) {
	if o.Store == nil || !slices.Contains(Kinds(), o.Kind) {
		return nil, errors.New("forward: a sender needs a store and a kind")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Logger = o.Logger.With(slog.String("kind", string(o.Kind)))
	o.Again = cmp.Or(o.Again, time.Minute)
	posts := o.Store.metrics.posts
	c, err := courier.New(courier.Options{
		Redis: o.Store.rdb, Lease: o.Store.leaseKey(o.Kind), Box: &box{store: o.Store, kind: o.Kind, again: o.Again, log: o.Logger}, URL: o.URL,
		Tries: cmp.Or(o.Tries, 5), Posted: func(result string) { posts.WithLabelValues(string(o.Kind), result).Inc() },
		Timeout: o.Timeout, LastCall: o.LastCall, LeaseTTL: o.Lease, MinPause: o.MinPause, MaxPause: o.MaxPause,
		UserAgent: o.UserAgent, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	return &Sender{courier: c, store: o.Store, kind: o.Kind}, nil
}

// Run passes on while no other process does, until ctx ends, which is no error. It
// rides out errors of Redis and of the receiver.
func (s *Sender) Run(ctx context.Context) error { return s.courier.Run(ctx) }

// overtaken is a body that was passed over.
type overtaken struct {
	id   string
	at   time.Time     // when it is tried again
	wait time.Duration // after the next time
}

// box gives the courier what waits, the oldest first. What it knows of bodies that
// were passed over it forgets with its turn: then they are tried from the beginning.
type box struct {
	store *Store
	kind  Kind
	again time.Duration
	log   *slog.Logger

	overtaken []overtaken // in the order of arrival: behind the last, nothing was tried
	swept     time.Time
}

// Open implements [courier.Box].
func (b *box) Open(ctx context.Context) error {
	b.overtaken, b.swept = nil, time.Time{}
	b.log.InfoContext(ctx, "webhook goes on")
	return nil
}

// Close implements [courier.Box].
func (b *box) Close() {}

// Next implements [courier.Box].
func (b *box) Next(ctx context.Context) (courier.Message, error) {
	for ctx.Err() == nil {
		now := time.Now()
		if now.Sub(b.swept) >= b.store.o.SweepEvery {
			if err := b.store.sweep(ctx, b.kind); err != nil {
				return courier.Message{}, fmt.Errorf("drop what has lapsed: %w", err)
			}
			b.swept = now
		}
		e, once, found, err := b.pick(ctx, now)
		if err != nil {
			return courier.Message{}, err
		}
		if found {
			return courier.Message{ID: e.id, Body: e.body, ContentType: e.contentType, Once: once}, nil
		}
	}
	return courier.Message{}, ctx.Err()
}

// pick is the body to post now. It waits for one for a moment.
func (b *box) pick(ctx context.Context, now time.Time) (e entry, once, found bool, err error) {
	wait := block
	for i, o := range b.overtaken {
		if o.at.After(now) {
			wait = min(wait, max(o.at.Sub(now), time.Millisecond))
			continue
		}
		e, found, err = b.store.at(ctx, b.kind, o.id)
		if err == nil && !found { // lapsed
			b.overtaken = slices.Delete(b.overtaken, i, i+1)
		}
		return e, true, found, err
	}
	if len(b.overtaken) >= maxOvertaken {
		courier.Pause(ctx, wait)
		return entry{}, false, false, nil
	}
	behind := "0-0" // what was taken is there no more
	if n := len(b.overtaken); n > 0 {
		behind = b.overtaken[n-1].id
	}
	e, found, err = b.store.after(ctx, b.kind, behind, wait)
	return e, false, found, err
}

// Taken implements [courier.Box].
func (b *box) Taken(ctx context.Context, m courier.Message) error {
	if err := b.store.taken(ctx, b.kind, m.ID, len(m.Body)); err != nil {
		return err
	}
	if i := b.place(m.ID); i >= 0 {
		b.overtaken = slices.Delete(b.overtaken, i, i+1)
	}
	return nil
}

// PassOver implements [courier.Box].
func (b *box) PassOver(_ context.Context, m courier.Message) error {
	now := time.Now()
	if i := b.place(m.ID); i >= 0 {
		o := &b.overtaken[i]
		o.at, o.wait = now.Add(o.wait), min(2*o.wait, 16*b.again)
		return nil
	}
	b.overtaken = append(b.overtaken, overtaken{m.ID, now.Add(b.again), 2 * b.again})
	return nil
}

func (b *box) place(id string) int {
	return slices.IndexFunc(b.overtaken, func(o overtaken) bool { return o.id == id })
}
