package ledger_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

const (
	patience = 300 * time.Millisecond
	reach    = 200 * time.Millisecond
)

// own is a ledger on a Redis that the test may kill.
func own(t *testing.T) (bundle, *redistest.Server) {
	t.Helper()
	server := redistest.Own(t, redisembed.Options{})
	if server.Kind == redisembed.KindServer {
		// Else a write may reach the file only after its answer, when the disk is busy.
		if err := server.Client().ConfigSet(t.Context(), "appendfsync", "always").Err(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := ledger.New(server.Client(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return bundle{Ledger: l, t: t, rdb: server.Client(), db: &server.DB}, server
}

// pulse is a worker's first beat, or a later one of what it got for the last.
func (b bundle) pulse(p ledger.Pulse) (ledger.Pulse, ledger.Pulsed) {
	b.t.Helper()
	p.Seq, p.Reach = p.Acked+1, reach
	if p.Patience == 0 {
		p.Patience = patience
	}
	answer, err := b.Pulse(b.t.Context(), p)
	if err != nil {
		b.t.Fatal(err)
	}
	p.Asserted = false
	if !answer.Again {
		p.Acked, p.AckedAt, p.Run = p.Seq, answer.Now, answer.Run
	}
	return p, answer
}

func (b bundle) fence() ledger.Fence {
	b.t.Helper()
	f, err := b.FenceState(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return f
}

// restart kills Redis and brings it back with what it has kept.
func (b bundle) restart(server *redistest.Server) {
	b.t.Helper()
	server.Kill()
	server.Restart()
}

// pulseUntil beats until the ledger is cleared.
func (b bundle) pulseUntilCleared(p ledger.Pulse) ledger.Pulse {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		var answer ledger.Pulsed
		if p, answer = b.pulse(p); answer.Cleared {
			return p
		}
	}
	b.t.Fatal("the ledger was never cleared")
	return p
}

func TestFenceFirstStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if f := b.fence(); f.Up || f.Restarted() {
		t.Errorf("fence before any worker: got %+v, want none", f)
	}
	p, answer := b.pulse(ledger.Pulse{Worker: "w1"})
	if answer.Again || !answer.Cleared || answer.Stored != -1 {
		t.Errorf("first beat: got %+v, want it taken and cleared", answer)
	}
	if _, answer = b.pulse(p); answer.Again || !answer.Cleared || answer.Stored != 1 {
		t.Errorf("second beat: got %+v, want it taken and cleared", answer)
	}
	if f := b.fence(); f.Up || f.Restarted() || f.Run == "" {
		t.Errorf("fence: got %+v, want none", f)
	}
}

// A ledger of a version that knew no fence.
func TestFenceUpgrade(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create(message(t))
	b.pulse(ledger.Pulse{Worker: "w1"})
	if got := b.begin(id, "t1"); got.Decision != ledger.Go {
		t.Errorf("begin: got %+v, want go", got)
	}
}

func TestBeats(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, _ := b.pulse(ledger.Pulse{Worker: "w1"})
	b.pulse(ledger.Pulse{Worker: "w2"})
	b.pulse(first)
	beats, err := b.Beats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, beat := range beats {
		got[beat.Worker] = beat.Seq
		if beat.Run != b.fence().Run || beat.Age > time.Minute {
			t.Errorf("beat: got %+v, want one of now and of this run", beat)
		}
	}
	if diff := cmp.Diff(map[string]int64{"w1": 2, "w2": 1}, got); diff != "" {
		t.Errorf("beats (-want +got):\n%s", diff)
	}
	if err := b.Leave(t.Context(), "w1"); err != nil {
		t.Fatal(err)
	}
	if beats, _ = b.Beats(t.Context()); len(beats) != 1 || beats[0].Worker != "w2" {
		t.Errorf("beats after w1 left: got %+v, want w2's", beats)
	}
}

// What the one server process has taken is not lost, however long nobody beat.
func TestFenceSameRunLongGap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p, answer := b.pulse(ledger.Pulse{Worker: "w1"})
	old := answer.Now.Add(-3 * time.Hour).UnixMilli()
	b.rdb.HSet(t.Context(), "{flowroute}:beats", "w1", itoa(old)+" "+answer.Run+" 1")
	id := b.create(message(t))
	if _, answer = b.pulse(ledger.Pulse{Worker: "w2"}); !answer.Cleared {
		t.Errorf("another worker's first beat: got %+v, want cleared", answer)
	}
	if _, answer = b.pulse(p); answer.Again || !answer.Cleared {
		t.Errorf("late beat: got %+v, want it taken", answer)
	}
	if got := b.begin(id, "t1"); got.Decision != ledger.Go {
		t.Errorf("begin: got %+v, want go", got)
	}
}

// Redis is restarted and has kept all: nothing is posted until the worker has said so.
func TestFenceRestartExplained(t *testing.T) {
	t.Parallel()
	b, server := own(t)
	p, _ := b.pulse(ledger.Pulse{Worker: "w1"})
	id := b.create(message(t))
	b.restart(server)
	if got := b.begin(id, "t1"); got.Decision != ledger.Fenced {
		t.Errorf("begin after the restart: got %+v, want fenced", got)
	}
	if f := b.fence(); !f.Restarted() {
		t.Errorf("fence: got %+v, want a restart", f)
	}
	p, answer := b.pulse(p)
	if !answer.Again || answer.Stored != 1 || answer.Cleared {
		t.Fatalf("beat after the restart: got %+v, want to be asked to write down again", answer)
	}
	if f := b.fence(); f.Noticed.IsZero() || !cmp.Equal(f.Waiting, []string{"w1"}) {
		t.Errorf("fence: got %+v, want w1 waited for", f)
	}
	p.Run, p.Asserted = answer.Run, true
	if _, answer = b.pulse(p); answer.Again || !answer.Cleared {
		t.Errorf("beat after writing down: got %+v, want cleared", answer)
	}
	if f := b.fence(); f.Up || f.Restarted() {
		t.Errorf("fence: got %+v, want none", f)
	}
	if got := b.begin(id, "t1"); got.Decision != ledger.Go {
		t.Errorf("begin: got %+v, want go", got)
	}
}

// Two workers were alive: one explains nothing without the other.
func TestFenceOneOfTwoDied(t *testing.T) {
	t.Parallel()
	b, server := own(t)
	alive, _ := b.pulse(ledger.Pulse{Worker: "alive"})
	dead, _ := b.pulse(ledger.Pulse{Worker: "dead"})
	id := b.create(message(t))
	b.restart(server)
	_, answer := b.pulse(alive)
	alive.Run, alive.Asserted = answer.Run, true
	if alive, answer = b.pulse(alive); answer.Again || answer.Cleared {
		t.Fatalf("beat: got %+v, want it taken and not cleared: the other one is missing", answer)
	}
	if got := b.begin(id, "t1"); got.Decision != ledger.Fenced {
		t.Errorf("begin while one is waited for: got %+v, want fenced", got)
	}
	b.pulseUntilCleared(alive)
	f := b.fence()
	if !f.Up || !f.From.Equal(dead.AckedAt) || !f.Ready.Equal(f.At.Add(reach)) || f.ID == "" {
		t.Errorf("fence: got %+v, want it up from the newest beat %v", f, dead.AckedAt)
	}
}

// Redis is restarted again before the first time is explained.
func TestFenceRestartedTwice(t *testing.T) {
	t.Parallel()
	b, server := own(t)
	b.pulse(ledger.Pulse{Worker: "dead"})
	alive, first := b.pulse(ledger.Pulse{Worker: "alive"})
	var answer ledger.Pulsed
	for range 2 {
		b.restart(server)
		if alive, answer = b.pulse(alive); !answer.Again {
			t.Fatalf("beat after a restart: got %+v, want to be asked to write down again", answer)
		}
		alive.Run, alive.Asserted = answer.Run, true
		if alive, answer = b.pulse(alive); answer.Cleared {
			t.Fatalf("beat: got %+v, want not cleared: the other one is missing", answer)
		}
		// By now only the living worker's beat is recent.
		b.rdb.HSet(t.Context(), "{flowroute}:beats", "dead", itoa(first.Now.Add(-time.Hour).UnixMilli())+" r 1")
	}
	b.pulseUntilCleared(alive)
	if f := b.fence(); !f.Up || !f.From.Equal(first.Now) {
		t.Errorf("fence: got %+v, want it up from %v", f, first.Now)
	}
}

// A restart that is explained leaves a fence that was up as it is.
func TestFenceStaysUpOverARestart(t *testing.T) {
	t.Parallel()
	b, server, f := raised(t)
	p, _ := b.pulse(ledger.Pulse{Worker: "w2"})
	w1 := ledger.Pulse{Worker: "w1"}
	beats, err := b.Beats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, beat := range beats {
		switch beat.Worker {
		case "w1":
			w1.Acked, w1.AckedAt, w1.Run = beat.Seq, beat.At, beat.Run
		case "dead":
			b.rdb.HDel(t.Context(), "{flowroute}:beats", "dead")
		}
	}
	b.restart(server)
	for _, worker := range []ledger.Pulse{p, w1} {
		worker.Patience = time.Minute // both are to be heard, however slow the machine
		_, answer := b.pulse(worker)
		worker.Run, worker.Asserted = answer.Run, true
		b.pulse(worker)
	}
	if got := b.fence(); got.Restarted() || !got.Up || got.ID != f.ID {
		t.Errorf("fence: got %+v, want %+v still up, and the restart explained", got, f)
	}
}

func TestFenceNobodyAnswers(t *testing.T) {
	t.Parallel()
	b, server := own(t)
	dead, _ := b.pulse(ledger.Pulse{Worker: "dead"})
	b.restart(server)
	b.pulseUntilCleared(ledger.Pulse{Worker: "fresh"})
	if f := b.fence(); !f.Up || !f.From.Equal(dead.AckedAt) {
		t.Errorf("fence: got %+v, want it up from %v", f, dead.AckedAt)
	}
}

// All workers stopped in good order, then Redis was restarted: there is nothing to
// explain, unless so much time lies between that it may be a copy from before.
func TestFenceAfterGoodOrder(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		ago  time.Duration
		want bool
	}{{"at once", 0, false}, {"hours later", 2 * time.Hour, true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b, server := own(t)
			_, answer := b.pulse(ledger.Pulse{Worker: "w1"})
			if err := b.Leave(t.Context(), "w1"); err != nil {
				t.Fatal(err)
			}
			if test.ago > 0 {
				b.rdb.HSet(t.Context(), "{flowroute}:fence", "last", itoa(answer.Now.Add(-test.ago).UnixMilli()))
			}
			b.restart(server)
			if _, answer = b.pulse(ledger.Pulse{Worker: "w2"}); !answer.Cleared {
				t.Errorf("beat: got %+v, want cleared", answer)
			}
			if f := b.fence(); f.Up != test.want {
				t.Errorf("fence: got %+v, want up %t", f, test.want)
			}
		})
	}
}

