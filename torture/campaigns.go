package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Campaign is one campaign of the plan.
type Campaign struct {
	Spec   campaign.Spec
	At     time.Duration // since the start
	To     []string      // recipients, 11 digits
	Pauses []Pause       // in order
	Cancel time.Duration // since its start; 0: never
}

// Pause is one pause of a campaign.
type Pause struct {
	After time.Duration // it has run
	For   time.Duration
}

// newCampaigns draws one that has the account's limit, one with a rate of its own, and one
// that is cancelled.
func newCampaigns(o Options, rng *rand.Rand) []Campaign {
	about := func(d time.Duration) time.Duration { return time.Duration((0.5 + rng.Float64()) * float64(d)) }
	numbers := validNumbers(recipients)
	var list []Campaign
	for i, share := range []int{6, 3, 3} {
		c := Campaign{At: about(o.For / 8)}
		c.Spec = campaign.Spec{Key: fmt.Sprint("campaign ", i), From: campaign.Senders{"+" + sender(i)}, Template: "{{text}}", SendingHours: "00:00-24:00"}
		n := min(max(o.Messages*share/100, 20), recipients/3)
		c.To = numbers[i*recipients/3:][:n]
		for range 3 + rng.IntN(3) {
			c.Pauses = append(c.Pauses, Pause{After: about(o.For / 30), For: about(2 * time.Second)})
		}
		switch i {
		case 1:
			c.Spec.Rate = max(float64(o.usual().SMS.N)/10, 1)
		case 2:
			c.Cancel = about(o.For / 10)
		}
		list = append(list, c)
	}
	return list
}

// text is what a row of a campaign says; rows count from 1.
func (c Campaign) text(row int) string { return fmt.Sprintf("%s, row %d", c.Spec.Key, row) }

// file is its recipients as CSV.
func (c Campaign) file() string {
	var b strings.Builder
	b.WriteString("phone;text\n")
	for i, to := range c.To {
		fmt.Fprintf(&b, "%s;%q\n", to, c.text(i+1))
	}
	return b.String()
}

// campaigner runs the campaigns of the plan as a person would who looks at them all the
// time: what is not there is created again, what stands still is resumed.
type campaigner struct {
	list  []Campaign
	store *campaign.Store
	calls *sync.RWMutex // held shared during a call
	start time.Time

	mu        sync.Mutex
	uploaded  map[int]bool // all rows were answered
	cancelled map[int]bool
	pauses    int
	problems  []string
}

func newCampaigner(rdb redis.UniversalClient, list []Campaign, calls *sync.RWMutex) (*campaigner, error) {
	store, err := campaign.New(rdb, campaign.Options{})
	return &campaigner{list: list, store: store, calls: calls, uploaded: map[int]bool{}, cancelled: map[int]bool{}}, err
}

// run goes on until ctx ends.
func (c *campaigner) run(ctx context.Context) {
	c.start = time.Now()
	var runs sync.WaitGroup
	for i := range c.list {
		runs.Go(func() { c.one(ctx, i) })
	}
	runs.Wait()
}

func (c *campaigner) one(ctx context.Context, i int) {
	wanted := c.list[i]
	sleep(ctx, time.Until(c.start.Add(wanted.At)))
	pauses := wanted.Pauses
	var running, until time.Time // since when it runs; until when it is paused
	for sleep(ctx, 200*time.Millisecond) {
		now := time.Now()
		_ = c.call(func() error {
			switch {
			case wanted.Cancel > 0 && now.After(c.start.Add(wanted.At+wanted.Cancel)):
				return c.cancel(ctx, i)
			case now.Before(until):
				return nil
			}
			state, err := c.push(ctx, i)
			if err != nil || state != campaign.Running {
				running = now
				return err
			}
			if len(pauses) > 0 && !running.IsZero() && now.Sub(running) > pauses[0].After {
				if _, err := c.store.Pause(ctx, wanted.id()); err != nil {
					return err
				}
				until, pauses, running = now.Add(pauses[0].For), pauses[1:], time.Time{}
				c.count()
			}
			return nil
		}) // asked again soon
	}
}

func (c Campaign) id() ledger.ID { return c.Spec.ID(nil) }

func (c *campaigner) call(do func() error) error {
	c.calls.RLock()
	defer c.calls.RUnlock()
	return do()
}

func (c *campaigner) count() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pauses++
}

// push brings a campaign on, whatever became of it.
func (c *campaigner) push(ctx context.Context, i int) (campaign.State, error) {
	wanted := c.list[i]
	created, err := c.store.Create(ctx, wanted.id(), wanted.Spec)
	if err != nil {
		return "", err
	}
	switch created.State {
	case campaign.Draft:
		totals, err := c.store.Upload(ctx, created.ID, strings.NewReader(wanted.file()), campaign.Input{Waiting: func() error { return campaign.ErrBusy }}, nil)
		if err != nil {
			return "", err
		}
		if n := totals.Accepted + totals.Duplicate; n != len(wanted.To) {
			c.problem("%s: %d rows are taken, of %d", wanted.Spec.Key, n, len(wanted.To))
		}
		c.mu.Lock()
		c.uploaded[i] = true
		c.mu.Unlock()
		return c.store.Start(ctx, created.ID)
	case campaign.Paused:
		return c.store.Resume(ctx, created.ID)
	}
	return created.State, nil
}

func (c *campaigner) cancel(ctx context.Context, i int) error {
	_, err := c.store.Cancel(ctx, c.list[i].id())
	if errors.Is(err, campaign.ErrNotFound) {
		err = nil
	}
	if _, over := errors.AsType[*campaign.StateError](err); over {
		err = nil
	}
	if err == nil {
		c.mu.Lock()
		c.cancelled[i] = true
		c.mu.Unlock()
	}
	return err
}

func (c *campaigner) problem(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// moving is how many campaigns are not over.
func (c *campaigner) moving(ctx context.Context) (n int, err error) {
	for _, wanted := range c.list {
		found, err := c.store.Get(ctx, wanted.id())
		switch {
		case errors.Is(err, campaign.ErrNotFound) && wanted.Cancel > 0:
		case err != nil:
			return 0, err
		case !found.State.Over():
			n++
		}
	}
	return n, nil
}

// asked are the rows, as messages that were asked for.
func (c *campaigner) asked() []Asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	var asked []Asked
	for i, wanted := range c.list {
		for n, to := range wanted.To {
			row := n + 1
			a := Asked{ID: wanted.id().OfRow(uint32(row)).String(), Tried: true, Cancelled: c.cancelled[i], Row: true}
			a.Message = &jobs.Message{From: wanted.Spec.From[0], To: "+" + to, Body: wanted.text(row), Key: wanted.text(row)}
			if c.uploaded[i] {
				a.At = c.start.Add(wanted.At)
			}
			asked = append(asked, a)
		}
	}
	return asked
}
