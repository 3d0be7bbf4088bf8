package worker_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
)

const (
	guardTimeout = 30 * time.Second // of a request, so that no intent lapses during a test
)

// scene is a Redis that loses writes, and the ledger on it.
type scene struct {
	t      *testing.T
	dir    string
	server *redistest.Server
	rdb    redis.UniversalClient
	ledger *ledger.Ledger
	gate   *redistest.Proxy // of the imitation: every process' way to it
}

func newScene(t *testing.T) scene {
	t.Helper()
	s := scene{t: t, dir: t.TempDir()}
	s.server = redistest.Own(t, redisembed.Options{Dir: s.dir})
	s.rdb = s.server.Client()
	if s.imitated() {
		t.Log("no redis-server on PATH: a copy is one of the keys, and no file is cut off in the middle of a command")
		s.gate = s.server.Proxy(t)
	} else if err := s.rdb.ConfigSet(t.Context(), "appendfsync", "always").Err(); err != nil {
		// Else a write may reach the file only after its answer, and a copy lack it.
		t.Fatal(err)
	}
	s.ledger = s.newLedger(s.rdb)
	return s
}

// imitated: an in-process Redis answers, which has no files.
func (s scene) imitated() bool { return s.server.Kind == redisembed.KindInProcess }

// way is how a process of its own reaches Redis.
func (s scene) way() *redistest.Proxy {
	if s.gate == nil {
		return s.server.Proxy(s.t)
	}
	return (&redistest.DB{URL: s.gate.URL, Kind: s.server.Kind}).Proxy(s.t)
}

func (s scene) newLedger(rdb redis.UniversalClient) *ledger.Ledger {
	s.t.Helper()
	l, err := ledger.New(rdb, ledger.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

// actor is a process that posts, as its guard sees it.
type actor struct {
	scene
	*worker.Guard
	proxy *redistest.Proxy
	stop  func()
}

// actor runs a guard that is fit.
func (s scene) actor(id string, change ...func(*worker.GuardOptions)) actor {
	s.t.Helper()
	a := s.newcomer(id, change...)
	a.awaitFit()
	return a
}

// impatient waits little for workers that are dead.
func impatient(o *worker.GuardOptions) { o.ExplainFor = time.Second }

// newcomer runs a guard.
func (s scene) newcomer(id string, change ...func(*worker.GuardOptions)) actor {
	s.t.Helper()
	a := actor{scene: s, proxy: s.way()}
	o := worker.GuardOptions{Ledger: s.newLedger(a.proxy.Client()), ID: id, Window: time.Millisecond, Timeout: time.Millisecond, Settle: time.Millisecond, ExplainFor: 20 * time.Second}
	for _, c := range change {
		c(&o)
	}
	guard, err := worker.NewGuard(o)
	if err != nil {
		s.t.Fatal(err)
	}
	a.Guard = guard
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = guard.Run(ctx) // its end may find no Redis
	}()
	a.stop = func() {
		cancel()
		<-done
	}
	s.t.Cleanup(a.stop)
	return a
}

// hush keeps the actor from beating until its proxy resumes, as if no second passed.
func (a actor) hush() {
	a.t.Helper()
	a.awaitFit()
	a.proxy.Cut()
}

// die ends the process without a word to Redis.
func (a actor) die() {
	a.proxy.Cut()
	a.stop()
}

func (s scene) await(what string, holds func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			s.t.Fatalf("did not come: %s", what)
		case <-tick.C:
		}
	}
}

func (a actor) awaitFit() {
	a.t.Helper()
	a.await(a.ID()+" fit to post", func() bool { return a.Fit() == nil })
}

// beats is the number of the actor's last beat.
func (a actor) beats() int64 {
	a.t.Helper()
	beats, err := a.ledger.Beats(a.t.Context())
	if err != nil {
		return 0
	}
	for _, b := range beats {
		if b.Worker == a.ID() {
			return b.Seq
		}
	}
	return 0
}

// awaitBeat waits for another beat of the actor.
func (a actor) awaitBeat() {
	a.t.Helper()
	before := a.beats()
	a.await("a beat of "+a.ID(), func() bool { return a.beats() > before })
	a.await("its answer", func() bool { return a.Fit() == nil })
}

