package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
)

// ErrNoRedis says that there is no redis-server. An imitation would prove nothing.
var ErrNoRedis = errors.New("torture needs a real redis-server (7.0 or newer) on PATH: apt-get install redis-server")

// redisServer is a Redis that can be killed, rolled back and lied to about the time.
// Its methods may be called from one goroutine at a time, but for sample.
type redisServer struct {
	*redisembed.Server
	data  string     // the directory of its append-only files
	clock *fakeClock // nil: it cannot be stepped

	mu    sync.Mutex
	sizes []fileSize // of the append-only file, of the last seconds
}

type fileSize struct {
	at    time.Time
	bytes int64
}

// redisLog is what Redis writes its log to, as seen from its own directory.
const redisLog = "../redis.log"

func startRedis(ctx context.Context, dir string, fsync Fsync) (*redisServer, error) {
	r := &redisServer{data: filepath.Join(dir, "redis", "appendonlydir"), clock: newFakeClock(dir)}
	o := redisembed.Options{Dir: filepath.Dir(r.data), AOF: true, Environment: r.clock.environment(), Arguments: []string{
		"--appendfsync", string(fsync), "--auto-aof-rewrite-percentage", "0", "--logfile", redisLog,
	}}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	var err error
	if r.Server, err = redisembed.Start(ctx, o); err != nil {
		return nil, fmt.Errorf("%w (more in redis.log)", err)
	}
	if r.Kind() != redisembed.KindServer {
		return nil, errors.Join(ErrNoRedis, r.Close())
	}
	return r, nil
}

// redisPatience bounds a start: the whole append-only file is read.
const redisPatience = 60 * time.Second

// revive starts it again, after Kill, with the data that is there. What Kill found
// written, but not brought to the disk, was with the kernel and is there; with
// FsyncEverySecond cutTail takes it away.
func (r *redisServer) revive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	if err := r.Restart(ctx); err != nil {
		return fmt.Errorf("%w (more in redis.log)", err)
	}
	return nil
}

// snapshot copies the data as it is at this moment to a new directory. The end of
// the file may be cut in the middle of a command, which Redis mends when it loads it.
func (r *redisServer) snapshot(to string) error {
	if err := os.CopyFS(to, os.DirFS(r.data)); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

// restore puts a snapshot in the place of the data. Redis must not run.
func (r *redisServer) restore(from string) error {
	if err := os.RemoveAll(r.data); err != nil {
		return err
	}
	if err := os.Rename(from, r.data); err != nil {
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
	every(ctx, tailPeriod, func() {
		_, size, err := r.tail()
		if err != nil {
			return // it is being replaced
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sizes = append(r.sizes, fileSize{time.Now(), size})
		r.sizes = r.sizes[max(0, len(r.sizes)-100):]
	})
}

// tail is the file that is appended to, the one of the highest number.
func (r *redisServer) tail() (path string, size int64, err error) {
	files, err := filepath.Glob(filepath.Join(r.data, "*.incr.aof"))
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