// A worker that stood still or was cut off can tell what it did itself, and not that
// nobody else came and went.
func TestFenceBlindWorker(t *testing.T) {
	t.Parallel()
	b, server := own(t)
	p, _ := b.pulse(ledger.Pulse{Worker: "w1"})
	b.restart(server)
	p.Blind = true
	if _, answer := b.pulse(p); !answer.Again {
		t.Errorf("beat: got %+v, want to be asked to write down again", answer)
	}
	if f := b.fence(); !f.Up || !f.From.Equal(p.AckedAt) {
		t.Errorf("fence: got %+v, want it up from %v", f, p.AckedAt)
	}
}

// The copy that was put back does not have the worker's last beats: others' writes
// are lost too.
func TestFenceHistoryWentBack(t *testing.T) {
	t.Parallel()
	b, server := own(t)
	p, first := b.pulse(ledger.Pulse{Worker: "w1"})
	kept, err := b.rdb.HGet(t.Context(), "{flowroute}:beats", "w1").Result()
	if err != nil {
		t.Fatal(err)
	}
	p, _ = b.pulse(p)
	p, _ = b.pulse(p)
	b.rdb.HSet(t.Context(), "{flowroute}:beats", "w1", kept)
	b.restart(server)
	p, answer := b.pulse(p)
	if !answer.Again || answer.Stored != 1 {
		t.Errorf("beat: got %+v, want to be asked for all since the first beat", answer)
	}
	f := b.fence()
	if !f.Up || !f.From.Equal(first.Now) {
		t.Errorf("fence: got %+v, want it up from the first beat %v", f, first.Now)
	}
	p.Run, p.Asserted = answer.Run, true
	if _, answer = b.pulse(p); answer.Again {
		t.Errorf("beat: got %+v, want it taken", answer)
	}
	if again := b.fence(); again.ID != f.ID {
		t.Errorf("fence: got another one %+v for one loss, want %+v", again, f)
	}
}

