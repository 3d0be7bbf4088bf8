package worker_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
)

// frozenEnv makes this test binary a process that only beats.
const frozenEnv = "GUARD_TEST_REDIS"

// A worker stands still while another one comes, posts and dies; then Redis loses
// that. The one that stood still has nothing to miss of its own, and must not vouch
// for the time.
func TestGuardFrozenWorker(t *testing.T) {
	if url := os.Getenv(frozenEnv); url != "" {
		beatUntilKilled(t, url)
		return
	}
	t.Parallel()
	s := newScene(t)
	child := exec.Command(os.Args[0], "-test.run=^TestGuardFrozenWorker$")
	child.Env = append(os.Environ(), frozenEnv+"="+s.server.URL)
	child.Stdout, child.Stderr = os.Stderr, os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	frozen := actor{scene: s, Guard: named(t, s, "frozen")}
	s.await("the other process' beats", func() bool { return frozen.beats() > 1 })
	old := s.oldJobs()
	signal(t, child, syscall.SIGSTOP)
	copied := s.copied()
	other := s.actor("other") // once the silent one is not waited for any more
	other.begin(old[0])
	other.die()
	s.server.Kill()
	s.putBack(copied)
	signal(t, child, syscall.SIGCONT)
	if f := s.awaitCleared(); !f.Up {
		t.Fatalf("fence: got %+v, want it up", f)
	}
	if got := s.tryBegin(old[0], "t"); got.Decision != ledger.Fenced {
		t.Errorf("job of the lost worker: got %+v, want fenced", got)
	}
}

// named is a guard that does not run: it stands for that of another process.
func named(t *testing.T, s scene, id string) *worker.Guard {
	t.Helper()
	guard, err := worker.NewGuard(worker.GuardOptions{Ledger: s.ledger, ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

func signal(t *testing.T, child *exec.Cmd, sig syscall.Signal) {
	t.Helper()
	if err := child.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func beatUntilKilled(t *testing.T, url string) {
	target, err := redisconn.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	rdb := target.Producer()
	defer rdb.Close()
	l, err := ledger.New(rdb, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	guard, err := worker.NewGuard(worker.GuardOptions{Ledger: l, ID: "frozen", ExplainFor: time.Minute,
		Window: time.Millisecond, Timeout: time.Millisecond, Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	_ = guard.Run(t.Context())
}
