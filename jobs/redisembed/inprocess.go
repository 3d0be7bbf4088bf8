package redisembed

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
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

func (e *inProcess) start(ctx context.Context, port int) error {
	if e.mini == nil {
		e.mini = miniredis.NewMiniRedis()
		// Else keys with a time to live would stay for ever: miniredis counts
		// its own time, which stands still.
		e.mini.ClockTTL(true)
	}
	// Its end has ended this one, and without it a blocking command gets no answer.
	e.mini.Ctx, e.mini.CtxCancel = context.WithCancel(context.WithoutCancel(ctx))
	// Nobody may be told of the run before it can be told from the last one.
	e.mini.SetError("LOADING Redis is loading the dataset in memory")
	if err := e.mini.StartAddr(fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		return err
	}
	e.mini.Server().SetPreHook(infoOf(newRunID(), time.Now()))
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

func newRunID() string {
	var id [20]byte
	_, _ = rand.Read(id[:]) // never fails
	return fmt.Sprintf("%x", id)
}

// infoOf answers INFO server, which miniredis does not: by their run ids the scripts
// tell one start of Redis from the next.
func infoOf(runID string, started time.Time) server.Hook {
	return func(client *server.Peer, command string, arguments ...string) bool {
		if command != "INFO" || len(arguments) != 1 || !strings.EqualFold(arguments[0], "server") {
			return false
		}
		client.WriteBulk(fmt.Sprintf("# Server\r\nrun_id:%s\r\nuptime_in_seconds:%d\r\n", runID, int(time.Since(started).Seconds())))
		return true
	}
}
