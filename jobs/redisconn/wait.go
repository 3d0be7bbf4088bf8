package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrUnavailable is in the error of [Wait] when no Redis answered in time.
var ErrUnavailable = errors.New("no redis answers")

// ErrRefused is in the error of [Wait] when a Redis answers and waiting
// cannot help: wrong password, missing rights, no such database, no trust in
// its certificate.
var ErrRefused = errors.New("redis refuses this program")

const (
	// waitInterval is the pause between two attempts.
	waitInterval = 200 * time.Millisecond
	// waitLogInterval is the pause between two log lines.
	waitLogInterval = 5 * time.Second
	// pingTimeout bounds one attempt, so that a Redis behind a firewall that
	// swallows packets does not take the whole time for itself.
	pingTimeout = 3 * time.Second
)

// Wait returns nil as soon as Redis answers a PING. While it does not, it
// logs why, at once and then every five seconds. It returns early with
// [ErrRefused] in the error when Redis answers but will not have us, with
// [ErrUnavailable] when the timeout is over, and with the context's error
// when that ends. The client is one of this package. A nil logger logs nothing.
func Wait(ctx context.Context, rdb redis.UniversalClient, timeout time.Duration, logger *slog.Logger) error {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	again := time.NewTicker(waitInterval)
	defer again.Stop()
	probe := impatient(rdb)
	defer probe.Close()
	start := time.Now()
	var logged time.Time
	var err error
	for {
		previous := err
		err = ping(limited, probe)
		if err == nil {
			if !logged.IsZero() {
				logger.InfoContext(ctx, "redis answers", keyWait, time.Since(start).Milliseconds())
			}
			return nil
		}
		if errors.Is(err, context.DeadlineExceeded) && previous != nil {
			err = previous // says more than that our patience has ended
		}
		why := explain(err)
		if why.final {
			return fmt.Errorf("%w: %s: %w", ErrRefused, why.text, err)
		}
		if time.Since(logged) >= waitLogInterval {
			logged = time.Now()
			logger.WarnContext(ctx, "waiting for redis",
				keyReason, why.text, keyWait, time.Since(start).Milliseconds(), keyErr, err)
		}
		select {
		case <-again.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("wait for redis: %w", ctx.Err())
			}
			return fmt.Errorf("%w after %s: %s: %w. %s", ErrUnavailable, timeout, why.text, err, howToGetRedis)
		}
	}
}

// Keys of log lines.
const (
	keyReason = "reason"
	keyWait   = "wait_ms"
	keyErr    = "err"
)

const howToGetRedis = "Set REDIS_URL to a running Redis, or start one: " +
	"docker run -p 127.0.0.1:6379:6379 redis:7 --appendonly yes --maxmemory-policy noeviction, " +
	"or apt-get install redis-server. To look around without one, run the demo command"

// impatient returns a client for the same Redis that answers at once: a
// worker's own would try for seconds, whatever the context, and then say no
// more than that time is over.
func impatient(rdb redis.UniversalClient) redis.UniversalClient {
	switch client := rdb.(type) {
	case *redis.ClusterClient:
		o := *client.Options()
		o.MaxRedirects, o.MaxRetries = -1, -1
		return redis.NewClusterClient(&o)
	case *redis.Client:
		o := *client.Options()
		o.MaxRetries = -1
		return redis.NewClient(&o)
	}
	panic(fmt.Sprintf("redisconn: wait with a %T, want a client of this package", rdb))
}

func ping(ctx context.Context, rdb redis.UniversalClient) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return rdb.Ping(ctx).Err()
}

// explanation is an error of Redis in words.
type explanation struct {
	text string
	// final says that waiting will not help.
	final bool
}

func explain(err error) explanation {
	var certificate *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	switch {
	case redis.IsLoadingError(err):
		return explanation{text: "it is loading its data"}
	case redis.IsMasterDownError(err), redis.IsClusterDownError(err):
		return explanation{text: "it has no primary at the moment"}
	case redis.IsMaxClientsError(err):
		return explanation{text: "it has as many clients as its maxclients allows"}
	case errors.Is(err, redis.Nil): // of a PING, only sentinels answer that
		return explanation{text: "its sentinels do not know the master named in REDIS_URL", final: true}
	case redis.IsAuthError(err):
		return explanation{text: "user name or password in REDIS_URL is missing or wrong", final: true}
	case redis.IsPermissionError(err):
		return explanation{text: "the user in REDIS_URL lacks a right (ACL)", final: true}
	case redis.HasErrorPrefix(err, "DB index"), redis.HasErrorPrefix(err, "invalid DB index"):
		return explanation{text: "it does not have the database number in REDIS_URL", final: true}
	case errors.Is(err, context.DeadlineExceeded):
		return explanation{text: "it does not answer"}
	case errors.As(err, &certificate):
		return explanation{text: "its certificate is not trusted (skip_verify=true takes any)", final: true}
	case errors.As(err, &notTLS):
		return explanation{text: "it does not speak TLS on this port (use redis:// instead of rediss://)", final: true}
	}
	return explanation{text: "it cannot be reached"}
}
