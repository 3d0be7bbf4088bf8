package jobs

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// notice is a nudge to be.
type notice struct {
	id         ledger.ID
	kind       ledger.Type
	queue      string
	generation int
	due        time.Time
}

// nudgeAll gives each of these jobs its first task. What could not be given one is found
// by the sweep.
func (c *Client) nudgeAll(ctx context.Context, notices []notice) {
	open := make([]int, len(notices))
	for i := range open {
		open[i] = i
	}
	var failed error
	lost := 0
	left := c.persist(ctx, open, func(open []int) (again []int) {
		for at, err := range c.nudgeMany(ctx, notices, open) {
			switch {
			case err == nil:
			case passing(err):
				failed, again = err, append(again, open[at])
			default:
				failed = err
				lost++
			}
		}
		return again
	})
	if n := lost + len(left); n > 0 {
		c.log.WarnContext(ctx, "jobs taken but not announced, the sweep will find them", "count", n, "err", failed)
	}
}

// nudgeMany gives tasks to the jobs at these places, in one round trip. Each has its
// error.
func (c *Client) nudgeMany(ctx context.Context, notices []notice, places []int) []error {
	if len(places) == 1 {
		return []error{c.nudge(ctx, c.asynq, notices[places[0]], 0)}
	}
	errs := make([]error, len(places))
	var noted notes
	var of []int // of each note, whose it is
	for at, place := range places {
		errs[at] = c.nudge(context.WithValue(ctx, notesKey{}, &noted), c.noting, notices[place], 0)
		for len(of) < len(noted.calls) {
			of = append(of, at)
		}
	}
	pipe := c.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(noted.calls))
	for i, call := range noted.calls {
		cmds[i] = pipe.EvalSha(ctx, call.sha1, call.keys, call.args...)
	}
	_, _ = pipe.Exec(ctx) // each command carries its own error
	rung := map[string]bool{}
	for i, cmd := range cmds {
		n := notices[places[of[i]]]
		err := cmd.Err()
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			err = c.nudge(ctx, c.asynq, n, 0)
		}
		if errs[of[i]] = err; err == nil && n.due.IsZero() && !rung[n.queue] {
			rung[n.queue] = true
			c.bell.ring(ctx, n.queue)
		}
	}
	return errs
}

// noting is the Redis client of an asynq client that enqueues many tasks: asynq enqueues
// one by one, and here its scripts are only noted down, so that they can leave together.
type noting struct{ redis.UniversalClient }

// notes are what is noted under one context.
type notes struct{ calls []scriptCall }

type notesKey struct{}

type scriptCall struct {
	sha1 string
	keys []string
	args []any
}

// EvalSha notes a script and says that it enqueued its task.
func (n noting) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	into, ok := ctx.Value(notesKey{}).(*notes)
	if !ok {
		return n.UniversalClient.EvalSha(ctx, sha1, keys, args...)
	}
	into.calls = append(into.calls, scriptCall{sha1, keys, args})
	cmd := redis.NewCmd(ctx)
	cmd.SetVal(int64(1))
	return cmd
}
