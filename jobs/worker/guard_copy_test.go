package worker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"
)

// backup is what Redis had at a moment: a directory with its files, or the commands
// that make its keys anew. The zero value is that of an empty one.
type backup struct {
	dir  string
	keys [][]any
}

// copied is what Redis has now.
func (s scene) copied() backup {
	s.t.Helper()
	if s.imitated() {
		keys, err := copyKeys(s.t.Context(), s.rdb)
		if err != nil {
			s.t.Fatal(err)
		}
		return backup{keys: keys}
	}
	to := s.t.TempDir()
	if err := os.CopyFS(to, os.DirFS(s.dir)); err != nil {
		s.t.Fatal(err)
	}
	return backup{dir: to}
}

// putBack replaces what Redis has by a copy while it is down, and starts it.
func (s scene) putBack(b backup) {
	s.t.Helper()
	if s.imitated() {
		s.putBackKeys(b.keys)
		return
	}
	s.server.Kill()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
			s.t.Fatal(err)
		}
	}
	if b.dir != "" {
		if err := os.CopyFS(s.dir, os.DirFS(b.dir)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.server.Restart()
}

// putBackKeys does it where the keys can be replaced only once Redis is up: the gate
// keeps everybody else away until then.
func (s scene) putBackKeys(commands [][]any) {
	s.t.Helper()
	s.gate.Cut()
	defer s.gate.Resume()
	s.server.Kill()
	s.server.Restart()
	_, err := s.rdb.TxPipelined(s.t.Context(), func(pipe redis.Pipeliner) error {
		pipe.FlushDB(s.t.Context())
		for _, command := range commands {
			pipe.Do(s.t.Context(), command...)
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// copyKeys reads all keys at one moment. DUMP will not do: the imitation has it for
// texts alone.
func copyKeys(ctx context.Context, rdb redis.UniversalClient) (commands [][]any, err error) {
	names, err := rdb.Keys(ctx, "*").Result()
	if err != nil {
		return nil, err
	}
	kinds := map[string]*redis.StatusCmd{}
	_, err = rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, name := range names {
			kinds[name] = pipe.Type(ctx, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var reads []func() [][]any
	_, err = rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		for name, kind := range kinds {
			read := readKey(ctx, pipe, kind.Val(), name)
			if read == nil {
				return fmt.Errorf("copy %s: a %s", name, kind.Val())
			}
			left := pipe.PTTL(ctx, name)
			reads = append(reads, read, func() [][]any {
				if left.Val() <= 0 {
					return nil
				}
				return [][]any{{"PEXPIRE", name, left.Val().Milliseconds()}}
			})
		}
		return nil
	})
	for _, read := range reads {
		commands = append(commands, read()...)
	}
	return commands, err
}

// readKey has a key read, and returns what then gives the commands that make it anew;
// nil for a kind that the ledger has none of. A stream must still have all that was
// ever added to it.
func readKey(ctx context.Context, pipe redis.Pipeliner, kind, name string) func() (commands [][]any) {
	switch kind {
	case "string":
		got := pipe.Get(ctx, name)
		return func() [][]any { return [][]any{{"SET", name, got.Val()}} }
	case "hash":
		got := pipe.HGetAll(ctx, name)
		return func() (commands [][]any) {
			for field, value := range got.Val() {
				commands = append(commands, []any{"HSET", name, field, value})
			}
			return commands
		}
	case "set":
		got := pipe.SMembers(ctx, name)
		return func() (commands [][]any) {
			for _, member := range got.Val() {
				commands = append(commands, []any{"SADD", name, member})
			}
			return commands
		}
	case "zset":
		got := pipe.ZRangeWithScores(ctx, name, 0, -1)
		return func() (commands [][]any) {
			for _, z := range got.Val() {
				commands = append(commands, []any{"ZADD", name, z.Score, z.Member})
			}
			return commands
		}
	case "stream":
		got := pipe.XRange(ctx, name, "-", "+")
		return func() (commands [][]any) {
			for _, entry := range got.Val() {
				command := []any{"XADD", name, entry.ID}
				for field, value := range entry.Values {
					command = append(command, field, value)
				}
				commands = append(commands, command)
			}
			return commands
		}
	}
	return nil
}
