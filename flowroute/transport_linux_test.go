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
	"unsafe"

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

// TestSocket checks what the kernel was told about a connection.
func TestSocket(t *testing.T) {
	t.Parallel()
	server := newWire(t, func(c *net.TCPConn, _ func() error) { c.Read(make([]byte, 1)) })
	c := newClient(t, server.url, timeout(7*time.Second))
	tcp := must(c.Dial(t.Context(), strings.TrimPrefix(server.url, "http://")))
	defer tcp.Close()

	const tcpUserTimeout = 18 // of linux/tcp.h
	var userTimeout int
	var linger [2]int32 // on, seconds
	size := uint32(unsafe.Sizeof(linger))
	err := must(tcp.SyscallConn()).Control(func(fd uintptr) {
		userTimeout = must(syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout))
		_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.SOL_SOCKET, syscall.SO_LINGER,
			uintptr(unsafe.Pointer(&linger)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			t.Error(errno)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if userTimeout != 7000 {
		t.Errorf("TCP_USER_TIMEOUT: got %d ms, want the client's timeout", userTimeout)
	}
	if linger != [2]int32{1, 0} {
		t.Errorf("SO_LINGER: got %v, want on with 0 s", linger)
	}
	if got := c.IdleTimeout(); got <= 0 || got > 10*time.Second {
		t.Errorf("got idle timeout %v, want at most 10 s", got)
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
