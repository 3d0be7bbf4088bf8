package ledger

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"
)

//go:embed beat.lua
var beatLua string

var scriptBeat = script(beatLua)

// Pulse is a worker's sign of life, with what it remembers of the earlier ones.
type Pulse struct {
	Worker string // no spaces
	Seq    int64  // of this beat: one more than the last acknowledged one
	// Acked and AckedAt are the last beat that Redis has acknowledged (0: none) and its
	// time by Redis' clock.
	Acked   int64
	AckedAt time.Time
	// Run is the server's run under which that was, or for which the worker wrote down
	// again what it remembers; then Asserted is set, for the first beat after that.
	Run      string
	Asserted bool
	// Blind: the worker was stopped or cut off for a while. What other workers did
	// meanwhile, it cannot tell.
	Blind bool
	// Patience is how long workers are waited for before a fence is raised, Reach how
	// long after its raising all posts are over and to be seen in the records.
	Patience, Reach time.Duration
}

// Pulsed is the answer to [Ledger.Pulse].
type Pulsed struct {
	// Again: the beat does not count. The worker is to write down again what it
	// remembers since its beat Stored ([Ledger.Reassert]), and then to beat with Run
	// and Asserted.
	Again  bool
	Now    time.Time // Redis' clock
	Run    string    // of the server
	Stored int64     // the worker's beat that was there; -1: none
	// Cleared: jobs may be posted under this run of the server, as far as the fence
	// lets them.
	Cleared bool
	Others  []Beat // of all workers, before this one
}

// Pulse beats. It is also what notices that Redis may have lost writes, and what
// raises the fence.
func (l *Ledger) Pulse(ctx context.Context, p Pulse) (Pulsed, error) {
	r := l.run(ctx, scriptBeat, p.Worker, p.Seq, p.Acked, millis(p.AckedAt), p.Run, flag(p.Asserted), flag(p.Blind),
		p.Patience.Milliseconds(), p.Reach.Milliseconds(), uuid.NewString())
	if r.err != nil {
		return Pulsed{}, fmt.Errorf("sign of life: %w", r.err)
	}
	answer := Pulsed{
		Again: r.text(0) == "again", Now: time.UnixMilli(r.int(1)), Run: r.text(2), Stored: r.int(3), Cleared: r.int(4) == 1,
	}
	for i := 5; i+1 < len(r.items); i += 2 {
		if b, ok := readBeat(r.text(i), r.text(i+1), answer.Now); ok {
			answer.Others = append(answer.Others, b)
		}
	}
	return answer, nil
}

// Leave takes the sign of life of a worker away that stops in good order: it writes
// nothing after it. While another run of the server is not explained, it stays, and
// a fence will be raised.
func (l *Ledger) Leave(ctx context.Context, worker string) error {
	if r := l.run(ctx, scriptBeat, worker, "", 0, 0, "", 0, 0, 0, 0, ""); r.err != nil {
		return fmt.Errorf("take sign of life away: %w", r.err)
	}
	return nil
}
