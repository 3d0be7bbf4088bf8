package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

const simulateLong = `Run a simulated Flowroute account on a port: its HTTP API with state, limits and,
if you like, faults. It sends nothing to anybody. Everything is kept in memory and
forgotten at the end.

Below /_sim/ it tells the truth of what it accepted and lets you change faults,
limits and records while it runs; that surface has no login.`

func newSimulate(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulate [--addr HOST:PORT]",
		Short: "Run a simulated Flowroute on a port",
		Long:  simulateLong,
		Example: `  flowroute-worker simulate --addr 127.0.0.1:9090
  flowroute-worker simulate --fault accepted-then-cut=0.05 --fault 500-before=x3 --deliver-after 5s
  flowroute-worker simulate --list-faults`,
		Args: noArguments(),
	}
	o := flowroutetest.Options{
		Limits:       flowroutetest.Limits{SMSPerSecond: 5, MMSPerSecond: 1, NumbersPerSecond: 2},
		KeepRequests: 1000,
	}
	addr, faults, list, jsonOut := simulateFlags(cmd, &o)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *list {
			return listFaults(w, *jsonOut)
		}
		if !cmd.Flags().Changed("seed") {
			// Another one at each start, else a Redis that is kept meets the same ids again.
			o.Seed = rand.Uint64()
		}
		parsed, err := flowroutetest.ParseFaults(strings.Join(*faults, ","))
		o.Faults = parsed
		if err == nil {
			err = o.Validate()
		}
		if err != nil {
			return &usageError{err: errors.New(strings.ReplaceAll(err.Error(), "\n", "; ")), path: cmd.CommandPath()}
		}
		listener, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", *addr)
		if err != nil {
			return fmt.Errorf("%w; choose another --addr", err)
		}
		sim := flowroutetest.New(o)
		if err := announce(w, listener.Addr(), o, *jsonOut); err != nil {
			return errors.Join(err, listener.Close())
		}
		return serveSimulator(cmd.Context(), sim, listener)
	}
	return cmd
}

// simulateFlags puts the simulator's options into flags.
func simulateFlags(cmd *cobra.Command, o *flowroutetest.Options) (addr *string, faults *[]string, list, jsonOut *bool) {
	flags := cmd.Flags()
	addr = flags.String("addr", "127.0.0.1:9090", "where to listen")
	flags.StringVar(&o.AccessKey, "access-key", flowroutetest.DefaultAccessKey, "the access key to accept")
	flags.StringVar(&o.SecretKey, "secret-key", flowroutetest.DefaultSecretKey, "its secret key")
	flags.Uint64Var(&o.Seed, "seed", 0, "makes ids and the choice of faults reproducible (default drawn at each start)")
	flags.IntVar(&o.Limits.SMSPerSecond, "sms-per-second", o.Limits.SMSPerSecond, "limit of SMS; 0 is none")
	flags.IntVar(&o.Limits.MMSPerSecond, "mms-per-second", o.Limits.MMSPerSecond, "limit of MMS; 0 is none")
	flags.IntVar(&o.Limits.NumbersPerSecond, "numbers-per-second", o.Limits.NumbersPerSecond, "limit of calls about numbers and routes; 0 is none")
	flags.IntVar(&o.Limits.LookupsPerSecond, "lookups-per-second", 0, "limit of message look-ups; 0 is none")
	flags.BoolVar(&o.Limits.LookupsShareSMS, "lookups-share-sms", false, "count look-ups as SMS too")
	flags.StringVar((*string)(&o.Limits.Window), "window", string(flowroutetest.WindowFixed), "how attempts are counted: fixed or sliding")
	flags.BoolVar(&o.Limits.RetryAfter, "retry-after", false, "send Retry-After with a 429")
	faults = flags.StringArray("fault", nil, "a fault as name=probability, or name=x3 for the next three requests (repeatable; --list-faults)")
	flags.DurationVar(&o.Latency, "latency", 0, "added to every answer")
	flags.DurationVar(&o.Jitter, "jitter", 0, "up to this much more")
	flags.DurationVar(&o.MDRDelay, "mdr-delay", 0, "until a message's record can be read")
	flags.DurationVar(&o.DeliverAfter, "deliver-after", 2*time.Second, "until a message is delivered or fails")
	flags.Float64Var(&o.FailShare, "fail-share", 0, "share of messages, 0 to 1, that are not delivered")
	flags.StringSliceVar(&o.Owned, "owned", nil, "numbers on the account, 11 digits each (default +12065550100 to …109 and +18335550100)")
	flags.StringVar(&o.BasePath, "base-path", "", "precedes every path, for example /flowroute")
	flags.IntVar(&o.KeepMessages, "keep-messages", 0, "bound of memory: how many messages are kept; 0 is all")
	list = flags.Bool("list-faults", false, "list the faults and end")
	return addr, faults, list, asJSON(cmd)
}

func listFaults(w world, jsonOut bool) error {
	known := flowroutetest.KnownFaults()
	if jsonOut {
		return printJSON(w.out, known)
	}
	return table(w.out, []string{"FAULT", "HAPPENS TO", "WHAT HAPPENS"}, func(row func(cells ...string)) {
		for _, f := range known {
			var on []string
			for _, op := range f.On {
				on = append(on, string(op))
			}
			where := strings.Join(on, " ")
			if len(on) > 3 {
				where = "every " + strconv.Itoa(len(on)) + " kinds of writes"
			}
			row(f.Name, where, f.About)
		}
	})
}

// announce says how to use the simulator.
func announce(w world, addr net.Addr, o flowroutetest.Options, jsonOut bool) error {
	root := "http://" + reachable(addr)
	if jsonOut {
		return printJSON(w.out, map[string]string{
			"base_url": root + o.BasePath, "access_key": o.AccessKey, "secret_key": o.SecretKey, "admin_url": root + "/_sim/",
		})
	}
	_, err := fmt.Fprintf(w.out, `simulated Flowroute on %s; Ctrl-C ends it

  export FLOWROUTE_BASE_URL=%s
  export FR_ACCESS_KEY=%s
  export FR_SECRET_KEY=%s

truth, faults and limits: %s/_sim/
`, addr, root+o.BasePath, o.AccessKey, o.SecretKey, root)
	if host, _, splitErr := net.SplitHostPort(addr.String()); splitErr == nil && !isLoopback(host) {
		fmt.Fprintln(w.errs, "notice: other machines can reach it, its administration surface too, which has no login")
	}
	return err
}

// reachable is the address to use on this machine.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// serveSimulator serves until ctx ends.
func serveSimulator(ctx context.Context, sim *flowroutetest.Simulator, listener net.Listener) error {
	server := &http.Server{
		Handler: sim, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // cut connections are its business
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	var failed error
	select {
	case failed = <-ended:
	case <-ctx.Done():
	}
	sim.Close()
	_ = server.Close() // what still hangs is a client that was to be left hanging
	if failed == nil {
		<-ended
	}
	return failed
}
