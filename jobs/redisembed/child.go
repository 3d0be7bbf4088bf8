package redisembed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
)

// child is a redis-server process.
type child struct {
	binary   string
	args     []string
	lastPort int
	running  *process
}

func (c *child) kind() Kind { return KindServer }
func (c *child) port() int  { return c.lastPort }

func (c *child) pid() int {
	if c.running == nil {
		return 0
	}
	return c.running.pid
}

// portAttempts bounds how often a free port may be lost to somebody else
// between its choice and redis-server's bind.
const portAttempts = 5

func (c *child) start(ctx context.Context, port int) error {
	if port != 0 {
		return c.startOn(ctx, port)
	}
	var err error
	for range portAttempts {
		if port, err = freePort(); err != nil {
			return err
		}
		if err = c.startOn(ctx, port); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func freePort() (int, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (c *child) startOn(ctx context.Context, port int) error {
	p, err := spawn(c.binary, append([]string{"--port", strconv.Itoa(port)}, c.args...))
	if err != nil {
		return err
	}
	if err := p.waitReady(ctx, port); err != nil {
		return errors.Join(err, p.kill())
	}
	c.running, c.lastPort = p, port
	return nil
}

func (c *child) stop() error {
	if c.running == nil {
		return nil
	}
	p := c.running
	c.running = nil
	return p.stop()
}

func (c *child) kill() error {
	if c.running == nil {
		return nil
	}
	p := c.running
	c.running = nil
	return p.kill()
}

// process is one life of redis-server.
type process struct {
	cmd  *exec.Cmd
	pid  int
	out  output
	gone chan struct{} // closed when the process was waited for
}

// spawn starts the process from a thread of its own that lives as long as the
// child: Linux delivers the parent-death signal when the *thread* that
// started the child ends.
func spawn(binary string, args []string) (*process, error) {
	p := &process{cmd: exec.Command(binary, args...), gone: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = childAttributes()
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.gone)
		err := p.cmd.Start()
		if err == nil {
			p.pid = p.cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is in its output
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// How often, and with how much patience, a starting server is asked whether
// it is ready.
const (
	readyInterval = 5 * time.Millisecond
	answerTimeout = 500 * time.Millisecond
)

// waitReady returns when this very process answers on the port; another one
// may have taken it in the meantime.
func (p *process) waitReady(ctx context.Context, port int) error {
	target, err := redisconn.Parse(fmt.Sprintf("redis://127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	rdb := target.Producer()
	defer rdb.Close()
	tick := time.NewTicker(readyInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("redis-server not ready: %w", ctx.Err())
		case <-p.gone:
			return fmt.Errorf("redis-server ended: %s", p.out.lastLines())
		case <-tick.C:
		}
		// A plain dial first: go-redis prints a line for each one that fails.
		if listening(port) && p.answers(ctx, rdb) {
			return nil
		}
	}
}

// answers says whether it is this process that takes commands there.
func (p *process) answers(ctx context.Context, rdb redis.UniversalClient) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	info, err := rdb.Info(ctx, "server").Result()
	if err != nil || !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", p.pid)) {
		return false
	}
	// INFO answers while an append-only file is still being read; PING does not.
	return rdb.Ping(ctx).Err() == nil
}

func listening(port int) bool {
	conn, err := net.DialTCP("tcp4", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// stopPatience is how long an orderly end may take before it is forced.
const stopPatience = 5 * time.Second

func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return p.kill()
	}
	timer := time.NewTimer(stopPatience)
	defer timer.Stop()
	select {
	case <-p.gone:
		return nil
	case <-timer.C:
		return p.kill()
	}
}

func (p *process) kill() error {
	select {
	case <-p.gone:
		return nil
	default:
	}
	_ = p.cmd.Process.Kill() // fails only when it is gone already
	<-p.gone
	return nil
}

// output keeps the last of what redis-server printed, for error messages.
type output struct {
	mu   sync.Mutex
	tail []byte
}

const outputKept = 4 << 10

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(o.tail, b...)
	o.tail = o.tail[max(0, len(o.tail)-outputKept):]
	return len(b), nil
}

func (o *output) lastLines() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(o.tail), []byte("\n"))
	lines = lines[max(0, len(lines)-3):]
	return string(bytes.Join(lines, []byte(" / ")))
}
