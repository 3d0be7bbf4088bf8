package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrNotDurable says that Redis took a write, and did not report in time that it is
// on its disk: it may be lost in a power cut.
var ErrNotDurable = errors.New("redis does not report the write to be on its disk")

// diskPatience is how long the disk is waited for. A file that is synced each second
// takes up to a second or two.
const diskPatience = 2500 * time.Millisecond

// begin runs the script of [Ledger.Begin]; one that only looks writes nothing down.
func (l *Ledger) begin(ctx context.Context, in Intent, call []any) reply {
	if in.Token == "" {
		return l.run(ctx, scriptBegin, call...)
	}
	return l.runDurably(ctx, scriptBegin, [][]any{call})[0]
}

// runDurably is runMany, but with [Options.Durable] an answer means that all of it is
// on Redis' disk: else it is [ErrNotDurable].
func (l *Ledger) runDurably(ctx context.Context, s *redis.Script, calls [][]any) []reply {
	if !l.durable {
		return l.runMany(ctx, s, calls)
	}
	replies := make([]reply, len(calls))
	if len(calls) == 0 {
		return replies
	}
	all := make([]int, len(calls))
	for i := range all {
		all[i] = i
	}
	// A server that was restarted does not know the script; loading it takes a turn.
	for range 3 {
		all = l.pipelineDurably(ctx, s, calls, replies, all)
		if len(all) == 0 {
			return replies
		}
		if err := s.Load(ctx, l.rdb).Err(); err != nil {
			for _, i := range all {
				replies[i] = reply{err: err}
			}
			return replies
		}
	}
	return replies
}

// pipelineDurably runs the calls at these places and waits for the disk, all on one
// connection, since Redis waits for what its connection wrote. It returns those that
// found no script.
func (l *Ledger) pipelineDurably(ctx context.Context, s *redis.Script, calls [][]any, replies []reply, places []int) (unknown []int) {
	node, err := l.node(ctx)
	if err != nil {
		for _, i := range places {
			replies[i] = reply{err: err}
		}
		return nil
	}
	pipe := node.Pipeline()
	cmds := make([]*redis.Cmd, len(places))
	for at, i := range places {
		cmds[at] = s.EvalSha(ctx, pipe, []string{l.prefix}, calls[i]...)
	}
	// A script that repeats an earlier answer writes nothing, though what it answers
	// may not be on the disk yet. This write comes after it.
	pipe.Incr(ctx, l.key("synced"))
	synced := pipe.Do(ctx, "WAITAOF", 1, 0, diskPatience.Milliseconds())
	_, _ = pipe.Exec(ctx) // each command carries its own error
	undone := notDurable(synced)
	for at, i := range places {
		replies[i] = toReply(cmds[at])
		switch {
		case redis.HasErrorPrefix(replies[i].err, "NOSCRIPT"):
			unknown = append(unknown, i)
		case replies[i].err == nil && undone != nil:
			replies[i] = reply{err: undone}
		}
	}
	return unknown
}

func notDurable(synced *redis.Cmd) error {
	reached, err := synced.Int64Slice()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotDurable, err)
	case len(reached) == 0 || reached[0] < 1:
		return fmt.Errorf("%w within %v", ErrNotDurable, diskPatience)
	}
	return nil
}

// node is the server that has the ledger's keys.
func (l *Ledger) node(ctx context.Context) (redis.Cmdable, error) {
	if cluster, ok := l.rdb.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, l.prefix)
	}
	return l.rdb, nil
}
