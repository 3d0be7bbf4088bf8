package flowroute_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// TestRedirects: none is followed, whatever net/http would do with it, and
// credentials reach no other host.
func TestRedirects(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			elsewhere := newAPI(t, reply(200, golden(t, "mdr")))
			server := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL+"/prefix/v2.1/messages", status)
			})
			c := newClient(t, server.URL)

			p := new(pass)
			_, err := c.SendMessage(t.Context(), hello, flowroute.Write{Pass: p})
			if !errors.Is(err, flowroute.ErrOutcomeUnknown) {
				t.Errorf("POST: got %v, want unknown", err)
			}
			p.expect(t, "Responded")
			_, err = c.MDR(t.Context(), "mdr2-abc")
			if e, ok := errors.AsType[*flowroute.APIError](err); !ok || e.Status != status {
				t.Errorf("GET: got %v, want an APIError with status %d", err, status)
			}
			if got := server.requests.Load(); got != 2 {
				t.Errorf("got %d requests, want one for each call", got)
			}
			if got := elsewhere.requests.Load(); got != 0 {
				t.Errorf("got %d requests at the other host, want none", got)
			}
		})
	}
}

// TestStaleConnection: the server closes a kept-alive connection as the next
// request comes. net/http would repeat a GET then.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	newServer := func(t *testing.T) *wire {
		return newWire(t, func(c *net.TCPConn, next func() error) {
			next()
			io.WriteString(c, "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}")
			next()
		})
	}
	t.Run("write", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		c := newClient(t, server.url)
		for i, want := range []error{nil, flowroute.ErrOutcomeUnknown} {
			if _, err := c.SendMessage(t.Context(), hello, flowroute.Write{}); !errors.Is(err, want) {
				t.Errorf("request %d: got %v, want %v", i+1, err, want)
			}
		}
		if conns, requests := server.conns.Load(), server.requests.Load(); conns != 1 || requests != 2 {
			t.Errorf("got %d requests over %d connections, want 2 over 1", requests, conns)
		}
	})
	t.Run("read", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		c := newClient(t, server.url)
		c.MDR(t.Context(), "mdr2-abc")
		if _, err := c.MDR(t.Context(), "mdr2-abc"); err == nil {
			t.Error("got no error from a connection that was closed")
		}
		if requests := server.requests.Load(); requests != 2 {
			t.Errorf("got %d requests, want one for each call", requests)
		}
	})
}

// TestHTTP2IsNotSpoken: HTTP/2 would repeat requests after GOAWAY and the like.
func TestHTTP2IsNotSpoken(t *testing.T) {
	t.Parallel()
	var version atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		version.Store(int64(r.ProtoMajor))
		reply(202, golden(t, "message_sent"))(w, r)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)

	p := &pass{wrote: make(chan struct{})}
	c := newClient(t, server.URL, trust(server))
	if _, err := c.SendMessage(t.Context(), hello, flowroute.Write{Pass: p}); err != nil {
		t.Fatal(err)
	}
	if got := version.Load(); got != 1 {
		t.Errorf("got HTTP/%d, want 1", got)
	}
	p.expect(t, "Responded")
}

func trust(server *httptest.Server) func(*flowroute.Options) {
	return func(o *flowroute.Options) {
		o.RootCAs = x509.NewCertPool()
		o.RootCAs.AddCert(server.Certificate())
	}
}

// TestUnknownServerCertificate: without trust nothing is sent.
func TestUnknownServerCertificate(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	_, err := newClient(t, server.URL).SendMessage(t.Context(), hello, flowroute.Write{})
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok || !errors.Is(err, flowroute.ErrNotSent) {
		t.Errorf("got %v, want not sent because of an unknown authority", err)
	}
	if got := requests.Load(); got != 0 {
		t.Errorf("got %d requests, want none", got)
	}
}

// TestAcked: the pass learns when the peer's kernel has all of the request, over
// TCP and over TLS.
func TestAcked(t *testing.T) {
	t.Parallel()
	if !canTellUnacked {
		return
	}
	newServer := map[string]func(http.Handler) *httptest.Server{"tcp": httptest.NewServer, "tls": httptest.NewTLSServer}
	for name, start := range newServer {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := make(chan struct{})
			server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				<-answer
				reply(202, "{}")(w, r)
			}))
			t.Cleanup(server.Close)
			var set []func(*flowroute.Options)
			if name == "tls" {
				set = append(set, trust(server))
			}
			c := newClient(t, server.URL, set...)
			p := &pass{wrote: make(chan struct{})}
			done := make(chan error)
			go func() {
				_, err := c.SendMessage(t.Context(), hello, flowroute.Write{Pass: p})
				done <- err
			}()
			<-p.wrote
			eventually(t, "the kernel's acknowledgement", p.acked)
			close(answer)
			if err := <-done; err != nil {
				t.Error(err)
			}
			p.expect(t, "Written", "Responded")
			c.Close()
			eventually(t, "acked to say false about a closed connection", func() bool { return !p.acked() })
		})
	}
}

