package torture

import (
	"context"
	"fmt"
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

// tellEvery is how often the state of things is told.
const tellEvery = 5 * time.Second

// tell says every few seconds how far the run is.
func (r *run) tell(ctx context.Context) {
	every(ctx, tellEvery, func() {
		fmt.Fprintf(r.o.Progress, "%5.0fs %-8s %s\n", time.Since(r.began).Seconds(), r.phase.get(), r.status(ctx))
	})
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
