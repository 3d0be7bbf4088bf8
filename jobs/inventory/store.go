package inventory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Errors that callers branch on.
var (
	// ErrNotFound: the copy does not know the number.
	ErrNotFound = errors.New("no such number in the stored copy")
	// ErrNewerVersion: the copy was written by a newer version; leave it alone.
	ErrNewerVersion = errors.New("the stored numbers were written by a newer version")
	// ErrBadCursor: the text is no cursor of the listing.
	ErrBadCursor = errors.New("not a cursor of this listing")
)

// Options of a store. The zero value is the documented default.
type Options struct {
	Prefix     string        // Defaults to [ledger.DefaultPrefix]; needs a hash tag.
	GoneFor    time.Duration // how long gone numbers stay readable. Defaults to 2160 h.
	ChangesMax int64         // how many changes are kept, about. Defaults to 10,000.
}

// Store is the copy. It is safe for concurrent use, by any number of processes.
type Store struct {
	rdb        redis.UniversalClient
	prefix     string
	goneFor    time.Duration
	changesMax int64
}

// New makes a store on rdb, which stays the caller's to close.
func New(rdb redis.UniversalClient, o Options) (*Store, error) {
	s := &Store{rdb: rdb, prefix: o.Prefix, goneFor: o.GoneFor, changesMax: o.ChangesMax}
	if rdb == nil {
		return nil, errors.New("inventory: no redis client")
	}
	if s.prefix == "" {
		s.prefix = ledger.DefaultPrefix
	}
	if open := strings.IndexByte(s.prefix, '{'); open < 0 || strings.IndexByte(s.prefix[open:], '}') < 2 {
		return nil, fmt.Errorf("inventory: prefix %q needs a hash tag like {flowroute}", s.prefix)
	}
	if s.goneFor == 0 {
		s.goneFor = 2160 * time.Hour
	}
	if s.changesMax == 0 {
		s.changesMax = 10_000
	}
	if s.goneFor < 0 || s.changesMax < 0 {
		return nil, errors.New("inventory: options must not be negative")
	}
	return s, nil
}

// Number is a number of the account, or one that it had.
type Number struct {
	Number           flowroute.E164
	Alias            string
	Type             string // an open set: "longcode", "toll-free", …
	RateCenter       string
	State            string
	MessagingEnabled *bool  // nil: Flowroute did not say
	PrimaryRoute     string // id; empty: none, or not known yet
	FailoverRoute    string
	FirstSeen        time.Time
	LastSeen         time.Time
	DetailsRead      time.Time // when the routes were read; zero: they are not known
	Gone             time.Time // when it was found to be gone; zero: ours
}

// Route is an inbound voice route of the account.
type Route struct {
	flowroute.Route
	FirstSeen time.Time
}

// Get reads one number. Errors: [ErrNotFound], [ErrNewerVersion], or Redis' own.
func (s *Store) Get(ctx context.Context, n flowroute.E164) (Number, error) {
	if n.IsZero() {
		return Number{}, ErrNotFound
	}
	fields, err := s.rdb.HGetAll(ctx, s.entityKey(numbers(), n.Digits())).Result()
	if err != nil {
		return Number{}, fmt.Errorf("read number: %w", err)
	}
	if len(fields) == 0 {
		return Number{}, ErrNotFound
	}
	return readNumber(n.Digits(), fields)
}

// Query selects numbers. The zero value selects those of the account.
type Query struct {
	StartsWith string // digits; a 1 is put before them unless they begin with 1 or +
	Gone       bool   // those that the account had before, instead
	Limit      int    // of the page. Defaults to 100, at most 1000.
	Cursor     string // Page.Next of the page before
}

// Digits is StartsWith as the numbers of the copy begin.
func (q Query) Digits() string { return digitsOf(q.StartsWith) }

// Page is a part of a listing.
type Page struct {
	Numbers []Number // in order
	Next    string   // continues the listing; empty at its end
}

const (
	defaultPage = 100
	largestPage = 1000
	slice       = 500
)