func (s scene) fence() ledger.Fence {
	s.t.Helper()
	f, err := s.ledger.FenceState(s.t.Context())
	if err != nil {
		return ledger.Fence{Run: "?"} // not back yet
	}
	return f
}

// awaitCleared waits until jobs may be posted again, as far as a fence lets them.
func (s scene) awaitCleared() ledger.Fence {
	s.t.Helper()
	var f ledger.Fence
	s.await("the ledger cleared for this run of redis", func() bool { f = s.fence(); return f.Run != "?" && !f.Restarted() })
	return f
}

func guardNumber(t *testing.T, text string) flowroute.E164 {
	t.Helper()
	n, err := flowroute.ParseE164(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (s scene) newJob(key string) ledger.NewJob {
	id := ledger.NewID()
	if key != "" {
		id = ledger.KeyID(ledger.SendMessage, key)
	}
	return ledger.NewJob{ID: id, Type: ledger.SendMessage, Queue: ledger.QueueNormal,
		From: guardNumber(s.t, ours), To: guardNumber(s.t, theirs), Payload: []byte(`{"v":1,"body":"hello"}`), Content: [8]byte{1, 2, 3}}
}

func (s scene) create(job ledger.NewJob) ledger.ID {
	s.t.Helper()
	if _, err := s.ledger.Create(s.t.Context(), job); err != nil {
		s.t.Fatal(err)
	}
	return job.ID
}

func (s scene) get(id ledger.ID) ledger.Job {
	s.t.Helper()
	job, err := s.ledger.Get(s.t.Context(), id)
	if err != nil {
		s.t.Fatalf("job %s: %v", id, err)
	}
	return job
}

func (s scene) tryBegin(id ledger.ID, token string) ledger.Begun {
	s.t.Helper()
	_, b := s.beginAs("", id, token)
	return b
}

func (s scene) beginAs(worker string, id ledger.ID, token string) (ledger.Intent, ledger.Begun) {
	s.t.Helper()
	in := ledger.Intent{ID: id, Generation: 1, Token: token, Account: "fr-test", Budget: 2 * time.Second, Timeout: guardTimeout,
		Settle: time.Minute, Worker: worker, Fingerprint: jobs.Fingerprint(ours[1:], theirs[1:], "hello", false)}
	b, err := s.ledger.Begin(s.t.Context(), in)
	if err != nil {
		s.t.Fatal(err)
	}
	return in, b
}

// begin writes an intent and posts, as a worker does.
func (a actor) begin(id ledger.ID) (token string) {
	a.t.Helper()
	job, token := a.get(id), uuid.NewString()
	in, b := a.beginAs(a.ID(), id, token)
	if b.Decision != ledger.Go {
		a.t.Fatalf("begin: got %+v, want go", b)
	}
	a.Began(job, in, b)
	return token
}

func (a actor) settle(s ledger.Settlement) {
	a.t.Helper()
	a.Settled(s)
	if _, err := a.ledger.Settle(a.t.Context(), s); err != nil {
		a.t.Fatal(err)
	}
}

func guardMDR() string { return "mdr2-" + strings.ReplaceAll(uuid.NewString(), "-", "") }

// deeds is one job of each kind that an actor had to do with.
type deeds struct {
	on, accepted, refused, limited, unknown, pending, taken ledger.ID
	mdr, token                                              string
	before                                                  ledger.Job // the one that is still on the wire
	created                                                 time.Time
}

// act does what is lost afterwards. Some of the jobs are older than that.
func (a actor) act(old []ledger.ID) (d deeds) {
	a.t.Helper()
	d.on, d.accepted, d.refused, d.limited = old[0], old[1], old[2], a.create(a.newJob(""))
	d.unknown, d.pending = a.create(a.newJob("k1")), a.create(a.newJob(""))
	d.token, d.mdr = a.begin(d.on), guardMDR()
	a.settle(ledger.Settlement{ID: d.accepted, Token: a.begin(d.accepted), To: ledger.Accepted, MDR: d.mdr})
	a.settle(ledger.Settlement{ID: d.refused, Token: a.begin(d.refused), To: ledger.Failed, Reason: ledger.ReasonRefused, Detail: "no"})
	a.settle(ledger.Settlement{ID: d.limited, Token: a.begin(d.limited), To: ledger.Queued, Reason: ledger.ReasonRateLimited, Uncounted: true})
	a.settle(ledger.Settlement{ID: d.unknown, Token: a.begin(d.unknown), To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
	a.settle(ledger.Settlement{ID: d.pending, Token: a.begin(d.pending), To: ledger.Accepted, Reason: ledger.ReasonIDPending})
	taken := a.newJob("")
	d.taken = a.create(taken)
	a.TakenIn(taken)
	d.before, d.created = a.get(d.on), a.get(d.limited).Created
	return d
}

// wantThere checks that nothing of it is lost and nothing can be posted twice.
func (s scene) wantThere(d deeds) {
	s.t.Helper()
	for _, want := range []struct {
		name  string
		id    ledger.ID
		state ledger.State
	}{
		{"on the wire", d.on, ledger.Sending}, {"accepted", d.accepted, ledger.Accepted}, {"refused", d.refused, ledger.Failed},
		{"limited", d.limited, ledger.Queued}, {"unknown", d.unknown, ledger.Unknown}, {"id pending", d.pending, ledger.Accepted}, {"taken in", d.taken, ledger.Queued},
	} {
		if got := s.get(want.id); got.State != want.state {
			s.t.Errorf("job %s: got %s (%+v), want %s", want.name, got.State, got.History, want.state)
		}
	}
	on := s.get(d.on)
	if on.Attempts != d.before.Attempts || !on.ResolveAt.Equal(d.before.ResolveAt) || on.Worker != d.before.Worker || on.Fingerprint != d.before.Fingerprint ||
		!on.Created.Equal(d.before.Created) || !on.Expires.Equal(d.before.Expires) || string(on.Payload) != string(d.before.Payload) || on.Account != d.before.Account {
		s.t.Errorf("job on the wire: got %+v, want as before %+v", on, d.before)
	}
	if got := s.get(d.limited); got.Attempts != 0 || !got.Created.Equal(d.created) || string(got.Payload) == "" {
		s.t.Errorf("limited job: got %+v, want no posts counted, created at %v, with what was asked", got, d.created)
	}
	if id, claimed, err := s.ledger.ClaimedBy(s.t.Context(), d.mdr); err != nil || !claimed || id != d.accepted {
		s.t.Errorf("record: got %s %t %v, want it claimed", id, claimed, err)
	}
	for _, id := range []ledger.ID{d.on, d.accepted, d.refused, d.unknown, d.pending} {
		if got := s.tryBegin(id, uuid.NewString()); got.Decision == ledger.Go {
			s.t.Errorf("job %s: it could be posted again", id)
		}
	}
	// Its outcome comes by the token of its attempt.
	settled, err := s.ledger.Settle(s.t.Context(), ledger.Settlement{ID: d.on, Token: d.token, To: ledger.Accepted, MDR: guardMDR()})
	if err != nil || settled.Duplicate || settled.State != ledger.Accepted {
		s.t.Errorf("outcome of the job on the wire: got %+v, %v, want it taken", settled, err)
	}
}

// awaitWritten waits until the last of it is written down again.
func (s scene) awaitWritten(d deeds) {
	s.t.Helper()
	s.await("all written down again", func() bool {
		last, err := s.ledger.Get(s.t.Context(), d.pending)
		return err == nil && last.State == ledger.Accepted
	})
}

func (s scene) oldJobs() []ledger.ID {
	return []ledger.ID{s.create(s.newJob("")), s.create(s.newJob("")), s.create(s.newJob(""))}
}

// A copy of a moment ago is put back while the worker lives: all that is lost is
// what the worker remembers.
func TestGuardCopyPutBackLiveWorker(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.actor("w1")
	old := s.oldJobs()
	a.hush()
	copied := s.copied()
	d := a.act(old)
	s.putBack(copied)
	if got := s.tryBegin(d.on, "t"); got.Decision != ledger.Fenced {
		t.Errorf("begin before the worker has told: got %+v, want fenced", got)
	}
	a.proxy.Resume()
	if f := s.awaitCleared(); f.Up {
		t.Errorf("fence: got %+v, want none: the worker explained all", f)
	}
	s.wantThere(d)
	if got := s.tryBegin(d.limited, uuid.NewString()); got.Decision != ledger.Go {
		t.Errorf("job that was put back: got %+v, want go", got)
	}
}

// The end of Redis' file is cut off, as by a power cut.
func TestGuardCutFile(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.actor("w1")
	old := s.oldJobs()
	a.hush()
	var d deeds
	if s.imitated() {
		copied := s.copied()
		d = a.act(old)
		s.putBack(copied)
	} else {
		file := appendedFile(t, s.dir)
		kept := fileSize(t, file)
		d = a.act(old)
		s.server.Kill()
		if err := os.Truncate(file, kept+40); err != nil { // in the middle of a command
			t.Fatal(err)
		}
		s.server.Restart()
	}
	a.proxy.Resume()
	if f := s.awaitCleared(); f.Up {
		t.Errorf("fence: got %+v, want none: the worker explained all", f)
	}
	s.wantThere(d)
}

// Redis was killed and has lost nothing: no fence, and nothing changes.
func TestGuardNothingLost(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, b := s.actor("w1"), s.actor("w2")
	d := a.act(s.oldJobs())
	a.awaitBeat()
	s.server.Kill()
	s.server.Restart()
	if f := s.awaitCleared(); f.Up {
		t.Errorf("fence: got %+v, want none", f)
	}
	s.wantThere(d)
	b.awaitFit()
}

// A copy of some beats ago: what this worker did is written down again, but others
// may have done more.
func TestGuardOlderCopyPutBack(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.actor("w1")
	old := s.oldJobs()
	queued := s.create(s.newJob(""))
	a.awaitBeat()
	copied := s.copied()
	a.awaitBeat()
	d := a.act(old)
	a.awaitBeat()
	s.putBack(copied)
	f := s.awaitCleared()
	if !f.Up {
		t.Fatalf("fence: got %+v, want it up: beats are missing", f)
	}
	s.awaitWritten(d)
	s.wantThere(d)
	for name, id := range map[string]ledger.ID{"queued before": queued, "keyed": s.create(s.newJob("k9"))} {
		if got := s.tryBegin(id, uuid.NewString()); got.Decision != ledger.Fenced {
			t.Errorf("%s: got %+v, want fenced", name, got)
		}
	}
	if got := s.tryBegin(s.create(s.newJob("")), "t"); got.Decision != ledger.Go {
		t.Errorf("new job: got %+v, want go", got)
	}
}

// Nobody is left who could tell what was lost.
func TestGuardCopyPutBackDeadWorker(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	dead := s.actor("dead")
	old := s.oldJobs()
	dead.awaitBeat()
	copied := s.copied()
	dead.act(old)
	dead.die()
	s.putBack(copied)
	s.newcomer("fresh", impatient)
	f := s.awaitCleared()
	if !f.Up {
		t.Fatalf("fence: got %+v, want it up", f)
	}
	for _, id := range old {
		if got := s.tryBegin(id, uuid.NewString()); got.Decision != ledger.Fenced {
			t.Errorf("job that may have been posted: got %+v, want fenced", got)
		}
	}
}

func TestGuardRedisEmpty(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.actor("w1")
	d := a.act(s.oldJobs())
	last := time.Now()
	s.putBack(backup{})
	s.awaitWritten(d)
	f := s.awaitCleared()
	if !f.Up || !f.From.Before(last) {
		t.Errorf("fence: got %+v, want it up from before %v", f, last)
	}
	s.wantThere(d)
	if got := s.tryBegin(s.create(s.newJob("k9")), "t"); got.Decision != ledger.Fenced {
		t.Errorf("keyed job: got %+v, want fenced", got)
	}
}

// One of two workers dies together with Redis.
func TestGuardOneOfTwoDies(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	alive, dead := s.actor("alive", impatient), s.actor("dead")
	old := s.oldJobs()
	alive.hush()
	copied := s.copied()
	dead.begin(old[0])
	token := alive.begin(old[1])
	dead.die()
	s.putBack(copied)
	alive.proxy.Resume()
	f := s.awaitCleared()
	if !f.Up {
		t.Fatalf("fence: got %+v, want it up", f)
	}
	if got := s.tryBegin(old[0], "t"); got.Decision != ledger.Fenced {
		t.Errorf("job of the dead worker: got %+v, want fenced", got)
	}
	if got := s.get(old[1]); got.State != ledger.Sending {
		t.Errorf("job of the living worker: got %s, want it sending", got.State)
	}
	alive.settle(ledger.Settlement{ID: old[1], Token: token, To: ledger.Accepted, MDR: guardMDR()})
	if got := s.get(old[1]); got.State != ledger.Accepted {
		t.Errorf("outcome after the loss: got %s, want accepted", got.State)
	}
}

// A worker that came while another one was cut off from Redis posts and dies; then
// Redis loses it. The other one cannot tell that nobody came, and says so.
func TestGuardCutOffWorker(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	cut := s.actor("cut")
	old := s.oldJobs()
	cut.awaitBeat()
	copied := s.copied()
	cut.proxy.Stall()
	other := s.actor("other") // once the silent one is not waited for any more
	other.begin(old[0])
	other.die()
	s.server.Kill()
	cut.proxy.Resume()
	s.putBack(copied)
	if f := s.awaitCleared(); !f.Up {
		t.Fatalf("fence: got %+v, want it up", f)
	}
	if got := s.tryBegin(old[0], "t"); got.Decision != ledger.Fenced {
		t.Errorf("job of the lost worker: got %+v, want fenced", got)
	}
}

// An outcome that comes while Redis is away, of an intent that it has lost.
func TestGuardOutcomeDuringOutage(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.actor("w1")
	id := s.create(s.newJob(""))
	a.hush()
	copied := s.copied()
	outcome := ledger.Settlement{ID: id, Token: a.begin(id), To: ledger.Failed, Reason: ledger.ReasonRefused}
	s.server.Kill()
	a.Settled(outcome)
	if _, err := a.ledger.Settle(t.Context(), outcome); err == nil {
		t.Fatal("settled while redis was away")
	}
	s.putBack(copied)
	a.proxy.Resume()
	s.awaitCleared()
	if got := s.get(id); got.State != ledger.Failed || got.Attempts != 1 {
		t.Errorf("job: got %s after %d posts, want it failed after one", got.State, got.Attempts)
	}
}

func TestGuardFit(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	guard, err := worker.NewGuard(worker.GuardOptions{Ledger: s.ledger})
	if err != nil {
		t.Fatal(err)
	}
	if err := guard.Fit(); !errors.Is(err, worker.ErrUnfit) || guard.ID() == "" {
		t.Errorf("before the first beat: got %v of %q, want unfit", err, guard.ID())
	}
	first := s.actor("first")
	second := s.newcomer("second")
	second.await("a beat", func() bool { return second.beats() > 0 })
	if err := second.Fit(); !errors.Is(err, worker.ErrUnfit) {
		t.Errorf("before the other worker has seen it: got %v, want unfit", err)
	}
	second.awaitFit()
	second.stop()
	if second.beats() != 0 {
		t.Error("a worker that stopped in good order left its sign of life")
	}
	if skew := first.Skew(); skew.Abs() > time.Second {
		t.Errorf("skew to a Redis of this machine: got %v, want almost none", skew)
	}
	first.proxy.Cut()
	s.await("the cut off worker unfit", func() bool { return errors.Is(first.Fit(), worker.ErrUnfit) })
	first.proxy.Resume()
	first.awaitFit()
}

// Memory is bounded: what is too much is forgotten, the oldest first.
func TestGuardForgets(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.actor("w1", func(o *worker.GuardOptions) { o.Most = 2 })
	old := s.oldJobs()
	a.hush()
	copied := s.copied()
	for _, id := range old {
		a.begin(id)
	}
	s.putBack(copied)
	a.proxy.Resume()
	s.awaitCleared()
	for i, want := range []ledger.State{ledger.Queued, ledger.Sending, ledger.Sending} {
		if got := s.get(old[i]); got.State != want {
			t.Errorf("job %d: got %s, want %s", i, got.State, want)
		}
	}
}

func TestGuardOptions(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for name, o := range map[string]worker.GuardOptions{
		"no ledger": {}, "spaces": {Ledger: s.ledger, ID: "a b"}, "too rare": {Ledger: s.ledger, Every: 2 * time.Second},
	} {
		if _, err := worker.NewGuard(o); err == nil {
			t.Errorf("%s: got a guard, want an error", name)
		}
	}
}

// appendedFile is the one to which Redis appends.
func appendedFile(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) != 1 {
		t.Fatalf("appended files: got %v, %v, want one", files, err)
	}
	return files[0]
}

func fileSize(t *testing.T, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
