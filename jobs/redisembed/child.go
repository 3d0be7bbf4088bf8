package redisembed

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/internal/childproc"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
)

// child is a redis-server process.
type child struct {
	binary   string
	args     []string
	env      []string
	lastPort int
	running  *process
}

func (c *child) kind() Kind { return KindServer }
func (c *child) port() int  { return c.lastPort }

func (c *child) pid() int {
	if c.running == nil {
		return 0
	}
	return c.running.PID()
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
	p, err := spawn(c.binary, append([]string{"--port", strconv.Itoa(port)}, c.args...), c.env)
	if err != nil {
		return err
	}
	if err := p.waitReady(ctx, port); err != nil {
		p.Kill()
		return err
	}
	c.running, c.lastPort = p, port
	return nil
}

// stopPatience is how long an orderly end may take before it is forced.
const stopPatience = 5 * time.Second

func (c *child) stop() error {
	if c.running != nil {
		_ = c.running.End(c.running.Terminate, stopPatience) // it is gone, and that is all
	}
	c.running = nil
	return nil
}

func (c *child) kill() error {
	if c.running != nil {
		c.running.Kill()
	}
	c.running = nil
	return nil
}

// process is one life of redis-server.
type process struct {
	*childproc.Process
	out output
}

func spawn(binary string, args, env []string) (*process, error) {
	p := &process{}
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	cmd.Env = append(cmd.Environ(), env...)
	var err error
	p.Process, err = childproc.Start(cmd)
	return p, err
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
		case <-p.Gone():
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
	if err != nil || !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", p.PID())) {
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
