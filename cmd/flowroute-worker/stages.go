package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// part is something long-lived. It runs until its context ends; when it ends
// before that, with or without an error, the whole service ends.
type part struct {
	name string
	run  func(ctx context.Context) error
}

// stages are parts in the order in which they are stopped: all of one stage have
// ended before the next one is told to.
type stages [][]part

// run starts the last stage first and returns when everything has ended. The end
// of ctx is no error.
func (s stages) run(ctx context.Context, log *slog.Logger) error {
	type end struct {
		part string
		err  error
	}
	ended := make(chan end, 1) // the first one counts
	stops := make([]context.CancelFunc, len(s))
	groups := make([]sync.WaitGroup, len(s))
	for i := len(s) - 1; i >= 0; i-- {
		var stage context.Context
		stage, stops[i] = context.WithCancel(context.WithoutCancel(ctx))
		for _, p := range s[i] {
			groups[i].Go(func() {
				e := end{p.name, p.run(stage)}
				if e.err == nil && stage.Err() != nil {
					return
				}
				select {
				case ended <- e:
				default:
					log.ErrorContext(ctx, "part ended too", "part", e.part, "err", e.err)
				}
			})
		}
	}
	var failed error
	select {
	case <-ctx.Done():
		log.InfoContext(ctx, "stopping: what is on the wire is awaited")
	case e := <-ended:
		failed = fmt.Errorf("%s ended unexpectedly", e.part)
		if e.err != nil {
			failed = fmt.Errorf("%s: %w", e.part, e.err)
		}
		log.ErrorContext(ctx, "stopping: a part failed", "part", e.part, "err", e.err)
	}
	started := time.Now()
	for i := range s {
		stops[i]()
		groups[i].Wait()
	}
	select {
	case e := <-ended: // failed while stopping
		if failed == nil && e.err != nil {
			failed = fmt.Errorf("%s: %w", e.part, e.err)
		}
	default:
	}
	log.InfoContext(ctx, "stopped", "duration_ms", time.Since(started).Milliseconds())
	return failed
}
