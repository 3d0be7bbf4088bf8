package ratelimit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrDraining is returned by [Limiter.Take] after [Limiter.Drain].
var ErrDraining = errors.New("limiter is draining")

// Options of [New]. All processes of one account should have the same
// Timeout, WriteWindow and PathDelay: see the theorem at [Permit].
type Options struct {
	// Account names what the limits belong to: flowroute.Client.Account(), or
	// an alias that several keys of one account share. Required.
	Account string
	// Prefix of all Redis keys, with a hash tag. Defaults to DefaultPrefix.
	Prefix string
	// Limits of the account. A limit that is zero is none: its permits cost
	// no call to Redis.
	Limits Limits
	// Timeout of one request, from its deadline to its end. Defaults to 60 s.
	Timeout time.Duration
	// WriteWindow is from the grant of a permit to its deadline: time for what
	// is done before the request leaves. Defaults to 3 s.
	WriteWindow time.Duration
	// PathDelay is the longest assumed way of a request from our kernel to
	// Flowroute's counter (D in the theorem). Attempts that are answered do not
	// depend on it. Defaults to 5 s.
	PathDelay time.Duration
	// Recovery is how long a limit takes to grow from nothing to all of it after 429s
	// have shrunk it: a quarter of it after one burst. Defaults to 200 s.
	Recovery time.Duration
	// FreshStart says that nobody else can hold a permit of this account at
	// this moment: a Redis without limiter state is new, not one that lost it.
	// Without it the first permit of a new Redis takes WriteWindow + PathDelay
	// + one period + 1.25 s. It counts for the first call only. For tests, and
	// for a demo that has started its Redis itself.
	FreshStart bool
	// Process names this process in [LimitStatus]. Defaults to the host's name and
	// the number of the process.
	Process string
	// Logger defaults to none.
	Logger *slog.Logger
	// OnWait, when not nil, is called for each permit that is handed out, with
	// its kind and lane. It must not block.
	OnWait func(limit string, lane Lane, wait time.Duration)
}

func (o *Options) setDefaults() {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Timeout == 0 {
		o.Timeout = 60 * time.Second
	}
	if o.WriteWindow == 0 {
		o.WriteWindow = 3 * time.Second
	}
	if o.PathDelay == 0 {
		o.PathDelay = 5 * time.Second
	}
	if o.Recovery == 0 {
		o.Recovery = 200 * time.Second
	}
	if o.Process == "" {
		host, _ := os.Hostname()
		o.Process = host + "." + strconv.Itoa(os.Getpid())
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnWait == nil {
		o.OnWait = func(string, Lane, time.Duration) {}
	}
}

func (o *Options) validate() error {
	var errs []error
	if o.Account == "" {
		errs = append(errs, errors.New("no account"))
	}
	if open := strings.IndexByte(o.Prefix, '{'); open < 0 || strings.IndexByte(o.Prefix[open:], '}') < 2 {
		errs = append(errs, fmt.Errorf("prefix %q has no hash tag", o.Prefix))
	}
	if o.Timeout < 0 || o.WriteWindow < 0 || o.PathDelay < 0 || o.Recovery < 0 {
		errs = append(errs, errors.New("negative duration"))
	}
	for _, r := range []Rate{o.Limits.SMS, o.Limits.MMS, o.Limits.Lookups, o.Limits.Numbers} {
		if reason := r.invalid(); !r.IsZero() && reason != "" {
			errs = append(errs, &RateError{Text: fmt.Sprintf("%d in %v", r.N, r.Per), Reason: reason})
		}
	}
	return errors.Join(errs...)
}

// hold is how long a permit's lease is, without its period.
func (o *Options) hold() time.Duration {
	return o.WriteWindow + max(o.Timeout, o.PathDelay) + jumpMargin
}

// reach is how long a lost permit can matter, without its period.
func (o *Options) reach() time.Duration { return o.WriteWindow + o.PathDelay + jumpMargin }

// process returns a text that no other process has, and that can be part of a key.
func (o *Options) process() string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, o.Process)
	return name[:min(len(name), 40)] + "_" + rand.Text()[:16]
}

// Limiter hands out permits. All methods may be called from any goroutine.
type Limiter struct {
	o      Options
	store  *store
	lines  map[Kind]*line
	outage outage

	running  atomic.Bool
	draining atomic.Bool
	drained  chan struct{} // closed by Drain
	stopped  chan struct{} // closed when Run ends
	work     sync.WaitGroup

	turn chan struct{} // held over hello and give, which wait for Redis: a mutex of one place
	mu   sync.Mutex
	books

	pauses map[Kind]time.Time // penalties of kinds without a limit; guarded by mu
}

// New returns a limiter. It does not talk to Redis yet, and does not own rdb. A
// client that keeps to the deadlines of contexts and gives up after a few
// seconds serves best; one that repeats commands is fine.
func New(rdb redis.UniversalClient, o Options) (*Limiter, error) {
	o.setDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("limiter: %w", err)
	}
	l := &Limiter{
		o:       o,
		lines:   make(map[Kind]*line),
		drained: make(chan struct{}),
		stopped: make(chan struct{}),
		turn:    make(chan struct{}, 1),
		books:   books{held: make(map[*Permit]struct{}), greet: true, fresh: o.FreshStart},
		pauses:  make(map[Kind]time.Time),
	}
	all, kinds := l.o.limits()
	l.store = &store{rdb: rdb, o: &l.o, process: o.process(), limits: all, clock: newWatch()}
	for _, k := range Kinds() {
		l.lines[k] = newLine(l, k, kinds[k])
	}
	return l, nil
}

