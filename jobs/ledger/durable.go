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
	if in.Token == "" || !l.durable {
		return l.runTogether(ctx, scriptBegin, call...)
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
	all := partsOf(calls)
	if len(all) == 0 {
		return replies
	}
	// A server that was restarted does not know the script; loading it takes a turn.
	for range 3 {
		all = l.pipelineDurably(ctx, s, calls, replies, all)
		if len(all) == 0 {
			return replies
		}
		if err := s.Load(ctx, l.rdb).Err(); err != nil {
			fill(replies, all, err)
			return replies
		}
	}
	return replies
}

// pipelineDurably runs the calls at these places and waits for the disk, all on one
// connection, since Redis waits for what its connection wrote. It returns those that
// found no script.
func (l *Ledger) pipelineDurably(ctx context.Context, s *redis.Script, calls [][]any, replies []reply, parts []part) (unknown []part) {
	node, err := nodeOf(ctx, l.rdb, l.prefix)
	if err != nil {
		fill(replies, parts, err)
		return nil
	}
	pipe := node.Pipeline()
	cmds := make([]*redis.Cmd, len(parts))
	for i, at := range parts {
		cmds[i] = s.EvalSha(ctx, pipe, []string{l.prefix}, frame(calls[at.from:at.to])...)
	}
	// A script that repeats an earlier answer writes nothing, though what it answers
	// may not be on the disk yet. This write comes after it.
	pipe.Incr(ctx, l.key("synced"))
	synced := pipe.Do(ctx, "WAITAOF", 1, 0, diskPatience.Milliseconds())
	_, _ = pipe.Exec(ctx) // each command carries its own error
	undone := notDurable(synced)
	for i, at := range parts {
		copy(replies[at.from:at.to], toReplies(cmds[i], at.to-at.from))
		switch {
		case redis.HasErrorPrefix(cmds[i].Err(), "NOSCRIPT"):
			unknown = append(unknown, at)
		case undone != nil:
			for k := at.from; k < at.to; k++ {
				if replies[k].err == nil {
					replies[k] = reply{err: undone}
				}
			}
		}
	}
	return unknown
}

// WaitForDisk waits until everything that was written before is on the disk of the server
// with these keys: also what somebody else wrote, and is only found to be known. Errors:
// [ErrNotDurable].
func WaitForDisk(ctx context.Context, rdb redis.UniversalClient, prefix string) error {
	node, err := nodeOf(ctx, rdb, prefix)
	if err != nil {
		return err
	}
	pipe := node.Pipeline()
	// Redis waits for the last write of the connection, and what came before it.
	pipe.Incr(ctx, prefix+"synced")
	synced := pipe.Do(ctx, "WAITAOF", 1, 0, diskPatience.Milliseconds())
	_, _ = pipe.Exec(ctx) // each command carries its own error
	return notDurable(synced)
}

func fill(replies []reply, parts []part, err error) {
	for _, at := range parts {
		for i := at.from; i < at.to; i++ {
			replies[i] = reply{err: err}
		}
	}
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

// nodeOf is the server that has the keys with this prefix.
func nodeOf(ctx context.Context, rdb redis.UniversalClient, prefix string) (redis.Cmdable, error) {
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, prefix)
	}
	return rdb, nil
}
