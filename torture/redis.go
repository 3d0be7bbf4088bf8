package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
)

// ErrNoRedis says that there is no redis-server. An imitation would prove nothing.
var ErrNoRedis = errors.New("torture needs a real redis-server (7.0 or newer) on PATH: apt-get install redis-server")

// redisServer is a Redis that can be killed, rolled back and lied to about the time.
// Its methods may be called from one goroutine at a time, but for sample.
type redisServer struct {
	binary string
	dir    string // of its data
	port   int
	fsync  Fsync
	log    *os.File
	clock  *fakeClock // nil: it cannot be stepped
	proc   *process
	probe  redis.UniversalClient

	mu    sync.Mutex
	sizes []fileSize // of the append-only file, of the last seconds
}

type fileSize struct {
	at    time.Time
	bytes int64
}

func startRedis(ctx context.Context, dir string, fsync Fsync) (*redisServer, error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrNoRedis
	}
	r := &redisServer{binary: binary, dir: filepath.Join(dir, "redis"), fsync: fsync, clock: newFakeClock(dir)}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, err
	}
	if r.log, err = logFile(filepath.Join(dir, "redis.log")); err != nil {
		return nil, err
	}
	if r.port, err = freePort(ctx); err != nil {
		return nil, err
	}
	target, err := redisconn.Parse("redis://" + r.addr())
	if err != nil {
		return nil, err
	}
	r.probe = target.Producer()
	return r, r.start(ctx)
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (r *redisServer) addr() string { return "127.0.0.1:" + strconv.Itoa(r.port) }

// redisPatience bounds a start: the whole append-only file is read.
const redisPatience = 60 * time.Second

// start starts it with the data that is there, and returns when it answers.
func (r *redisServer) start(ctx context.Context) error {
	cmd := exec.Command(r.binary,
		"--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--dir", r.dir, "--save", "", "--appendonly", "yes",
		"--appendfsync", string(r.fsync), "--auto-aof-rewrite-percentage", "0", "--maxmemory-policy", "noeviction", "--daemonize", "no")
	cmd.Stdout, cmd.Stderr = r.log, r.log
	cmd.Env = append(cmd.Environ(), r.clock.environment()...)
	var err error
	if r.proc, err = spawn(cmd); err != nil {
		return fmt.Errorf("start redis: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return fmt.Errorf("start redis: %w", ctx.Err())
		case <-r.proc.gone:
			tick.Stop()
			return fmt.Errorf("start redis: it ended at once (%w), see %s", r.proc.err, r.log.Name())
		case <-tick.C:
		}
		// A plain dial first: go-redis prints a line for each one that fails.
		if r.listening() && r.probe.Ping(ctx).Err() == nil {
			tick.Stop()
			return nil
		}
	}
}

func (r *redisServer) listening() bool {
	conn, err := net.DialTimeout("tcp4", r.addr(), time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// kill ends it by SIGKILL. What it had written, but not brought to the disk, is with
// the kernel and stays; with FsyncEverySecond cutTail takes it away.
func (r *redisServer) kill() { r.proc.kill() }

func (r *redisServer) close() {
	if r.proc != nil {
		r.proc.kill()
	}
	if r.probe != nil {
		_ = r.probe.Close()
	}
	if r.log != nil {
		_ = r.log.Close()
	}
}

// snapshot copies the data as it is at this moment to a new directory. The end of
// the file may be cut in the middle of a command, which Redis mends when it loads it.
func (r *redisServer) snapshot(to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	from := filepath.Join(r.dir, "appendonlydir")
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	for _, entry := range entries {
		if err := copyFile(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// restore puts a snapshot in the place of the data. Redis must not run.
func (r *redisServer) restore(from string) error {
	data := filepath.Join(r.dir, "appendonlydir")
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	if err := os.Rename(from, data); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	r.mu.Lock()
	r.sizes = nil
	r.mu.Unlock()
	return nil
}

// tailPeriod is how often the size of the append-only file is noted.
const tailPeriod = 100 * time.Millisecond

// sample notes the size of the append-only file until ctx ends.
func (r *redisServer) sample(ctx context.Context) {
	tick := time.NewTicker(tailPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, size, err := r.tail()
		if err != nil {
			continue // it is being replaced
		}
		r.mu.Lock()
		r.sizes = append(r.sizes, fileSize{time.Now(), size})
		r.sizes = r.sizes[max(0, len(r.sizes)-100):]
		r.mu.Unlock()
	}
}

// tail is the file that is appended to, the one of the highest number.
func (r *redisServer) tail() (path string, size int64, err error) {
	files, err := filepath.Glob(filepath.Join(r.dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) == 0 {
		return "", 0, errors.Join(errors.New("no append-only file"), err)
	}
	slices.Sort(files)
	path = files[len(files)-1]
	info, err := os.Stat(path)
	if err != nil {
		return "", 0, err
	}
	return path, info.Size(), nil
}

// cutTail takes away what was written in the last moments before now. Redis must not
// run. It returns how many bytes that were.
func (r *redisServer) cutTail(back time.Duration) (int64, error) {
	path, size, err := r.tail()
	if err != nil {
		return 0, err
	}
	keep, since := size, time.Now().Add(-back)
	r.mu.Lock()
	for _, s := range r.sizes {
		if s.at.Before(since) {
			keep = min(size, s.bytes)
		}
	}
	r.mu.Unlock()
	return size - keep, os.Truncate(path, keep)
}
