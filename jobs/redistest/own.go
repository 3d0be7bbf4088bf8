package redistest

import (
	"context"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
)

// Server is a Redis that one test has to itself, with an append-only file.
type Server struct {
	DB
	server *redisembed.Server
}

// Own starts a Redis for this test alone, whatever REDIS_URL says, and ends
// it with the test. It always keeps an append-only file, so that what was
// written before [Server.Kill] is there after [Server.Restart]. The imitation
// has no file and keeps everything, which a line of the test's log says.
func Own(t testing.TB, o redisembed.Options) *Server {
	t.Helper()
	o.AOF = true
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), startPatience)
	defer cancel()
	server, err := redisembed.Start(ctx, o)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("redistest: %v", err)
		}
	})
	if server.Kind() == redisembed.KindInProcess && !o.ForceInProcess && inCI() {
		t.Fatalf("redistest: %v", errNoRedisInCI)
	}
	if server.Kind() == redisembed.KindInProcess {
		t.Log("redistest: an in-process imitation: killed, it loses its connections and its run id, and nothing that is in it")
	}
	return &Server{DB: DB{URL: server.URL(), Kind: server.Kind(), t: t}, server: server}
}

const startPatience = 30 * time.Second

// PID returns the process id of redis-server.
func (s *Server) PID() int { return s.server.PID() }

// Kill ends the server as SIGKILL does.
func (s *Server) Kill() {
	s.t.Helper()
	if err := s.server.Kill(); err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
}

// Restart brings a killed server back on the same port with the same files.
func (s *Server) Restart() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), startPatience)
	defer cancel()
	if err := s.server.Restart(ctx); err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
}
