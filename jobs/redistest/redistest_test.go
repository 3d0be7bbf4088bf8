package redistest_test

import (
	"context"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func TestNewIsEmptyAndSeparate(t *testing.T) {
	t.Parallel()
	a, b := redistest.New(t), redistest.New(t)
	if a.URL == b.URL {
		t.Fatalf("two databases with one URL %s", a.URL)
	}
	if err := a.Client().Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	got, err := b.Client().Exists(t.Context(), "k").Result()
	if err != nil || got != 0 {
		t.Errorf("key of a in b: got %d, %v, want 0, nil", got, err)
	}
}

func TestProxyDropsReplyOfExecutedCommand(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	proxy := db.Proxy(t)
	rdb := proxy.Client()
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	proxy.DropReplies(1)
	got, err := rdb.Incr(t.Context(), "n").Result()
	if err != nil || got != 2 {
		t.Errorf("INCR whose first reply was lost: got %d, %v, want 2, nil (executed twice)", got, err)
	}
}

func TestProxyCutAndStall(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	proxy := db.Proxy(t)
	rdb := proxy.Client()

	proxy.Cut()
	if err := rdb.Ping(t.Context()).Err(); err == nil {
		t.Error("PING while cut: got no error")
	}
	proxy.Resume()
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Errorf("PING after the cut: got %v", err)
	}

	proxy.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := rdb.Ping(ctx).Err(); err == nil {
		t.Error("PING while stalled: got no error")
	}
	proxy.Resume()
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Errorf("PING after the stall: got %v", err)
	}
}

func TestOwnSurvivesKill(t *testing.T) {
	t.Parallel()
	srv := redistest.Own(t, redisembed.Options{})
	if err := srv.Client().Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	srv.Kill()
	if err := srv.Client().Ping(t.Context()).Err(); err == nil {
		t.Error("PING of a killed server: got no error")
	}
	srv.Restart()
	got, err := srv.Client().Get(t.Context(), "k").Result()
	if err != nil || got != "v" {
		t.Errorf("key after the kill: got %q, %v, want v, nil", got, err)
	}
}
