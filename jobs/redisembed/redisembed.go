// Package redisembed runs a Redis of its own beside the program: for the
// demo, the torture run and tests, on a machine where nothing is set up.
//
// When redis-server is on PATH it becomes a child process on a free port of
// 127.0.0.1; else an in-process imitation (miniredis) answers, which keeps
// nothing when the program ends and is several times slower. The service
// itself never embeds one: records of sent messages belong on a disk.
//
//	srv, err := redisembed.Start(ctx, redisembed.Options{})
//	defer srv.Close()
//	target, err := redisconn.Parse(srv.URL())
//
// The child ends with the program even if that is killed (on Linux), and a
// Ctrl-C in the terminal reaches the program alone, which can then finish its
// work before it closes its Redis.
package redisembed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// Kind says what answers at the server's URL.
type Kind string

// The two kinds of server.
const (
	KindServer    Kind = "redis-server"
	KindInProcess Kind = "in-process"
)

// Options are the choices a caller of [Start] has.
type Options struct {
	// Dir is where Redis keeps its files; it must exist and is left alone by
	// Close. Defaults to a temporary one that Close removes.
	Dir string
	// AOF makes Redis write every change to its append-only file, fsync each
	// second, so that a killed server comes back with its data.
	AOF bool
	// Databases is the number of databases. Defaults to 16.
	Databases int
	// ForceInProcess takes the in-process Redis even where redis-server is.
	ForceInProcess bool
	// Port on 127.0.0.1. Defaults to a free one.
	Port int
	// Arguments and Environment ("NAME=value") are further ones of redis-server; they
	// win over those that follow from the other options.
	Arguments, Environment []string
}

// Server is a running Redis. Its methods may be called from one goroutine at
// a time.
type Server struct {
	options Options
	ownDir  bool
	engine  engine
}

// An engine is one of the two ways to be a Redis.
type engine interface {
	kind() Kind
	pid() int
	port() int
	// start listens on the port (0: a free one) and returns when commands are
	// answered. It is also what follows kill.
	start(ctx context.Context, port int) error
	// stop ends it in order; on one that does not run it does nothing.
	stop() error
	// kill ends it as a power cut would.
	kill() error
}

// Start runs a Redis and returns when it answers. The context bounds the
// start alone, not the life of the server; the caller ends that with
// [Server.Close].
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Databases == 0 {
		o.Databases = 16
	}
	s := &Server{options: o}
	binary, err := exec.LookPath("redis-server")
	if err != nil || o.ForceInProcess {
		s.engine = &inProcess{databases: o.Databases}
	} else {
		if o.Dir == "" {
			if s.options.Dir, err = os.MkdirTemp("", "flowroute-redis-"); err != nil {
				return nil, fmt.Errorf("start redis: %w", err)
			}
			s.ownDir = true
		}
		s.engine = &child{binary: binary, args: s.options.arguments(), env: o.Environment}
	}
	if err := s.engine.start(ctx, o.Port); err != nil {
		return nil, errors.Join(fmt.Errorf("start redis: %w", err), s.removeDir())
	}
	return s, nil
}

// arguments are those of redis-server, all but the port.
func (o Options) arguments() []string {
	appendOnly := "no"
	if o.AOF {
		appendOnly = "yes"
	}
	return append([]string{
		"--bind", "127.0.0.1",
		"--dir", o.Dir,
		"--databases", strconv.Itoa(o.Databases),
		"--save", "",
		"--appendonly", appendOnly,
		"--appendfsync", "everysec",
		"--maxmemory-policy", "noeviction",
		"--daemonize", "no",
	}, o.Arguments...)
}

// Addr returns the server's host and port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.engine.port()) }

// URL returns the REDIS_URL of the server's database 0.
func (s *Server) URL() string { return s.DatabaseURL(0) }

// DatabaseURL returns the REDIS_URL of one of its databases.
func (s *Server) DatabaseURL(db int) string {
	return fmt.Sprintf("redis://%s/%d", s.Addr(), db)
}

// Kind says whether it is a real redis-server.
func (s *Server) Kind() Kind { return s.engine.kind() }

// PID returns the process id of redis-server, 0 for the in-process kind and
// after Kill.
func (s *Server) PID() int { return s.engine.pid() }

// Kill ends the server without warning, as SIGKILL or a power cut would, and
// returns when it is gone. [Server.Restart] brings it back, with another run id.
// The in-process kind drops its connections and keeps its data.
func (s *Server) Kill() error { return s.engine.kill() }

// Restart starts a killed server again on the same port and directory: with
// Options.AOF it has its data again, without it is empty.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.engine.start(ctx, s.engine.port()); err != nil {
		return fmt.Errorf("restart redis: %w", err)
	}
	return nil
}

// Close ends the server, returns when it is gone, and removes its temporary
// directory. Closing twice does no harm.
func (s *Server) Close() error {
	return errors.Join(s.engine.stop(), s.removeDir())
}

func (s *Server) removeDir() error {
	if !s.ownDir {
		return nil
	}
	return os.RemoveAll(s.options.Dir)
}
