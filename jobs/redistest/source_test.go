package redistest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
)

func TestGivenServerHandsOutEmptyDatabasesAlone(t *testing.T) {
	t.Parallel()
	srv := Own(t, redisembed.Options{})
	source, err := newGivenServer(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	inUse := clientOf(t, srv.server.DatabaseURL(3))
	if err := inUse.Set(t.Context(), "somebody's", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}

	seen := map[string]bool{}
	var claims []claimed
	for range lastGivenDB - 1 {
		c, err := source.claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen[c.url] = true
		claims = append(claims, c)
	}
	if len(seen) != lastGivenDB-1 || seen[srv.server.DatabaseURL(0)] || seen[srv.server.DatabaseURL(3)] {
		t.Errorf("got %v, want databases 1 to %d but for the one in use", seen, lastGivenDB)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := source.claim(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("claim with none left: got %v, want deadline exceeded", err)
	}
	if err := claims[0].release(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := source.claim(t.Context())
	if err != nil || again.url != claims[0].url {
		t.Errorf("claim after a release: got %s, %v, want %s", again.url, err, claims[0].url)
	}
	if got, err := inUse.Exists(t.Context(), "somebody's").Result(); err != nil || got != 1 {
		t.Errorf("somebody's key: got %d, %v, want 1", got, err)
	}
}

func TestGivenServerKeepsLogin(t *testing.T) {
	t.Parallel()
	source, err := newGivenServer("redis://user:pass%2Fword@host:1/7")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := source.url(4), "redis://user:pass%2Fword@host:1/4"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestGivenServerRefusesWhatTestsCannotUse(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"nonsense", "redis-cluster://a,b", "redis-socket:///run/s", "redis://h?db=1"} {
		if _, err := newGivenServer(url); !errors.Is(err, errRedisURL) {
			t.Errorf("%s: got %v, want %v", url, err, errRedisURL)
		}
	}
}

func TestNoServerInCI(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := newOwnServer(t.Context(), true); !errors.Is(err, errNoRedisInCI) {
		t.Errorf("with CI=true: got %v, want %v", err, errNoRedisInCI)
	}
	source, err := newOwnServer(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer source.server.Close()
	if got := source.kind(); got != redisembed.KindInProcess {
		t.Errorf("without redis-server: got %s, want the in-process kind", got)
	}
}

func TestOwnServerRefusesDirtyDatabase(t *testing.T) {
	t.Parallel()
	source, err := newOwnServer(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer source.server.Close()
	rdb := clientOf(t, source.server.DatabaseURL(1))
	if err := rdb.Set(t.Context(), "left by a test after its end", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := source.claim(t.Context()); !errors.Is(err, errDirty) {
		t.Errorf("got %v, want %v", err, errDirty)
	}
}

func clientOf(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	return newClient(t, url, redisconn.Target.Producer)
}
