package torture

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/internal/faultproxy"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
)

// workerProc is a worker that is started again whenever it was killed. Its methods
// are safe for concurrent use.
type workerProc struct {
	n         int
	argv      []string
	order     order
	seed      uint64
	aim       bool
	log       *os.File
	redis     *faultproxy.Proxy
	api       *faultproxy.Proxy
	perishing chan int // its number, when it was killed by itself or ended

	mu     sync.Mutex
	proc   *process
	frozen bool
	ours   bool   // the end of the present life is our kill
	dies   string // where the present life kills itself
	lives  int
	aimed  map[string]int // kills by itself, by point
	kills  int            // kills by us
	ended  []string       // ends that nobody asked for
}

// start gives it its next life; what it dies of is drawn from the seed.
func (w *workerProc) start() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.proc != nil && !w.proc.Over() {
		return nil
	}
	w.bury()
	o := w.order
	life := *o.Worker
	if w.lives > 0 {
		life.Fresh = false
	}
	if w.aim {
		life.Die = drawDeath(w.seed, w.n, w.lives)
	}
	w.dies = life.Die.Point
	o.Worker = &life
	w.lives++
	p, err := child(w.argv, o, w.log, nil)
	if err != nil {
		return err
	}
	w.proc, w.frozen = p, false
	go func() {
		<-p.Gone()
		w.perishing <- w.n
	}()
	return nil
}

// drawDeath is what the n-th worker's life ends of, if nothing else ends it first.
func drawDeath(seed uint64, n, life int) death {
	rng := rand.New(rand.NewPCG(seed, uint64(1000+1000*n+life)))
	points := worker.Points()
	if rng.IntN(4) == 0 {
		return death{}
	}
	return death{Point: string(points[rng.IntN(len(points))]), After: rng.IntN(60)}
}

// bury takes note of how the last life ended. It needs w.mu.
func (w *workerProc) bury() {
	if w.proc == nil || !w.proc.Over() {
		return
	}
	switch {
	case w.ours:
	case w.proc.Killed():
		w.aimed[cmp.Or(w.dies, "elsewhere")]++
	default:
		w.ended = append(w.ended, fmt.Sprintf("worker %d, life %d: %v", w.n, w.lives, w.proc.Wait()))
	}
	w.proc, w.ours, w.frozen = nil, false, false
}

// kill ends it by SIGKILL, stopped or not. It reports whether there was one.
func (w *workerProc) kill() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.proc == nil || !w.proc.Kill() {
		return false
	}
	w.kills++
	w.ours = true
	return true
}

// died is told when a life is over; it counts what was not our kill.
func (w *workerProc) died() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bury()
}

// disarm makes later lives end of nothing.
func (w *workerProc) disarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.aim = false
}

func (w *workerProc) freeze() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.proc == nil || w.proc.Over() || w.frozen {
		return false
	}
	w.frozen = w.proc.Freeze()
	return w.frozen
}

func (w *workerProc) thaw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.proc != nil && w.frozen {
		w.frozen = !w.proc.Thaw()
	}
}

// end lets it drain.
func (w *workerProc) end() error {
	w.mu.Lock()
	p := w.proc
	w.mu.Unlock()
	if p == nil || p.Over() {
		return nil
	}
	return p.End(p.stdin.Close, 20*time.Second)
}

// tally is how often it was killed by us and by itself.
func (w *workerProc) tally() (kills int, aimed map[string]int, ended []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	aimed = map[string]int{}
	maps.Copy(aimed, w.aimed)
	return w.kills, aimed, append([]string(nil), w.ended...)
}

func (w *workerProc) close() {
	w.mu.Lock()
	if w.proc != nil {
		w.proc.Kill()
	}
	w.mu.Unlock()
	for _, p := range []*faultproxy.Proxy{w.redis, w.api} {
		if p != nil {
			p.Close()
		}
	}
	_ = w.log.Close()
}

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
