package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// ErrUnfit is why a worker takes nothing up: Redis has not acknowledged its sign of
// life lately, so that nobody could tell what it did if Redis lost writes now.
var ErrUnfit = errors.New("no recent sign of life in redis")

// GuardOptions of a guard. The zero value is the documented default, but Ledger is
// required.
type GuardOptions struct {
	// Ledger is best one of its own, on a client that keeps to deadlines (see
	// redisconn.Target.Producer): one that repeats commands for long hides whether Redis
	// was down or cut off from here, and then the guard takes it for cut off.
	Ledger *ledger.Ledger
	ID     string // of this process. Defaults to host name and a drawn part.
	// Window is the longest write deadline of a permit, Timeout and Settle are as in
	// [Options]: together, how long after a loss the records may decide.
	Window     time.Duration // Defaults to 15 s.
	Timeout    time.Duration // Defaults to 60 s.
	Settle     time.Duration // Defaults to 2 min.
	Every      time.Duration // between two signs of life. Defaults to 1 s.
	ExplainFor time.Duration // how long workers are waited for before a fence is raised. Defaults to 10 s.
	Keep       time.Duration // how long what was done is remembered. Defaults to 10 min.
	Most       int           // and how much of it. Defaults to 50,000 attempts.
	Logger     *slog.Logger  // Defaults to none.
}

const (
	// fitFor is how old the last acknowledged beat of a process may be that writes
	// intents.
	fitFor = 3 * time.Second
	// lapse is a pause in the beats after which a process counts as new.
	lapse = 5 * time.Second
	// blindAfter is how long a process may stand still, or be cut off from Redis, and
	// still know that no other process came and went meanwhile.
	blindAfter = 4 * time.Second
	// goneAfter is the age of a beat whose process is not waited for: longer than
	// lapse and blindAfter, with a beat's time on its way.
	goneAfter = 6 * time.Second
	// beatPatience bounds one call, where the client keeps to it. One that took longer
	// was stopped on its way.
	beatPatience = 4 * time.Second
	// skewFine is as exact as the skew needs to be, skewFor how long an exact one is kept
	// while only worse ones come.
	skewFine = 5 * time.Millisecond
	skewFor  = time.Minute
)

// Guard gives this process's signs of life to Redis, remembers what it did in the
// last minutes, and writes that down again when Redis has lost it.
//
// A process that has just come waits until the others have seen it: had Redis lost
// its coming along with what it did, they would have lost signs of life of their
// own, and could tell.
type Guard struct {
	o      GuardOptions
	ledger *ledger.Ledger
	log    *slog.Logger
	memory *memory

	mu      sync.Mutex
	acked   int64     // the last beat acknowledged; 0: none
	ackedAt time.Time // by Redis' clock
	called  time.Time // when it was sent
	run     string    // the server's run under which that was
	cleared bool      // as the last answer said
	blind   bool
	newTo   map[string]int64 // processes that have not seen this one yet, with their beats
	joined  bool             // newTo was filled since the last lapse
	skew    time.Duration
	skewOff time.Duration // by how much it may be wrong
	skewAt  time.Time
}