// swallower is a server that leaves what it gets in its small receive buffer, as
// a path does that has gone dark, until it is told to heal.
func swallower(tb testing.TB, heal <-chan struct{}, delivered chan<- delivery) *wire {
	return newWire(tb, func(c *net.TCPConn, _ func() error) {
		<-heal
		var d delivery
		d.bytes, d.err = io.ReadAll(c)
		delivered <- d
	}, smallReceiveBuffer)
}

type delivery struct {
	bytes []byte
	err   error
}

// TestTimeoutEndsDelivery: the whole request is in our kernel's hands, the path
// is dark, and the call gives up. When the path heals, the rest must not arrive.
func TestTimeoutEndsDelivery(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"timeout", "cancel"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heal, delivered := make(chan struct{}), make(chan delivery, 1)
			server := swallower(t, heal, delivered)
			p := &pass{wrote: make(chan struct{})}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			limit := 300 * time.Millisecond
			if name == "cancel" {
				limit = time.Minute
			}
			big := hello
			big.Body = strings.Repeat("x", swallowed)
			done := make(chan error)
			go func() {
				_, err := newClient(t, server.url, timeout(limit)).SendMessage(ctx, big, flowroute.Write{Pass: p})
				done <- err
			}()
			<-p.wrote
			if canTellUnacked && p.acked() {
				t.Error("acked says that all has arrived, but nobody has read it")
			}
			if name == "cancel" {
				cancel()
			}
			if err := <-done; !errors.Is(err, flowroute.ErrOutcomeUnknown) {
				t.Errorf("got %v, want unknown", err)
			}
			p.expect(t, "Written", "Abandoned")
			close(heal)
			expectCutOff(t, <-delivered)
		})
	}
}

// expectCutOff checks that a connection ended by a reset before all of a big
// message had come.
func expectCutOff(tb testing.TB, d delivery) {
	tb.Helper()
	if d.err == nil {
		tb.Error("the connection ended in good order, want a reset")
	}
	if n := bytes.Count(d.bytes, []byte("x")); n >= swallowed {
		tb.Errorf("all of the message arrived after it was given up")
	}
}

// TestTimeoutWithoutAnswer: the server has everything and says nothing.
func TestTimeoutWithoutAnswer(t *testing.T) {
	t.Parallel()
	reset := make(chan error, 1)
	server := newWire(t, func(c *net.TCPConn, next func() error) {
		next()
		_, err := c.Read(make([]byte, 1))
		reset <- err
	})
	p := new(pass)
	_, err := newClient(t, server.url, timeout(200*time.Millisecond)).SendMessage(t.Context(), hello, flowroute.Write{Pass: p})
	if !errors.Is(err, flowroute.ErrOutcomeUnknown) {
		t.Errorf("got %v, want unknown", err)
	}
	p.expect(t, "Written", "Abandoned")
	if err := <-reset; err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the server saw %v, want a reset", err)
	}
}

// TestEarlyAnswer: a server that answers before it has read the body.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	server := newWire(t, func(c *net.TCPConn, next func() error) {
		io.CopyN(io.Discard, c, 1000)
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		io.Copy(io.Discard, c)
	})
	big := hello
	big.Body = strings.Repeat("x", 1<<20)
	p := new(pass)
	_, err := newClient(t, server.url).SendMessage(t.Context(), big, flowroute.Write{Pass: p})
	if !errors.Is(err, flowroute.ErrOutcomeUnknown) {
		t.Errorf("got %v, want unknown", err)
	}
}

// TestConnectionIsReused: one request after the other uses one connection.
func TestConnectionIsReused(t *testing.T) {
	t.Parallel()
	var conns atomic.Int64
	server := httptest.NewUnstartedServer(reply(202, golden(t, "message_sent")))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c := newClient(t, server.URL)
	for range 10 {
		if _, err := c.SendMessage(t.Context(), hello, flowroute.Write{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := conns.Load(); got != 1 {
		t.Errorf("got %d connections, want 1", got)
	}
}
