//go:build unix

package childproc_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/internal/childproc"
)

// childVariable makes this binary a process that ends when its standard input does.
const childVariable = "CHILDPROC_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// started is a child that lives until its standard input is closed.
func started(t *testing.T) (*childproc.Process, io.Closer) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := childproc.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	return p, stdin
}

func TestEndInOrder(t *testing.T) {
	t.Parallel()
	p, stdin := started(t)
	if p.Over() || p.Killed() {
		t.Error("it is over before it was asked to end")
	}
	if err := p.End(stdin.Close, time.Minute); err != nil {
		t.Errorf("end: %v", err)
	}
	if !p.Over() || p.Killed() || p.Kill() {
		t.Error("it ended in order, and something says otherwise")
	}
}

func TestEndKillsWhatStays(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func() error{
		"deaf":      func() error { return nil },
		"not asked": func() error { return errors.New("nobody there") },
	} {
		p, _ := started(t)
		if err := p.End(ask, time.Millisecond); !errors.Is(err, childproc.ErrKilled) || !p.Killed() {
			t.Errorf("%s: got %v, want %v", name, err, childproc.ErrKilled)
		}
	}
}

func TestKillWhileFrozen(t *testing.T) {
	t.Parallel()
	p, _ := started(t)
	if !p.Freeze() {
		t.Error("not frozen")
	}
	if !p.Kill() || !p.Killed() || p.Kill() {
		t.Error("killed once, by us: something says otherwise")
	}
	if err := p.Wait(); err == nil {
		t.Error("a killed process ended without an error")
	}
}

func TestFreezeAndThaw(t *testing.T) {
	t.Parallel()
	p, stdin := started(t)
	if !p.Freeze() {
		t.Fatal("not frozen")
	}
	_ = stdin.Close()
	select {
	case <-p.Gone():
		t.Error("it went on while frozen")
	case <-time.After(50 * time.Millisecond):
	}
	if !p.Thaw() {
		t.Error("not thawed")
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

func TestStartOfNothing(t *testing.T) {
	t.Parallel()
	if _, err := childproc.Start(exec.Command(t.TempDir() + "/none")); err == nil {
		t.Error("got no error")
	}
}