func TestFenceRedisCameBackEmpty(t *testing.T) {
	t.Parallel()
	b, server := own(t)
	p, _ := b.pulse(ledger.Pulse{Worker: "w1"})
	b.rdb.FlushAll(t.Context())
	b.restart(server)
	if _, answer := b.pulse(p); !answer.Again || answer.Stored != -1 {
		t.Errorf("beat: got %+v, want to be asked for all", answer)
	}
	f := b.fence()
	if !f.Up || !f.From.Before(p.AckedAt) || p.AckedAt.Sub(f.From) > time.Hour {
		t.Errorf("fence: got %+v, want it up from before the last beat %v", f, p.AckedAt)
	}
	keyed := message(t)
	keyed.ID = ledger.KeyID(keyed.Type, "k")
	if got := b.begin(b.create(keyed), "t1"); got.Decision != ledger.Fenced {
		t.Errorf("begin of a keyed job: got %+v, want fenced", got)
	}
	if got := b.begin(b.create(message(t)), "t2"); got.Decision != ledger.Go {
		t.Errorf("begin of a new job: got %+v, want go", got)
	}
}

// Redis lost more while the fence was up: the gap grows, and a read that began
// before does not end it.
func TestFenceRaisedAgain(t *testing.T) {
	t.Parallel()
	b, server := own(t)
	b.pulse(ledger.Pulse{Worker: "dead"})
	b.restart(server)
	b.pulseUntilCleared(ledger.Pulse{Worker: "w1"})
	first := b.fence()
	b.restart(server)
	b.pulseUntilCleared(ledger.Pulse{Worker: "w2"})
	second := b.fence()
	if !second.Up || second.ID == first.ID || !second.From.Equal(first.From) || !second.At.After(first.At) {
		t.Errorf("fence: got %+v after %+v, want another one with the same beginning", second, first)
	}
	if done, err := b.LowerFence(t.Context(), first.ID, nil, time.Hour); err != nil || done {
		t.Errorf("lowering the first one: got %t, %v, want no", done, err)
	}
}