// Take waits for a permit of all limits that k counts against, and of all caps. It
// returns the error of ctx when that ends first, a [*CapError] when a cap has
// nothing left today, and ErrDraining after [Limiter.Drain]. While Redis is not
// there it waits too.
//
// Who waits for a cap keeps nobody else from a permit, here or in other processes.
// Within a cap the lanes are served as within the account.
func (l *Limiter) Take(ctx context.Context, k Kind, lane Lane, caps ...Cap) (*Permit, error) {
	if !lane.valid() {
		return nil, fmt.Errorf("limiter: unknown lane %q", lane)
	}
	ln, known := l.lines[k]
	if !known {
		return nil, fmt.Errorf("limiter: unknown kind %q", k)
	}
	caps, err := capped(caps)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	start := time.Now()
	if len(ln.set) == 0 {
		if err := l.penalty(ctx, k); err != nil {
			return nil, err
		}
		if len(caps) == 0 {
			p := &Permit{l: l, ctx: context.WithoutCancel(ctx), kind: k, asked: time.Now(), waited: time.Since(start)}
			l.o.OnWait(string(k), lane, p.waited)
			return p, nil
		}
	}
	if l.draining.Load() {
		return nil, ErrDraining
	}
	w, err := ln.join(ctx, lane, caps)
	if err != nil {
		return nil, err
	}
	select {
	case o := <-w.got:
		return o.p, o.err
	case <-ctx.Done():
		ln.leave(w)
		return nil, ctx.Err()
	case <-l.drained:
		ln.leave(w)
		return nil, ErrDraining
	}
}

// WaitingFor returns how many wait in this process for a permit of the cap of
// that name.
func (l *Limiter) WaitingFor(name string) int {
	n := 0
	for _, ln := range l.lines {
		n += ln.waitingFor(capPrefix + name)
	}
	return n
}

// penalty waits until a penalty is over that this process was given for a kind
// without a limit.
func (l *Limiter) penalty(ctx context.Context, k Kind) error {
	for {
		if l.draining.Load() {
			return ErrDraining
		}
		l.mu.Lock()
		wait := time.Until(l.pauses[k])
		l.mu.Unlock()
		if wait <= 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-l.drained:
			timer.Stop()
		}
	}
}

// penaltyMargin is added to what a 429 asks for, since the window at the
// server began before its answer did.
const penaltyMargin = 50 * time.Millisecond

// Penalize is for a 429: nobody, in any process, gets a permit of kind k for
// retryAfter, and not for one second at least. An MMS penalty leaves SMS alone.
// Without a limit for k it holds for this process alone.
func (l *Limiter) Penalize(ctx context.Context, k Kind, retryAfter time.Duration) error {
	return l.penalize(ctx, k, retryAfter, 0)
}

// penalize does so for a 429 to an attempt that was granted at a time of the limiter
// (0: unknown, and nothing is learned).
func (l *Limiter) penalize(ctx context.Context, k Kind, retryAfter time.Duration, granted int64) error {
	d := max(retryAfter, time.Second) + penaltyMargin
	ln, known := l.lines[k]
	if !known {
		return fmt.Errorf("limiter: unknown kind %q", k)
	}
	if len(ln.set) == 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		if until := time.Now().Add(d); until.After(l.pauses[k]) {
			l.pauses[k] = until
		}
		return nil
	}
	epoch, err := l.join(ctx)
	if err == nil {
		var r reply
		if r, err = l.store.penalize(ctx, epoch, ln.set[0].name, d, granted); err == nil {
			l.learn(r)
			l.logShare(ctx, ln.set[0], r)
			return nil
		}
	}
	return fmt.Errorf("penalize %s: %w", k, err)
}

// logShare tells of a limit that has shrunk.
func (l *Limiter) logShare(ctx context.Context, lim *limit, r reply) {
	share, _ := r.rest[0].(int64)
	if shrunk, _ := r.rest[1].(int64); shrunk == 1 {
		l.o.Logger.LogAttrs(ctx, slog.LevelWarn, "429: the limit shrinks for a while, somebody else uses the account or it is allowed less",
			slog.String("limit_key", lim.name), slog.String("learned", lim.rate.share(share).String()))
	}
}

// Drain ends all waiting and hands out no more permits: Take returns
// ErrDraining. Permits that are out go on as before.
func (l *Limiter) Drain() {
	if l.draining.CompareAndSwap(false, true) {
		close(l.drained)
	}
}

// take asks Redis for one permit.
func (l *Limiter) take(ctx context.Context, c *call) (reply, error) {
	epoch, err := l.join(ctx)
	if err != nil {
		return reply{}, err
	}
	r, err := l.store.take(ctx, epoch, c)
	if err == nil {
		l.learn(r)
	}
	return r, err
}
