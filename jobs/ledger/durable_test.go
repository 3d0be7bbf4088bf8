package ledger_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// newServerEnv names a redis-server, or valkey-server, of version 7.2 or newer. Without
// it these tests take the one on PATH, and when that is older they see that nothing is
// taken for durable.
const newServerEnv = "REDIS_SERVER_WITH_WAITAOF"

// durable is a ledger that waits for the disk, and whether its Redis can.
func durable(t *testing.T) (b bundle, server *redistest.Server, can bool) {
	t.Helper()
	if binary := os.Getenv(newServerEnv); binary != "" {
		dir := t.TempDir()
		if err := os.Symlink(binary, filepath.Join(dir, "redis-server")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	server = redistest.Own(t, redisembed.Options{})
	b = bundle{Ledger: durableOn(t, &server.DB), t: t, rdb: server.Client(), db: &server.DB}
	facts, err := redisconn.Inspect(t.Context(), b.rdb)
	if err != nil {
		t.Fatal(err)
	}
	_, problem := facts.DurabilityProblem(true)
	if os.Getenv(newServerEnv) != "" && problem {
		t.Fatalf("%s is Redis %s: want 7.2 or newer", newServerEnv, facts.Version)
	}
	return b, server, !problem
}

func durableOn(t *testing.T, db *redistest.DB) *ledger.Ledger {
	t.Helper()
	l, err := ledger.New(db.Client(), ledger.Options{Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// wantDurable checks an error: none where Redis can wait for its disk.
func wantDurable(t *testing.T, what string, can bool, err error) {
	t.Helper()
	if can && err != nil {
		t.Errorf("%s: got %v, want it done", what, err)
	}
	if !can && !errors.Is(err, ledger.ErrNotDurable) {
		t.Errorf("%s on a Redis without WAITAOF: got %v, want ErrNotDurable", what, err)
	}
}

func intentOf(id ledger.ID, token string) ledger.Intent {
	return ledger.Intent{ID: id, Generation: 1, Token: token, Account: "fr-test", Budget: 10 * time.Second, Timeout: timeout, Settle: settle}
}

func TestDurable(t *testing.T) {
	b, server, can := durable(t)
	job := message(t)
	_, err := b.Create(t.Context(), job)
	wantDurable(t, "create", can, err)
	begun, err := b.Begin(t.Context(), intentOf(job.ID, "t1"))
	wantDurable(t, "begin", can, err)
	if can != (begun.Decision == ledger.Go) {
		t.Errorf("begin: got %+v, want go only when it is durable (%t)", begun, can)
	}
	if _, err := b.Begin(t.Context(), ledger.Intent{ID: job.ID, Generation: 1}); err != nil {
		t.Errorf("a look writes nothing and waits for nothing: got %v", err)
	}

	// Redis forgets the scripts.
	b.rdb.ScriptFlush(t.Context())
	_, err = b.Create(t.Context(), message(t))
	wantDurable(t, "create after the scripts were forgotten", can, err)

	many := make([]ledger.NewJob, 500)
	for i := range many {
		many[i] = message(t)
	}
	started := time.Now()
	_, errs := b.CreateMany(t.Context(), many)
	for _, err := range errs {
		wantDurable(t, "create many", can, err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("500 jobs took %v, want about one round of the disk", took)
	}

	// The answer is lost, and go-redis repeats the commands.
	proxy := server.Proxy(t)
	viaProxy, err := ledger.New(proxy.Client(), ledger.Options{Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	job = message(t)
	proxy.DropReplies(1)
	created, err := viaProxy.Create(t.Context(), job)
	wantDurable(t, "create with a lost answer", can, err)
	if can && created.Duplicate {
		t.Errorf("create with a lost answer: got %+v, want it new", created)
	}
}

// The disk is never waited for in vain: what is not on it does not count, also when the
// job is there already.
func TestDurableDiskTooSlow(t *testing.T) {
	b, _, _ := durable(t)
	b.rdb.ConfigSet(t.Context(), "appendfsync", "no")
	job := message(t)
	if _, err := b.Create(t.Context(), job); !errors.Is(err, ledger.ErrNotDurable) {
		t.Errorf("create: got %v, want ErrNotDurable", err)
	}
	if _, err := b.Create(t.Context(), job); !errors.Is(err, ledger.ErrNotDurable) {
		t.Errorf("create again: got %v, want ErrNotDurable", err)
	}
	b.wantState(job.ID, ledger.Queued)
	if begun, err := b.Begin(t.Context(), intentOf(job.ID, "t1")); !errors.Is(err, ledger.ErrNotDurable) || begun.Decision == ledger.Go {
		t.Errorf("begin: got %+v, %v, want ErrNotDurable", begun, err)
	}
	// What the worker does then: nothing was posted.
	b.settle(ledger.Settlement{ID: job.ID, Token: "t1", To: ledger.Queued, Reason: ledger.ReasonNotSent, Uncounted: true})
	b.wantState(job.ID, ledger.Queued)
}

func TestDurableWithoutFile(t *testing.T) {
	b, _, _ := durable(t)
	b.rdb.ConfigSet(t.Context(), "appendonly", "no")
	if _, err := b.Create(t.Context(), message(t)); !errors.Is(err, ledger.ErrNotDurable) {
		t.Errorf("create: got %v, want ErrNotDurable", err)
	}
}
