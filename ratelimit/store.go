package ratelimit

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed common.lua
var commonLua string

//go:embed limit.lua
var limitLua string

//go:embed cap.lua
var capLua string

//go:embed hello.lua
var helloLua string

//go:embed take.lua
var takeLua string

//go:embed give.lua
var giveLua string

//go:embed sweep.lua
var sweepLua string

//go:embed penalize.lua
var penalizeLua string

//go:embed bye.lua
var byeLua string

//go:embed status.lua
var statusLua string

// The scripts, each the common part and its own.
var (
	scriptHello    = redis.NewScript(commonLua + limitLua + helloLua)
	scriptTake     = redis.NewScript(commonLua + limitLua + capLua + takeLua)
	scriptGive     = redis.NewScript(commonLua + limitLua + capLua + giveLua)
	scriptSweep    = redis.NewScript(commonLua + limitLua + capLua + sweepLua)
	scriptPenalize = redis.NewScript(commonLua + limitLua + penalizeLua)
	scriptBye      = redis.NewScript(commonLua + byeLua)
	scriptStatus   = redis.NewScript(commonLua + limitLua + statusLua)
)

// store runs the scripts.
type store struct {
	rdb     redis.UniversalClient
	o       *Options
	process string
	limits  []*limit // of the account
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
	reason string    // why the epoch began
	now    time.Time // by Redis' clock
	jumped bool      // Redis' clock has jumped since the last answer
	rest   []any
}

// run sends one script. The modes are those of common.lua; keys are those besides
// the state and the caps.
func (s *store) run(ctx context.Context, script *redis.Script, mode, epoch string, keys []string, args ...any) (reply, error) {
	before := time.Now()
	since, earliest, latest := s.clock.expect(before)
	argv := append([]any{s.process, epoch, since, earliest, latest, s.o.reach().Microseconds(), mode}, args...)
	keys = append([]string{s.o.stateKey(), s.o.capsKey()}, keys...)
	values, err := script.Run(ctx, s.rdb, keys, argv...).Slice()
	if err != nil {
		return reply{}, err
	}
	if len(values) < 4 {
		return reply{}, fmt.Errorf("script answered %d values", len(values))
	}
	now, _ := values[1].(int64)
	r := reply{rest: values[4:], now: time.UnixMicro(now), jumped: s.clock.heard(before, time.Now(), now)}
	r.status, _ = values[0].(string)
	r.epoch, _ = values[2].(string)
	r.reason, _ = values[3].(string)
	return r, nil
}

// terms appends number, and of each its name, number, period and number a day, of
// limits, as scripts want them.
func terms(args []any, limits []*limit) []any {
	args = append(args, len(limits))
	for _, l := range limits {
		args = append(args, l.name, l.rate.N, l.rate.Per.Microseconds(), l.perDay())
	}
	return args
}

// presented is a permit of one limit as hello takes it.
type presented struct {
	token string
	limit *limit
	left  time.Duration // of its lease
	swap  bool          // may take the place of a phantom
}

func (s *store) hello(ctx context.Context, mode, epoch string, held []presented) (reply, error) {
	limits := slices.Clone(s.limits)
	place := make(map[string]int)
	for i, l := range limits {
		place[l.name] = i + 1
	}
	for _, p := range held {
		if place[p.limit.name] == 0 {
			limits = append(limits, p.limit)
			place[p.limit.name] = len(limits)
		}
	}
	var keys []string
	for _, l := range limits {
		keys = append(keys, l.out, l.told)
	}
	args := terms(nil, limits)
	for _, p := range held {
		swap := 0
		if p.swap {
			swap = 1
		}
		args = append(args, p.token, place[p.limit.name], p.left.Microseconds(), swap)
	}
	return s.run(ctx, scriptHello, mode, epoch, keys, args...)
}

// call is one question of a line of waiters.
type call struct {
	kind   Kind
	set    []*limit
	number int64
	token  string
	asked  time.Time // before it was sent first
	lanes  string    // "otp=1@0 bulk=20@5000"

	queues []*queue             // presented
	texts  []any                // of these, as take.lua wants them
	caps   []*limit             // of these
	days   map[string][2]string // keys of the counters, by name of the cap
}

// present adds a queue.
func (c *call) present(q *queue, now time.Time) {
	b := append([]byte(q.id.lane), ' ')
	b = strconv.AppendInt(b, int64(q.open()), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, now.Sub(q.head()).Microseconds(), 10)
	for _, l := range q.limits {
		i := slices.IndexFunc(c.caps, func(o *limit) bool { return o.name == l.name })
		if i < 0 {
			i = len(c.caps)
			c.caps = append(c.caps, l)
		}
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(i+1), 10)
	}
	c.queues, c.texts = append(c.queues, q), append(c.texts, string(b))
}

