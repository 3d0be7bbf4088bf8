package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	// expressMost is how many tasks of a queue an express has at once at most.
	expressMost = 256
	// expressGather is how long a busy express waits between two calls of Redis: the more
	// tasks one call is about, the less each costs both sides.
	expressGather = time.Millisecond
	// expressLease is how long asynq's leases last, and expressExtend how often they are
	// extended.
	expressLease  = 30 * time.Second
	expressExtend = 5 * time.Second
	// expressAgain is how long a task rests whose handler failed.
	expressAgain = 2 * time.Second
)

// express takes the nudges of one queue of messages many at a time where no limit makes
// them wait: asynq asks Redis twice about each, and starts goroutines for it, which
// together cost as much as posting the message. To everybody else its tasks look like
// asynq's: active, leased, counted when they are done. Tasks of other apps are left to
// asynq, whose options for them count.
type express struct {
	*Worker
	queue string
	keys  queueKeys
	bell  chan struct{} // there may be tasks
	// wake tells asynq of a task that is not for the express, and others that there is one.
	wake   func()
	others atomic.Bool

	returned chan ride // those whose handlers have ended

	// Of the goroutine that runs it:
	more     bool            // there may be tasks
	finished []ride          // of these Redis is to be told that they are over
	held     map[string]bool // the ids of those that have not left
}

// ride is one task.
type ride struct {
	id      string
	payload []byte
	err     error // of its handler
}

func newExpress(w *Worker, queue string, wake func()) *express {
	return &express{
		Worker: w, queue: queue, keys: keysOf(queue), bell: make(chan struct{}, 1), wake: wake,
		returned: make(chan ride, min(w.o.Concurrency, expressMost)), held: map[string]bool{},
	}
}

// ring says that there may be tasks.
func (e *express) ring() {
	select {
	case e.bell <- struct{}{}:
	default:
	}
}

// run takes tasks until ctx ends, and returns when none is left: those that run then are
// awaited until the shutdown time is over, and given back.
func (e *express) run(ctx context.Context) {
	handling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	extend := time.NewTicker(expressExtend)
	defer extend.Stop()
	for e.more = true; e.wait(ctx, handling, extend.C); {
		e.round(handling)
	}
}

// wait returns when there is something to tell Redis or to ask it for; false: at the end.
func (e *express) wait(ctx, handling context.Context, extend <-chan time.Time) bool {
	draining := ctx.Done()
	for {
		select { // whatever else there is
		case <-e.ended:
			e.giveBack(handling)
			return false
		case <-extend:
			e.extend(handling)
		default:
		}
		if ctx.Err() != nil {
			e.more, draining = false, nil
			if len(e.held) == 0 {
				return false
			}
		}
		if len(e.finished) > 0 || e.more && len(e.held) < cap(e.returned) {
			return true
		}
		select {
		case <-e.bell:
			e.more = true
		case r := <-e.returned:
			e.finished = append(e.finished, r)
		case <-extend:
			e.extend(handling)
		case <-draining:
		case <-e.ended:
		}
	}
}

// round lets those that are over leave, and takes as many others as there is room for.
func (e *express) round(ctx context.Context) {
	if len(e.held) > 0 {
		<-time.After(expressGather)
	}
	for len(e.returned) > 0 {
		e.finished = append(e.finished, <-e.returned)
	}
	want := 0
	if e.more {
		want = cap(e.returned) - len(e.held) + len(e.finished)
	}
	taken, err := e.turn(ctx, e.finished, want)
	if err == nil {
		e.finished, e.more = e.finished[:0], e.more && taken == want
		return
	}
	e.log.WarnContext(ctx, "tasks not taken", "queue", e.queue, "err", err)
	select {
	case <-time.After(outagePause):
	case <-e.ended:
	}
}

// attend is one ride.
func (e *express) attend(ctx context.Context, r ride) {
	defer func() {
		if p := recover(); p != nil {
			r.err = fmt.Errorf("panic: %v", p)
			e.log.LogAttrs(ctx, slog.LevelError, "handler panicked", slog.String("task_id", r.id), slog.Any("err", r.err))
		}
		e.returned <- r
	}()
	r.err = e.handleTask(ctx, asynq.NewTask(string(ledger.SendMessage), r.payload), r.id, e.queue)
}

