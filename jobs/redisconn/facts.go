package redisconn

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// Facts are what [Inspect] found out about a Redis.
type Facts struct {
	Version         string
	RunID           string
	ReplID          string
	Role            string
	AOF             bool
	AppendFsync     string
	RDB             bool
	MaxmemoryPolicy string
	Maxmemory       int64
	UsedMemory      int64
	Time            time.Time
	Skew            time.Duration
}

// Inspect asks Redis for its facts.
func Inspect(ctx context.Context, rdb redis.UniversalClient) (Facts, error) { panic("todo") }

// Level says how bad a [Finding] is.
type Level string

// The levels.
const (
	LevelInfo    Level = "info"
	LevelWarning Level = "warning"
	LevelError   Level = "error"
)

// Finding is one thing a person should know.
type Finding struct {
	Level Level
	Text  string
	Fix   string
}

// Problems judges the facts.
func (f Facts) Problems() []Finding { panic("todo") }
