package torture_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/torture"
)

// childArgument makes this binary one of the processes of a run.
const childArgument = "torture-child"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == childArgument {
		if err := torture.Child(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func small(seed uint64) torture.Options {
	return torture.Options{
		Seed: seed, Messages: 150, Purchases: 12, Routes: 12, Workers: 3, Kills: 6, RedisKills: 1, Scale: 50,
		For: 5 * time.Second, GiveUp: 8 * time.Second, Rest: time.Minute, Child: []string{os.Args[0], childArgument},
	}
}

// TestTorture is the proof, small: the program does it at full size.
func TestTorture(t *testing.T) {
	report, err := torture.Run(t.Context(), small(1))
	if _, missing := exec.LookPath("redis-server"); missing != nil {
		if !errors.Is(err, torture.ErrNoRedis) {
			t.Errorf("without redis-server: got %v, want %v", err, torture.ErrNoRedis)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := report.Print(&table); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
	if !report.Passed() {
		t.Error("the promise was not kept")
	}
	if report.Kills < 6 || report.Actions[torture.KillRedis] != 1 || report.Actions[torture.Rollback] == 0 || report.Spoiled == 0 {
		t.Errorf("got %d kills, %v, %d spoiled answers: the trouble planned was not made", report.Kills, report.Actions, report.Spoiled)
	}
}

func TestWithoutRedis(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := torture.Run(t.Context(), small(1)); !errors.Is(err, torture.ErrNoRedis) {
		t.Errorf("got %v, want %v", err, torture.ErrNoRedis)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	ok := small(1)
	if err := ok.Validate(); err != nil {
		t.Errorf("got %v, want none", err)
	}
	for name, spoil := range map[string]func(*torture.Options){
		"no child":         func(o *torture.Options) { o.Child = nil },
		"too many":         func(o *torture.Options) { o.Messages = 2_000_000 },
		"scale":            func(o *torture.Options) { o.Scale = 1000 },
		"fsync":            func(o *torture.Options) { o.Fsync = "never" },
		"negative time":    func(o *torture.Options) { o.For = -time.Second },
		"too many workers": func(o *torture.Options) { o.Workers = 1000 },
		"too many numbers": func(o *torture.Options) { o.Purchases = 1000 },
	} {
		o := small(1)
		spoil(&o)
		if err := o.Validate(); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
