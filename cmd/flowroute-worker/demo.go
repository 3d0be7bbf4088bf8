package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
)

const demoLong = `See everything work, with no set-up and no network beyond this machine: a Redis of
its own, a simulated Flowroute that loses answers, and the real worker, limiter,
scheduler and console. A small mixed load is sent at the account's real limits
(5 SMS and 1 MMS a second), a number is bought and given its routes, the records
are synced, and what the lost answers left unknown is decided from them; then what
the ledger says is laid beside what the simulator alone
knows, message by message.

With --exit the program ends when that is done, with 0 only if the two agree.
Without it the console stays up until Ctrl-C.`

// demoOptions are the flags of the demo.
type demoOptions struct {
	fast      int
	messages  int
	seed      uint64
	exit      bool
	inProcess bool
	logFile   string
	json      bool
}

func newDemo(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo [--fast N] [--exit]",
		Short: "See everything work against a simulated Flowroute",
		Long:  demoLong,
		Example: `  flowroute-worker demo
  flowroute-worker demo --exit --fast 10 --messages 500`,
		Args: noArguments(),
	}
	var o demoOptions
	flags := cmd.Flags()
	flags.IntVar(&o.fast, "fast", 1, "how many times faster than the real limits")
	flags.IntVar(&o.messages, "messages", 120, "how many messages to send")
	flags.Uint64Var(&o.seed, "seed", 1, "chooses what goes wrong")
	flags.BoolVar(&o.exit, "exit", false, "end when done; exit code 0 only if ledger and truth agree")
	flags.BoolVar(&o.inProcess, "redis-in-process", false, "use the built-in imitation of Redis even where redis-server is installed")
	flags.StringVar(&o.logFile, "log", "", "write the service's log to this file")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.json = *jsonOut
		if err := o.check(); err != nil {
			return &usageError{err: err, path: cmd.CommandPath()}
		}
		return runDemo(cmd.Context(), w, o)
	}
	return cmd
}

// Bounds of the demo: one machine plays everybody.
const (
	maxDemoFast     = 100
	maxDemoMessages = 20_000
)

func (o demoOptions) check() error {
	if o.fast < 1 || o.fast > maxDemoFast {
		return fmt.Errorf("--fast %d: give a number from 1 to %d", o.fast, maxDemoFast)
	}
	if o.messages < minDemoMessages || o.messages > maxDemoMessages {
		return fmt.Errorf("--messages %d: give a number from %d to %d", o.messages, minDemoMessages, maxDemoMessages)
	}
	return nil
}

// deadline is when the demo stops waiting for messages: a good while after they
// should be through.
func (o demoOptions) deadline() time.Duration {
	expected := time.Duration(float64(o.messages) / float64(4*o.fast) * float64(time.Second))
	return max(2*time.Minute, 2*expected)
}

// runDemo sets the stage, plays, and reports.
func runDemo(ctx context.Context, w world, o demoOptions) error {
	started := time.Now()
	says := w.out
	if o.json {
		says = w.errs
	}
	log, closeLog, err := o.logger()
	if err != nil {
		return err
	}
	defer closeLog()
	if w.libraries != nil {
		w.libraries(log)
	}
	st, err := setStage(ctx, o, log)
	if err != nil {
		return err
	}
	defer st.close()
	st.introduce(says, time.Since(started))
	serving := make(chan error, 1)
	stopped, stop := context.WithCancel(ctx)
	defer stop()
	go func() { serving <- st.service.run(stopped) }()

	p := newPlay(st, o, started, newProgress(says))
	err = p.run(ctx, serving)
	if err == nil {
		err = p.report(ctx, w, says, o)
	}
	if err != nil && !errors.Is(err, errQuiet) && ctx.Err() != nil {
		err = errors.New("interrupted before the end")
	}
	if !o.exit && (err == nil || errors.Is(err, errQuiet)) {
		st.invite(says)
		<-ctx.Done()
	}
	stop()
	return errors.Join(err, <-serving)
}

// logger writes to the file, or nowhere.
func (o demoOptions) logger() (*slog.Logger, func(), error) {
	if o.logFile == "" {
		return slog.New(slog.DiscardHandler), func() {}, nil
	}
	file, err := os.Create(o.logFile)
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(slog.NewJSONHandler(file, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return log, func() { _ = file.Close() }, nil
}

// introduce says what there is to see.
func (st *stage) introduce(says io.Writer, took time.Duration) {
	fmt.Fprintf(says, "redis      %s on %s\n", st.redis.Kind(), st.redis.URL())
	fmt.Fprintf(says, "flowroute  simulated on %s (%d SMS and %d MMS a second; about 1 answer in 12 goes wrong)\n",
		st.simURL, st.limits.SMSPerSecond, st.limits.MMSPerSecond)
	fmt.Fprintf(says, "console    http://%s/   queues at /queues/\n", st.listener.Addr())
	fmt.Fprintf(says, "ready after %v\n\n", took.Round(time.Millisecond))
}

// invite says what to do while the console stays up.
func (st *stage) invite(says io.Writer) {
	fmt.Fprintf(says, `
The console stays up until Ctrl-C: http://%[1]s/
Send one more:  curl -sS http://%[1]s/v1/messages -H 'Content-Type: application/json' -d '{"from":"%[2]s","to":"+12125550123","body":"Hello"}'
`, st.listener.Addr(), demoSender)
}

// listenLoopback takes a free port of this machine.
func listenLoopback(ctx context.Context) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
}
