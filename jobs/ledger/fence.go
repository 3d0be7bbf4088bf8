package ledger

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"
)

//go:embed fence.lua
var fenceLua string

var scriptFence = script(fenceLua)

// Fence is what stands between the jobs and Flowroute after Redis has lost writes,
// or may have. What a run of the Redis server has taken is lost to no other: what a
// restart, a restored copy or a failover may have lost is either explained by the
// workers that are alive, or a fence is raised.
type Fence struct {
	// Up: jobs older than At, and those that a producer may be asking for a second
	// time, are not posted until the records between From and At were read.
	Up bool
	// ID names this fence; one that was raised again has another.
	ID string
	// Run is the server's run for which the ledger is cleared, Current the one that
	// answers. Where they differ, nothing at all is posted: workers are being waited
	// for. Both are empty before the first worker's start, "-" where Redis does not tell.
	Run, Current string
	// From is the last moment that certainly was not lost, At when the fence was
	// raised, and Ready when every post of a lost intent is over and to be seen in
	// the records. Redis' clock.
	From, At, Ready time.Time
	// Noticed is when another run of the server was noticed, and Waiting are the
	// workers that are waited for since; zero while Run is Current, and until a worker
	// has noticed.
	Noticed time.Time
	Waiting []string
}

// Restarted reports whether another run of the server answers than the one that the
// ledger is cleared for: nothing is posted.
func (f Fence) Restarted() bool { return f.Run != "" && f.Run != f.Current }

// FenceState reads the fence.
func (l *Ledger) FenceState(ctx context.Context) (Fence, error) {
	r := l.run(ctx, scriptFence, "")
	if r.err != nil {
		return Fence{}, fmt.Errorf("read fence: %w", r.err)
	}
	return Fence{
		Run: r.text(0), Current: r.text(1), Up: r.text(2) == "1", ID: r.text(3),
		From: moment(r.text(4)), At: moment(r.text(5)), Ready: moment(r.text(6)),
		Noticed: moment(r.text(7)), Waiting: strings.Fields(r.text(8)),
	}, nil
}

// Orphan is a record that is nobody's. A doubtful one may be a further record of
// another post: what asks for it goes to a person.
type Orphan struct {
	MDR      string
	Doubtful bool
}

// LowerFence ends the fence after the records of its gap were matched with every
// job. orphans are the records that are nobody's, with the fingerprints of their
// texts: for the time of ttl, a job that a producer may be asking for a second time
// gets one instead of being posted. False: it is not ready yet, it is down, another
// one is up, or Redis was restarted and more may be lost by now.
func (l *Ledger) LowerFence(ctx context.Context, id string, orphans map[Fingerprint][]Orphan, ttl time.Duration) (bool, error) {
	args := []any{"lower", id, ttl.Milliseconds()}
	for f, list := range orphans {
		var packed strings.Builder
		for _, orphan := range list {
			if p := packMDR(orphan.MDR); p != "" {
				packed.WriteByte(byte(len(p) | flag(orphan.Doubtful)<<7))
				packed.WriteString(p)
			}
		}
		if packed.Len() > 0 && !f.IsZero() {
			args = append(args, f.String(), packed.String())
		}
	}
	return l.endFence(ctx, args)
}

// AcceptFence ends the fence because a person says so: what was sent in its gap may
// be sent again. False: that fence is down, or another one is up.
func (l *Ledger) AcceptFence(ctx context.Context, id string) (bool, error) {
	return l.endFence(ctx, []any{"accept", id})
}

func (l *Ledger) endFence(ctx context.Context, args []any) (bool, error) {
	r := l.run(ctx, scriptFence, args...)
	if r.err != nil {
		return false, fmt.Errorf("lower fence: %w", r.err)
	}
	return r.text(0) == "ok", nil
}

// Beat is a worker's sign of life.
type Beat struct {
	Worker string
	At     time.Time     // on Redis' clock
	Age    time.Duration // by Redis' clock
	Run    string        // the server's run under which it beat
	Seq    int64         // of the beat, counted from 1
}

// Beats are the workers that gave a sign of life in the last day and did not stop
// in good order, the latest first.
func (l *Ledger) Beats(ctx context.Context) ([]Beat, error) {
	now, err := l.Clock(ctx)
	if err != nil {
		return nil, err
	}
	fields, err := l.rdb.HGetAll(ctx, l.key("beats")).Result()
	if err != nil {
		return nil, fmt.Errorf("read signs of life: %w", err)
	}
	beats := make([]Beat, 0, len(fields))
	for worker, text := range fields {
		if b, ok := readBeat(worker, text, now); ok {
			beats = append(beats, b)
		}
	}
	slices.SortFunc(beats, func(a, b Beat) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Worker, b.Worker)) })
	return beats, nil
}

func readBeat(worker, text string, now time.Time) (Beat, bool) {
	parts := strings.Fields(text)
	if len(parts) != 3 {
		return Beat{}, false
	}
	b := Beat{Worker: worker, At: time.UnixMilli(number(parts[0])), Run: parts[1], Seq: number(parts[2])}
	b.Age = max(now.Sub(b.At), 0)
	return b, true
}
