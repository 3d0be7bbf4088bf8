package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
)

type syncFunc func(context.Context, ledger.Job) ([]byte, error)

func (f syncFunc) Handle(ctx context.Context, job ledger.Job) ([]byte, error) { return f(ctx, job) }

// A sync that probes the API for all gives sending free when it succeeds.
func TestSyncAsProbe(t *testing.T) {
	t.Parallel()
	b := setup(t, options{worker: func(o *worker.Options) {
		o.Timeout = time.Minute // the lease of a probe that is not given back
		o.Syncs = map[ledger.Type]worker.Syncer{ledger.SyncMDR: syncFunc(func(context.Context, ledger.Job) ([]byte, error) { return []byte(`{}`), nil })}
	}, stopped: true})
	if _, err := b.ledger.OpenBreaker(t.Context(), worker.BreakerName, "401", time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if _, err := b.jobs.StartSync(t.Context(), ledger.SyncMDR, "tick", jobs.Sync{}); err != nil {
		t.Fatal(err)
	}
	b.start(options{worker: func(o *worker.Options) {
		o.Timeout = time.Minute
		o.Syncs = map[ledger.Type]worker.Syncer{ledger.SyncMDR: syncFunc(func(context.Context, ledger.Job) ([]byte, error) { return []byte(`{}`), nil })}
	}})
	b.until(ledger.KeyID(ledger.SyncMDR, "tick").String(), ledger.Done)
	b.until(b.send(jobs.Message{}), ledger.Accepted)
}

// patient gives a worker time for each request: what these tests are about is not
// what happens when an answer comes late on a busy machine.
func (b bundle) patient(o *worker.Options) {
	const timeout = 20 * time.Second
	api, err := flowroute.New(flowroute.Options{BaseURL: b.sim.URL, Timeout: timeout,
		Credentials: flowroute.Credentials{AccessKey: b.sim.AccessKey, SecretKey: b.sim.SecretKey}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(api.Close)
	o.API, o.Timeout = api, timeout
}

// With refused credentials, jobs that read before they write wait like all others:
// the API is asked once in a while, by one of them. All are done soon after the
// credentials were mended.
func TestReadsWaitAtTheBreaker(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	key := b.sim.SecretKey
	b.sim.SecretKey = "ffffffffffffffffffffffffffffffff"
	var ids []string
	for range 5 {
		ids = append(ids, b.purchase(jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1201555"}}))
	}
	stop := b.start(options{worker: b.patient})
	b.breakerOpens()
	before := b.sim.Counts().Requests
	<-time.After(3 * time.Second)
	if asked := b.sim.Counts().Requests - before; asked > 4 {
		t.Errorf("%d requests in 3 s with refused credentials, want at most the probes", asked)
	}
	stop()
	for _, id := range ids {
		if job := b.until(id, ledger.Queued); job.Attempts != 0 {
			t.Errorf("got %d attempts, want none", job.Attempts)
		}
	}
	b.sim.SecretKey = key
	b.start(options{worker: b.patient})
	for _, id := range ids {
		if job := b.until(id, ledger.Done, ledger.Failed); job.State != ledger.Done || job.Attempts > 1 {
			t.Errorf("got %s after %d attempts: %s", job.State, job.Attempts, job.Detail)
		}
	}
}

// Senders that are not ours are refused one by one, and stop nobody else.
func TestStrangersStopNobody(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	b.start(options{worker: b.patient})
	var strangers []string
	for _, from := range []string{"+12065559991", "+12065559992", "+12065559993", "+12065559994", "+12065559995"} {
		strangers = append(strangers, b.send(jobs.Message{From: from}))
	}
	b.until(b.send(jobs.Message{}), ledger.Accepted)
	for _, id := range strangers {
		b.until(id, ledger.Failed)
	}
}
