package flowroute_test

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

const (
	canTellUnacked = true

	// swallowed is more than the small receive buffer takes, and less than our own
	// kernel takes to send.
	swallowed = 100_000

	victimURL = "FLOWROUTE_TEST_VICTIM_URL"
)

func smallReceiveBuffer(c *net.ListenConfig) {
	c.Control = func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		})
		if err != nil {
			return err
		}
		return failed
	}
}

// TestDeathEndsDelivery: a process is killed when its request is with the kernel
// but not with the server. When the path heals, the rest must not arrive.
func TestDeathEndsDelivery(t *testing.T) {
	t.Parallel()
	if url := os.Getenv(victimURL); url != "" {
		victim(t, url)
		return
	}
	heal, delivered := make(chan struct{}), make(chan delivery, 1)
	server := swallower(t, heal, delivered)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	process := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestDeathEndsDelivery$")
	process.Env = append(os.Environ(), victimURL+"="+server.url)
	out := must(process.StdoutPipe())
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "written\n" {
		t.Fatalf("got %q, %v from the process, want that it has written", line, err)
	}
	process.Process.Kill()
	process.Wait()
	close(heal)
	expectCutOff(t, <-delivered)
}

// victim sends a message and says when it is with the kernel.
func victim(t *testing.T, url string) {
	p := &pass{wrote: make(chan struct{})}
	go func() {
		<-p.wrote
		os.Stdout.WriteString("written\n")
	}()
	big := hello
	big.Body = strings.Repeat("x", swallowed)
	newClient(t, url, timeout(time.Minute)).SendMessage(t.Context(), big, flowroute.Write{Pass: p})
}