// turnScript lets the tasks that are over leave and takes others, the oldest first, up to
// the first that is no nudge of a message.
// KEYS  1 pending, 2 active, 3 lease, 4 retry, 5 paused, 6 processed today, 7 processed
// ARGV  1 what a task's key begins with, 2 end of the leases (s), 3 how many to take, 4 when
// today's count lapses (s), 5 how many are done, their ids, and of each other one that is
// over its id and when it is due (s; 0: at once)
// returns the number of those taken; id and payload of each; 1 when another task follows
var turnScript = redis.NewScript(`
local prefix, at = ARGV[1], 5
local function mine(id)
  redis.call('ZREM', KEYS[3], id)
  return redis.call('LREM', KEYS[2], -1, id) > 0
end
local done = 0
for i = 6, 5 + ARGV[5] do
  if mine(ARGV[i]) then done = done + redis.call('DEL', prefix .. ARGV[i]) end
  at = i
end
if done > 0 then
  if redis.call('INCRBY', KEYS[6], done) == done then redis.call('EXPIREAT', KEYS[6], ARGV[4]) end
  redis.call('INCRBY', KEYS[7], done)
end
for i = at + 1, #ARGV, 2 do
  local id, due = ARGV[i], ARGV[i + 1]
  if mine(id) then
    if due == '0' then redis.call('RPUSH', KEYS[1], id) else redis.call('ZADD', KEYS[4], due, id) end
    redis.call('HSET', prefix .. id, 'state', due == '0' and 'pending' or 'retry')
  end
end
local most, taken, rest = tonumber(ARGV[3]), {}, 0
if most == 0 or redis.call('EXISTS', KEYS[5]) == 1 then return {0, 0} end
local ids, reply, leases = redis.call('LRANGE', KEYS[1], -most, -1), {0}, {}
for i = #ids, 1, -1 do
  local id = ids[i]
  local msg = redis.pcall('HGET', prefix .. id, 'msg')
  -- What asynq writes: the type, and the payload if it has less than 128 bytes.
  if type(msg) ~= 'string' or string.sub(msg, 1, 15) ~= '\10\12send-message\18' then rest = 1 break end
  local payload = string.sub(msg, 17, 16 + string.byte(msg, 16))
  if not string.find(payload, '^{"v":1,"job":"[%x-]+","gen":%d+}$') then rest = 1 break end
  taken[#taken + 1] = id
  reply[#reply + 1] = id
  reply[#reply + 1] = payload
  leases[#leases + 1] = ARGV[2]
  leases[#leases + 1] = id
  redis.call('HSET', prefix .. id, 'state', 'active')
  redis.call('HDEL', prefix .. id, 'pending_since')
end
if #taken > 0 then
  redis.call('LTRIM', KEYS[1], 0, -1 - #taken)
  redis.call('LPUSH', KEYS[2], unpack(taken))
  redis.call('ZADD', KEYS[3], unpack(leases))
end
reply[1] = #taken
reply[#reply + 1] = rest
return reply`)

// turn lets those that are over leave, and sets others out, at most so many.
func (e *express) turn(ctx context.Context, over []ride, want int) (taken int, err error) {
	rides, others, err := e.exchange(ctx, over, want)
	if err != nil {
		return 0, err
	}
	for _, r := range over {
		delete(e.held, r.id)
	}
	for _, r := range rides {
		e.held[r.id] = true
		e.crew.start(func() error { e.attend(ctx, r); return nil })
	}
	if e.others.Store(others); others {
		e.wake()
	}
	return len(rides), nil
}

// exchange makes the call.
func (e *express) exchange(ctx context.Context, over []ride, want int) (taken []ride, others bool, err error) {
	now := time.Now()
	args := []any{e.keys.prefix + "t:", now.Add(expressLease).Unix(), want, now.Add(90 * 24 * time.Hour).Unix(), 0}
	done := 0
	for _, r := range over {
		if r.err == nil {
			args = append(args, r.id)
			done++
		}
	}
	args[4] = done
	for _, r := range over {
		if r.err != nil {
			args = append(args, r.id, e.due(now, r.err))
		}
	}
	keys := []string{e.keys.pending, e.keys.active, e.keys.lease, e.keys.retry, e.keys.prefix + "paused",
		e.keys.prefix + "processed:" + now.UTC().Format(time.DateOnly), e.keys.prefix + "processed"}
	reply, err := turnScript.Run(ctx, e.o.Redis, keys, args...).Slice()
	if err != nil {
		return nil, false, fmt.Errorf("take tasks: %w", err)
	}
	n, _ := reply[0].(int64)
	if len(reply) != int(2+2*n) {
		return nil, false, fmt.Errorf("take tasks: %d parts for %d of them", len(reply), n)
	}
	for i := 1; i <= int(2*n); i += 2 {
		id, _ := reply[i].(string)
		payload, _ := reply[i+1].(string)
		taken = append(taken, ride{id: id, payload: []byte(payload)})
	}
	last, _ := reply[len(reply)-1].(int64)
	return taken, last == 1, nil
}

// due is when a task is to be looked at again, in whole seconds as asynq keeps them; 0: at
// once, by whoever comes first.
func (e *express) due(now time.Time, err error) int64 {
	after := expressAgain
	if !isFailure(err) {
		after = retryDelay(0, err, nil)
	}
	if after <= 0 {
		select {
		case <-e.draining:
			return 0
		default:
		}
	}
	return now.Add(after).Unix()
}

// extend keeps others from giving the tasks to somebody else.
func (e *express) extend(ctx context.Context) {
	if len(e.held) == 0 {
		return
	}
	until := float64(time.Now().Add(expressLease).Unix())
	leases := make([]redis.Z, 0, len(e.held))
	for id := range e.held {
		leases = append(leases, redis.Z{Score: until, Member: id})
	}
	if err := e.o.Redis.ZAddXX(ctx, e.keys.lease, leases...).Err(); err != nil {
		e.log.WarnContext(ctx, "leases of tasks not extended", "queue", e.queue, "err", err)
	}
}

// giveBack lets others have the tasks whose handlers have not ended in time.
func (e *express) giveBack(ctx context.Context) {
	var left []ride
	for id := range e.held {
		left = append(left, ride{id: id, err: deferral{}})
	}
	if _, err := e.turn(ctx, left, 0); err != nil {
		e.log.WarnContext(ctx, "tasks not given back, their leases will lapse", "queue", e.queue, "count", len(left), "err", err)
	}
}
