package flowroutetest

import (
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// Server is a Simulator listening on loopback for one test.
type Server struct {
	*Simulator
	URL                  string // base URL with the base path; no slash at the end
	Root                 string // scheme, host and port alone; the administration surface is below it
	AccessKey, SecretKey string

	t testing.TB
}

// NewServer starts a Simulator for the test t and stops it when t ends. The
// base path defaults to "/flowroute"; the latest 10,000 requests are kept. A
// request to a path that the API does not have fails t, unless
// AllowUnknownPaths was called.
func NewServer(t testing.TB, o Options) *Server {
	t.Helper()
	if o.BasePath == "" {
		o.BasePath = "/flowroute"
	}
	if o.KeepRequests == 0 {
		o.KeepRequests = 10_000
	}
	if err := o.Validate(); err != nil {
		t.Fatalf("flowroutetest: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("flowroutetest: listen: %v", err)
	}
	s := &Server{Simulator: New(o), t: t}
	s.Root = "http://" + ln.Addr().String()
	s.URL = s.Root + o.BasePath
	s.AccessKey, s.SecretKey = s.o.AccessKey, s.o.SecretKey
	complain := func(r *http.Request) {
		t.Errorf("flowroutetest: %s %s is not a path of the API", r.Method, r.URL.Path)
	}
	s.unknown.Store(&complain)

	quiet := slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	srv := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, ErrorLog: quiet}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		s.unknown.Store(nil)
		s.Close()
		_ = srv.Close()
		<-done
	})
	return s
}

// FailNext is [Simulator.FailNext]; an unknown name fails the test.
func (s *Server) FailNext(name string, n int) {
	s.t.Helper()
	if err := s.Simulator.FailNext(name, n); err != nil {
		s.t.Fatal(err)
	}
}

// SetFault is [Simulator.SetFault]; an unknown name fails the test.
func (s *Server) SetFault(name string, f Fault) {
	s.t.Helper()
	if err := s.Simulator.SetFault(name, f); err != nil {
		s.t.Fatal(err)
	}
}

// AllowUnknownPaths lets requests to unknown paths pass without failing the test.
func (s *Server) AllowUnknownPaths() { s.unknown.Store(nil) }
