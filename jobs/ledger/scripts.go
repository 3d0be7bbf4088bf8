package ledger

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed common.lua
var commonLua string

//go:embed record.lua
var recordLua string

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
	scriptCreate  = redis.NewScript(numbered("local counts = {}\n" + recordLua + commonLua + coldLua + createLua))
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
	scriptBreaker = framed("", breakerLua)
)

// script puts the common parts before a script's own.
func script(own string) *redis.Script { return framed(recordLua+commonLua+coldLua+claimsLua, own) }

// reasonLua is how scripts write the code of a reason.
var reasonLua = regexp.MustCompile(`\bREASON\.(\w+)`)

// numbered replaces the reasons by their codes: a table of them would be made anew each
// time that a script runs.
func numbered(lua string) string {
	return reasonLua.ReplaceAllStringFunc(lua, func(name string) string {
		return strconv.Itoa(int(Reason(strings.TrimPrefix(name, "REASON.")).code()))
	})
}

// framed makes a script that runs its own part for each of several calls, with the
// arguments of each as ARGV: what is common to them is paid for once. A call that fails
// is answered with its error, and leaves the others alone.
func framed(common, own string) *redis.Script {
	return redis.NewScript(numbered("local counts = {}\n" + common + "local function one(ARGV)\n" + own + frameLua))
}

// frameLua follows the own part. ARGV  1 number of arguments of each call, then those of
// one after the other. It returns a list of answers.
const frameLua = `
end
local size, answers = tonumber(ARGV[1]), {}
for at = 2, #ARGV, size do
  local ok, answer = pcall(one, {unpack(ARGV, at, at + size - 1)})
  if not ok and type(answer) ~= 'table' then answer = redis.error_reply(tostring(answer)) end
  answers[#answers + 1] = answer
end
for key, fields in pairs(counts) do
  for field, by in pairs(fields) do
    if by ~= 0 then redis.call('HINCRBY', key, field, by) end
  end
end
return answers`

// frameMost is how many calls run as one at most: some milliseconds of Redis' time.
const frameMost = 32

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

// run runs a script once.
func (l *Ledger) run(ctx context.Context, s *redis.Script, args ...any) reply {
	calls := [][]any{args}
	return toReplies(s.Run(ctx, l.rdb, []string{l.prefix}, frame(calls)...), 1)[0]
}

// frame are the arguments of a script that is to run for these calls, which have as
// many each.
func frame(calls [][]any) []any {
	args := make([]any, 1, 1+len(calls)*len(calls[0]))
	args[0] = len(calls[0])
	for _, call := range calls {
		args = append(args, call...)
	}
	return args
}

// runMany runs a script for each list of arguments, in one round trip, or three when
// Redis has forgotten the script.
func (l *Ledger) runMany(ctx context.Context, s *redis.Script, calls [][]any) []reply {
	replies := make([]reply, len(calls))
	parts := partsOf(calls)
	if len(parts) == 0 {
		return replies
	}
	unknown := l.pipeline(ctx, s, calls, replies, parts)
	if len(unknown) == 0 {
		return replies
	}
	if err := s.Load(ctx, l.rdb).Err(); err == nil {
		unknown = l.pipeline(ctx, s, calls, replies, unknown)
	}
	for _, at := range unknown { // forgotten again, or not to be loaded
		for i := at.from; i < at.to; i++ {
			replies[i] = l.run(ctx, s, calls[i]...)
		}
	}
	return replies
}

// part is some calls that run as one.
type part struct{ from, to int }

// partsOf are the calls in such parts.
func partsOf(calls [][]any) (parts []part) {
	for i, call := range calls {
		last := len(parts) - 1
		if last < 0 || i-parts[last].from == frameMost || len(call) != len(calls[parts[last].from]) {
			parts = append(parts, part{i, i + 1})
			continue
		}
		parts[last].to = i + 1
	}
	return parts
}

// pipeline runs these parts of the calls and returns those that found no script.
func (l *Ledger) pipeline(ctx context.Context, s *redis.Script, calls [][]any, replies []reply, parts []part) (unknown []part) {
	pipe := l.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(parts))
	for i, at := range parts {
		cmds[i] = s.EvalSha(ctx, pipe, []string{l.prefix}, frame(calls[at.from:at.to])...)
	}
	// Each command carries its own error.
	_, _ = pipe.Exec(ctx)
	for i, at := range parts {
		copy(replies[at.from:at.to], toReplies(cmds[i], at.to-at.from))
		if redis.HasErrorPrefix(cmds[i].Err(), "NOSCRIPT") {
			unknown = append(unknown, at)
		}
	}
	return unknown
}

// toReplies reads the answers to n calls.
func toReplies(cmd *redis.Cmd, n int) []reply {
	replies := make([]reply, n)
	answers, err := cmd.Slice()
	if err == nil && len(answers) != n {
		err = fmt.Errorf("a script answered %d calls, not %d", len(answers), n)
	}
	for i := range replies {
		if err != nil {
			replies[i].err = err
			continue
		}
		switch answer := answers[i].(type) {
		case []any:
			replies[i].items = answer
		case error:
			replies[i].err = answer
		default:
			replies[i].err = errors.New("a script answered no list")
		}
		switch replies[i].text(0) {
		case "missing":
			replies[i].err = ErrNotFound
		case "newer":
			replies[i].err = ErrNewerVersion
		}
	}
	return replies
}
