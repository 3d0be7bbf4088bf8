// Package lease keeps work that need not be done twice at once from being done
// twice at once: a key in Redis with a token, a time to live and a renewal.
//
// It saves work. It is no proof that nobody else runs: a process that was stopped
// for longer than the lease goes on for a moment when it wakes up. What runs under
// it must be harmless in two copies.
package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// Errors that callers branch on.
var (
	// ErrHeld: somebody else holds the lease.
	ErrHeld = errors.New("the lease is held by another process")
	// ErrLost: it was not renewed in time; the work was stopped.
	ErrLost = errors.New("the lease was lost")
)

// Options of a lease.
type Options struct {
	// TTL is how long a dead holder keeps others out. Renewed at a third of it.
	// Defaults to 30 s.
	TTL time.Duration
	// Wait makes [Hold] wait for the lease instead of answering [ErrHeld].
	Wait bool
}

// Scripts over KEYS 1, the lease; ARGV 1 is the holder's token, ARGV 2 the TTL in
// ms. Each returns 1 when the caller holds it (release: held it).
var (
	// A repeated command of the client finds its own token, and holds the lease.
	acquire = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)
	renew = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)
	release = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`)
)

// Hold runs work while it holds the lease at key. The context of work ends when
// the lease is lost; Hold then answers [ErrLost]. Other errors: [ErrHeld], the
// work's own, Redis' own, or ctx's.
func Hold(ctx context.Context, rdb redis.UniversalClient, key string, o Options, work func(context.Context) error) error {
	if o.TTL <= 0 {
		o.TTL = 30 * time.Second
	}
	token := uuid.NewString()
	taken, err := take(ctx, rdb, key, token, o)
	if err != nil {
		return err
	}
	held, stop := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		keep(held, rdb, key, token, o.TTL, taken, stop)
	}()
	err = work(held)
	lost := errors.Is(context.Cause(held), ErrLost)
	stop(nil)
	<-ended
	// Others should not have to wait for the lease to lapse, also after a stop.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = release.Run(last, rdb, []string{key}, token).Err() // else it lapses
	if lost && err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return err
}

// take returns the moment before the lease was given.
func take(ctx context.Context, rdb redis.UniversalClient, key, token string, o Options) (time.Time, error) {
	for {
		asked := time.Now()
		got, err := acquire.Run(ctx, rdb, []string{key}, token, o.TTL.Milliseconds()).Int()
		switch {
		case err != nil:
			return asked, fmt.Errorf("take lease: %w", err)
		case got == 1:
			return asked, nil
		case !o.Wait:
			return asked, ErrHeld
		}
		if err := pause(ctx, min(time.Second, o.TTL/3)); err != nil {
			return asked, fmt.Errorf("wait for lease: %w", err)
		}
	}
}

// keep renews until ctx ends. What Redis does not confirm in time is lost.
func keep(ctx context.Context, rdb redis.UniversalClient, key, token string, ttl time.Duration, since time.Time, stop context.CancelCauseFunc) {
	wait := ttl / 3
	for pause(ctx, wait) == nil {
		asked := time.Now()
		try, cancel := context.WithDeadline(ctx, since.Add(ttl))
		got, err := renew.Run(try, rdb, []string{key}, token, ttl.Milliseconds()).Int()
		cancel()
		switch {
		case err == nil && got == 1:
			since, wait = asked, ttl/3
		case err == nil || time.Since(since) >= ttl:
			stop(ErrLost)
			return
		default:
			wait = ttl / 20
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
