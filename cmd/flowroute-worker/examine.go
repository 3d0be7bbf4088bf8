package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// slowRedis is when each of a message's few commands costs more than is good for
// an OTP.
const slowRedis = 20 * time.Millisecond

func (d *desk) examineRedis(ctx context.Context, f *findings) {
	facts, err := redisconn.Inspect(ctx, d.rdb)
	if err != nil {
		f.fail("redis", err.Error(), "")
		return
	}
	f.ok("redis", "%s answers, version %s", d.target, orDash(facts.Version))
	for _, p := range d.problems(facts) {
		switch p.Level {
		case redisconn.LevelError:
			f.fail("redis", p.Text, p.Fix)
		case redisconn.LevelWarning:
			f.warn("redis", p.Text, p.Fix)
		default:
			f.ok("redis", "%s", p.Text)
		}
	}
	f.ok("redis", "%s", facts.Guarantee(d.waitsForDisk()))
	var trips []time.Duration
	for range 20 {
		start := time.Now()
		if err := d.rdb.Ping(ctx).Err(); err != nil {
			f.fail("redis", "a ping failed: "+err.Error(), "look at the network between here and Redis")
			return
		}
		trips = append(trips, time.Since(start))
	}
	slices.Sort(trips)
	median, most := trips[len(trips)/2], trips[len(trips)-1]
	if median > slowRedis {
		f.warn("latency", fmt.Sprintf("Redis answers after %v (median), %v at most", median.Round(time.Millisecond), most.Round(time.Millisecond)), "run the worker nearer to Redis")
	} else {
		f.ok("latency", "Redis answers after %v (median), %v at most", median.Round(time.Microsecond), most.Round(time.Microsecond))
	}
	if !facts.Time.IsZero() && facts.Skew.Abs() < 2*time.Second {
		f.ok("clock", "this machine and Redis agree to %v", (facts.Skew.Abs() + facts.Uncertainty).Round(time.Microsecond))
	}
}

// examineAccount checks the credentials with one request, and whose jobs these
// are.
func (d *desk) examineAccount(ctx context.Context, w world, f *findings) {
	owner, err := d.jobs.Ledger().Owner(ctx)
	if err != nil {
		f.fail("ledger", err.Error(), "")
		return
	}
	if !d.hasCredentials() {
		f.warn("credentials", "FR_ACCESS_KEY and FR_SECRET_KEY are not set: this machine can take jobs in, but not do them", "set them where the worker runs")
		return
	}
	client, err := d.client(flowroute.Options{})
	if err != nil {
		f.fail("credentials", err.Error(), "correct them")
		return
	}
	switch account := d.account(client); owner {
	case account:
		f.ok("ledger", "the jobs in this Redis belong to this account (%s)", account)
	case "":
		f.ok("ledger", "this Redis holds no jobs yet; the first worker makes it account %s's", account)
	default:
		f.fail("ledger", (&ledger.OwnerError{Owner: owner, Account: account}).Error(), "")
	}
	switch err := d.withAPI(ctx, w.errs, checkCredentials); {
	case err == nil:
		f.ok("credentials", "Flowroute takes them (%s)", d.BaseURL)
	case errors.Is(err, flowroute.ErrUnauthorized):
		f.fail("credentials", "Flowroute refuses them (401)", "check FR_ACCESS_KEY and FR_SECRET_KEY; keys can expire and be replaced at manage.flowroute.com")
	case errors.Is(err, flowroute.ErrRateLimited):
		f.warn("credentials", "Flowroute answers 429: somebody else uses this key's limit", "give every program that uses the key the same Redis, or set RATE_NUMBERS_PER_SECOND lower")
	default:
		f.fail("credentials", "could not be checked: "+explainAPI(err).Error(), "check FLOWROUTE_BASE_URL and the way out of this machine (firewall, DNS)")
	}
}

func (d *desk) examineLimits(ctx context.Context, f *findings) {
	account, err := d.knownAccount(ctx)
	if err != nil {
		return // said already
	}
	limiter, err := ratelimit.New(d.rdb, ratelimit.Options{Account: account, Limits: d.limits, Timeout: d.Timeout})
	if err != nil {
		f.fail("limits", err.Error(), "")
		return
	}
	status, err := limiter.Status(ctx)
	if err != nil {
		f.fail("limits", err.Error(), "")
		return
	}
	for _, l := range status {
		switch {
		case l.Effective != l.Configured:
			f.warn("limits", fmt.Sprintf("%s: %s a second is configured here, but %s is in effect: another process is told less", l.Name, l.Configured, l.Effective), "give all processes the same RATE_… values")
		case !l.PenaltyUntil.IsZero():
			f.warn("limits", fmt.Sprintf("%s: paused after a 429 until %s", l.Name, stamp(l.PenaltyUntil)), "somebody else uses this key, or the account's limit is lower than configured")
		default:
			f.ok("limits", "%s: %s a second", l.Name, l.Effective)
		}
	}
}

