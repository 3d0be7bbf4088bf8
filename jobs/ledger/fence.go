package ledger

import (
	"context"
	"time"
)

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
	// workers that are waited for since; zero while Run is Current.
	Noticed time.Time
	Waiting []string
}

// Restarted reports whether another run of the server answers than the one that the
// ledger is cleared for: nothing is posted.
func (f Fence) Restarted() bool { return f.Run != "" && f.Run != f.Current }

// FenceState reads the fence.
func (l *Ledger) FenceState(ctx context.Context) (Fence, error) {
	panic("not yet")
}

// LowerFence ends the fence after the records of its gap were matched with every
// job. orphans are the records that are nobody's, with the fingerprints of their
// texts: for the time of ttl, a job that a producer may be asking for a second time
// gets one instead of being posted. False: that fence is down, or another one is up.
func (l *Ledger) LowerFence(ctx context.Context, id string, orphans map[Fingerprint][]string, ttl time.Duration) (bool, error) {
	panic("not yet")
}

// AcceptFence ends the fence because a person says so: what was sent in its gap may
// be sent again. False: that fence is down, or another one is up.
func (l *Ledger) AcceptFence(ctx context.Context, id string) (bool, error) {
	panic("not yet")
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
	panic("not yet")
}
