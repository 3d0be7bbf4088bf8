package torture

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
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

func proxyTo(t *testing.T, addr string) *proxy {
	t.Helper()
	p, err := newProxy(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func post(ctx context.Context, p *proxy, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.addr()+"/", strings.NewReader(body))
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
	p.swallowPosts(1, delay)
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
	if late, _ := p.tally(); late != 1 {
		t.Errorf("%d delivered late, want 1", late)
	}
}

func TestProxyCutsAndResumes(t *testing.T) {
	t.Parallel()
	addr, got := upstream(t)
	p := proxyTo(t, addr)
	p.sever()
	if err := post(t.Context(), p, "cut"); err == nil {
		t.Error("a request went through while cut")
	}
	p.heal()
	if err := post(t.Context(), p, "healed"); err != nil {
		t.Error(err)
	}
	if what := <-got; what != "POST healed" {
		t.Errorf("got %q, want POST healed", what)
	}
	p.stall()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := post(ctx, p, "stalled"); err == nil {
		t.Error("a request went through while stalled")
	}
}

func TestProxyDropsAReplyOfACommandThatWasExecuted(t *testing.T) {
	t.Parallel()
	addr, got := upstream(t)
	p := proxyTo(t, addr)
	p.dropReplies(1)
	if err := post(t.Context(), p, "dropped"); err == nil {
		t.Error("the reply came through")
	}
	if what := <-got; what != "POST dropped" {
		t.Errorf("got %q, want POST dropped", what)
	}
	if _, dropped := p.tally(); dropped != 1 {
		t.Errorf("%d dropped, want 1", dropped)
	}
	conn, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
}
