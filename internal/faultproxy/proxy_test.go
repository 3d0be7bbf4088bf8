package faultproxy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/internal/faultproxy"
)

// upstream is a server that says what it got.
func upstream(t *testing.T) (addr string, got chan string) {
	t.Helper()
	got = make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.Method + " " + string(body)
		_, _ = io.WriteString(w, "done")
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), got
}

func proxyTo(t *testing.T, addr string) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.Start(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func post(ctx context.Context, p *faultproxy.Proxy, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.Addr()+"/", strings.NewReader(body))
	if err != nil {
		return err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func TestProxySwallowsAndDelivers(t *testing.T) {
	t.Parallel()
	addr, got := upstream(t)
	p := proxyTo(t, addr)
	const delay = 600 * time.Millisecond
	p.SwallowPosts(1, delay)
	sent := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := post(ctx, p, "first"); err == nil {
		t.Fatal("the client got an answer")
	}
	if waited := time.Since(sent); waited >= delay {
		t.Errorf("the client waited %v, and should have given up before the delivery", waited)
	}
	select {
	case what := <-got:
		t.Fatalf("delivered at once: %s", what)
	default:
	}
	if what := <-got; what != "POST first" || time.Since(sent) < delay {
		t.Errorf("got %q after %v, want POST first after %v", what, time.Since(sent), delay)
	}
	if err := post(t.Context(), p, "second"); err != nil {
		t.Errorf("the next request: %v", err)
	}
	if what := <-got; what != "POST second" {
		t.Errorf("got %q, want POST second", what)
	}
	if late, _ := p.Tally(); late != 1 {
		t.Errorf("%d delivered late, want 1", late)
	}
}

func TestProxyCutsAndResumes(t *testing.T) {
	t.Parallel()
	addr, got := upstream(t)
	p := proxyTo(t, addr)
	p.Cut()
	if err := post(t.Context(), p, "cut"); err == nil {
		t.Error("a request went through while cut")
	}
	p.Heal()
	if err := post(t.Context(), p, "healed"); err != nil {
		t.Error(err)
	}
	if what := <-got; what != "POST healed" {
		t.Errorf("got %q, want POST healed", what)
	}
}

func TestProxyHoldsAndForwards(t *testing.T) {
	t.Parallel()
	addr, got := upstream(t)
	p := proxyTo(t, addr)
	p.Stall()
	answered := make(chan error, 1)
	go func() { answered <- post(t.Context(), p, "held") }()
	select {
	case what := <-got:
		t.Errorf("went through while stalled: %s", what)
	case err := <-answered:
		t.Errorf("answered while stalled: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	p.Resume()
	if what, err := <-got, <-answered; what != "POST held" || err != nil {
		t.Errorf("got %q, %v, want POST held, nil", what, err)
	}
}

func TestProxyDropsAReplyOfACommandThatWasExecuted(t *testing.T) {
	t.Parallel()
	addr, got := upstream(t)
	p := proxyTo(t, addr)
	p.DropReplies(1)
	if err := post(t.Context(), p, "dropped"); err == nil {
		t.Error("the reply came through")
	}
	if what := <-got; what != "POST dropped" {
		t.Errorf("got %q, want POST dropped", what)
	}
	if _, dropped := p.Tally(); dropped != 1 {
		t.Errorf("%d dropped, want 1", dropped)
	}
	if err := post(t.Context(), p, "next"); err != nil {
		t.Errorf("the next request: %v", err)
	}
}

// A client may send a request's head and body apart.
func TestProxySwallowsTheWholeRequest(t *testing.T) {
	t.Parallel()
	addr, got := upstream(t)
	p := proxyTo(t, addr)
	p.SwallowPosts(1, 200*time.Millisecond)
	conn := dial(t, p)
	for _, part := range []string{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", "whole"} {
		if _, err := io.WriteString(conn, part); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if what := <-got; what != "POST whole" {
		t.Errorf("got %q, want POST whole", what)
	}
}

func TestProxyPassesTheHandshakesReply(t *testing.T) {
	t.Parallel()
	echo, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		conn, err := echo.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	}()
	p := proxyTo(t, echo.Addr().String())
	p.DropReplies(1)
	conn := dial(t, p)
	say := func(command string) error {
		if _, err := io.WriteString(conn, command); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, len(command)))
		return err
	}
	if err := say("*2\r\n$5\r\nhello\r\n$1\r\n3\r\n"); err != nil {
		t.Errorf("HELLO: %v", err)
	}
	if err := say("*1\r\n$4\r\nPING\r\n"); err == nil {
		t.Error("PING: its reply came through")
	}
}

func TestProxyWithoutServerResets(t *testing.T) {
	t.Parallel()
	p := proxyTo(t, "127.0.0.1:1")
	if err := post(t.Context(), p, "nobody"); err == nil {
		t.Error("a request was answered by nobody")
	}
	p.Close()
	p.Close()
	if conn, err := net.Dial("tcp", p.Addr()); err == nil {
		_ = conn.Close()
		t.Error("it listens after its end")
	}
}

func dial(t *testing.T, p *faultproxy.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
