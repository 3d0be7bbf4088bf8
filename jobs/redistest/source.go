package redistest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
)

// A source hands out empty databases.
type source interface {
	kind() redisembed.Kind
	claim(context.Context) (claimed, error)
}

// claimed is a database handed out; release empties it and gives it back.
type claimed struct {
	url     string
	release func(context.Context) error
}

// shared is the one source of this test binary.
var shared = sync.OnceValues(func() (source, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if given := os.Getenv("REDIS_URL"); given != "" {
		return newGivenServer(given)
	}
	source, err := newOwnServer(ctx, inCI())
	if err == nil && source.kind() == redisembed.KindInProcess {
		return imitations{}, source.server.Close()
	}
	return source, err
})

// inCI says whether an imitation of Redis is not good enough.
func inCI() bool { return os.Getenv("CI") == "true" }

// databases of the server shared by a binary's tests. Database 0 stays
// unused, so that a test that forgets its own finds nothing.
const databases = 64

var errDirty = errors.New("it should be empty: did a test write after its end?")

// ownServer is a server that only this test binary knows.
type ownServer struct {
	server *redisembed.Server
	free   chan int
}

// imitations are one for each test: each command takes an imitation longer the more
// keys it has, whosever they are.
type imitations struct{}

func (imitations) kind() redisembed.Kind { return redisembed.KindInProcess }

func (imitations) claim(ctx context.Context) (claimed, error) {
	server, err := redisembed.Start(ctx, redisembed.Options{ForceInProcess: true})
	if err != nil {
		return claimed{}, err
	}
	return claimed{
		url:     server.DatabaseURL(1),
		release: func(context.Context) error { return server.Close() },
	}, nil
}

var errNoRedisInCI = errors.New("CI=true and no redis-server on PATH: install it (apt-get install redis-server)")

func newOwnServer(ctx context.Context, ci bool) (*ownServer, error) {
	server, err := redisembed.Start(ctx, redisembed.Options{
		Dir:       os.TempDir(), // nothing is written; so there is nothing to remove
		Databases: databases,
	})
	if err != nil {
		return nil, err
	}
	if server.Kind() == redisembed.KindInProcess {
		if ci {
			return nil, errors.Join(errNoRedisInCI, server.Close())
		}
		fmt.Fprintln(os.Stderr, "redistest: no redis-server on PATH: these tests run against an in-process imitation")
	}
	s := &ownServer{server: server, free: make(chan int, databases)}
	for db := 1; db < databases; db++ {
		s.free <- db
	}
	return s, nil
}

func (s *ownServer) kind() redisembed.Kind { return s.server.Kind() }

func (s *ownServer) claim(ctx context.Context) (claimed, error) {
	var db int
	select {
	case db = <-s.free:
	case <-ctx.Done():
		return claimed{}, fmt.Errorf("all %d databases are in use: %w", databases-1, ctx.Err())
	}
	c := claimed{url: s.server.DatabaseURL(db)}
	c.release = func(ctx context.Context) error {
		err := withClient(c.url, func(rdb redis.UniversalClient) error { return rdb.FlushDB(ctx).Err() })
		if err == nil {
			s.free <- db
		}
		return err
	}
	err := withClient(c.url, func(rdb redis.UniversalClient) error {
		size, err := rdb.DBSize(ctx).Result()
		if err == nil && size != 0 {
			err = fmt.Errorf("database %d has %d keys: %w", db, size, errDirty)
		}
		return err
	})
	return c, err
}

// givenServer is the one that REDIS_URL names. It may serve others too, so a
// database counts as free only when it is empty, and a lock in it keeps other
// test binaries away.
type givenServer struct {
	base url.URL
}

var errRedisURL = errors.New("REDIS_URL: tests need the form redis://user:password@host:6379")

func newGivenServer(rawURL string) (*givenServer, error) {
	if _, err := redisconn.Parse(rawURL); err != nil {
		return nil, fmt.Errorf("%w: %w", errRedisURL, err)
	}
	base, err := url.Parse(rawURL)
	if err != nil || (base.Scheme != "redis" && base.Scheme != "rediss") || base.RawQuery != "" {
		return nil, errRedisURL
	}
	return &givenServer{base: *base}, nil
}

func (s *givenServer) kind() redisembed.Kind { return redisembed.KindServer }

const (
	lockKey = "redistest:lock"
	// lockLife lets an otherwise empty database go free after a test binary
	// was killed. No test runs longer.
	lockLife = 15 * time.Minute
	// lockInterval is how often a test looks again for a free database.
	lockInterval = 50 * time.Millisecond
	lastGivenDB  = 15
)

// lockIfEmpty — KEYS[1] the lock; ARGV[1] its life in ms; returns 1 when the
// database was empty and is ours now.
var lockIfEmpty = redis.NewScript(`
if redis.call('DBSIZE') ~= 0 then return 0 end
redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1])
return 1`)

func (s *givenServer) claim(ctx context.Context) (claimed, error) {
	tick := time.NewTicker(lockInterval)
	defer tick.Stop()
	for {
		for db := 1; db <= lastGivenDB; db++ {
			c, ours, err := s.try(ctx, db)
			if err != nil || ours {
				return c, err
			}
		}
		select {
		case <-ctx.Done():
			return claimed{}, fmt.Errorf("no empty database among 1 to %d at REDIS_URL: empty one with FLUSHDB: %w", lastGivenDB, ctx.Err())
		case <-tick.C:
		}
	}
}

func (s *givenServer) try(ctx context.Context, db int) (c claimed, ours bool, err error) {
	c = claimed{url: s.url(db)}
	c.release = func(ctx context.Context) error {
		return withClient(c.url, func(rdb redis.UniversalClient) error { return rdb.FlushDB(ctx).Err() })
	}
	err = withClient(c.url, func(rdb redis.UniversalClient) error {
		got, err := lockIfEmpty.Run(ctx, rdb, []string{lockKey}, lockLife.Milliseconds()).Int()
		ours = got == 1
		return err
	})
	return c, ours, err
}

func (s *givenServer) url(db int) string {
	u := s.base
	u.Path = fmt.Sprintf("/%d", db)
	return u.String()
}

func withClient(rawURL string, do func(redis.UniversalClient) error) error {
	target, err := redisconn.Parse(rawURL)
	if err != nil {
		return err
	}
	rdb := target.Producer()
	defer rdb.Close()
	return do(rdb)
}
