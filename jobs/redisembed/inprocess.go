package redisembed

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
)

// inProcess is miniredis: Redis' commands and scripts in this process.
type inProcess struct {
	databases int
	mini      *miniredis.Miniredis
	lastPort  int
	running   bool
}

func (e *inProcess) kind() Kind { return KindInProcess }
func (e *inProcess) pid() int   { return 0 }
func (e *inProcess) port() int  { return e.lastPort }

func (e *inProcess) start(_ context.Context, port int) error {
	if e.mini == nil {
		e.mini = miniredis.NewMiniRedis()
		// Else keys with a time to live would stay for ever: miniredis counts
		// its own time, which stands still.
		e.mini.ClockTTL(true)
	}
	if err := e.mini.StartAddr(fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		return err
	}
	e.lastPort = e.mini.Server().Addr().Port
	e.running = true
	return nil
}

func (e *inProcess) stop() error {
	if e.running {
		e.mini.Close()
		e.running = false
	}
	return nil
}

func (e *inProcess) kill() error { return e.stop() }
