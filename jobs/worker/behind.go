package worker

import (
	"context"
	"sync"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// behind writes outcomes that nothing waits for while their handlers go on: that a
// message was accepted ends it. Should the process die before, the records tell.
type behind struct {
	worker *Worker
	room   chan struct{} // as many as handlers: more of them wait for Redis themselves
	work   sync.WaitGroup
}

func newBehind(w *Worker) *behind {
	return &behind{worker: w, room: make(chan struct{}, w.o.Concurrency)}
}

// settle takes an outcome over. False: there is no room, as when Redis is away.
func (b *behind) settle(ctx context.Context, s ledger.Settlement) bool {
	select {
	case b.room <- struct{}{}:
	default:
		return false
	}
	b.work.Add(1)
	b.worker.crew.start(func() error {
		defer b.work.Done()
		defer func() { <-b.room }()
		_, err := b.worker.settle(ctx, s)
		return err // it has been logged
	})
	return true
}

// wait returns when all are written, or given up at the end of the process.
func (b *behind) wait() { b.work.Wait() }
