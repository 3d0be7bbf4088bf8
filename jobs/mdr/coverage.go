package mdr

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Coverage says which part of Flowroute's records the copy holds.
type Coverage struct {
	// First is how far back the copy reaches; zero before the first sync, which lets it
	// reach further step by step.
	First time.Time
	// Through is the watermark: everything between First and it was read at least
	// once. Younger records may be there, older ones may still change.
	Through time.Time
	// Complete is the moment up to which everything was also read again, long
	// enough afterwards for late rows (the syncer's Late).
	Complete time.Time
}

// coverage is how far the copy reaches, as Redis has it. It is to begin at first and
// reaches back to back by now; windows before closed need not be read again, and those
// from it on are in windows once they were read.
type coverage struct {
	first, back, closed window

	known   bool // there was a sync
	epoch   int64
	windows map[window]windowState
	late    time.Duration // of the syncer that wrote it
}

//go:embed mark.lua
var markLua string

var markScript = redis.NewScript(markLua)

func (s *Store) coverage(ctx context.Context) (coverage, error) {
	pipe := s.rdb.Pipeline()
	head, windows := pipe.HMGet(ctx, s.key("sync"), "first", "closed", "epoch", "late", "back"), pipe.HGetAll(ctx, s.key("w"))
	if _, err := pipe.Exec(ctx); err != nil {
		return coverage{}, fmt.Errorf("read coverage: %w", err)
	}
	c := coverage{windows: make(map[window]windowState, len(windows.Val()))}
	numbers := make([]int64, 5)
	for i, value := range head.Val() {
		text, ok := value.(string)
		if i == 0 {
			c.known = ok
		}
		if numbers[i], _ = strconv.ParseInt(text, 10, 64); i == 4 && !ok {
			numbers[i] = numbers[0] // a copy that was begun by a version without it
		}
	}
	c.back = window(numbers[4])
	c.first, c.closed, c.epoch, c.late = window(numbers[0]), window(numbers[1]), numbers[2], time.Duration(numbers[3])*time.Millisecond
	for field, value := range windows.Val() {
		w, err := strconv.ParseInt(field, 10, 64)
		at, open, ok := strings.Cut(value, " ")
		ms, timeErr := strconv.ParseInt(at, 10, 64)
		if err != nil || timeErr != nil || !ok {
			return coverage{}, fmt.Errorf("read coverage: window %q is %q", field, value)
		}
		c.windows[window(w)] = windowState{read: time.UnixMilli(ms), open: open != "0"}
	}
	return c, nil
}

// reach makes it the goal that the coverage begins at w, or earlier as it did before, and
// forgets what was read from w on. For a name it does so once. next is the window after
// the present one, from which a first sync begins.
func (s *Store) reach(ctx context.Context, c coverage, w, next window, name string) error {
	forget := []any{}
	for known := range c.windows {
		if known >= max(w, c.back) {
			forget = append(forget, int64(known))
		}
	}
	args := append([]any{"reach", c.epoch, int64(w), int64(next), name}, forget...)
	return s.mark(ctx, args)
}

// read notes that the windows of a span were read, and from which window on there
// is more to read.
func (s *Store) read(ctx context.Context, c *coverage, late time.Duration, done span, closed window) error {
	args := []any{"read", c.epoch, int64(closed), late.Milliseconds(), int64(c.back)}
	for w := max(done.from, closed); w <= done.to; w++ {
		st := c.windows[w]
		args = append(args, int64(w), st.read.UnixMilli(), st.open)
	}
	if err := s.mark(ctx, args); err != nil {
		return err
	}
	c.closed = closed
	var past []string
	for w := range c.windows {
		if w < closed {
			past = append(past, strconv.FormatInt(int64(w), 10))
			delete(c.windows, w)
		}
	}
	if len(past) == 0 {
		return nil
	}
	if err := s.rdb.HDel(ctx, s.key("w"), past...).Err(); err != nil {
		return fmt.Errorf("write coverage: %w", err)
	}
	return nil
}

// errOutrun: somebody else moved the coverage back meanwhile.
var errOutrun = errors.New("another sync took over")

func (s *Store) mark(ctx context.Context, args []any) error {
	done, err := markScript.Run(ctx, s.rdb, []string{s.key("sync"), s.key("w")}, args...).Int()
	if err != nil {
		return fmt.Errorf("write coverage: %w", err)
	}
	if done == 0 {
		return errOutrun
	}
	return nil
}

// Coverage reports which part of Flowroute's records the copy holds.
func (s *Store) Coverage(ctx context.Context) (Coverage, error) {
	c, err := s.coverage(ctx)
	now := s.now()
	if err != nil || !c.known || c.back > windowOf(now) {
		return Coverage{}, err
	}
	r := rules{late: c.late, retention: s.retention}
	first := max(c.back, windowOf(now.Add(-s.retention))+1)
	return Coverage{First: first.start(), Through: r.through(c, now), Complete: r.complete(c, now)}, nil
}

// Watermark is the moment before which every record was read at least once; zero
// before the first sync.
func (s *Store) Watermark(ctx context.Context) (time.Time, error) {
	c, err := s.Coverage(ctx)
	return c.Through, err
}

// LastSync is the report of the last sync that came to its end; zero before the
// first one.
func (s *Store) LastSync(ctx context.Context) (Report, error) {
	return s.reportAt(ctx, "last")
}

// Running is what the sync that is at work has done; zero when none is. Of one that died
// it stays until the next one begins: Started and Duration say how old it is.
func (s *Store) Running(ctx context.Context) (Report, error) {
	return s.reportAt(ctx, "running")
}

func (s *Store) reportAt(ctx context.Context, field string) (Report, error) {
	stored, err := s.rdb.HGet(ctx, s.key("sync"), field).Bytes()
	if errors.Is(err, redis.Nil) {
		return Report{}, nil
	}
	if err != nil {
		return Report{}, fmt.Errorf("read report of sync: %w", err)
	}
	var r Report
	if err := json.Unmarshal(stored, &r); err != nil {
		return Report{}, fmt.Errorf("read report of sync: %w", err)
	}
	return r, nil
}

// keepReport stores the report of a sync that is at work, or came to its end.
func (s *Store) keepReport(ctx context.Context, r Report, over bool) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	pipe := s.rdb.TxPipeline()
	if over {
		pipe.HSet(ctx, s.key("sync"), "last", b)
		pipe.HDel(ctx, s.key("sync"), "running")
	} else {
		pipe.HSet(ctx, s.key("sync"), "running", b)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("write report of sync: %w", err)
	}
	return nil
}
