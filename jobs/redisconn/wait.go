package redisconn

import (
	"context"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// Wait returns when Redis answers.
func Wait(ctx context.Context, rdb redis.UniversalClient, timeout time.Duration, logger *slog.Logger) error {
	panic("todo")
}
