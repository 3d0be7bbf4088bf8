package ledger_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// clockKey holds the time that the scripts see instead of Redis' own.
const clockKey = "clock-of-the-test"

// clock gives the ledger's scripts a time of its own, so that hours pass without
// waiting: it is a hook of the client that rewrites the scripts on their way.
type clock struct {
	mu    sync.Mutex
	moved map[string]string // SHA-1 of a script as it is and as it is run
	now   time.Time
}

func (c *clock) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *clock) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if at, ok := cmd.(*redis.TimeCmd); ok {
			at.SetVal(c.time())
			return nil
		}
		original := ""
		if args := cmd.Args(); len(args) == 3 && strings.EqualFold(args[0].(string), "script") {
			original, _ = args[2].(string)
		}
		c.rewrite(cmd.Args())
		err := next(ctx, cmd)
		if loaded, ok := cmd.(*redis.StringCmd); ok && original != "" && err == nil {
			loaded.SetVal(sum(original)) // the client remembers it, for other tests too
		}
		return err
	}
}

func (c *clock) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			c.rewrite(cmd.Args())
		}
		return next(ctx, cmds)
	}
}

// rewrite changes a command's arguments in place.
func (c *clock) rewrite(args []any) {
	name, _ := args[0].(string)
	switch {
	case strings.EqualFold(name, "eval"):
		args[1] = c.script(args[1].(string))
	case strings.EqualFold(name, "script") && len(args) == 3:
		args[2] = c.script(args[2].(string))
	case strings.EqualFold(name, "evalsha"):
		c.mu.Lock()
		defer c.mu.Unlock()
		args[1] = c.moved[args[1].(string)]
		if args[1] == "" {
			args[1] = strings.Repeat("0", 40) // Redis asks for the whole script
		}
	}
}

func (c *clock) script(text string) string {
	moved := strings.ReplaceAll(text, "redis.call('TIME')", "redis.call('HMGET', '"+clockKey+"', 's', 'us')")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moved == nil {
		c.moved = map[string]string{}
	}
	c.moved[sum(text)] = sum(moved)
	return moved
}

func sum(text string) string {
	digest := sha1.Sum([]byte(text))
	return hex.EncodeToString(digest[:])
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// set writes the time down where the scripts find it.
func (c *clock) set(ctx context.Context, rdb redis.Cmdable, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
	return rdb.HSet(ctx, clockKey, "s", now.Unix(), "us", now.Nanosecond()/1000).Err()
}