// examineWork looks for what waits for a person.
func (d *desk) examineWork(ctx context.Context, f *findings, now time.Time) {
	switch b, err := d.jobs.Ledger().PeekBreaker(ctx, worker.BreakerName); {
	case err != nil:
		f.fail("sending", err.Error(), "")
	case b.Open:
		f.fail("sending", "stopped since "+stamp(b.Since)+": "+clean(b.Reason), "mend that; sending goes on by itself after the next probe")
	}
	d.examineWorkers(ctx, f)
	d.examineFence(ctx, f, now)
	d.examineRecords(ctx, f, now)
	d.examineReceipts(ctx, f)
	d.examineForward(ctx, f, now)
	d.examineJobs(ctx, f, now)
	d.examineQueues(f)
	d.examineSyncs(ctx, f, now)
}

func (d *desk) examineJobs(ctx context.Context, f *findings, now time.Time) {
	counts, err := d.jobs.Ledger().Counts(ctx)
	if err != nil {
		f.fail("jobs", err.Error(), "")
		return
	}
	sum := func(s ledger.State) (n int64) {
		for _, states := range counts {
			n += states[s]
		}
		return n
	}
	if n := sum(ledger.Unknown); n > 0 {
		d.examineUnknown(ctx, f, n, now)
	}
	if n := sum(ledger.Review); n > 0 {
		f.warn("jobs", fmt.Sprintf("%s for a person to decide (review)", plural(int(n), "job")), "flowroute-worker review list shows them, and what to look at")
	}
	f.ok("jobs", "%d queued, %d on the wire", sum(ledger.Queued), sum(ledger.Sending))
}

func (d *desk) examineQueues(f *findings) {
	inspector := asynq.NewInspectorFromRedisClient(d.rdb)
	present, err := inspector.Queues()
	if err != nil {
		f.warn("queues", "could not be read: "+err.Error(), "")
		return
	}
	for _, name := range present {
		if !slices.Contains(ledger.Queues(), name) && name != worker.QueueResend {
			continue // another app's
		}
		q, err := inspector.GetQueueInfo(name)
		switch {
		case err != nil:
			f.warn("queues", name+" could not be read: "+err.Error(), "a task's record is missing: has something deleted keys of this Redis?")
			continue
		case q.Paused:
			f.warn("queues", name+" is paused: its jobs wait", "somebody paused it by hand; resume it in the queue pages (QUEUES_UI_WRITE=true)")
		}
		if q.Archived > 0 {
			f.warn("queues", fmt.Sprintf("%s has %d archived tasks", name, q.Archived), "look at them in the queue pages: poison payloads of another app, or somebody archived them; their jobs are in the ledger all the same")
		}
	}
}

// examineSyncs warns of copies that are behind.
func (d *desk) examineSyncs(ctx context.Context, f *findings, now time.Time) {
	records, err := d.records()
	if err != nil {
		f.fail("syncs", err.Error(), "")
		return
	}
	numbers, err := inventory.New(d.rdb, inventory.Options{})
	if err != nil {
		f.fail("syncs", err.Error(), "")
		return
	}
	lastRecords, err := records.LastSync(ctx)
	if err != nil {
		f.warn("syncs", "the last sync of records could not be read: "+err.Error(), "")
	}
	lastNumbers, err := numbers.LastSync(ctx)
	if err != nil {
		f.warn("syncs", "the last sync of numbers could not be read: "+err.Error(), "")
	}
	for _, sync := range []struct {
		what    string
		last    time.Time
		warning string
		old     time.Duration
		off     bool
	}{
		{"records", lastRecords.Started, lastRecords.Warning, time.Hour, d.MDRSyncCron.Off()},
		{"numbers", lastNumbers.Started, lastNumbers.Warning, 25 * time.Hour, d.NumbersSyncCron.Off()},
	} {
		switch {
		case sync.warning != "":
			f.warn("syncs", fmt.Sprintf("the last sync of %s says: %s", sync.what, clean(sync.warning)), "see the worker's log")
		case sync.last.IsZero():
			f.ok("syncs", "no sync of %s has run yet", sync.what)
		case now.Sub(sync.last) > sync.old && !sync.off:
			f.warn("syncs", fmt.Sprintf("the last sync of %s began at %s", sync.what, stamp(sync.last)), "is a process with the roles scheduler and worker running?")
		default:
			f.ok("syncs", "%s are as of %s", sync.what, stamp(sync.last))
		}
	}
}
