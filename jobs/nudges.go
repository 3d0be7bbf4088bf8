package jobs

import (
	"context"
	"fmt"
	"slices"
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
	calls := c.nudgeCalls(ctx, notices, places, errs)
	pipe := c.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(calls))
	for i, call := range calls {
		cmds[i] = pipe.EvalSha(ctx, call.sha1, call.keys, call.args...)
	}
	_, _ = pipe.Exec(ctx) // each command carries its own error
	rung := map[string]bool{}
	for i, call := range calls {
		n, err := notices[places[call.of[0]]], cmds[i].Err()
		switch {
		case !redis.HasErrorPrefix(err, "NOSCRIPT"):
		case call.sha1 == nudgeScript.Hash():
			err = nudgeScript.Eval(ctx, c.rdb, call.keys, call.args...).Err()
		default:
			err = c.nudge(ctx, c.asynq, n, 0)
		}
		for _, at := range call.of {
			errs[at] = err
		}
		if err == nil && n.due.IsZero() && !rung[n.queue] {
			rung[n.queue] = true
			c.bell.ring(ctx, n.queue)
		}
	}
	return errs
}

// nudgeCall is a script that gives tasks to some jobs.
type nudgeCall struct {
	scriptCall
	of []int // whose they are
}

// nudgeCalls are scripts for the jobs at these places. What cannot have one has its error.
func (c *Client) nudgeCalls(ctx context.Context, notices []notice, places []int, errs []error) []nudgeCall {
	calls := make([]nudgeCall, 0, len(places)/nudgesAtOnce+8)
	alike := map[kindOfNudge][]int{}
	var kinds []kindOfNudge // in their order
	for at, place := range places {
		n := notices[place]
		kind := kindOfNudge{n.kind, n.queue, n.generation, n.due.IsZero()}
		if alike[kind] == nil {
			kinds = append(kinds, kind)
		}
		alike[kind] = append(alike[kind], at)
	}
	for _, kind := range kinds {
		of := alike[kind]
		if kind.atOnce {
			m, err := c.mouldOf(ctx, notices[places[of[0]]])
			switch {
			case err != nil:
				for _, at := range of {
					errs[at] = err
				}
				continue
			case m != nil:
				for part := range slices.Chunk(of, nudgesAtOnce) {
					calls = append(calls, nudgeCall{m.call(notices, places, part), part})
				}
				continue
			}
		}
		for _, at := range of {
			call, err := c.noted(ctx, notices[places[at]])
			if errs[at] = err; err == nil {
				calls = append(calls, nudgeCall{call, []int{at}})
			}
		}
	}
	return calls
}

// noted is the script with which asynq would enqueue a job's task.
func (c *Client) noted(ctx context.Context, n notice) (scriptCall, error) {
	var into notes
	if err := c.nudge(context.WithValue(ctx, notesKey{}, &into), c.noting, n, 0); err != nil {
		return scriptCall{}, err
	}
	if len(into.calls) != 1 {
		return scriptCall{}, fmt.Errorf("nudge: asynq enqueues by %d scripts", len(into.calls))
	}
	return into.calls[0], nil
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
