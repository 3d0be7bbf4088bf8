package ratelimit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	for name, o := range map[string]ratelimit.Options{
		"no account":       {},
		"no hash tag":      {Account: "a", Prefix: "flowroute:"},
		"empty hash tag":   {Account: "a", Prefix: "{}:"},
		"negative number":  {Account: "a", Limits: ratelimit.Limits{SMS: per(-1, time.Second)}},
		"no period":        {Account: "a", Limits: ratelimit.Limits{MMS: per(1, 0)}},
		"a day":            {Account: "a", Limits: ratelimit.Limits{Numbers: per(1, 24*time.Hour)}},
		"negative timeout": {Account: "a", Timeout: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := ratelimit.New(rdb, o); err == nil {
				t.Error("got no error")
			}
		})
	}
	l, err := ratelimit.New(rdb, ratelimit.Options{Account: "a", Limits: ratelimit.Limits{SMS: per(1, time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Take(t.Context(), ratelimit.KindSMS, "urgent"); err == nil {
		t.Error("got a permit in an unknown lane")
	}
	if _, err := l.Take(t.Context(), "fax", ratelimit.LaneOTP); err == nil {
		t.Error("got a permit of an unknown kind")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Take(ended, ratelimit.KindSMS, ratelimit.LaneOTP); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v with an ended context, want context canceled", err)
	}
}
