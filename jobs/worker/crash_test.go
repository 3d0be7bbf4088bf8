package worker_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
)

// A worker is killed at each point of a message's way. The message is accepted once.
func TestWorkerKilledWithAMessage(t *testing.T) {
	t.Parallel()
	for _, point := range worker.Points() {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{stopped: true})
			id := b.send(jobs.Message{Body: "killed at " + string(point)})
			b.aim(crash{Point: point, Nth: 1}).dies()
			b.aftermath()
			b.nudge(id) // as the hand-back does a few seconds later
			job := b.until(id, ledger.Accepted, ledger.Review, ledger.Failed)
			open := slices.Contains([]worker.Point{worker.PointIntent, worker.PointBody, worker.PointAnswered}, point)
			open = open || point == worker.PointDone && was(job, ledger.Unknown) // its outcome may be written after its task's end
			if job.State != ledger.Accepted || len(job.MDRs) != 1 || was(job, ledger.Unknown) != open {
				t.Errorf("got %s, %s, %v, %+v", job.State, job.Reason, job.MDRs, job.History)
			}
			if got, _ := b.takenOnce(); got != 1 {
				t.Errorf("the account took %d, want 1", got)
			}
		})
	}
}

// A worker stands still at a point for longer than every time that it was given, and
// goes on when its job is resolved. It posts nothing, and what it knows is written.
func TestWorkerFrozenWithAMessage(t *testing.T) {
	t.Parallel()
	for _, point := range []worker.Point{worker.PointPermit, worker.PointIntent, worker.PointBody, worker.PointAnswered, worker.PointSettled} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{stopped: true})
			id := b.send(jobs.Message{Body: "frozen at " + string(point)})
			frozen := b.aim(crash{Point: point, Nth: 1, Hold: true})
			frozen.freezes()
			if point == worker.PointBody {
				// Whether it comes there is the kernel's business; wait until it did.
				b.eventually("the request", func() bool { return b.taken() == 1 })
			}
			b.aftermath()
			b.nudge(id)
			before := b.until(id, ledger.Accepted, ledger.Review, ledger.Failed)
			_, slept := b.takenOnce()
			until := worker.PointDone
			if point == worker.PointSettled {
				until = point // the task may have ended before
			}
			frozen.wakes(until)
			job := b.until(id, ledger.Accepted, ledger.Review, ledger.Failed, ledger.Unknown, ledger.Queued, ledger.Sending)
			if before.State != ledger.Accepted || job.State != ledger.Accepted || !slices.Equal(job.MDRs, before.MDRs) || len(job.MDRs) != 1 {
				t.Errorf("got %s %v, afterwards %s %v", before.State, before.MDRs, job.State, job.MDRs)
			}
			if taken, posts := b.takenOnce(); posts != slept || taken != 1 {
				t.Errorf("got %d posts, %d when it slept; the account took %d", posts, slept, taken)
			}
		})
	}
}

// The same with a purchase by search, at each point of each of its steps.
func TestWorkerKilledWithAPurchase(t *testing.T) {
	t.Parallel()
	for nth, step := range []string{"buy", "alias", "create", "assign"} {
		for _, point := range worker.Points() {
			if nth > 0 && (point == worker.PointPermit || point == worker.PointDone) {
				continue // nothing of the step is there yet, or the job is over
			}
			t.Run(step+"/"+string(point), func(t *testing.T) {
				t.Parallel()
				b := setup(t, options{stopped: true})
				id := b.purchase(jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1201555"}, Alias: "desk",
					PrimaryRoute: &jobs.RouteSpec{Type: "host", Value: "sip.example.com", Alias: "office"}})
				b.aim(crash{Point: point, Nth: nth + 1}).dies()
				b.aftermath()
				if point != worker.PointDone {
					b.nudge(id)
				}
				b.wantBought(id)
			})
		}
	}
}

// wantBought waits for a purchase of one number with alias and route.
func (b bundle) wantBought(id string) {
	b.t.Helper()
	job := b.until(id, ledger.Done, ledger.Failed, ledger.Review)
	if job.State != ledger.Done || job.Warning != "" {
		b.t.Errorf("got %s, %s, %s, warning %q", job.State, job.Reason, job.Detail, job.Warning)
	}
	bought := b.bought()
	if len(bought) != 1 || !strings.Contains(string(job.Progress), bought[0]) {
		b.t.Fatalf("bought %v; the job says %s", bought, job.Progress)
	}
	truth := b.sim.Truth()
	number := truth.Numbers[bought[0]]
	made := 0
	for _, route := range truth.Routes {
		if route.Value == "sip.example.com" {
			made++
		}
	}
	if made != 1 || number.Alias != "desk" || number.PrimaryRoute == "" || number.PrimaryRoute == "0" {
		b.t.Errorf("%d routes were made; got %+v", made, number)
	}
}

