package worker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/ledgertest"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// capped gives sending numbers a cap of their own.
func capped(caps map[string]ratelimit.Cap) func(*worker.Options) {
	return func(o *worker.Options) {
		o.Caps = func(sender flowroute.E164) []ratelimit.Cap {
			if c, ok := caps[sender.String()]; ok {
				c.Name = "from:" + sender.Digits()
				return []ratelimit.Cap{c}
			}
			return nil
		}
	}
}

func sender(n int) string { return fmt.Sprintf("+120655501%02d", n) }

// The backlog of a capped number holds up nobody, is posted in its order, and each of
// its messages leaves its queue once.
func TestCappedSender(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	const backlog = 12
	stop := b.usedUp()
	var ids []string
	for n := range backlog {
		ids = append(ids, b.send(jobs.Message{From: sender(1), Body: fmt.Sprint("capped ", n)}))
	}
	b.until(b.send(jobs.Message{From: sender(2)}), ledger.Accepted)
	b.parks(backlog)
	stop()
	if got := b.taken(); got != 2 {
		t.Errorf("the account took %d, want 2", got)
	}
	b.start(options{worker: capped(map[string]ratelimit.Cap{sender(1): {Rate: ratelimit.Rate{N: 4, Per: time.Second}}})})
	started := time.Now()
	for _, id := range ids {
		b.until(id, ledger.Accepted)
	}
	if took := time.Since(started); took < 1500*time.Millisecond {
		t.Errorf("12 messages at 4 in a second took %v", took)
	}
	place := 0
	for _, m := range b.sim.Truth().Messages {
		var n int
		if _, err := fmt.Sscanf(m.Body, "capped %d", &n); err != nil {
			continue
		}
		if n < place-2 || n > place+2 {
			t.Errorf("message %d was posted as number %d", n, place)
		}
		place++
	}
	info, err := asynq.NewInspectorFromRedisClient(b.db.Client()).GetQueueInfo("normal")
	if err != nil {
		t.Fatal(err)
	}
	if info.Processed != backlog+2 || info.Size != 0 {
		t.Errorf("tasks were taken %d times for %d messages; %d are left", info.Processed, backlog+2, info.Size)
	}
}

// usedUp starts a worker, and uses up the day of the first sender.
func (b bundle) usedUp() (stop func()) {
	b.t.Helper()
	stop = b.start(options{worker: capped(map[string]ratelimit.Cap{sender(1): {PerDay: 1}})})
	b.until(b.send(jobs.Message{From: sender(1), Body: "the first"}), ledger.Accepted)
	return stop
}

// parks waits until so many messages of the first sender wait for its limit.
func (b bundle) parks(want int) {
	b.t.Helper()
	b.eventually(fmt.Sprint(want, " parked"), func() bool {
		parked, err := b.ledger.Parked(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		return parked["sms.normal."+sender(1)[1:]] == want
	})
}

// What was parked by a process that is gone is posted by another, and a cancelled one
// never.
func TestParkedOutliveTheirWorker(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	stop := b.usedUp()
	var ids []string
	for n := range 4 {
		ids = append(ids, b.send(jobs.Message{From: sender(1), Body: fmt.Sprint(n)}))
	}
	b.parks(4)
	stop()
	if _, err := b.jobs.Cancel(t.Context(), ids[2]); err != nil {
		t.Fatal(err)
	}
	b.start(options{worker: capped(nil)})
	for _, n := range []int{0, 1, 3} {
		b.until(ids[n], ledger.Accepted)
	}
	b.until(ids[2], ledger.Cancelled)
	if got := b.taken(); got != 4 {
		t.Errorf("the account took %d, want 4", got)
	}
	if parked, err := b.ledger.Parked(t.Context()); err != nil || len(parked) > 0 {
		t.Errorf("still parked: %v, %v", parked, err)
	}
}

// A message that was taken from its place by a process that died there is found.
func TestLostFromItsPlace(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	stop := b.usedUp()
	second := b.send(jobs.Message{From: sender(1), Body: "second"})
	b.parks(1)
	stop()
	if ids, _, err := b.ledger.Unpark(t.Context(), "sms.normal."+sender(1)[1:], 1, time.Time{}); err != nil || len(ids) != 1 || ids[0].String() != second {
		t.Fatalf("got %v, %v", ids, err)
	}
	b.start(options{worker: func(o *worker.Options) { o.Sweep = 200 * time.Millisecond }})
	b.until(second, ledger.Accepted)
}

// A number whose day is used up waits for the next one, and holds up nobody.
func TestDayIsUsedUp(t *testing.T) {
	t.Parallel()
	b := setup(t, options{worker: capped(map[string]ratelimit.Cap{sender(1): {PerDay: 2}})})
	for n := range 2 {
		b.until(b.send(jobs.Message{From: sender(1), Body: fmt.Sprint(n)}), ledger.Accepted)
	}
	third := b.send(jobs.Message{From: sender(1), Body: "third"})
	b.until(b.send(jobs.Message{From: sender(2)}), ledger.Accepted)
	b.parks(1)
	b.until(third, ledger.Queued)
	if got := b.taken(); got != 3 {
		t.Errorf("the account took %d, want 3", got)
	}
}

// Messages whose time is over while they wait end, without costing those behind them a
// permit.
func TestParkedExpire(t *testing.T) {
	t.Parallel()
	cap := ratelimit.Cap{Rate: ratelimit.Rate{N: 1, Per: 7 * time.Second}}
	b := setup(t, options{worker: capped(map[string]ratelimit.Cap{sender(1): cap})})
	b.until(b.send(jobs.Message{From: sender(1)}), ledger.Accepted)
	var over []string
	for n := range 5 {
		over = append(over, b.send(jobs.Message{From: sender(1), Body: fmt.Sprint(n), ExpiresAt: time.Now().Add(6 * time.Second)}))
	}
	last := b.send(jobs.Message{From: sender(1), Body: "last"})
	b.until(last, ledger.Accepted)
	for _, id := range over {
		b.until(id, ledger.Expired)
	}
}

// One that is queued with a mark that it must not be posted ends, where others wait.
func TestMarkedIsNotParked(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	id := b.send(jobs.Message{From: sender(1)})
	ledgertest.Set(t, b.db.Client(), id, "nr", "c")
	b.start(options{worker: capped(map[string]ratelimit.Cap{sender(1): {Rate: ratelimit.Rate{N: 1, Per: time.Second}}})})
	b.until(id, ledger.Cancelled)
}
