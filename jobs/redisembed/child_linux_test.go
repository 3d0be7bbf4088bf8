package redisembed_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
)

// parentVariable makes this test binary the parent that is killed.
const parentVariable = "REDISEMBED_TEST_PARENT"

// Whatever ends the program, its Redis must not stay behind.
func TestChildDiesWithParent(t *testing.T) {
	if os.Getenv(parentVariable) != "" {
		srv, err := redisembed.Start(t.Context(), redisembed.Options{Dir: os.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("pid=%d port=%s\n", srv.PID(), strings.TrimPrefix(srv.URL(), "redis://"))
		select {} // until killed
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestChildDiesWithParent$")
	parent.Env = append(os.Environ(), parentVariable+"=1", "TMPDIR="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	var pid int
	var address string
	if _, err := fmt.Fscanf(out, "pid=%d port=%s\n", &pid, &address); err != nil {
		_ = parent.Process.Kill()
		t.Fatalf("parent said nothing of its Redis: %v", err)
	}
	if pid == 0 {
		_ = parent.Process.Kill()
		return // in process: it has no child
	}
	if err := parent.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for ctx := t.Context(); ; {
		conn, err := net.Dial("tcp4", strings.TrimSuffix(address, "/0"))
		if err != nil {
			return
		}
		_ = conn.Close()
		select {
		case <-ctx.Done():
			t.Fatal("redis-server outlived its killed parent")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
