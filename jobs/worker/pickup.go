package worker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// pickupHold is how long one question for a task is held while there is none. asynq
	// computes the task's lease before it asks, so it must be short against that.
	pickupHold = 5 * time.Second
	// pickupPause is asynq's own between two questions.
	pickupPause = 20 * time.Millisecond
	// outagePause keeps asynq from asking a Redis that is away as fast as it can.
	outagePause = 200 * time.Millisecond
)

// pickup is the Redis client of the asynq servers. asynq asks an empty queue again and
// again; here the question is held until somebody says that a task was enqueued, and
// or is found by looking for those who say nothing. However many servers ask for one queue,
// one of them does so for all.
type pickup struct {
	redis.UniversalClient
	// queues is where the servers of each wait for a task. A channel has one place: whoever
	// takes it asks, and lets the next one ask if there was a task.
	queues  map[string]chan struct{}
	express map[string]*express // who takes most tasks of a queue instead
	stopped <-chan struct{}
}

func newPickup(rdb redis.UniversalClient, stopped <-chan struct{}) *pickup {
	p := &pickup{UniversalClient: rdb, queues: map[string]chan struct{}{}, stopped: stopped}
	for _, queue := range queues() {
		p.queues[queue] = make(chan struct{}, 1)
	}
	return p
}

// ring says that a task was enqueued.
func (p *pickup) ring(queue string) {
	if e := p.express[queue]; e != nil {
		e.ring()
		return
	}
	p.wake(queue)
}

// wake makes asynq ask for a task.
func (p *pickup) wake(queue string) {
	if rung := p.queues[queue]; rung != nil {
		select {
		case rung <- struct{}{}:
		default:
		}
	}
}

// look rings until ctx ends where there are tasks of which nobody told: those of apps that
// use asynq alone, and those that asynq itself puts back. All queues are looked at in one
// call.
func (p *pickup) look(ctx context.Context, every time.Duration) {
	names := queues()
	keys := make([]string, len(names))
	for i, queue := range names {
		keys[i] = "asynq:{" + queue + "}:pending"
	}
	_, apart := p.UniversalClient.(*redis.ClusterClient) // the keys may be on different servers
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n, err := int64(1), error(nil); !apart {
			if n, err = p.Exists(ctx, keys...).Result(); err != nil || n == 0 {
				continue
			}
		}
		pipe := p.Pipeline()
		for _, key := range keys {
			pipe.Exists(ctx, key)
		}
		found, _ := pipe.Exec(ctx) // each command carries its own error
		for i, cmd := range found {
			if there, ok := cmd.(*redis.IntCmd); ok && there.Val() > 0 {
				p.ring(names[i])
			}
		}
	}
}

// listen rings for every word on the channel until ctx ends. What is said while the
// connection is away is found by looking.
func (p *pickup) listen(ctx context.Context, channel string) {
	heard := p.Subscribe(ctx, channel)
	defer func() { _ = heard.Close() }()
	words := heard.Channel()
	for {
		select {
		case <-ctx.Done():
			return
		case word, open := <-words:
			if !open {
				return
			}
			p.ring(word.Payload)
		}
	}
}

// EvalSha runs a script, and holds asynq's question for a task while there is none, or
// none that is not taken otherwise.
func (p *pickup) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	queue := queueAsked(keys)
	rung, express := p.queues[queue], p.express[queue]
	if rung == nil {
		return p.UniversalClient.EvalSha(ctx, sha1, keys, args...)
	}
	args = slices.Clone(args)
	until := time.NewTimer(pickupHold)
	defer until.Stop()
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(redis.Nil)
	for started, ask := time.Now(), express == nil; ; ask = true {
		if ask {
			cmd = p.UniversalClient.EvalSha(ctx, sha1, keys, args...)
		}
		switch err := cmd.Err(); {
		case err == nil:
			p.ring(queue) // there may be more
			if express != nil && express.others.Load() {
				p.wake(queue)
			}
			return cmd
		case redis.HasErrorPrefix(err, "NOSCRIPT"):
			return cmd
		case !errors.Is(err, redis.Nil):
			p.wait(time.NewTimer(outagePause))
			return cmd
		}
		select {
		case <-rung:
		case <-until.C:
			return cmd
		case <-p.stopped:
			return cmd
		}
		if lease, ok := args[0].(int64); ok {
			held := time.Since(started).Truncate(time.Second)
			args[0], started = lease+int64(held/time.Second), started.Add(held)
		}
	}
}

func (p *pickup) wait(timer *time.Timer) {
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.stopped:
	}
}

// queueAsked is the queue of asynq's question for a task, by the keys that its script
// is given; empty for any other script.
func queueAsked(keys []string) string {
	if len(keys) != 4 || !strings.HasSuffix(keys[0], ":pending") || !strings.HasSuffix(keys[1], ":paused") {
		return ""
	}
	_, rest, _ := strings.Cut(keys[0], "{")
	queue, _, _ := strings.Cut(rest, "}")
	return queue
}
