package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/scheduler"
)

// stage is what the demo plays on.
type stage struct {
	redis    *redisembed.Server
	sim      *flowroutetest.Simulator
	simURL   string
	limits   flowroutetest.Limits
	listener net.Listener // of the console
	clients  redisClients
	service  *service

	stopSim context.CancelFunc
	simDone sync.WaitGroup
}

// setStage starts Redis and the simulator and wires the service, which does not
// run yet.
func setStage(ctx context.Context, o demoOptions, log *slog.Logger) (st *stage, err error) {
	st = &stage{}
	defer func() {
		if err != nil {
			st.close()
		}
	}()
	if st.redis, err = redisembed.Start(ctx, redisembed.Options{ForceInProcess: o.inProcess}); err != nil {
		return nil, err
	}
	if err = st.startSimulator(ctx, o); err != nil {
		return nil, err
	}
	if st.listener, err = listenLoopback(ctx); err != nil {
		return nil, err
	}
	s, err := world{env: envconfig.MapLookuper(st.environment(o))}.settings(ctx, withCredentials)
	if err != nil {
		return nil, err
	}
	st.clients = openRedis(s)
	if err = redisconn.Wait(ctx, st.clients.producer, s.RedisStartTimeout, log); err != nil {
		return nil, err
	}
	st.service, err = newService(ctx, s, st.clients, log, serviceOptions{
		roles: roles{worker: true, scheduler: true, http: true}, listener: st.listener,
		fresh: true, writeWindow: o.short(2 * time.Second), firstReach: time.Minute, poll: 50 * time.Millisecond,
		anySender: true, // it shows what Flowroute says to one that is not ours
		entries: []scheduler.Entry{
			{Name: "sync-mdr", Type: ledger.SyncMDR, Spec: "@every 10s"},
			{Name: "sync-numbers", Type: ledger.SyncNumbers, Spec: "@every 15s"},
		},
	})
	return st, err
}

// short is a time, a second for those in a hurry.
func (o demoOptions) short(d time.Duration) time.Duration {
	if o.fast >= 5 {
		return min(d, time.Second)
	}
	return d
}

func (st *stage) startSimulator(ctx context.Context, o demoOptions) error {
	st.limits = flowroutetest.Limits{
		SMSPerSecond: 5 * o.fast, MMSPerSecond: o.fast, NumbersPerSecond: 2 * o.fast, LookupsPerSecond: o.fast,
		Window: flowroutetest.WindowSliding, LookupsShareSMS: true,
	}
	listener, err := listenLoopback(ctx)
	if err != nil {
		return err
	}
	st.simURL = "http://" + listener.Addr().String()
	st.sim = flowroutetest.New(flowroutetest.Options{
		Seed: o.seed, Limits: st.limits, Faults: demoFaults(), Latency: 20 * time.Millisecond, Jitter: 40 * time.Millisecond,
		MDRDelay: demoRecordsLate, DeliverAfter: o.short(3 * time.Second), FailShare: 0.04,
		OptedOut: []flowroutetest.OptOutPair{{From: demoSender[1:], To: demoOptedOut[1:]}},
	})
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	st.stopSim = stop
	st.simDone.Go(func() { _ = serveSimulator(running, st.sim, listener) }) // what fails shows in the comparison
	return nil
}

// demoRecordsLate is how late records appear: less than half of the settle time,
// or nothing could be proven absent.
const demoRecordsLate = 300 * time.Millisecond

// environment is that of the service: the real limits, and short times so that
// the demo comes to an end.
func (st *stage) environment(o demoOptions) map[string]string {
	return map[string]string{
		"FR_ACCESS_KEY":           flowroutetest.DefaultAccessKey,
		"FR_SECRET_KEY":           flowroutetest.DefaultSecretKey,
		"FLOWROUTE_BASE_URL":      st.simURL,
		"REDIS_URL":               st.redis.URL(),
		"FLOWROUTE_TIMEOUT":       o.short(2 * time.Second).String(),
		"AMBIGUOUS_SETTLE":        o.short(1500 * time.Millisecond).String(),
		"AMBIGUOUS_SETTLE_IDLE":   "3s",
		"AMBIGUOUS_MAX":           "1m",
		"SHUTDOWN_TIMEOUT":        "10s",
		"RATE_SMS_PER_SECOND":     fmt.Sprint(st.limits.SMSPerSecond),
		"RATE_MMS_PER_SECOND":     fmt.Sprint(st.limits.MMSPerSecond),
		"RATE_NUMBERS_PER_SECOND": fmt.Sprint(st.limits.NumbersPerSecond),
		"RATE_LOOKUPS_PER_SECOND": fmt.Sprint(st.limits.LookupsPerSecond),
	}
}

// close takes the stage down, in the order of its parts' needs.
func (st *stage) close() {
	if st.service != nil {
		st.service.close()
	}
	if st.clients.producer != nil {
		st.clients.close()
	}
	if st.listener != nil {
		_ = st.listener.Close()
	}
	if st.stopSim != nil {
		st.stopSim()
		st.simDone.Wait()
	}
	if st.redis != nil {
		_ = st.redis.Close()
	}
}

var errServiceEnded = errors.New("the service ended early")
