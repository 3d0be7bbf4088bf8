package redisconn

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// RouteLibraryLog sends what go-redis prints of its own accord (a line for
// each failed dial, on standard error) to the logger, at debug level: callers
// get the same as an error. It holds for the whole process, so a program
// calls it once, before it makes its first client.
func RouteLibraryLog(logger *slog.Logger) {
	redis.SetLogger(libraryLog{logger})
}

type libraryLog struct{ logger *slog.Logger }

func (l libraryLog) Printf(ctx context.Context, format string, args ...any) {
	if l.logger.Enabled(ctx, slog.LevelDebug) {
		l.logger.DebugContext(ctx, "go-redis", keyReason, fmt.Sprintf(format, args...))
	}
}
