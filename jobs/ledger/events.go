package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/redis/go-redis/v9"
)

// Event is one change of a job's state, in the order in which they happened.
type Event struct {
	ID     string // of the stream's entry, `ms-n`; continue after it
	At     time.Time
	Job    ID
	Type   Type
	State  State
	Reason Reason
	MDR    string // with Accepted, when it is known
}

// Events yields changes after the given entry ("" from the oldest kept, "$" from
// now on) and waits for new ones until ctx ends, which ends it with ctx's error.
// The stream is bounded: who lags behind by more than its length misses the
// oldest.
func (l *Ledger) Events(ctx context.Context, after string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if after == "" {
			after = "0"
		}
		if after == "$" {
			// "$" anew in each read would miss what comes between two of them.
			last, err := l.lastEvent(ctx)
			if err != nil {
				yield(Event{}, err)
				return
			}
			after = last
		}
		for {
			// A short block: the client's own timeout must not end the wait.
			got, err := l.rdb.XRead(ctx, &redis.XReadArgs{Streams: []string{l.key("events"), after}, Count: 500, Block: time.Second}).Result()
			if ctx.Err() != nil {
				yield(Event{}, ctx.Err())
				return
			}
			if err != nil && !errors.Is(err, redis.Nil) {
				yield(Event{}, fmt.Errorf("read events: %w", err))
				return
			}
			for _, stream := range got {
				for _, message := range stream.Messages {
					after = message.ID
					if event, ok := readEvent(message); ok && !yield(event, nil) {
						return
					}
				}
			}
		}
	}
}

func (l *Ledger) lastEvent(ctx context.Context) (string, error) {
	last, err := l.rdb.XRevRangeN(ctx, l.key("events"), "+", "-", 1).Result()
	if err != nil {
		return "", fmt.Errorf("read events: %w", err)
	}
	if len(last) == 0 {
		return "0", nil
	}
	return last[0].ID, nil
}

// readEvent reads an entry: version, id, type, state, reason, MDR in one field.
func readEvent(m redis.XMessage) (Event, bool) {
	b, _ := m.Values["e"].(string)
	if len(b) < 20 || b[0] != 1 {
		return Event{}, false
	}
	var ms int64
	fmt.Sscanf(m.ID, "%d-", &ms)
	return Event{
		ID: m.ID, At: time.UnixMilli(ms), Job: ID([]byte(b[1:17])),
		Type: typeOf(b[17]), State: StateOf(b[18]), Reason: ReasonOf(b[19]), MDR: unpackMDR(b[20:]),
	}, true
}
