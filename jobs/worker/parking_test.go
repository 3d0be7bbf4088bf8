package worker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
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
	var ids []string
	for n := range backlog {
		ids = append(ids, b.send(jobs.Message{From: sender(1), Body: fmt.Sprint("capped ", n)}))
	}
	free := b.send(jobs.Message{From: sender(2)})
	b.start(options{worker: func(o *worker.Options) {
		capped(map[string]ratelimit.Cap{sender(1): {Rate: ratelimit.Rate{N: 4, Per: time.Second}}})(o)
		o.Concurrency = 2
	}})
	b.until(free, ledger.Accepted)
	if got := b.taken(); got > 6 {
		t.Errorf("%d messages before the one of a number without a cap", got)
	}
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
	if info.Processed != backlog+1 || info.Size != 0 {
		t.Errorf("tasks were taken %d times for %d messages; %d are left", info.Processed, backlog+1, info.Size)
	}
}

// What was parked by a process that is gone is posted by another, and a cancelled one
// never.
func TestParkedOutliveTheirWorker(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	slow := capped(map[string]ratelimit.Cap{sender(1): {PerDay: 1}})
	var ids []string
	for n := range 5 {
		ids = append(ids, b.send(jobs.Message{From: sender(1), Body: fmt.Sprint(n)}))
	}
	stop := b.start(options{worker: slow})
	b.until(ids[0], ledger.Accepted)
	b.eventually("all others are parked", func() bool {
		parked, err := b.ledger.Parked(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return parked["sms.normal."+sender(1)[1:]] == 4
	})
	stop()
	if _, err := b.jobs.Cancel(t.Context(), ids[3]); err != nil {
		t.Fatal(err)
	}
	b.start(options{worker: capped(nil)})
	for _, n := range []int{1, 2, 4} {
		b.until(ids[n], ledger.Accepted)
	}
	b.until(ids[3], ledger.Cancelled)
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
	slow := capped(map[string]ratelimit.Cap{sender(1): {PerDay: 1}})
	first := b.send(jobs.Message{From: sender(1)})
	second := b.send(jobs.Message{From: sender(1), Body: "second"})
	stop := b.start(options{worker: slow})
	b.until(first, ledger.Accepted)
	place := "sms.normal." + sender(1)[1:]
	b.eventually("the second is parked", func() bool {
		parked, err := b.ledger.Parked(t.Context())
		return err == nil && parked[place] == 1
	})
	stop()
	if ids, _, err := b.ledger.Unpark(t.Context(), place, 1); err != nil || len(ids) != 1 || ids[0].String() != second {
		t.Fatalf("got %v, %v", ids, err)
	}
	b.start(options{worker: func(o *worker.Options) { o.Sweep = 200 * time.Millisecond }})
	b.until(second, ledger.Accepted)
}

// A number whose day is used up waits for the next one, and holds up nobody.
func TestDayIsUsedUp(t *testing.T) {
	t.Parallel()
	b := setup(t, options{worker: capped(map[string]ratelimit.Cap{sender(1): {PerDay: 2}})})
	var ids []string
	for n := range 4 {
		ids = append(ids, b.send(jobs.Message{From: sender(1), Body: fmt.Sprint(n)}))
	}
	b.until(ids[0], ledger.Accepted)
	b.until(ids[1], ledger.Accepted)
	b.until(b.send(jobs.Message{From: sender(2)}), ledger.Accepted)
	b.until(ids[2], ledger.Queued)
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
	b.set("j:"+id, "nr", "c")
	b.start(options{worker: capped(map[string]ratelimit.Cap{sender(1): {Rate: ratelimit.Rate{N: 1, Per: time.Second}}})})
	b.until(id, ledger.Cancelled)
}
