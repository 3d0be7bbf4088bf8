package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// trouble carries the steps out at their times: those that Redis forgets by, and all
// others beside them. When they are over and too few workers were killed, it kills
// more of them until everything was asked for.
func (r *run) trouble(ctx context.Context, asked <-chan struct{}) error {
	redis := make(chan error, 1)
	go func() {
		redis <- r.carryOut(ctx, func(s Step) bool { return s.Do == KillRedis || s.Do == Rollback })
	}()
	err := r.carryOut(ctx, func(s Step) bool { return s.Do != KillRedis && s.Do != Rollback })
	if err = errors.Join(err, <-redis); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(r.o.Seed, 4))
	for over := false; !over || r.killed() < r.o.Kills; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-asked:
			over = true
		default:
		}
		if r.killed() < r.o.Kills {
			r.workers[rng.IntN(len(r.workers))].kill()
		}
		sleep(ctx, 700*time.Millisecond)
	}
	return nil
}

// carryOut makes the steps that are its own, one after the other.
func (r *run) carryOut(ctx context.Context, own func(Step) bool) error {
	for i, s := range r.plan.Steps {
		if s.Last || !own(s) {
			continue
		}
		if !sleep(ctx, time.Until(r.began.Add(s.At))) {
			return ctx.Err()
		}
		if s.Flowing {
			r.unfenced(ctx, min(25*time.Second, r.o.For))
			sleep(ctx, 2*time.Second)
		}
		if err := r.do(ctx, i, s); err != nil {
			return fmt.Errorf("%s: %w", s.Do, err)
		}
	}
	return nil
}

// unfenced waits until no fence holds jobs back, but not for longer than that.
func (r *run) unfenced(ctx context.Context, most time.Duration) {
	until(ctx, most, 200*time.Millisecond, func(ctx context.Context) bool {
		fence, err := r.ledger.FenceState(ctx)
		return err == nil && !fence.Up && !fence.Restarted()
	})
}

// drain lets most of what waits be posted while answers still get lost, and then makes
// the last trouble for the rest.
func (r *run) drain(ctx context.Context) error {
	r.unsent(ctx, r.o.Messages/25)
	r.unfenced(ctx, min(time.Minute, 3*r.o.For))
	for i, s := range r.plan.Steps {
		if !s.Last {
			continue
		}
		if err := r.do(ctx, i, s); err != nil {
			return fmt.Errorf("%s: %w", s.Do, err)
		}
	}
	r.unsent(ctx, r.o.Messages/200)
	return nil
}

// unsent waits until no more messages than that are queued, but not for ever.
func (r *run) unsent(ctx context.Context, most int) {
	until(ctx, r.o.Rest/2, 300*time.Millisecond, func(ctx context.Context) bool {
		counts, err := r.ledger.Counts(ctx)
		return err == nil && counts[ledger.SendMessage][ledger.Queued] <= int64(most)
	})
}

// killed is how many lives of workers were ended by SIGKILL so far.
func (r *run) killed() (n int) {
	for _, w := range r.workers {
		kills, aimed, _ := w.tally()
		n += kills
		for _, k := range aimed {
			n += k
		}
	}
	return n
}

func (r *run) count(did bool, a Action) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if did {
		r.done[a]++
	} else {
		r.skipped[a]++
	}
}

// after does something later; healing waits for it.
func (r *run) after(ctx context.Context, d time.Duration, do func()) {
	r.later.Go(func() {
		sleep(ctx, d)
		do()
	})
}

