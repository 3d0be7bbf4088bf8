package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Options of a ledger. The zero value is the documented default.
type Options struct {
	Prefix     string        // Defaults to [DefaultPrefix]; needs a hash tag.
	Retention  time.Duration // how long final jobs stay. Defaults to 720 h.
	EventsMax  int64         // length of the event stream, about. Defaults to 1,000,000.
	MaxPosts   int           // posts of one message. Defaults to 5.
	AbsentFor  time.Duration // how long a proof of absence may be posted on. Defaults to 2 min.
	Silence    time.Duration // after so long without a heartbeat a worker counts as gone. Defaults to 10 s.
	ClaimsOver time.Duration // how much longer claims stay. Defaults to 7 days.
	// Durable: a job counts as created, and an intent as written, when Redis has them on
	// its disk (WAITAOF, Redis 7.2 or newer, with an append-only file).
	Durable bool
}

// Ledger reads and moves jobs. It is safe for concurrent use; any number of
// processes may share one Redis.
type Ledger struct {
	rdb        redis.UniversalClient
	prefix     string
	retention  time.Duration
	claimsOver time.Duration
	eventsMax  int64
	maxPosts   int
	absentFor  time.Duration
	silence    time.Duration
	durable    bool
	together   *together
}

// New makes a ledger on rdb, which stays the caller's to close.
func New(rdb redis.UniversalClient, o Options) (*Ledger, error) {
	l := &Ledger{rdb: rdb, prefix: o.Prefix, retention: o.Retention, claimsOver: o.ClaimsOver, eventsMax: o.EventsMax, maxPosts: o.MaxPosts,
		absentFor: o.AbsentFor, silence: o.Silence, durable: o.Durable, together: newTogether()}
	if rdb == nil {
		return nil, errors.New("ledger: no redis client")
	}
	if l.prefix == "" {
		l.prefix = DefaultPrefix
	}
	if open := strings.IndexByte(l.prefix, '{'); open < 0 || strings.IndexByte(l.prefix[open:], '}') < 2 {
		return nil, fmt.Errorf("ledger: prefix %q needs a hash tag like {flowroute}", l.prefix)
	}
	if l.retention == 0 {
		l.retention = 720 * time.Hour
	}
	if l.claimsOver == 0 {
		l.claimsOver = 7 * 24 * time.Hour
	}
	if l.eventsMax == 0 {
		l.eventsMax = 1_000_000
	}
	if l.maxPosts == 0 {
		l.maxPosts = 5
	}
	if l.absentFor == 0 {
		l.absentFor = 2 * time.Minute
	}
	if l.silence == 0 {
		l.silence = 10 * time.Second
	}
	if l.retention < 0 || l.claimsOver < 0 || l.eventsMax < 0 || l.maxPosts < 0 || l.absentFor < 0 || l.silence < 0 {
		return nil, errors.New("ledger: options must not be negative")
	}
	return l, nil
}

// Own makes this ledger the account's, or reports whose it is: an account is the
// API's base URL with an access key (or the alias of several keys). Unfinished
// jobs of one account must not be resolved with the records of another.
func (l *Ledger) Own(ctx context.Context, account string) error {
	if account == "" {
		return errors.New("ledger: no account")
	}
	owner, err := l.rdb.SetArgs(ctx, l.key("owner"), account, redis.SetArgs{Mode: "NX", Get: true}).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return nil
	case err != nil:
		return fmt.Errorf("claim the ledger: %w", err)
	case owner != account:
		return &OwnerError{Owner: owner, Account: account}
	}
	return nil
}

// Owner is the account this ledger belongs to; empty before the first [Ledger.Own].
func (l *Ledger) Owner(ctx context.Context) (string, error) {
	owner, err := l.rdb.Get(ctx, l.key("owner")).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return owner, err
}

// OwnerError says that this Redis holds the jobs of another account.
type OwnerError struct{ Owner, Account string }

func (e *OwnerError) Error() string {
	return fmt.Sprintf("this Redis holds the jobs of account %s, the credentials and base URL here are account %s: "+
		"use another Redis database, or give both keys the same FR_ACCOUNT_ALIAS if they are one account", e.Owner, e.Account)
}

// Counts is how many jobs there are by type and state, final ones of all time
// included.
func (l *Ledger) Counts(ctx context.Context) (map[Type]map[State]int64, error) {
	fields, err := l.rdb.HGetAll(ctx, l.key("n")).Result()
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	counts := map[Type]map[State]int64{}
	for field, text := range fields {
		var n int64
		if _, err := fmt.Sscan(text, &n); err != nil || len(field) != 2 || n == 0 {
			continue
		}
		t := typeOf(field[0])
		if counts[t] == nil {
			counts[t] = map[State]int64{}
		}
		counts[t][StateOf(field[1])] += n
	}
	return counts, nil
}