// NewGuard makes a guard.
func NewGuard(o GuardOptions) (*Guard, error) {
	if o.Ledger == nil {
		return nil, errors.New("guard: no ledger")
	}
	if o.ID == "" {
		host, _ := os.Hostname()
		o.ID = fmt.Sprintf("%.40s-%s", host, uuid.NewString()[:8])
	}
	if strings.ContainsAny(o.ID, " \t\r\n") || len(o.ID) > 64 {
		return nil, fmt.Errorf("guard: id %.80q: want at most 64 characters without spaces", o.ID)
	}
	defaults(&o.Window, 15*time.Second)
	defaults(&o.Timeout, 60*time.Second)
	defaults(&o.Settle, 2*time.Minute)
	defaults(&o.Every, time.Second)
	defaults(&o.ExplainFor, 10*time.Second)
	defaults(&o.Keep, 10*time.Minute)
	if o.Most == 0 {
		o.Most = 50_000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Every > fitFor/2 {
		return nil, fmt.Errorf("guard: a sign of life each %v is too rare: at most %v", o.Every, fitFor/2)
	}
	return &Guard{o: o, ledger: o.Ledger, log: o.Logger, memory: newMemory(o.Keep, o.Most)}, nil
}

// ID names this process, for [ledger.Intent].
func (g *Guard) ID() string { return g.o.ID }

// Fit reports [ErrUnfit] while no intent may be written.
func (g *Guard) Fit() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch age := elapsed(g.called, time.Now()); {
	case g.acked == 0:
		return fmt.Errorf("%w: not yet given", ErrUnfit)
	case age > fitFor:
		return fmt.Errorf("%w: the last one is %v old", ErrUnfit, age.Round(100*time.Millisecond))
	case !g.joined || len(g.newTo) > 0:
		return fmt.Errorf("%w: %d other workers have not seen it yet", ErrUnfit, len(g.newTo))
	}
	return nil
}

// Began remembers an intent: to be called with the decision Go, before the request.
// job is as it was read.
func (g *Guard) Began(job ledger.Job, in ledger.Intent, b ledger.Begun) {
	g.memory.began(time.Now(), g.next(), ledger.Memory{Job: job, Intent: in, Begun: b})
}

// Settled remembers an outcome: to be called before it is written.
func (g *Guard) Settled(s ledger.Settlement) { g.memory.settled(time.Now(), g.next(), s) }

// TakenIn remembers a job made from another app's task: to be called once it is
// written.
func (g *Guard) TakenIn(job ledger.NewJob) {
	now := time.Now()
	g.memory.began(now, g.next(), ledger.RememberNew(job, now.Add(-g.Skew())))
}

// Skew is how far this process's clock is ahead of Redis' (negative: behind), as the
// beats of the last minute show; zero before the first one.
func (g *Guard) Skew() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.skew
}

// next is the number of the beat that comes after what is done now.
func (g *Guard) next() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.acked + 1
}

// elapsed is how long ago t was, by the monotonic or the wall clock, whichever says
// more: the one stands still while the machine is suspended, the other can be set.
func elapsed(t, now time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// Run beats until ctx ends, and then takes the sign of life away. ctx is to end
// after the last outcome was written.
func (g *Guard) Run(ctx context.Context) error {
	beaten := make(chan error, 1)
	var beating bool
	beat := func() {
		beating = true
		go func() { beaten <- g.beat(context.WithoutCancel(ctx)) }()
	}
	tick := time.NewTicker(g.o.Every)
	defer tick.Stop()
	beat()
	for last := time.Now(); ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case err := <-beaten:
			beating = false
			g.failed(ctx, err)
		case <-tick.C:
			now := time.Now()
			if paused := elapsed(last, now); paused > blindAfter {
				g.unsee()
				g.log.WarnContext(ctx, "this process stood still", "duration_ms", paused.Milliseconds())
			}
			last = now
			if !beating {
				beat()
			}
		}
	}
	if beating {
		<-beaten
	}
	return g.leave(context.WithoutCancel(ctx))
}

func (g *Guard) leave(ctx context.Context) error {
	g.mu.Lock()
	beaten := g.acked > 0
	g.mu.Unlock()
	if !beaten {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, beatPatience)
	defer cancel()
	return g.ledger.Leave(ctx, g.o.ID)
}

// beat beats once, after writing down again what Redis has lost.
func (g *Guard) beat(ctx context.Context) error {
	p := g.pulse()
	answer, err := g.call(ctx, p)
	for err == nil && answer.Again {
		g.log.WarnContext(ctx, "redis was restarted or lost writes: what was done lately is written down again",
			"reason", answer.Run, "last", p.Acked, "found", answer.Stored)
		if err = g.remind(ctx, answer.Stored); err != nil {
			return err
		}
		p = g.pulse()
		p.Run, p.Asserted = answer.Run, true
		answer, err = g.call(ctx, p)
	}
	return err
}

