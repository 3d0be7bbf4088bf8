// Package redistest gives each test an empty Redis database of its own, a
// proxy that breaks its connections on request ([Proxy]) and, where a test
// wants to kill Redis itself, a private server ([Own]).
//
//	db := redistest.New(t)
//	rdb := db.Client()           // closed with the test
//	proxy := db.Proxy(t)
//	proxy.Cut()                  // Redis is gone
//
// All tests of a binary share one redis-server, started with the first of
// them on a free port and ended with the binary; nothing is kept on a disk.
// With REDIS_URL set they use that server instead: databases 1 to 15 of it,
// and of these only empty ones. Database 0 is never touched.
//
// Without redis-server on PATH in-process imitations take its place, and a
// line on standard error says so; with CI=true that is a failure, since a
// gate that runs against an imitation proves little.
package redistest

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
)

// DB is a database that belongs to one test.
type DB struct {
	// URL is the REDIS_URL of the database.
	URL string
	// Kind says whether a real Redis answers.
	Kind redisembed.Kind

	t testing.TB
}

// New returns an empty database for the test and empties it again when the
// test ends. It waits while more tests run at once than there are databases.
func New(t testing.TB) *DB {
	t.Helper()
	source, err := shared()
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), claimPatience)
	defer cancel()
	claim, err := source.claim(ctx)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), releasePatience)
		defer cancel()
		if err := claim.release(ctx); err != nil {
			t.Errorf("redistest: release %s: %v", redacted(claim.url), err)
		}
	})
	return &DB{URL: claim.url, Kind: source.kind(), t: t}
}

const (
	claimPatience   = 2 * time.Minute
	releasePatience = 10 * time.Second
)

// Client returns a producer's client of the database, closed when the test
// ends. Each call makes another one.
func (d *DB) Client() redis.UniversalClient {
	d.t.Helper()
	return newClient(d.t, d.URL, redisconn.Target.Producer)
}

// Worker returns a worker's client of the database, closed when the test
// ends. Each call makes another one.
func (d *DB) Worker() redis.UniversalClient {
	d.t.Helper()
	return newClient(d.t, d.URL, redisconn.Target.Worker)
}

// Proxy returns a proxy to the database that lives as long as the test.
func (d *DB) Proxy(t testing.TB) *Proxy {
	t.Helper()
	return newProxy(t, d.URL)
}

func newClient(t testing.TB, url string, kind func(redisconn.Target) redis.UniversalClient) redis.UniversalClient {
	t.Helper()
	target, err := redisconn.Parse(url)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	rdb := kind(target)
	t.Cleanup(func() { _ = rdb.Close() }) // the test may have closed it itself
	return rdb
}

// redacted is the URL without its password.
func redacted(url string) string {
	target, err := redisconn.Parse(url)
	if err != nil {
		return "(bad url)"
	}
	return target.String()
}
