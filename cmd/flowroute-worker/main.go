// Command flowroute-worker sends messages, buys numbers and sets routes through
// Flowroute, for other programs: they enqueue jobs in Redis, it does them inside
// the account's rate limit.
//
// This package is wiring: flags, signals, exit codes, and which part of the
// product gets which option. Start with
//
//	flowroute-worker demo
//
// which needs no account, and with --help at every command.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // zones of SENDING_ZONE and CARRIER_DAY_ZONE, where the image has none

	"github.com/sethvargo/go-envconfig"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
)

func main() {
	if _, set := os.LookupEnv("GOGC"); !set {
		tuneGarbage()
	}
	ctx, stop := interruptible(context.Background())
	redisconn.RouteLibraryLog(slog.New(slog.DiscardHandler)) // until run has a logger
	code := run(ctx, os.Args[1:], world{
		env:       envconfig.OsLookuper(),
		environ:   os.Environ(),
		in:        os.Stdin,
		out:       os.Stdout,
		errs:      os.Stderr,
		libraries: redisconn.RouteLibraryLog,
	})
	stop()
	os.Exit(code)
}

// world is what one run of the program has of the outside.
type world struct {
	env       envconfig.Lookuper
	environ   []string // all variables, to find misspelt ones
	in        io.Reader
	out, errs io.Writer
	// libraries is told where libraries shall write what they would otherwise
	// print. It acts on the whole process, so tests leave it nil.
	libraries func(*slog.Logger)
}

// interruptible ends the context at the first signal to end; the second ends the
// process there and then, for those who do not want to wait for a drain.
func interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	listened := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		listened = append(listened, syscall.SIGHUP)
	}
	signal.Notify(signals, listened...)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitFailed)
	}()
	return ctx, cancel
}