func (g *Guard) pulse() ledger.Pulse {
	g.mu.Lock()
	defer g.mu.Unlock()
	return ledger.Pulse{
		Worker: g.o.ID, Seq: g.acked + 1, Acked: g.acked, AckedAt: g.ackedAt, Run: g.run, Blind: g.blind,
		Patience: g.o.ExplainFor, Reach: g.o.Window + g.o.Timeout + g.o.Settle,
	}
}

func (g *Guard) call(ctx context.Context, p ledger.Pulse) (ledger.Pulsed, error) {
	ctx, cancel := context.WithTimeout(ctx, beatPatience)
	defer cancel()
	called := time.Now()
	answer, err := g.ledger.Pulse(ctx, p)
	if err == nil {
		g.heard(ctx, p, answer, called, time.Now())
	}
	return answer, err
}

// heard takes note of an answer.
func (g *Guard) heard(ctx context.Context, p ledger.Pulse, a ledger.Pulsed, called, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	// An answer that came slowly says little of the clocks.
	if off := now.Sub(called) / 2; off <= max(2*g.skewOff, skewFine) || now.Sub(g.skewAt) > skewFor {
		g.skew, g.skewOff, g.skewAt = called.Add(off).Sub(a.Now), off, now
	}
	switch {
	case g.cleared && !a.Cleared:
		g.log.WarnContext(ctx, "redis was restarted: nothing is posted until the workers have told what they did lately")
	case !g.cleared && a.Cleared && g.acked > 0:
		g.log.InfoContext(ctx, "redis was restarted: the workers have told what they did, or a fence stands where they could not")
	}
	g.cleared = a.Cleared
	if a.Again {
		g.blind = g.blind || elapsed(called, now) > beatPatience+time.Second
		return
	}
	if g.acked == 0 || elapsed(g.called, called) > lapse {
		g.joined, g.newTo = true, map[string]int64{}
		for _, other := range a.Others {
			g.newTo[other.Worker] = other.Seq
		}
		delete(g.newTo, g.o.ID)
	}
	// The beat after next shows that its process has had the answer to the next.
	seen := map[string]ledger.Beat{}
	for _, other := range a.Others {
		seen[other.Worker] = other
	}
	for worker, seq := range g.newTo {
		if other, there := seen[worker]; !there || other.Age > goneAfter || other.Seq >= seq+2 {
			delete(g.newTo, worker)
		}
	}
	g.acked, g.ackedAt, g.called, g.run = p.Seq, a.Now, called, a.Run
	if a.Cleared {
		g.blind = false
	}
}

// remind writes down again what was done since the beat that Redis still has.
func (g *Guard) remind(ctx context.Context, stored int64) error {
	started := time.Now()
	memories, outcomes := g.memory.since(stored)
	if err := g.ledger.Reassert(ctx, memories); err != nil {
		return err
	}
	if err := g.settle(ctx, outcomes); err != nil {
		return err
	}
	// The ledger takes no outcome of an intent that it does not know: those that came
	// before theirs was written down again are told once more.
	return g.settle(ctx, g.memory.settledAfter(started))
}

func (g *Guard) settle(ctx context.Context, outcomes []ledger.Settlement) error {
	for _, s := range outcomes {
		_, err := g.ledger.Settle(ctx, s)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) && !errors.Is(err, ledger.ErrNewerVersion) {
			return err
		}
	}
	return nil
}

// unsee notes that other processes may have come and gone unnoticed.
func (g *Guard) unsee() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blind = g.acked > 0
}

// failed takes note of a beat that failed. A server that is not there serves no
// other process either; one that cannot be reached may.
func (g *Guard) failed(ctx context.Context, err error) {
	if err == nil {
		return
	}
	g.mu.Lock()
	age := elapsed(g.called, time.Now())
	g.mu.Unlock()
	if age > blindAfter && !isDown(err) {
		g.unsee()
	}
	g.log.WarnContext(ctx, "no sign of life given", "err", err)
}
