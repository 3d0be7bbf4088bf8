package resolve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// State is what all resolvers together know and did last.
type State struct {
	Clock Clock
	Lag   time.Duration // the largest that a record was seen to come late in the last 24 hours
	Last  Round         // zero: none yet
}

// ClockOff reports whether the clocks are too far apart for anything to be decided.
func (s State) ClockOff() bool { return s.Clock.Offset.Abs() > mostOffset }

// Round is one look at Flowroute's records for all messages that were due.
type Round struct {
	At      time.Time      `json:"at"`
	Took    time.Duration  `json:"took_ns"`
	Passes  int            `json:"passes"` // how often the window was read
	Rows    int            `json:"rows"`
	Open    int            `json:"open"`    // groups that were due
	Decided int            `json:"decided"` // messages
	Waiting map[string]int `json:"waiting"` // groups, by what they wait for
	Error   string         `json:"error,omitempty"`
}

// Status reads what the resolvers of this Redis last left. An empty prefix is
// [ledger.DefaultPrefix].
func Status(ctx context.Context, rdb redis.UniversalClient, prefix string) (State, error) {
	if prefix == "" {
		prefix = ledger.DefaultPrefix
	}
	var s State
	var err error
	if s.Clock, _, err = readClock(ctx, rdb, prefix); err != nil {
		return s, err
	}
	now, err := rdb.Time(ctx).Result()
	if err != nil {
		return s, fmt.Errorf("read clock: %w", err)
	}
	if s.Lag, err = readLag(ctx, rdb, prefix, now); err != nil {
		return s, err
	}
	raw, err := rdb.Get(ctx, keyRound(prefix)).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return s, nil
	case err != nil:
		return s, fmt.Errorf("read last round: %w", err)
	}
	if err := json.Unmarshal(raw, &s.Last); err != nil {
		return s, fmt.Errorf("read last round: %w", err)
	}
	return s, nil
}

// keep leaves the round for [Status].
func (r *Resolver) keep(ctx context.Context, round Round) {
	raw, err := json.Marshal(round)
	if err == nil {
		err = r.o.Redis.Set(ctx, keyRound(r.o.Prefix), raw, 7*24*time.Hour).Err()
	}
	if err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "last round not kept", "err", err)
	}
}
