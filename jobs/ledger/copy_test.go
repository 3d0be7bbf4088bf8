package ledger_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// copyOf is what makes all keys of a pattern anew as they are now, command by command.
// DUMP and RESTORE would do, but the in-process imitation has them for texts alone. A
// stream must still have all that was ever added to it.
func copyOf(ctx context.Context, rdb redis.Cmdable, pattern string) (commands [][]any, err error) {
	keys, err := rdb.Keys(ctx, pattern).Result()
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		kind, err := rdb.Type(ctx, key).Result()
		if err != nil {
			return nil, err
		}
		made, err := copyKey(ctx, rdb, kind, key)
		if err != nil {
			return nil, fmt.Errorf("copy %s %q: %w", kind, key, err)
		}
		commands = append(commands, made...)
		ttl, err := rdb.PTTL(ctx, key).Result()
		if err != nil {
			return nil, err
		}
		if ttl > 0 {
			commands = append(commands, []any{"PEXPIRE", key, ttl.Milliseconds()})
		}
	}
	return commands, nil
}

func copyKey(ctx context.Context, rdb redis.Cmdable, kind, key string) (commands [][]any, err error) {
	switch kind {
	case "string":
		value, err := rdb.Get(ctx, key).Result()
		return [][]any{{"SET", key, value}}, err
	case "hash":
		fields, err := rdb.HGetAll(ctx, key).Result()
		command := []any{"HSET", key}
		for field, value := range fields {
			command = append(command, field, value)
		}
		return [][]any{command}, err
	case "set":
		members, err := rdb.SMembers(ctx, key).Result()
		return [][]any{slices.Concat([]any{"SADD", key}, anys(members))}, err
	case "zset":
		members, err := rdb.ZRangeWithScores(ctx, key, 0, -1).Result()
		command := []any{"ZADD", key}
		for _, m := range members {
			command = append(command, m.Score, m.Member)
		}
		return [][]any{command}, err
	case "stream":
		entries, err := rdb.XRange(ctx, key, "-", "+").Result()
		for _, entry := range entries {
			command := []any{"XADD", key, entry.ID}
			for field, value := range entry.Values {
				command = append(command, field, value)
			}
			commands = append(commands, command)
		}
		return commands, err
	case "none": // lapsed just now
		return nil, nil
	}
	return nil, fmt.Errorf("no way to copy it")
}

func anys(texts []string) []any {
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = text
	}
	return list
}

// putBack makes the keys of the pattern what they were when the copy was taken.
func putBack(ctx context.Context, rdb redis.Cmdable, pattern string, commands [][]any) error {
	keys, err := rdb.Keys(ctx, pattern).Result()
	if err != nil {
		return err
	}
	_, err = rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		if len(keys) > 0 {
			pipe.Del(ctx, keys...)
		}
		for _, command := range commands {
			pipe.Do(ctx, command...)
		}
		return nil
	})
	return err
}