// List reads a page of numbers, in order. Errors: [ErrBadCursor],
// [ErrNewerVersion], or Redis' own.
func (s *Store) List(ctx context.Context, q Query) (Page, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	limit = min(limit, largestPage)
	if strings.Trim(q.Cursor, "0123456789") != "" {
		return Page{}, ErrBadCursor
	}
	var page Page
	of := numbers()
	if q.Gone {
		of = gone()
	}
	for after := q.Cursor; ; {
		names, err := s.names(ctx, of, digitsOf(q.StartsWith), after, limit+1)
		if err != nil {
			return Page{}, fmt.Errorf("list numbers: %w", err)
		}
		all, err := s.entities(ctx, of, names)
		if err != nil {
			return Page{}, fmt.Errorf("list numbers: %w", err)
		}
		for i, name := range names {
			if len(all[i]) == 0 {
				continue // removed meanwhile
			}
			n, err := readNumber(name, all[i])
			if err != nil {
				return Page{}, fmt.Errorf("list numbers: %w", err)
			}
			if n.Gone.IsZero() == q.Gone {
				continue
			}
			if len(page.Numbers) == limit {
				page.Next = page.Numbers[limit-1].Number.Digits()
				return page, nil
			}
			page.Numbers = append(page.Numbers, n)
		}
		if len(names) <= limit {
			return page, nil
		}
		after = names[len(names)-1]
	}
}

// Each yields all numbers of a query, in order, reading page by page. An error is
// the last pair.
func (s *Store) Each(ctx context.Context, q Query) iter.Seq2[Number, error] {
	return func(yield func(Number, error) bool) {
		if q.Limit == 0 {
			q.Limit = slice
		}
		for {
			page, err := s.List(ctx, q)
			if err != nil {
				yield(Number{}, err)
				return
			}
			for _, n := range page.Numbers {
				if !yield(n, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			q.Cursor = page.Next
		}
	}
}

// KnownBefore are the numbers that were in the stored copy before a moment. ok is false
// when there was no copy, or none with a number.
func (s *Store) KnownBefore(ctx context.Context, before time.Time) (known map[flowroute.E164]bool, ok bool, err error) {
	known = map[flowroute.E164]bool{}
	for n, err := range s.Each(ctx, Query{}) {
		if err != nil {
			return nil, false, err
		}
		if n.FirstSeen.Before(before) {
			known[n.Number] = true
		}
	}
	return known, len(known) > 0, nil
}

// Routes reads the account's routes, in the order of their ids as texts.
func (s *Store) Routes(ctx context.Context) ([]Route, error) {
	var all []Route
	for after := ""; ; {
		names, err := s.names(ctx, routes(), "", after, slice)
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		entities, err := s.entities(ctx, routes(), names)
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for i, f := range entities {
			if len(f) == 0 {
				continue
			}
			if f["v"] != "1" {
				return nil, ErrNewerVersion
			}
			all = append(all, Route{
				Route:     flowroute.Route{ID: names[i], Type: flowroute.RouteType(f["ty"]), Value: f["va"], Alias: f["al"]},
				FirstSeen: moment(f["fs"]),
			})
		}
		if len(names) < slice {
			return all, nil
		}
		after = names[len(names)-1]
	}
}

// names reads a slice of an index: names with the prefix that come after a name.
func (s *Store) names(ctx context.Context, k kind, prefix, after string, most int) ([]string, error) {
	by := &redis.ZRangeBy{Min: "[" + prefix, Max: "+", Count: int64(most)}
	if prefix != "" {
		by.Max = "(" + prefix + "\xff"
	}
	if after != "" && after >= prefix {
		by.Min = "(" + after
	}
	return s.rdb.ZRangeByLex(ctx, s.key(k.index), by).Result()
}

// entities reads the hashes of names, in their order; empty: there is none.
func (s *Store) entities(ctx context.Context, k kind, names []string) ([]map[string]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.MapStringStringCmd, len(names))
	for i, name := range names {
		cmds[i] = pipe.HGetAll(ctx, s.entityKey(k, name))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	all := make([]map[string]string, len(names))
	for i, cmd := range cmds {
		all[i] = cmd.Val()
	}
	return all, nil
}

func readNumber(digits string, f map[string]string) (Number, error) {
	if f["v"] != "1" {
		return Number{}, ErrNewerVersion
	}
	raw, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return Number{}, fmt.Errorf("stored number: %w", err)
	}
	number, err := flowroute.E164FromUint64(raw)
	if err != nil {
		return Number{}, fmt.Errorf("stored number: %w", err)
	}
	n := Number{
		Number: number, Alias: f["al"], Type: f["ty"], RateCenter: f["rc"], State: f["st"], PrimaryRoute: f["pr"], FailoverRoute: f["fo"],
		FirstSeen: moment(f["fs"]), LastSeen: moment(f["se"]), DetailsRead: moment(f["dr"]), Gone: moment(f["go"]),
	}
	if messaging, ok := f["me"]; ok {
		n.MessagingEnabled = new(messaging == "1")
	}
	return n, nil
}

func moment(ms string) time.Time {
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil || n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}