func (s *store) take(ctx context.Context, epoch string, c *call) (reply, error) {
	keys := []string{s.o.waitersKey(), s.o.callKey(s.process, c.kind)}
	for _, l := range c.set {
		keys = append(keys, l.out, l.told)
	}
	args := terms([]any{string(c.kind), c.number, c.token, s.o.hold().Microseconds(), c.lanes}, c.set)
	args = append(args, len(c.caps))
	for _, l := range c.caps {
		days, end := s.days(l, s.clock.redis(c.asked))
		keys = append(keys, l.out, l.told, l.line)
		if l.cap.PerDay > 0 {
			keys = append(keys, days[0], days[1])
			if c.days == nil {
				c.days = make(map[string][2]string)
			}
			c.days[l.name] = days
		}
		args = append(args, l.name, l.rate.N, l.rate.Per.Microseconds(), l.cap.PerDay, end.UnixMicro())
	}
	return s.run(ctx, scriptTake, "", epoch, keys, append(args, c.texts...)...)
}

// returned is a permit of one limit as give takes it.
type returned struct {
	token string
	limit *limit
	delay time.Duration // 0: free at once
	day   string        // the counter that it is no longer in; "" for none
}

func (s *store) give(ctx context.Context, epoch string, back []returned) (reply, error) {
	var keys, days []string
	var limits, permits []any
	place, dayPlace := make(map[string]int), make(map[string]int)
	for _, r := range back {
		l := r.limit
		if place[l.name] == 0 {
			place[l.name] = len(place) + 1
			line, isCap := l.line, 1
			if l.cap == nil {
				line, isCap = l.told, 0
			}
			keys = append(keys, l.out, l.told, line)
			limits = append(limits, l.name, isCap)
		}
		if r.day != "" && dayPlace[r.day] == 0 {
			days = append(days, r.day)
			dayPlace[r.day] = len(days)
		}
		permits = append(permits, r.token, place[l.name], r.delay.Microseconds(), dayPlace[r.day])
	}
	args := append([]any{s.o.hold().Microseconds(), len(place)}, limits...)
	return s.run(ctx, scriptGive, "", epoch, append(keys, days...), append(args, permits...)...)
}

// sweep removes what is left of caps that may be idle.
func (s *store) sweep(ctx context.Context, epoch string, names []any) (reply, error) {
	var keys []string
	for _, v := range names {
		name, _ := v.(string)
		l := s.capNamed(name)
		keys = append(keys, l.out, l.told, l.line)
	}
	return s.run(ctx, scriptSweep, "", epoch, keys, names...)
}

func (s *store) penalize(ctx context.Context, epoch, limit string, d time.Duration, granted int64) (reply, error) {
	return s.run(ctx, scriptPenalize, "", epoch, nil, limit, d.Microseconds(), granted, s.o.Recovery.Microseconds())
}

func (s *store) bye(ctx context.Context, epoch string) (reply, error) {
	keys := []string{s.o.waitersKey()}
	for _, l := range s.limits {
		keys = append(keys, l.told)
	}
	return s.run(ctx, scriptBye, "", epoch, keys)
}

// status returns an answer for each limit of the account, and who waits.
func (s *store) status(ctx context.Context) (limits [][]any, waiting []any, err error) {
	keys := []string{s.o.stateKey(), s.o.waitersKey()}
	var lanes []string
	for _, lane := range Lanes() {
		lanes = append(lanes, string(lane))
	}
	args := []any{strings.Join(lanes, " ")}
	for _, l := range s.limits {
		keys = append(keys, l.out, l.told)
		args = append(args, l.name)
	}
	values, err := scriptStatus.Run(ctx, s.rdb, keys, args...).Slice()
	if err == nil && len(values) != len(s.limits)+1 {
		err = fmt.Errorf("script answered %d values", len(values))
	}
	if err != nil {
		return nil, nil, err
	}
	for _, v := range values[:len(s.limits)] {
		fields, _ := v.([]any)
		if len(fields) != 6 {
			return nil, nil, fmt.Errorf("script answered %d values of a limit", len(fields))
		}
		limits = append(limits, fields)
	}
	waiting, _ = values[len(s.limits)].([]any)
	return limits, waiting, nil
}
