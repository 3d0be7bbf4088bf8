package ledger

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// together runs the calls of many goroutines as one: those that come while others are on
// their way leave together. A call that comes alone goes at once.
type together struct {
	mu      sync.Mutex
	waiting map[*redis.Script][]*lone
	flying  map[*redis.Script]bool // one run at a time: the more come meanwhile, the less each costs
}

// lone is one call.
type lone struct {
	args  []any
	reply reply
	done  chan struct{}
}

func newTogether() *together {
	return &together{waiting: map[*redis.Script][]*lone{}, flying: map[*redis.Script]bool{}}
}

// runTogether is run for calls that come by the thousand. Where ctx ends first, the call
// may be made all the same.
func (l *Ledger) runTogether(ctx context.Context, s *redis.Script, args ...any) reply {
	t := l.together
	call := &lone{args: args, done: make(chan struct{})}
	t.mu.Lock()
	t.waiting[s] = append(t.waiting[s], call)
	first := !t.flying[s]
	t.flying[s] = true
	t.mu.Unlock()
	if first {
		go l.fly(context.WithoutCancel(ctx), s)
	}
	select {
	case <-call.done:
		return call.reply
	case <-ctx.Done():
		return reply{err: ctx.Err()}
	}
}

// gather is how long more calls are waited for after a run of several: the more run as
// one, the less each costs both sides.
const gather = time.Millisecond

// fly runs what waits for a script until nothing does.
func (l *Ledger) fly(ctx context.Context, s *redis.Script) {
	for many := false; ; {
		if many {
			<-time.After(gather)
		}
		calls := l.together.take(s)
		if len(calls) == 0 {
			return
		}
		many = len(calls) > 1
		args := make([][]any, len(calls))
		for i, call := range calls {
			args[i] = call.args
		}
		for i, reply := range l.runMany(ctx, s, args) {
			calls[i].reply = reply
			close(calls[i].done)
		}
	}
}

// take takes the calls that wait, or ends a flight.
func (t *together) take(s *redis.Script) []*lone {
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting := t.waiting[s]
	if len(waiting) == 0 {
		t.flying[s] = false
		return nil
	}
	n := min(len(waiting), frameMost)
	t.waiting[s] = waiting[n:]
	return waiting[:n:n]
}
