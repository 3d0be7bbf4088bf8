package ratelimit

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed common.lua
var commonLua string

//go:embed hello.lua
var helloLua string

//go:embed take.lua
var takeLua string

//go:embed give.lua
var giveLua string

//go:embed penalize.lua
var penalizeLua string

//go:embed bye.lua
var byeLua string

//go:embed status.lua
var statusLua string

// The scripts, each the common part and its own.
var (
	scriptHello    = redis.NewScript(commonLua + helloLua)
	scriptTake     = redis.NewScript(commonLua + takeLua)
	scriptGive     = redis.NewScript(commonLua + giveLua)
	scriptPenalize = redis.NewScript(commonLua + penalizeLua)
	scriptBye      = redis.NewScript(commonLua + byeLua)
	scriptStatus   = redis.NewScript(statusLua)
)

// store runs the scripts.
type store struct {
	rdb     redis.UniversalClient
	o       *Options
	process string
	limits  []limit
	clock   *watch
}

// Answers of the scripts.
const (
	answerOK      = "ok"
	answerGranted = "granted"
	answerWait    = "wait"
	answerEpoch   = "epoch"
	answerClock   = "clock"
	answerStale   = "stale"
)

// reply is what every script but status answers.
type reply struct {
	status string
	epoch  string
	reason string // why the epoch began
	jumped bool   // Redis' clock has jumped since the last answer
	rest   []any
}

// run sends one script. The modes are those of common.lua.
func (s *store) run(ctx context.Context, script *redis.Script, mode, epoch string, keys []string, args ...any) (reply, error) {
	before := time.Now()
	since, earliest, latest := s.clock.expect(before)
	argv := append([]any{s.process, epoch, since, earliest, latest, s.o.reach().Microseconds(), mode}, args...)
	values, err := script.Run(ctx, s.rdb, keys, argv...).Slice()
	if err != nil {
		return reply{}, err
	}
	if len(values) < 4 {
		return reply{}, fmt.Errorf("script answered %d values", len(values))
	}
	now, _ := values[1].(int64)
	r := reply{rest: values[4:], jumped: s.clock.heard(before, time.Now(), now)}
	r.status, _ = values[0].(string)
	r.epoch, _ = values[2].(string)
	r.reason, _ = values[3].(string)
	return r, nil
}

// terms appends name, number and period of limits, as scripts want them.
func (s *store) terms(args []any, set []int) []any {
	args = append(args, len(set))
	for _, i := range set {
		r := s.limits[i].rate
		args = append(args, s.limits[i].name, r.N, r.Per.Microseconds())
	}
	return args
}

func (s *store) every() []int {
	set := make([]int, len(s.limits))
	for i := range set {
		set[i] = i
	}
	return set
}

// presented is a permit of one limit as hello takes it.
type presented struct {
	token string
	limit int
	left  time.Duration // of its lease
	swap  bool          // may take the place of a phantom
}

func (s *store) hello(ctx context.Context, mode, epoch string, held []presented) (reply, error) {
	keys := []string{s.o.stateKey()}
	for _, l := range s.limits {
		keys = append(keys, l.out, l.told)
	}
	args := s.terms(nil, s.every())
	for _, p := range held {
		swap := 0
		if p.swap {
			swap = 1
		}
		args = append(args, p.token, p.limit+1, p.left.Microseconds(), swap)
	}
	return s.run(ctx, scriptHello, mode, epoch, keys, args...)
}

// call is one question of a line of waiters.
type call struct {
	kind   Kind
	set    []int
	number int64
	token  string
	lanes  string // "otp=1 bulk=20"
}

func (s *store) take(ctx context.Context, epoch string, c call) (reply, error) {
	keys := []string{s.o.stateKey(), s.o.waitersKey(), s.o.callKey(s.process, c.kind)}
	for _, i := range c.set {
		keys = append(keys, s.limits[i].out, s.limits[i].told)
	}
	args := s.terms([]any{string(c.kind), c.number, c.token, s.o.hold().Microseconds(), c.lanes}, c.set)
	return s.run(ctx, scriptTake, "", epoch, keys, args...)
}

// returned is a permit as give takes it.
type returned struct {
	token string
	delay time.Duration // 0: free at once
}

func (s *store) give(ctx context.Context, epoch string, limit int, back []returned) (reply, error) {
	l := s.limits[limit]
	args := []any{s.o.hold().Microseconds(), l.name}
	for _, r := range back {
		args = append(args, r.token, r.delay.Microseconds())
	}
	return s.run(ctx, scriptGive, "", epoch, []string{s.o.stateKey(), l.out}, args...)
}

func (s *store) penalize(ctx context.Context, epoch, limit string, d time.Duration) (reply, error) {
	return s.run(ctx, scriptPenalize, "", epoch, []string{s.o.stateKey()}, limit, d.Microseconds())
}

func (s *store) bye(ctx context.Context, epoch string) (reply, error) {
	keys := []string{s.o.stateKey(), s.o.waitersKey()}
	for _, l := range s.limits {
		keys = append(keys, l.told)
	}
	return s.run(ctx, scriptBye, "", epoch, keys)
}

func (s *store) status(ctx context.Context) ([]any, error) {
	keys := []string{s.o.stateKey(), s.o.waitersKey()}
	var names []any
	for _, l := range s.limits {
		keys = append(keys, l.out, l.told)
		names = append(names, l.name)
	}
	values, err := scriptStatus.Run(ctx, s.rdb, keys, names...).Slice()
	if err == nil && len(values) != len(names)+1 {
		err = fmt.Errorf("script answered %d values", len(values))
	}
	return values, err
}
