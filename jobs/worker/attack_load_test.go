package worker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// asked is what the producer has asked for.
type asked struct {
	messages  map[string]string // body → job
	purchases []string
	updates   []update
	uncertain int // calls without a key of which nobody knows whether they made a job
}

// update is one route update, in the order in which they were asked for.
type update struct{ job, number, slot, id, value string }

// updated are numbers of the simulated account whose routes are updated.
func updated() []string { return []string{"12065550100", "12065550101", "12065550102", "12065550103"} }

// produce asks for a mixed load until ctx ends, each call until it succeeds.
func (a *attack) produce(ctx context.Context, rng *rand.Rand) {
	a.messages = map[string]string{}
	plain := asynq.NewClientFromRedisClient(a.rdb)
	for n := 0; ctx.Err() == nil; n++ {
		switch what := rng.IntN(100); {
		case what < 3:
			a.askPurchase(rng, n)
		case what < 11:
			a.askUpdate(rng, n)
		case what < 17:
			id, body := ledger.NewID(), "plain "+strconv.Itoa(n)
			a.insist(func() error { return a.plainTask(a.t.Context(), plain, id, body) })
			a.messages[body] = id.String()
		default:
			a.askMessage(rng, n)
		}
		wait(ctx, time.Duration(rng.IntN(40))*time.Millisecond)
	}
}

func (a *attack) askMessage(rng *rand.Rand, n int) {
	m := jobs.Message{From: ours, To: theirs, Body: "text " + strconv.Itoa(n), Key: "key " + strconv.Itoa(n),
		Priority: []string{"otp", "normal", "bulk"}[rng.IntN(3)]}
	switch rng.IntN(10) {
	case 0:
		mms := true
		m.IsMMS = &mms
	case 1:
		m.SendAt = time.Now().Add(2 * time.Second)
	case 2:
		m.Key = ""
		receipt, err := a.jobs.Send(a.t.Context(), m)
		if err != nil {
			a.uncertain++
			return
		}
		a.messages[m.Body] = receipt.ID
		return
	}
	a.keyed(m)
	if rng.IntN(8) == 0 {
		a.keyed(m) // a duplicate
	}
	if rng.IntN(8) == 0 {
		_, _ = a.jobs.Cancel(a.t.Context(), a.messages[m.Body]) // its state says whether it worked
	}
}

// keyed asks until it succeeds; the same key is the same job.
func (a *attack) keyed(m jobs.Message) {
	a.insist(func() error {
		receipt, err := a.jobs.Send(a.t.Context(), m)
		if err != nil {
			return err
		}
		if known := a.messages[m.Body]; known != "" && known != receipt.ID {
			a.t.Errorf("key %q is two jobs: %s and %s", m.Key, known, receipt.ID)
		}
		a.messages[m.Body] = receipt.ID
		return nil
	})
}

func (a *attack) askPurchase(rng *rand.Rand, n int) {
	p := jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1206557"}, Key: "buy " + strconv.Itoa(n)}
	if rng.IntN(3) == 0 {
		p.Search, p.Number = nil, fmt.Sprintf("1206557%04d", rng.IntN(40)) // wanted by others too
	}
	if rng.IntN(2) == 0 {
		p.Alias, p.PrimaryRoute = "number "+strconv.Itoa(n), &jobs.RouteSpec{ID: "0"}
	}
	a.insist(func() error {
		receipt, err := a.jobs.Purchase(a.t.Context(), p)
		if err == nil {
			a.purchases = append(a.purchases, receipt.ID)
		}
		return err
	})
}

func (a *attack) askUpdate(rng *rand.Rand, n int) {
	u := update{number: updated()[rng.IntN(len(updated()))], slot: []string{"primary_route", "failover_route"}[rng.IntN(2)]}
	spec := &jobs.RouteSpec{}
	if n < 400 && rng.IntN(3) > 0 {
		u.id = strconv.Itoa(1000 + n)
		spec.ID = u.id
	} else {
		u.value = fmt.Sprintf("made%d.example.com", n)
		spec.Type, spec.Value, spec.Alias = "host", u.value, "made"+strconv.Itoa(n)
	}
	ask := jobs.RouteUpdate{Number: u.number, Primary: spec, Key: "route " + strconv.Itoa(n)}
	if u.slot == "failover_route" {
		ask.Primary, ask.Failover = nil, spec
	}
	a.insist(func() error {
		receipt, err := a.jobs.UpdateRoute(a.t.Context(), ask)
		if err == nil {
			u.job = receipt.ID
			a.updates = append(a.updates, u)
		}
		return err
	})
}

// insist repeats a call while Redis is away.
func (a *attack) insist(call func() error) {
	var err error
	for range 20 {
		if err = call(); err == nil {
			return
		}
		wait(a.t.Context(), 200*time.Millisecond)
	}
	a.t.Errorf("the producer gave up: %v", err)
}
