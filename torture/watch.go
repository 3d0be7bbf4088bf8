package torture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// phase is what a run is at, for the line that tells it.
type phase struct {
	mu   sync.Mutex
	name string
}

func (p *phase) set(name string) { p.mu.Lock(); defer p.mu.Unlock(); p.name = name }
func (p *phase) get() string     { p.mu.Lock(); defer p.mu.Unlock(); return p.name }

// revive starts workers again that were killed.
func (r *run) revive(ctx context.Context) {
	var restarts sync.WaitGroup
	defer restarts.Wait()
	rng := rand.New(rand.NewPCG(r.o.Seed, 5))
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-r.perishing:
			pause := time.Duration(rng.Float64() * float64(400*time.Millisecond))
			restarts.Go(func() {
				r.workers[n].died()
				if !sleep(ctx, pause) {
					return
				}
				if err := r.workers[n].start(); err != nil {
					r.note("worker %d not started again: %v", n, err)
				}
			})
		}
	}
}

// tellEvery is how often the state of things is told.
const tellEvery = 5 * time.Second

// tell says every few seconds how far the run is.
func (r *run) tell(ctx context.Context) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		fmt.Fprintf(r.o.Progress, "%5.0fs %-8s %s\n", time.Since(r.began).Seconds(), r.phase.get(), r.status(ctx))
	}
}

func (r *run) status(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	asked := 0
	all, _, _ := r.producer.all()
	for _, a := range all {
		if a.Tried {
			asked++
		}
	}
	line := []string{fmt.Sprintf("asked %d/%d", asked, len(all))}
	counts, err := r.ledger.Counts(ctx)
	if err != nil {
		line = append(line, "redis is away")
	}
	total := map[ledger.State]int64{}
	for _, states := range counts {
		for state, n := range states {
			total[state] += n
		}
	}
	for _, state := range ledger.States() {
		if total[state] != 0 {
			line = append(line, fmt.Sprintf("%s %d", state, total[state]))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range []Action{KillRedis, Rollback, Freeze} {
		if r.done[a] > 0 {
			line = append(line, fmt.Sprintf("%s %d", a, r.done[a]))
		}
	}
	return strings.Join(append(line, fmt.Sprintf("kills %d", r.killed())), ", ")
}

// rest waits until nothing moves any more: every job has ended or waits for a
// person. It reports whether that came about in time.
func (r *run) rest(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, r.o.Rest)
	defer cancel()
	for {
		if moving, err := r.moving(ctx); err == nil && moving == 0 {
			return true
		}
		if !sleep(ctx, 500*time.Millisecond) {
			return false
		}
	}
}

// moving is how many jobs are neither over nor with a person. A job that is not in
// the ledger moves while the producer knows it to be there: it may be a task yet.
func (r *run) moving(ctx context.Context) (int, error) {
	counts, err := r.ledger.Counts(ctx)
	if err != nil {
		return 0, err
	}
	moving := 0
	for _, states := range counts {
		moving += int(states[ledger.Queued] + states[ledger.Sending] + states[ledger.Unknown])
	}
	if moving > 0 {
		return moving, nil
	}
	asked, _, _ := r.producer.all()
	jobs, err := r.read(ctx, asked)
	if err != nil {
		return 0, err
	}
	for _, a := range asked {
		job, found := jobs[a.ID]
		if (!found && a.Plain != "" && !a.At.IsZero() && !a.Exposed) || (found && !resting(job)) {
			moving++
		}
	}
	return moving, nil
}

// resting: nothing will happen to the job any more without a person or a receipt.
func resting(job ledger.Job) bool { return job.State.Final() || job.State == ledger.Review }

// read is the ledger's jobs of what was asked for, by id.
func (r *run) read(ctx context.Context, asked []Asked) (map[string]ledger.Job, error) {
	ids := map[string]ledger.ID{}
	for _, a := range asked {
		if a.ID == "" {
			continue
		}
		id, err := ledger.ParseID(a.ID)
		if err != nil {
			return nil, err
		}
		ids[a.ID] = id
	}
	found := map[string]ledger.Job{}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(ids)), 500) {
		part := make([]ledger.ID, len(chunk))
		for i, text := range chunk {
			part[i] = ids[text]
		}
		jobs, errs := r.ledger.GetMany(ctx, part)
		for i, err := range errs {
			switch {
			case errors.Is(err, ledger.ErrNotFound):
			case err != nil:
				return nil, err
			default:
				found[chunk[i]] = jobs[i]
			}
		}
	}
	return found, nil
}
