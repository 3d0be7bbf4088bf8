package mdr

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Options of a store. The zero value is the documented default.
type Options struct {
	Prefix string // Defaults to [ledger.DefaultPrefix]; needs a hash tag.
	// Retention is how long records stay, counted from their own time. Defaults to
	// 2160 h. With a shorter one than before, older records are not read any more, and
	// syncs remove them.
	Retention time.Duration
	// Now is the clock by which records are old and windows due. Defaults to
	// [time.Now].
	Now func() time.Time
}

// Store is the copy. It is safe for concurrent use, by any number of processes.
type Store struct {
	rdb       redis.UniversalClient
	prefix    string
	retention time.Duration
	now       func() time.Time
	squeezer  *squeezer
	jobs      *ledger.Ledger
	prepared  atomic.Bool // that it is noted from when on numbers are indexed
}

// New makes a store on rdb, which stays the caller's to close.
func New(rdb redis.UniversalClient, o Options) (*Store, error) {
	s := &Store{rdb: rdb, prefix: o.Prefix, retention: o.Retention, now: o.Now, squeezer: newSqueezer()}
	if rdb == nil {
		return nil, errors.New("mdr: no redis client")
	}
	if s.prefix == "" {
		s.prefix = ledger.DefaultPrefix
	}
	if open := strings.IndexByte(s.prefix, '{'); open < 0 || strings.IndexByte(s.prefix[open:], '}') < 2 {
		return nil, fmt.Errorf("mdr: prefix %q needs a hash tag like {flowroute}", s.prefix)
	}
	var err error
	if s.jobs, err = ledger.New(rdb, ledger.Options{Prefix: s.prefix}); err != nil {
		return nil, err
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.retention == 0 {
		s.retention = 2160 * time.Hour
	}
	if s.retention < day {
		return nil, fmt.Errorf("mdr: retention %v: at least a day", s.retention)
	}
	return s, nil
}

// Get reads one record. Errors: [ErrNotFound], [ErrNewerVersion], or Redis' own.
func (s *Store) Get(ctx context.Context, id string) (Record, error) {
	raw, _ := packID(id)
	minutes, err := s.lookUp(ctx, raw)
	if err != nil {
		return Record{}, fmt.Errorf("read record: %w", err)
	}
	blocks, err := s.load(ctx, minutes)
	if err != nil {
		return Record{}, fmt.Errorf("read record: %w", err)
	}
	for i, k := range blocks {
		if at := k.find(raw); at >= 0 {
			r, err := unpack(k.rows[at].packed, raw, minutes[i])
			if err != nil {
				return Record{}, fmt.Errorf("read record: %w", err)
			}
			if r.ID == id {
				return r, nil
			}
		}
	}
	return Record{}, ErrNotFound
}

// Holds reports for each id whether the copy has a record of it that is not older than
// since, give or take a week, in one round trip. Give it some hundreds at a time.
func (s *Store) Holds(ctx context.Context, ids []string, since time.Time) ([]bool, error) {
	last := minuteOf(s.now().Add(day)) / minutesPerWeek
	first := min(max(minuteOf(since), minuteOf(s.now().Add(-s.retention)))/minutesPerWeek, last)
	pipe := s.rdb.Pipeline()
	var cmds []*redis.BoolCmd
	for _, id := range ids {
		raw, _ := packID(id)
		for w := first; w <= last; w++ {
			for level := range indexLevels {
				cmds = append(cmds, pipe.HExists(ctx, s.indexKey(w, raw, level), string(raw[:])))
			}
		}
	}
	if err := execute(ctx, pipe); err != nil {
		return nil, fmt.Errorf("look for records: %w", err)
	}
	held, each := make([]bool, len(ids)), (int(last-first)+1)*indexLevels
	for i, cmd := range cmds {
		held[i/each] = held[i/each] || cmd.Val()
	}
	return held, nil
}

// lookUp finds the minutes in which a record may be, the newest first; there is
// more than one only when Flowroute moved it in time.
func (s *Store) lookUp(ctx context.Context, raw rawID) ([]int64, error) {
	last := minuteOf(s.now().Add(day)) / minutesPerWeek
	first := minuteOf(s.now().Add(-s.retention)) / minutesPerWeek
	pipe := s.rdb.Pipeline()
	var cmds []*redis.StringCmd
	for w := last; w >= first; w-- {
		for level := range indexLevels {
			cmds = append(cmds, pipe.HGet(ctx, s.indexKey(w, raw, level), string(raw[:])))
		}
	}
	if err := execute(ctx, pipe); err != nil {
		return nil, err
	}
	var minutes []int64
	for _, cmd := range cmds {
		if m, err := cmd.Int64(); err == nil {
			minutes = append(minutes, m)
		}
	}
	return minutes, nil
}

// load reads the blocks of minutes, in their order.
func (s *Store) load(ctx context.Context, minutes []int64) ([]block, error) {
	return s.loadSome(ctx, minutes, everyRow)
}

// loadSome leaves out records whose tags are not wanted, as far as that saves time.
func (s *Store) loadSome(ctx context.Context, minutes []int64, wanted func(tags string) bool) ([]block, error) {
	if len(minutes) == 0 {
		return nil, nil
	}
	keys := make([]string, len(minutes))
	for i, m := range minutes {
		keys[i] = s.blockKey(m)
	}
	values, err := s.rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, err
	}
	blocks, errs := make([]block, len(values)), make([]error, len(values))
	decode := func(i int) {
		stored, _ := values[i].(string) // nil: there is none
		blocks[i], errs[i] = decodeSome(s.squeezer, stored, wanted)
	}
	inParallel(len(values), decode)
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("minute %s: %w", strconv.FormatInt(minutes[i], 10), err)
		}
	}
	return blocks, nil
}

// inParallel does n things on two processors, if there are more than a few.
func inParallel(n int, do func(i int)) {
	var half sync.WaitGroup
	middle := n
	if n > 4 {
		middle = n / 2
		half.Go(func() {
			for i := middle; i < n; i++ {
				do(i)
			}
		})
	}
	for i := range middle {
		do(i)
	}
	half.Wait()
}
