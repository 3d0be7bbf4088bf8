package redisembed_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
)

func client(t *testing.T, srv *redisembed.Server) redis.UniversalClient {
	t.Helper()
	target, err := redisconn.Parse(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	rdb := target.Producer()
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// bothKinds runs the test against redis-server, where there is one, and in
// process.
func bothKinds(t *testing.T, test func(*testing.T, redisembed.Options)) {
	t.Helper()
	t.Run("found", func(t *testing.T) { t.Parallel(); test(t, redisembed.Options{}) })
	t.Run("in process", func(t *testing.T) { t.Parallel(); test(t, redisembed.Options{ForceInProcess: true}) })
}

func TestStartAndClose(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, o redisembed.Options) {
		o.Databases = 20
		srv, err := redisembed.Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		rdb := client(t, srv)
		if err := rdb.Set(t.Context(), "k", "v", time.Second).Err(); err != nil {
			t.Error(err)
		}
		if (srv.PID() != 0) != (srv.Kind() == redisembed.KindServer) {
			t.Errorf("%s with process id %d", srv.Kind(), srv.PID())
		}
		if !strings.HasSuffix(srv.DatabaseURL(19), "/19") {
			t.Errorf("url of database 19: got %s", srv.DatabaseURL(19))
		}
		for range 2 {
			if err := srv.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		if err := rdb.Ping(t.Context()).Err(); err == nil {
			t.Error("PING after Close: got no error")
		}
	})
}

func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, o redisembed.Options) {
		o.AOF, o.Dir = true, t.TempDir()
		srv, err := redisembed.Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		url := srv.URL()
		rdb := client(t, srv)
		if err := rdb.Set(t.Context(), "k", "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
		before := runID(t, rdb)
		for range 2 {
			if err := srv.Kill(); err != nil {
				t.Errorf("kill: %v", err)
			}
		}
		if err := srv.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if srv.URL() != url {
			t.Errorf("url after the restart: got %s, want %s", srv.URL(), url)
		}
		if got, err := rdb.Get(t.Context(), "k").Result(); err != nil || got != "v" {
			t.Errorf("key after the restart: got %q, %v, want v", got, err)
		}
		if after := runID(t, rdb); before == "" || after == before {
			t.Errorf("run ids before and after the restart: got %q and %q, want two", before, after)
		}
		read := &redis.XReadArgs{Streams: []string{"none", "$"}, Block: 50 * time.Millisecond}
		if got, err := rdb.XRead(t.Context(), read).Result(); !errors.Is(err, redis.Nil) {
			t.Errorf("blocking read after the restart: got %v, %v, want none", got, err)
		}
	})
}

// runID is what a script sees of it.
func runID(t *testing.T, rdb redis.UniversalClient) string {
	t.Helper()
	id, err := rdb.Eval(t.Context(), `return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')`, nil).Text()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestKeysExpireInProcess(t *testing.T) {
	t.Parallel()
	srv, err := redisembed.Start(t.Context(), redisembed.Options{ForceInProcess: true})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	rdb := client(t, srv)
	if err := rdb.Set(t.Context(), "k", "v", 50*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	<-time.After(200 * time.Millisecond)
	if got, err := rdb.Exists(t.Context(), "k").Result(); err != nil || got != 0 {
		t.Errorf("key past its time to live: got %d, %v, want 0", got, err)
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, o redisembed.Options) {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		o.Port = l.Addr().(*net.TCPAddr).Port
		srv, err := redisembed.Start(t.Context(), o)
		if err == nil {
			_ = srv.Close()
			t.Fatal("got no error")
		}
		if said := err.Error(); !strings.Contains(said, "ddress already in use") {
			t.Errorf("got %q, want the reason", said)
		}
	})
}

func TestStartEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	srv, err := redisembed.Start(ctx, redisembed.Options{})
	if err != nil {
		return
	}
	defer srv.Close()
	if srv.Kind() == redisembed.KindServer {
		t.Error("start under an ended context: got no error")
	}
}

func TestTemporaryDirectoryIsRemoved(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	srv, err := redisembed.Start(t.Context(), redisembed.Options{AOF: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := client(t, srv).Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Error(err)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(tmp, "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
