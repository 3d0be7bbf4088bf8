package redisconn_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func TestWaitReturnsWhenRedisComes(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]func(*redistest.Proxy) redis.UniversalClient{
		"producer": (*redistest.Proxy).Client,
		"worker":   (*redistest.Proxy).Worker,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := redistest.New(t).Proxy(t)
			proxy.Cut()
			time.AfterFunc(time.Second, proxy.Resume)
			var log bytes.Buffer
			err := redisconn.Wait(t.Context(), client(proxy), time.Minute, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Errorf("got %v", err)
			}
			got := log.String()
			if strings.Count(got, "waiting for redis") != 1 || strings.Count(got, "redis answers") != 1 {
				t.Errorf("want one line when the wait begins and one when it ends, got:\n%s", got)
			}
		})
	}
}

func TestWaitGivesUp(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	proxy.Stall()
	start := time.Now()
	err := redisconn.Wait(t.Context(), proxy.Worker(), 500*time.Millisecond, nil)
	if !errors.Is(err, redisconn.ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	if text := err.Error(); !strings.Contains(text, "docker run") || !strings.Contains(text, "REDIS_URL") {
		t.Errorf("the error does not say how to get a Redis: %s", text)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("a stalled Redis held the start for %s", took)
	}
}

func TestWaitSaysWhyItGaveUp(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	proxy.Cut()
	err := redisconn.Wait(t.Context(), proxy.Worker(), time.Second, nil)
	if !errors.Is(err, redisconn.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want ErrUnavailable and what is wrong, not that time is over", err)
	}
}

func TestWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	proxy.Cut()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := redisconn.Wait(ctx, proxy.Worker(), time.Minute, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// answering is a server that sends one reply to whatever it is told.
func answering(t *testing.T, reply string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 4096)
				for {
					if _, err := conn.Read(buf); err != nil {
						return
					}
					if _, err := conn.Write([]byte(reply)); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestWaitTellsReasonsApart(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		url   string
		final bool
		want  string
	}{
		"loading":   {"redis://" + answering(t, "-LOADING Redis is loading the dataset in memory\r\n"), false, "loading its data"},
		"too many":  {"redis://" + answering(t, "-ERR max number of clients reached\r\n"), false, "maxclients"},
		"no login":  {"redis://" + answering(t, "-NOAUTH Authentication required.\r\n"), true, "password"},
		"bad login": {"redis://u:s3cret@" + answering(t, "-WRONGPASS invalid username-password pair or user is disabled.\r\n"), true, "password"},
		"no right":  {"redis://" + answering(t, "-NOPERM this user has no permissions to run the 'ping' command\r\n"), true, "lacks a right"},
		"no master": {"redis-sentinel://" + answering(t, "*-1\r\n") + "?master=main", true, "do not know the master"},
		"no tls":    {"rediss://" + answering(t, "-ERR Protocol error: unbalanced quotes\r\n"), true, "does not speak TLS"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, err := redisconn.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			rdb := target.Producer()
			defer rdb.Close()
			var log bytes.Buffer
			timeout := 500 * time.Millisecond
			if tt.final {
				timeout = time.Minute
			}
			err = redisconn.Wait(t.Context(), rdb, timeout, slog.New(slog.NewTextHandler(&log, nil)))
			if got := errors.Is(err, redisconn.ErrRefused); got != tt.final {
				t.Errorf("got %v, want ErrRefused: %t", err, tt.final)
			}
			said := err.Error()
			if !strings.Contains(said, tt.want) {
				t.Errorf("got %q, want it to say %q", said, tt.want)
			}
			if !tt.final && !strings.Contains(log.String(), tt.want) {
				t.Errorf("log: got %q, want it to say %q", log.String(), tt.want)
			}
			if all := said + log.String(); strings.Contains(all, "s3cret") {
				t.Errorf("password shown: %s", all)
			}
		})
	}
}

func TestWaitRefusedByRealServer(t *testing.T) {
	t.Parallel()
	srv := redistest.Own(t, redisembed.Options{Databases: 4})
	err := srv.Client().ConfigSet(t.Context(), "requirepass", "s3cret").Err()
	if srv.Kind == redisembed.KindInProcess {
		return // it knows neither passwords set later nor numbers of databases
	}
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimSuffix(strings.TrimPrefix(srv.URL, "redis://"), "/0")
	for name, tt := range map[string]struct{ url, want string }{
		"no password":    {"redis://" + host, "password"},
		"wrong password": {"redis://:s3cret-not@" + host, "password"},
		"no such db":     {"redis://:s3cret@" + host + "/9", "database number"},
	} {
		target, err := redisconn.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		rdb := target.Worker()
		defer rdb.Close()
		err = redisconn.Wait(t.Context(), rdb, time.Minute, nil)
		if !errors.Is(err, redisconn.ErrRefused) {
			t.Errorf("%s: got %v, want ErrRefused", name, err)
			continue
		}
		if said := err.Error(); !strings.Contains(said, tt.want) || strings.Contains(said, "s3cret") {
			t.Errorf("%s: got %q, want it to say %q and no password", name, err, tt.want)
		}
	}
}
