package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// order is what a child is told on its standard input; it works until that closes.
// One of Simulator and Worker is set.
type order struct {
	Log       string // a file, appended to
	Simulator *simulatorOrder
	Worker    *workerOrder
}

// simulatorOrder is what the simulated account is like.
type simulatorOrder struct {
	Seed      uint64
	Limits    flowroutetest.Limits
	Faults    flowroutetest.Faults
	MDRDelay  time.Duration
	ClockSkew time.Duration
	Jobs      int // how many purchases and updates will be asked for
}

// workerOrder is a worker process.
type workerOrder struct {
	Name                 string
	Redis, API           string // by way of the proxies
	AccessKey, SecretKey string
	Limits               ratelimit.Limits
	Times                times
	Fresh                bool // nobody can hold a permit
	Die                  death
}

// death is the point at which a worker kills itself.
type death struct {
	Point string // of package worker; empty: it does not
	After int    // jobs that pass there unharmed
}

// The account, by whatever address it is reached.
const account = "torture"

// Child is the whole life of a child process: it reads its order from in, says on
// out when it is ready, and works until in ends or ctx does.
func Child(ctx context.Context, in io.Reader, out io.Writer) error {
	reader := bufio.NewReader(in)
	line, err := reader.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("torture child: no order: %w", err)
	}
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("torture child: %w", err)
	}
	file, err := logFile(o.Log)
	if err != nil {
		return err
	}
	defer file.Close()
	log := slog.New(slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelDebug})).With("pid", os.Getpid())
	redisconn.RouteLibraryLog(log)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, reader) // until the parent is gone or asks to end
		cancel()
	}()
	switch {
	case o.Simulator != nil:
		err = o.Simulator.run(ctx, out)
	case o.Worker != nil:
		err = o.Worker.run(ctx, out, log)
	default:
		err = errors.New("torture child: an empty order")
	}
	if err != nil {
		log.Error("child ended", "err", err)
	}
	return err
}

// simulatorAddress is what the simulator says first.
type simulatorAddress struct {
	Addr string `json:"addr"`
}

func (s *simulatorOrder) run(ctx context.Context, out io.Writer) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	sim := flowroutetest.New(flowroutetest.Options{
		Seed: s.Seed, Limits: s.Limits, Faults: s.Faults, MDRDelay: s.MDRDelay, ClockSkew: s.ClockSkew,
		Latency: 5 * time.Millisecond, Jitter: 30 * time.Millisecond, DeliverAfter: time.Second, FailShare: 0.02,
		Inventory: inventoryFor(s.Jobs), Routes: routesFor(s.Jobs),
	})
	server := &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	if err := json.NewEncoder(out).Encode(simulatorAddress{listener.Addr().String()}); err != nil {
		return err
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = nil
	}
	sim.Close()
	return errors.Join(err, server.Close())
}

// inventoryFor has some numbers for each purchase alone, and some that several want.
func inventoryFor(n int) []flowroutetest.ForSale {
	var list []flowroutetest.ForSale
	add := func(number string) {
		list = append(list, flowroutetest.ForSale{Number: number, RateCenter: "SEATTLE", State: "WA", SetupCost: 1, MonthlyCost: 1.25})
	}
	for i := range min(n, maxPurchases) {
		for k := range blockSize {
			add(fmt.Sprintf("%s%03d%d", blockOf, i, k))
		}
	}
	for i := range shared {
		add(fmt.Sprintf("%s9%03d", blockOf, i))
	}
	return list
}

// routesFor are the routes that updates set by id; each update has one of its own.
func routesFor(n int) []flowroutetest.Route {
	var list []flowroutetest.Route
	for i := range n {
		list = append(list, flowroutetest.Route{ID: fmt.Sprint(routeIDs + i), Type: "host", Value: fmt.Sprintf("r%d.example.com", i), Alias: fmt.Sprintf("r%d", i)})
	}
	return list
}
