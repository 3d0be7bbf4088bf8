package ledger

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed common.lua
var commonLua string

//go:embed cold.lua
var coldLua string

//go:embed claims.lua
var claimsLua string

//go:embed resolve.lua
var resolveLua string

//go:embed prove.lua
var proveLua string

//go:embed queued.lua
var queuedLua string

//go:embed rule.lua
var ruleLua string

//go:embed create.lua
var createLua string

//go:embed begin.lua
var beginLua string

//go:embed settle.lua
var settleLua string

//go:embed overdue.lua
var overdueLua string

//go:embed adopt.lua
var adoptLua string

//go:embed cancel.lua
var cancelLua string

//go:embed refine.lua
var refineLua string

//go:embed get.lua
var getLua string

//go:embed claim.lua
var claimLua string

//go:embed reword.lua
var rewordLua string

//go:embed renudge.lua
var renudgeLua string

//go:embed breaker.lua
var breakerLua string

// The scripts, each the common part and its own.
var (
	scriptCreate  = script(createLua)
	scriptBegin   = script(beginLua)
	scriptSettle  = script(settleLua)
	scriptOverdue = script(overdueLua)
	scriptAdopt   = script(adoptLua)
	scriptCancel  = script(cancelLua)
	scriptRefine  = script(refineLua)
	scriptGet     = script(getLua)
	scriptClaim   = script(claimLua)
	scriptReword  = script(rewordLua)
	scriptRenudge = script(renudgeLua)
	scriptResolve = script(resolveLua)
	scriptProve   = script(proveLua)
	scriptQueued  = script(queuedLua)
	scriptRule    = script(ruleLua)
	scriptBreaker = redis.NewScript(breakerLua)
)

// script puts the common parts before a script's own, and the bytes of the reasons
// that scripts give by themselves before both.
func script(own string) *redis.Script {
	var table strings.Builder
	for i, r := range reasons()[1:] {
		fmt.Fprintf(&table, "%s=%d,", r, i+1)
	}
	return redis.NewScript("local REASON = {" + table.String() + "}\n" + commonLua + coldLua + claimsLua + own)
}

// reply is a script's answer: a list of texts and integers.
type reply struct {
	items []any
	err   error
}

func (r reply) text(i int) string {
	if i < len(r.items) {
		switch v := r.items[i].(type) {
		case string:
			return v
		case int64:
			return fmt.Sprint(v)
		}
	}
	return ""
}

func (r reply) int(i int) int64 {
	if i < len(r.items) {
		switch v := r.items[i].(type) {
		case int64:
			return v
		case string:
			return number(v)
		}
	}
	return 0
}

func (l *Ledger) run(ctx context.Context, s *redis.Script, args ...any) reply {
	return toReply(s.Run(ctx, l.rdb, []string{l.prefix}, args...))
}

// runMany runs a script for each list of arguments, in one round trip, or three when
// Redis has forgotten the script.
func (l *Ledger) runMany(ctx context.Context, s *redis.Script, calls [][]any) []reply {
	if len(calls) == 1 {
		return []reply{l.run(ctx, s, calls[0]...)}
	}
	replies := make([]reply, len(calls))
	if len(calls) == 0 {
		return replies
	}
	all := make([]int, len(calls))
	for i := range all {
		all[i] = i
	}
	unknown := l.pipeline(ctx, s, calls, replies, all)
	if len(unknown) == 0 {
		return replies
	}
	if err := s.Load(ctx, l.rdb).Err(); err == nil {
		unknown = l.pipeline(ctx, s, calls, replies, unknown)
	}
	for _, i := range unknown { // forgotten again, or not to be loaded
		replies[i] = l.run(ctx, s, calls[i]...)
	}
	return replies
}

// pipeline runs the calls at these places and returns those that found no script.
func (l *Ledger) pipeline(ctx context.Context, s *redis.Script, calls [][]any, replies []reply, places []int) (unknown []int) {
	pipe := l.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(places))
	for at, i := range places {
		cmds[at] = s.EvalSha(ctx, pipe, []string{l.prefix}, calls[i]...)
	}
	// Each command carries its own error.
	_, _ = pipe.Exec(ctx)
	for at, i := range places {
		if replies[i] = toReply(cmds[at]); redis.HasErrorPrefix(replies[i].err, "NOSCRIPT") {
			unknown = append(unknown, i)
		}
	}
	return unknown
}

func toReply(cmd *redis.Cmd) reply {
	value, err := cmd.Result()
	if err != nil {
		return reply{err: err}
	}
	items, ok := value.([]any)
	if !ok {
		return reply{err: errors.New("a script answered no list")}
	}
	r := reply{items: items}
	switch r.text(0) {
	case "missing":
		r.err = ErrNotFound
	case "newer":
		r.err = ErrNewerVersion
	}
	return r
}
