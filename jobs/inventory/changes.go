package inventory

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// ChangeKind says what happened to a number or a route.
type ChangeKind string

// The kinds of changes. Old and New are aliases, values, ids of routes (empty:
// none), or 0 and 1 for messaging.
const (
	Added            ChangeKind = "added"
	Removed          ChangeKind = "removed"
	Returned         ChangeKind = "returned" // removed before, and there again
	AliasChanged     ChangeKind = "alias"
	PrimaryChanged   ChangeKind = "primary_route"
	FailoverChanged  ChangeKind = "failover_route"
	MessagingChanged ChangeKind = "messaging"
	ValueChanged     ChangeKind = "value" // of a route
)

// Change is one thing that came, went or changed, when it was noticed.
type Change struct {
	Cursor   string
	At       time.Time
	Kind     ChangeKind
	Number   flowroute.E164 // zero: it is a route's
	Route    string
	Old, New string
}

// Changes reads changes, the oldest first: those after a cursor, or from a time on
// when after is empty. Limit defaults to 100, at most 1000. The list is bounded:
// the oldest are dropped. Errors: [ErrBadCursor] or Redis' own.
func (s *Store) Changes(ctx context.Context, since time.Time, after string, limit int) ([]Change, error) {
	if limit <= 0 {
		limit = defaultPage
	}
	from := "-"
	if !since.IsZero() {
		from = strconv.FormatInt(since.UnixMilli(), 10)
	}
	if after != "" {
		ms, n, _ := strings.Cut(after, "-")
		for _, part := range []string{ms, n} {
			if _, err := strconv.ParseUint(part, 10, 64); err != nil {
				return nil, ErrBadCursor
			}
		}
		from = "(" + after
	}
	entries, err := s.rdb.XRangeN(ctx, s.key("changes"), from, "+", int64(min(limit, largestPage))).Result()
	if err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	changes := make([]Change, 0, len(entries))
	for _, e := range entries {
		if c, ok := readChange(e); ok {
			changes = append(changes, c)
		}
	}
	return changes, nil
}

// ChangesFrom is the moment from which on all changes are kept; zero when none was
// dropped yet.
func (s *Store) ChangesFrom(ctx context.Context) (time.Time, error) {
	pipe := s.rdb.Pipeline()
	kept, oldest := pipe.XLen(ctx, s.key("changes")), pipe.XRangeN(ctx, s.key("changes"), "-", "+", 1)
	if _, err := pipe.Exec(ctx); err != nil {
		return time.Time{}, fmt.Errorf("read changes: %w", err)
	}
	if kept.Val() < s.changesMax || len(oldest.Val()) == 0 {
		return time.Time{}, nil // the list is cut when it is longer
	}
	ms, _, _ := strings.Cut(oldest.Val()[0].ID, "-")
	return moment(ms), nil
}

// readChange reads an entry; one of a newer version is left out.
func readChange(e redis.XMessage) (Change, bool) {
	text := func(name string) string {
		s, _ := e.Values[name].(string)
		return s
	}
	if text("v") != "1" {
		return Change{}, false
	}
	ms, _, _ := strings.Cut(e.ID, "-")
	c := Change{Cursor: e.ID, At: moment(ms), Kind: ChangeKind(text("k")), Route: text("r"), Old: text("o"), New: text("w")}
	if digits, err := strconv.ParseUint(text("n"), 10, 64); err == nil {
		c.Number, _ = flowroute.E164FromUint64(digits)
	}
	return c, true
}

// LastSync is the report of the last sync that came to its end; zero before the
// first one.
func (s *Store) LastSync(ctx context.Context) (Report, error) {
	stored, err := s.rdb.HGet(ctx, s.key("sync"), "last").Bytes()
	if errors.Is(err, redis.Nil) {
		return Report{}, nil
	}
	if err != nil {
		return Report{}, fmt.Errorf("read last sync: %w", err)
	}
	return readReport(stored)
}
