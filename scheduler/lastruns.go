package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// LastRuns remembers the latest tick of each entry that was enqueued.
type LastRuns interface {
	// Load is that tick; zero when there was none.
	Load(ctx context.Context, name string) (time.Time, error)
	// Store remembers a tick unless a later one is known.
	Store(ctx context.Context, name string, tick time.Time) error
}

// NewLastRuns keeps the ticks in Redis. The prefix defaults to
// [ledger.DefaultPrefix].
func NewLastRuns(rdb redis.UniversalClient, prefix string) LastRuns {
	if prefix == "" {
		prefix = ledger.DefaultPrefix
	}
	return redisRuns{rdb: rdb, key: lastRunsKey(prefix)}
}

// lastRunsKey: hash, no TTL: name of the entry → its latest tick, seconds since 1970.
func lastRunsKey(prefix string) string { return prefix + "cron" }

type redisRuns struct {
	rdb redis.UniversalClient
	key string
}

// KEYS 1 the hash; ARGV 1 name, 2 tick; returns 1 when it is later than the known one.
var storeLater = redis.NewScript(`
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and tonumber(known) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1`)

func (r redisRuns) Load(ctx context.Context, name string) (time.Time, error) {
	seconds, err := r.rdb.HGet(ctx, r.key, name).Int64()
	if errors.Is(err, redis.Nil) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read last run of %s: %w", name, err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func (r redisRuns) Store(ctx context.Context, name string, tick time.Time) error {
	if err := storeLater.Run(ctx, r.rdb, []string{r.key}, name, tick.Unix()).Err(); err != nil {
		return fmt.Errorf("write last run of %s: %w", name, err)
	}
	return nil
}
