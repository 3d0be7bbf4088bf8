package torture

import (
	_ "embed"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

//go:embed shim/clock.c
var clockSource []byte

// fakeClock is what Redis takes for the time.
type fakeClock struct{ library, file string }

// newFakeClock is nil where it cannot be done: it takes Linux and a C compiler.
func newFakeClock(dir string) *fakeClock {
	compiler, err := exec.LookPath("cc")
	if err != nil || runtime.GOOS != "linux" {
		return nil
	}
	source := filepath.Join(dir, "clock.c")
	c := &fakeClock{library: filepath.Join(dir, "clock.so"), file: filepath.Join(dir, "clock")}
	if os.WriteFile(source, clockSource, 0o600) != nil || c.step(0) != nil ||
		exec.Command(compiler, "-shared", "-fPIC", "-O2", "-o", c.library, source).Run() != nil {
		return nil
	}
	return c
}

func (c *fakeClock) environment() []string {
	if c == nil {
		return nil
	}
	return []string{"LD_PRELOAD=" + c.library, "TORTURE_CLOCK=" + c.file}
}

// step makes Redis' clock differ from the machine's by so much from now on.
func (c *fakeClock) step(offset time.Duration) error {
	file, err := os.OpenFile(c.file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.Write(binary.NativeEndian.AppendUint64(nil, uint64(offset)))
	return err
}