// do carries one step out.
func (r *run) do(ctx context.Context, n int, s Step) (err error) {
	w, did := r.workers[min(s.Worker, len(r.workers)-1)], true
	switch s.Do {
	case Kill:
		did = w.kill()
	case Freeze:
		if did = w.freeze(); did {
			r.after(ctx, s.For, w.thaw)
		}
	case CutRedis:
		w.redis.Cut()
		r.after(ctx, s.For, w.redis.Resume)
	case StallRedis:
		w.redis.Stall()
		r.after(ctx, s.For, w.redis.Resume)
	case DropReplies:
		w.redis.DropReplies(s.N)
	case CutAPI:
		w.api.Cut()
		r.after(ctx, s.For, w.api.Resume)
	case Swallow:
		w.api.SwallowPosts(s.N, s.For)
	case KillRedis:
		err = r.killRedis(ctx, s)
	case Rollback:
		did, err = r.rollBack(ctx, n, s)
	case StepClock:
		if did = r.redis.clock != nil; did {
			err = r.redis.clock.step(s.Offset)
			r.after(ctx, s.For, func() { _ = r.redis.clock.step(0) }) // the next step would show it
		}
	default:
		err = r.spoil(ctx, s)
	}
	r.count(did, s.Do)
	return err
}

// spoil makes the simulated account misbehave.
func (r *run) spoil(ctx context.Context, s Step) error {
	fault := func(f flowroutetest.Fault) error { return r.remote.SetFaults(ctx, flowroutetest.Faults{s.Fault: f}) }
	switch s.Do {
	case Episode:
		r.after(ctx, s.For, func() {
			if err := fault(steadyFaults(r.o)[s.Fault]); err != nil {
				r.note("fault %s not ended: %v", s.Fault, err)
			}
		})
		return fault(flowroutetest.Fault{Probability: s.P})
	case Next:
		return fault(flowroutetest.Fault{Count: s.N, Delay: s.For})
	case HoldRecords:
		return r.remote.HoldRecords(ctx, s.For)
	}
	return fmt.Errorf("no such step")
}

// killRedis kills Redis and starts it again. Under everysec the tail of its file is
// lost too, as by a power cut.
func (r *run) killRedis(ctx context.Context, s Step) error {
	r.redisTurn.Lock()
	defer r.redisTurn.Unlock()
	if err := r.redis.Kill(); err != nil {
		return err
	}
	if r.o.Fsync == FsyncEverySecond {
		lost := time.Duration(s.Back * float64(time.Second))
		cut, err := r.redis.cutTail(lost)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.cutBytes += cut
		r.mu.Unlock()
		r.producer.expose(time.Now().Add(-lost - 500*time.Millisecond))
	}
	sleep(ctx, s.For)
	return r.redis.revive(ctx)
}

// rollBack takes a snapshot now and puts it back later. The producer then asks again
// for what it has keys for.
func (r *run) rollBack(ctx context.Context, n int, s Step) (bool, error) {
	if !r.roll(true) {
		return false, nil
	}
	to := filepath.Join(r.dir, fmt.Sprintf("snapshot-%d", n))
	taken := time.Now()
	r.redisTurn.Lock()
	err := r.redis.snapshot(to)
	r.redisTurn.Unlock()
	if err != nil {
		return false, err
	}
	r.after(ctx, s.For, func() {
		if err := r.putBack(ctx, to, taken); err != nil {
			r.note("snapshot not put back: %v", err)
		}
	})
	return true, nil
}

// roll says whether a snapshot waits to be put back; two would make one past of two.
func (r *run) roll(waiting bool) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed = r.rolling != waiting
	r.rolling = waiting
	return changed
}

func (r *run) putBack(ctx context.Context, from string, taken time.Time) error {
	r.redisTurn.Lock()
	defer r.redisTurn.Unlock()
	r.producer.calls.Lock()
	defer r.producer.calls.Unlock()
	defer r.roll(false)
	if err := r.redis.Kill(); err != nil {
		return err
	}
	if err := r.redis.restore(from); err != nil {
		return err
	}
	if err := r.redis.revive(ctx); err != nil {
		return err
	}
	// The copy took a moment, and a call that was answered then may be in it or not.
	r.producer.forget(taken.Add(-time.Second))
	return nil
}
