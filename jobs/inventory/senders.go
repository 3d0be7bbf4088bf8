package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// SendersOptions say how senders are looked up. The zero value is the documented default.
type SendersOptions struct {
	// LookUp asks Flowroute for one number, within the account's limit;
	// [flowroute.ErrNotFound] is its no. nil: Flowroute cannot be asked.
	LookUp func(context.Context, flowroute.E164) (flowroute.NumberDetails, error)
	// Old is the age of a copy from which on its silence proves nothing. Defaults to 2 h.
	Old time.Duration
	// Keep is how long a number that was found counts as the account's without being
	// looked at again. Defaults to 10 s.
	Keep time.Duration
	// KeepAnswer is how long Flowroute is not asked again after it said no, or nothing.
	// Defaults to 1 min.
	KeepAnswer time.Duration
	// Wait is how long one check waits for Flowroute at most. Defaults to 5 s; half of
	// what is left until ctx ends, if that is less.
	Wait time.Duration
	// Observe is told of senders that were not simply found; nil: nobody is.
	Observe func(outcome SenderOutcome, senders int)
	Logger  *slog.Logger // Defaults to none.
}

// SenderOutcome says what became of a sender that the copy does not have.
type SenderOutcome string

// The outcomes.
const (
	SenderRefused    SenderOutcome = "refused"    // not the account's
	SenderFound      SenderOutcome = "found"      // Flowroute has it: the copy was behind
	SenderUnverified SenderOutcome = "unverified" // nobody could tell: let through, Flowroute decides
)

// SenderOutcomes lists all outcomes.
func SenderOutcomes() []SenderOutcome {
	return []SenderOutcome{SenderRefused, SenderFound, SenderUnverified}
}

// Senders tells whether numbers are the account's, for those who want to send from them.
// It is safe for concurrent use; make one per process and keep it.
type Senders struct {
	store *Store
	o     SendersOptions
	log   *slog.Logger

	mu      sync.RWMutex
	known   map[flowroute.E164]time.Time // until when
	answers map[flowroute.E164]answer
	asking  map[flowroute.E164]chan struct{} // closed when there is an answer
	rests   time.Time                        // Flowroute is not asked until then
	said    time.Time                        // when the log last told of unverified senders
}

// answer is what Flowroute said of a number that the copy does not have.
type answer struct {
	refused string // empty: nothing
	until   time.Time
}

// mostSenders bounds what is remembered.
const mostSenders = 100_000

// NewSenders makes a check on a copy.
func NewSenders(store *Store, o SendersOptions) (*Senders, error) {
	if store == nil {
		return nil, errors.New("inventory: senders need a store")
	}
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{{&o.Old, 2 * time.Hour}, {&o.Keep, 10 * time.Second}, {&o.KeepAnswer, time.Minute}, {&o.Wait, 5 * time.Second}} {
		if *d.at == 0 {
			*d.at = d.value
		}
		if *d.at < 0 {
			return nil, errors.New("inventory: options must not be negative")
		}
	}
	s := &Senders{store: store, o: o, log: o.Logger, known: map[flowroute.E164]time.Time{}, answers: map[flowroute.E164]answer{}, asking: map[flowroute.E164]chan struct{}{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// Check finds those of some numbers that are not the account's, and says of each what to
// do instead. A number that was found a moment ago costs no call to Redis. One that a
// copy of today lacks is refused; where the copy is old or was never filled, Flowroute
// is asked for that number alone; where that cannot be had soon, the number passes:
// Flowroute refuses foreign senders itself. The error is Redis' own; nothing is refused
// then.
func (s *Senders) Check(ctx context.Context, from []flowroute.E164) (refused map[flowroute.E164]string, err error) {
	unknown := s.unknown(from)
	if len(unknown) == 0 {
		return nil, nil
	}
	c, err := s.read(ctx, unknown)
	if err != nil {
		return nil, fmt.Errorf("look senders up: %w", err)
	}
	s.remember(c.known)
	if len(c.missing) == 0 {
		return nil, nil
	}
	if age := time.Since(c.synced.Started); c.synced.Numbers > 0 && age < s.o.Old {
		refused = make(map[flowroute.E164]string, len(c.missing))
		for _, n := range c.missing {
			refused[n] = c.refusal(n)
		}
		s.observe(SenderRefused, len(refused))
		return refused, nil
	}
	return s.ask(ctx, c.missing), nil
}

// unknown are those that were not found a moment ago.
func (s *Senders) unknown(from []flowroute.E164) []flowroute.E164 {
	now := time.Now()
	var list []flowroute.E164
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i, n := range from {
		if !n.IsZero() && !now.Before(s.known[n]) && !slices.Contains(from[:i], n) {
			list = append(list, n)
		}
	}
	return list
}

func (s *Senders) remember(found []flowroute.E164) {
	if len(found) == 0 {
		return
	}
	until := time.Now().Add(s.o.Keep)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) > mostSenders {
		clear(s.known)
	}
	for _, n := range found {
		s.known[n] = until
	}
}

func (s *Senders) observe(outcome SenderOutcome, n int) {
	if s.o.Observe != nil && n > 0 {
		s.o.Observe(outcome, n)
	}
}

// copied is what the copy says of some numbers.
type copied struct {
	synced  Report // zero: never
	known   []flowroute.E164
	missing []flowroute.E164
	gone    map[flowroute.E164]time.Time // of the missing, those that the account had
}

// read looks numbers up in the copy, all in one call.
func (s *Senders) read(ctx context.Context, list []flowroute.E164) (copied, error) {
	pipe := s.store.rdb.Pipeline()
	last := pipe.HGet(ctx, s.store.key("sync"), "last")
	cmds := make([]*redis.SliceCmd, len(list))
	for i, n := range list {
		cmds[i] = pipe.HMGet(ctx, s.store.entityKey(numbers(), n.Digits()), "v", "go")
	}
	_, _ = pipe.Exec(ctx) // each command carries its own error
	var c copied
	switch stored, err := last.Bytes(); {
	case errors.Is(err, redis.Nil):
	case err != nil:
		return c, err
	default:
		// A report that cannot be read is a newer version's, and proves nothing.
		_ = json.Unmarshal(stored, &c.synced)
	}
	for i, cmd := range cmds {
		fields, err := cmd.Result()
		if err != nil {
			return c, err
		}
		version, _ := fields[0].(string)
		gone, _ := fields[1].(string)
		if version != "" && (gone == "" || version != "1") {
			c.known = append(c.known, list[i])
			continue
		}
		c.missing = append(c.missing, list[i])
		if gone != "" {
			if c.gone == nil {
				c.gone = map[flowroute.E164]time.Time{}
			}
			c.gone[list[i]] = moment(gone)
		}
	}
	return c, nil
}

func (c copied) refusal(n flowroute.E164) string {
	if gone, was := c.gone[n]; was {
		return fmt.Sprintf("%s is no more on the account since %s: send from one of its numbers (numbers list)", n.Masked(), minute(gone))
	}
	return fmt.Sprintf("%s is not among the account's %d numbers as of %s: send from one of those (numbers list); one that is newer is known after numbers sync",
		n.Masked(), c.synced.Numbers, minute(c.synced.Started))
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }
