package suppress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Options of a store. The zero value is the documented default.
type Options struct {
	Prefix string // Defaults to [ledger.DefaultPrefix]; needs a hash tag.
	// PairOnly makes an entry block the number of ours that it is of, and no other.
	// Defaults to any entry of a recipient blocking all our numbers.
	PairOnly bool
	// Durable makes a change count as made only when it is on Redis' disk; else the
	// error is [ledger.ErrNotDurable], and the change may or may not last.
	Durable bool
	// Now is the clock for entries without a time. Defaults to [time.Now].
	Now func() time.Time
}

// Store is the opt-outs in Redis. It is safe for concurrent use, by any number of
// processes.
type Store struct {
	rdb      redis.UniversalClient
	prefix   string
	pairOnly bool
	durable  bool
	now      func() time.Time

	scanBound int // how many recipients a page looks at, whatever it finds
}

// New makes a store on rdb, which stays the caller's to close.
func New(rdb redis.UniversalClient, o Options) (*Store, error) {
	s := &Store{rdb: rdb, prefix: o.Prefix, pairOnly: o.PairOnly, durable: o.Durable, now: o.Now, scanBound: 20_000}
	if rdb == nil {
		return nil, errors.New("suppress: no redis client")
	}
	if s.prefix == "" {
		s.prefix = ledger.DefaultPrefix
	}
	if open := strings.IndexByte(s.prefix, '{'); open < 0 || strings.IndexByte(s.prefix[open:], '}') < 2 {
		return nil, fmt.Errorf("suppress: prefix %q needs a hash tag like {flowroute}", s.prefix)
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}

// Add takes an entry in and returns the one that stands: a pair has one, the
// earliest. Without a time it is of now. added is false when the pair had one
// already, perhaps from a first try whose answer was lost, or when a carrier's answer
// or a STOP is older than what took it back; if then nothing stands, the entry is
// zero. Errors: [*InvalidError], [ErrNewerVersion], [ledger.ErrNotDurable],
// or Redis' own; then repeat it, which is harmless.
func (s *Store) Add(ctx context.Context, e Entry) (stands Entry, added bool, err error) {
	if err := e.check(s.now()); err != nil {
		return Entry{}, false, err
	}
	err = s.change(ctx, []edit{{e.Recipient, func(r *record) {
		added = r.add(e)
		stands = Entry{}
		if slot := r.at(e.From); slot.blocks() {
			stands = slot.entry(e.Recipient)
		}
	}}})
	if err != nil {
		return Entry{}, false, fmt.Errorf("add opt-out: %w", err)
	}
	return stands, added, nil
}

// Remove takes back, for a person, the entry of one pair, or with a zero from
// everything of the recipient. It returns what it removed, and what is left of the
// recipient's entries. That there was nothing is no error. Errors: [*InvalidError],
// [ErrNewerVersion], [ledger.ErrNotDurable], or Redis' own; then repeat it, which
// is harmless.
func (s *Store) Remove(ctx context.Context, recipient, from flowroute.E164) (removed, left []Entry, err error) {
	if recipient.IsZero() {
		return nil, nil, invalid("recipient", CodeRequired, "give a number like +12065550100")
	}
	err = s.change(ctx, []edit{{recipient, func(r *record) {
		removed, left = nil, nil // it may be called again
		for i := range r.slots {
			slot := &r.slots[i]
			switch {
			case !slot.blocks():
			case from.IsZero() || slot.from == from:
				removed = append(removed, slot.entry(recipient))
				slot.remove()
			default:
				left = append(left, slot.entry(recipient))
			}
		}
	}}})
	if err != nil {
		return nil, nil, fmt.Errorf("remove opt-out: %w", err)
	}
	return removed, left, nil
}

// Blocked implements [Checker]. Errors: [ErrNewerVersion], or Redis' own.
func (s *Store) Blocked(ctx context.Context, from, to flowroute.E164) (Entry, bool, error) {
	found, err := s.BlockedMany(ctx, []Pair{{from, to}})
	e, blocked := found[0]
	return e, blocked, err
}

// checkSlice is how many are asked for in one round trip: a reply of some 100 KB at
// the most.
const checkSlice = 4000

// BlockedMany implements [Checker]. Errors: [ErrNewerVersion], or Redis' own.
func (s *Store) BlockedMany(ctx context.Context, pairs []Pair) (map[int]Entry, error) {
	blocked, first := map[int]Entry{}, 0
	for slice := range slices.Chunk(pairs, checkSlice) {
		values, err := s.values(ctx, len(slice), func(i int) flowroute.E164 { return slice[i].To })
		if err != nil {
			return nil, fmt.Errorf("check opt-outs: %w", err)
		}
		for i, value := range values {
			if value == "" {
				continue
			}
			e, found, err := s.blocking(slice[i], value)
			if err != nil {
				return nil, fmt.Errorf("check opt-outs: %w", err)
			}
			if found {
				blocked[first+i] = e
			}
		}
		first += len(slice)
	}
	return blocked, nil
}

func (s *Store) blocking(p Pair, value string) (Entry, bool, error) {
	if blocks, err := storedBlocks(value); err == nil && !blocks {
		return Entry{}, false, nil
	}
	r, err := stored(p.To, value)
	if err != nil {
		return Entry{}, false, err
	}
	e, found := r.blocking(p.To, p.From, s.pairOnly)
	return e, found, nil
}

// values reads n stored records in one round trip; "" where there is none.
func (s *Store) values(ctx context.Context, n int, number func(int) flowroute.E164) ([]string, error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.StringCmd, n)
	for i := range cmds {
		cmds[i] = pipe.HGet(ctx, s.bucketKey(bucketOf(number(i).Uint64())), number(i).Digits())
	}
	_, _ = pipe.Exec(ctx) // each command carries its own error
	values := make([]string, n)
	for i, cmd := range cmds {
		value, err := cmd.Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, err
		}
		values[i] = value
	}
	return values, nil
}

// Counts says how many opt-outs there are.
type Counts struct{ Entries, Recipients int64 }

// Count reads how many opt-outs there are. It changes together with them: none is none.
func (s *Store) Count(ctx context.Context) (Counts, error) {
	counts, err := s.rdb.HMGet(ctx, s.key("n"), "e", "r").Result()
	if err != nil {
		return Counts{}, fmt.Errorf("count opt-outs: %w", err)
	}
	number := func(v any) int64 {
		text, _ := v.(string) // nil: there was never one
		n, _ := strconv.ParseInt(text, 10, 64)
		return n
	}
	return Counts{Entries: number(counts[0]), Recipients: number(counts[1])}, nil
}