// raised is a ledger behind a fence.
func raised(t *testing.T) (bundle, *redistest.Server, ledger.Fence) {
	t.Helper()
	b, server := own(t)
	b.pulse(ledger.Pulse{Worker: "dead"})
	b.restart(server)
	b.pulseUntilCleared(ledger.Pulse{Worker: "w1"})
	return b, server, b.fence()
}

func (b bundle) lowered(id string, orphans map[ledger.Fingerprint][]ledger.Orphan) {
	b.t.Helper()
	for ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second); ; {
		defer cancel()
		done, err := b.LowerFence(ctx, id, orphans, time.Hour)
		if err != nil {
			b.t.Fatal(err)
		}
		if done {
			return
		}
	}
}

func TestFenceHoldsOldAndKeyedJobs(t *testing.T) {
	t.Parallel()
	b, server := own(t)
	b.pulse(ledger.Pulse{Worker: "dead"})
	old := b.create(message(t))
	b.restart(server)
	b.pulseUntilCleared(ledger.Pulse{Worker: "w1"})
	f := b.fence()
	keyed := message(t)
	keyed.ID = ledger.KeyID(keyed.Type, "k")
	b.create(keyed)
	fresh := b.create(message(t))
	for _, test := range []struct {
		name string
		id   ledger.ID
		want ledger.Decision
	}{{"old", old, ledger.Fenced}, {"keyed", keyed.ID, ledger.Fenced}, {"new", fresh, ledger.Go}} {
		if got := b.begin(test.id, "t-"+test.name); got.Decision != test.want {
			t.Errorf("%s job: got %+v, want %s", test.name, got, test.want)
		}
	}
	b.lowered(f.ID, nil)
	for _, id := range []ledger.ID{old, keyed.ID} {
		if got := b.begin(id, "t2"); got.Decision != ledger.Go {
			t.Errorf("begin after the fence: got %+v, want go", got)
		}
	}
}

