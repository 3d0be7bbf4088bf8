package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
)

// serve runs the server on a free port; stop ends it and waits.
func serve(t *testing.T, server *httpapi.Server) (addr string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	return listener.Addr().String(), func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}

func TestDrainLetsRunningRequestsEnd(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}), make(chan struct{})
	b := setup(t, func(o *httpapi.Options) {
		o.Limits = func(ctx context.Context) (any, error) {
			close(running)
			<-release
			return map[string]int{"sms": 5}, ctx.Err()
		}
	})
	addr, stop := serve(t, b.server)
	b.url = "http://" + addr
	r := b.request("GET", "/v1/limits", "")
	type result struct {
		response *http.Response
		err      error
	}
	answered := make(chan result, 1)
	go func() {
		response, err := http.DefaultTransport.RoundTrip(r)
		answered <- result{response, err}
	}()
	<-running
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	for { // until nobody new is let in
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	close(release)
	got := <-answered
	if got.err != nil || got.response.StatusCode != 200 {
		t.Fatalf("got %+v, want the answer", got)
	}
	_ = got.response.Body.Close()
	<-stopped
}

func TestDrainEndsInTheEnd(t *testing.T) {
	t.Parallel()
	running := make(chan struct{})
	b := setup(t, func(o *httpapi.Options) {
		o.DrainTimeout = 50 * time.Millisecond
		o.Limits = func(ctx context.Context) (any, error) {
			close(running)
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	addr, stop := serve(t, b.server)
	b.url = "http://" + addr
	r := b.request("GET", "/v1/limits", "")
	answered := make(chan error, 1)
	go func() {
		response, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			_ = response.Body.Close()
		}
		answered <- err
	}()
	<-running
	stop() // returns although the handler would wait for 8 s
	if err := <-answered; err == nil {
		t.Error("got an answer, want the connection cut")
	}
}

func TestWithoutTokensOnlyLoopback(t *testing.T) {
	t.Parallel()
	b := setup(t, withoutTokens)
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0"} {
		if err := b.server.Run(t.Context(), addr); !strings.HasSuffix(fmt.Sprint(err), "only a loopback address is allowed") {
			t.Errorf("%s: got %v, want a refusal", addr, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, addr := range []string{"127.0.0.1:0", "localhost:0"} {
		if err := b.server.Run(ctx, addr); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good := func() httpapi.Options { return httpapi.Options{Jobs: b.jobs, Redis: b.rdb} }
	for name, change := range map[string]func(*httpapi.Options){
		"no jobs":          func(o *httpapi.Options) { o.Jobs = nil },
		"no redis":         func(o *httpapi.Options) { o.Redis = nil },
		"negative bound":   func(o *httpapi.Options) { o.MaxBody = -1 },
		"token, no name":   func(o *httpapi.Options) { o.Tokens = []httpapi.Token{{Secret: "x"}} },
		"token, no secret": func(o *httpapi.Options) { o.Tokens = []httpapi.Token{{Name: "x"}} },
		"token with colon": func(o *httpapi.Options) { o.Tokens = []httpapi.Token{{Name: "a:b", Secret: "x"}} },
		"two of a name": func(o *httpapi.Options) {
			o.Tokens = []httpapi.Token{{Name: "a", Secret: "x"}, {Name: "a", Secret: "y"}}
		},
		"negative patience": func(o *httpapi.Options) { o.DrainTimeout = -1 },
	} {
		o := good()
		change(&o)
		if _, err := httpapi.New(o); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if _, err := httpapi.New(good()); err != nil {
		t.Error(err)
	}
}