// A worker is killed while it reads back what an earlier attempt came to.
func TestWorkerKilledWhileReadingBack(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]string{"was bought": "purchase-accepted-then-cut", "was not": "500-before"} {
		for nth, point := range map[int]worker.Point{2: worker.PointAnswered, 3: worker.PointSettled} {
			t.Run(name+"/"+string(point), func(t *testing.T) {
				t.Parallel()
				b := setup(t, options{stopped: true})
				b.sim.FailNext(fault, 1)
				id := b.purchase(jobs.Purchase{Number: forSale, Alias: "desk", PrimaryRoute: &jobs.RouteSpec{Type: "host", Value: "sip.example.com"}})
				// The attempt that becomes unknown passes each point once itself.
				b.aim(crash{Point: point, Nth: min(nth, 2)}).dies()
				b.aftermath()
				b.nudge(id)
				b.wantBought(id)
			})
		}
	}
}

// The same with an update of both routes of a number, one of which has to be made.
func TestWorkerKilledWithARoute(t *testing.T) {
	t.Parallel()
	for nth, step := range []string{"create", "assign", "assign failover"} {
		for _, point := range []worker.Point{worker.PointIntent, worker.PointBody, worker.PointAnswered, worker.PointSettled} {
			t.Run(step+"/"+string(point), func(t *testing.T) {
				t.Parallel()
				b := setup(t, options{stopped: true})
				id := b.updateRoute(jobs.RouteUpdate{Primary: &jobs.RouteSpec{Type: "host", Value: "sip.example.com"}, Failover: &jobs.RouteSpec{ID: "0"}})
				b.aim(crash{Point: point, Nth: nth + 1}).dies()
				b.aftermath()
				b.nudge(id)
				if job := b.until(id, ledger.Done, ledger.Failed, ledger.Review); job.State != ledger.Done {
					t.Errorf("got %s, %s, %s", job.State, job.Reason, job.Detail)
				}
				truth := b.sim.Truth()
				made := 0
				for _, route := range truth.Routes {
					if route.Value == "sip.example.com" {
						made++
					}
				}
				if got := truth.Numbers["12065550100"]; made != 1 || got.PrimaryRoute == "" || got.PrimaryRoute == "0" || got.FailoverRoute != "0" {
					t.Errorf("%d routes were made; got %+v", made, got)
				}
			})
		}
	}
}

// A worker stands still with the answer that a number was bought in hand, and the
// account does not show it for long: others post again, are refused, and a person is
// asked. Then it wakes up, and the proof counts.
func TestWorkerFrozenWithAPurchase(t *testing.T) {
	t.Parallel()
	const lag = 14 * time.Second
	for _, point := range []worker.Point{worker.PointIntent, worker.PointBody, worker.PointAnswered} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			b := setup(t, options{stopped: true})
			b.sim.SetFault("purchase-lag", flowroutetest.Fault{Count: 1, Delay: lag})
			id := b.purchase(jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1201555"}, Alias: "desk",
				PrimaryRoute: &jobs.RouteSpec{Type: "host", Value: "sip.example.com"}})
			frozen := b.aim(crash{Point: point, Nth: 1, Hold: true})
			frozen.freezes()
			if point == worker.PointBody {
				b.eventually("the request", func() bool { return len(b.bought()) == 1 })
			}
			b.aftermath()
			b.nudge(id)
			job := b.until(id, ledger.Done, ledger.Failed, ledger.Review)
			if want := map[bool]ledger.State{true: ledger.Done, false: ledger.Review}[point == worker.PointIntent]; job.State != want {
				t.Errorf("got %s, %s, %s, want %s", job.State, job.Reason, job.Detail, want)
			}
			purchases := func() int { return b.requests("POST", b.bought()[0]) }
			posts := purchases()
			b.eventually("the number shows", func() bool { return time.Since(job.FirstTried) > lag+time.Second })
			frozen.wakes(worker.PointDone)
			if point == worker.PointAnswered {
				b.until(id, ledger.Done)
				b.wantBought(id)
				return
			}
			if got := purchases(); got != posts || len(b.bought()) != 1 {
				t.Errorf("got %d posts, %d when it slept; bought %v", got, posts, b.bought())
			}
		})
	}
}

// The number is bought, but its messaging could not be switched on (207), which is
// known from the header alone: it is written down before anything else.
func TestWorkerKilledAfterA207(t *testing.T) {
	t.Parallel()
	b := setup(t, options{stopped: true})
	b.sim.FailNext("purchase-207", 1)
	b.sim.SetFault("slow-body", flowroutetest.Fault{Count: 1, On: []flowroutetest.Op{flowroutetest.OpPurchase}, Delay: 5 * time.Second})
	id := b.purchase(jobs.Purchase{Number: forSale})
	b.aim(crash{Point: worker.PointAnswered, Nth: 1}).dies()
	b.aftermath()
	b.nudge(id)
	job := b.until(id, ledger.Done, ledger.Failed, ledger.Review)
	if got := b.bought(); job.State != ledger.Done || job.Warning == "" || was(job, ledger.Unknown) || len(got) != 1 {
		t.Errorf("got %s, warning %q, %+v; bought %v", job.State, job.Warning, job.History, got)
	}
}