func TestFenceOrphanGoesToKeyedJob(t *testing.T) {
	t.Parallel()
	b, _, f := raised(t)
	print, first, second, third := ledger.Fingerprint{1, 2, 3}, mdr(), "other-form", mdr()
	b.lowered(f.ID, map[ledger.Fingerprint][]ledger.Orphan{print: {{MDR: first}, {MDR: second}, {MDR: third, Doubtful: true}}, {9}: nil})
	post := func(key string) (ledger.Begun, ledger.ID) {
		job := message(t)
		job.ID = ledger.KeyID(job.Type, key)
		if key == "" {
			job.ID = ledger.NewID()
		}
		b.create(job)
		begun, err := b.Begin(t.Context(), ledger.Intent{
			ID: job.ID, Generation: 1, Token: "t" + key, Account: "fr-test", Budget: time.Second, Timeout: timeout, Settle: settle, Fingerprint: print,
		})
		if err != nil {
			t.Fatal(err)
		}
		return begun, job.ID
	}
	if got, _ := post(""); got.Decision != ledger.Go {
		t.Errorf("job without a key: got %+v, want go", got)
	}
	for key, want := range map[string]string{"a": first, "b": second} {
		got, id := post(key)
		if got.Decision != ledger.Ended || got.State != ledger.Accepted {
			t.Fatalf("job with a key: got %+v, want it accepted", got)
		}
		if mdrs := b.get(id).MDRs; len(mdrs) != 1 || (mdrs[0] != first && mdrs[0] != second) {
			t.Errorf("records: got %v, want one like %s", mdrs, want)
		}
	}
	got, id := post("c")
	if job := b.get(id); got.Decision != ledger.Open || job.State != ledger.Review || !strings.Contains(job.Detail, third) {
		t.Errorf("third job with a key: got %+v, %s %q, want a person to look at %s", got, job.State, job.Detail, third)
	}
	if got, _ := post("d"); got.Decision != ledger.Go {
		t.Errorf("fourth job with a key: got %+v, want go", got)
	}
}

func TestLowerFenceNotBeforeReady(t *testing.T) {
	t.Parallel()
	b, _, f := raised(t)
	b.rdb.HSet(t.Context(), "{flowroute}:fence", "ready", itoa(f.Ready.Add(time.Hour).UnixMilli()))
	if done, err := b.LowerFence(t.Context(), f.ID, nil, time.Hour); err != nil || done {
		t.Errorf("lowering it early: got %t, %v, want no", done, err)
	}
	if done, err := b.AcceptFence(t.Context(), "another"); err != nil || done {
		t.Errorf("accepting another one: got %t, %v, want no", done, err)
	}
	if done, err := b.AcceptFence(t.Context(), f.ID); err != nil || !done {
		t.Errorf("a person lowers it: got %t, %v, want done", done, err)
	}
	if done, err := b.AcceptFence(t.Context(), f.ID); err != nil || done {
		t.Errorf("lowering it twice: got %t, %v, want no", done, err)
	}
	if f = b.fence(); f.Up {
		t.Errorf("fence: got %+v, want it down", f)
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
