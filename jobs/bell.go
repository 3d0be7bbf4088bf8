package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// bellEvery is how often a queue's bell is rung at most: whoever hears it takes tasks
// until there are none.
const bellEvery = 5 * time.Millisecond

// Bell is the channel on which the name of a queue is published once a task is in it,
// so that workers do not find it by looking only. It is a help, not a duty: what is not
// heard is found.
func (c *Client) Bell() string { return c.bell.channel }

// bell tells workers of tasks.
type bell struct {
	rdb     redis.UniversalClient
	channel string

	mu     sync.Mutex
	queues map[string]*ringing
}

// ringing is when a queue's bell was rung last, and whether it will be once more.
type ringing struct {
	last  time.Time
	again bool
}

func newBell(rdb redis.UniversalClient, prefix string) *bell {
	if prefix == "" {
		prefix = ledger.DefaultPrefix
	}
	return &bell{rdb: rdb, channel: prefix + "bell", queues: map[string]*ringing{}}
}

// ring tells the workers at once, or shortly when they were told a moment ago.
func (b *bell) ring(ctx context.Context, queue string) {
	b.mu.Lock()
	r := b.queues[queue]
	if r == nil {
		r = &ringing{}
		b.queues[queue] = r
	}
	if r.again {
		b.mu.Unlock()
		return
	}
	wait := bellEvery - time.Since(r.last)
	if wait > 0 {
		r.again = true
	} else {
		r.last = time.Now()
	}
	b.mu.Unlock()
	if wait <= 0 {
		b.tell(ctx, queue)
		return
	}
	ctx = context.WithoutCancel(ctx)
	time.AfterFunc(wait, func() {
		b.mu.Lock()
		r.last, r.again = time.Now(), false
		b.mu.Unlock()
		b.tell(ctx, queue)
	})
}

func (b *bell) tell(ctx context.Context, queue string) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = b.rdb.Publish(ctx, b.channel, queue).Err() // the queue is looked at all the same
}
