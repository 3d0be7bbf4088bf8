package flowroute_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

const accepted = "HTTP/1.1 202 Accepted\r\nContent-Type: application/vnd.api+json\r\n"

// TestWriteOutcome walks through the ways in which a connection can go wrong.
func TestWriteOutcome(t *testing.T) {
	t.Parallel()
	long := hello
	long.Body = strings.Repeat("x", 100_000)

	tests := []struct {
		name     string
		message  flowroute.Message
		handle   func(c *net.TCPConn, next func() error)
		want     error
		pass     []string
		requests int64
	}{
		{
			name:     "closed after reading",
			message:  hello,
			handle:   func(_ *net.TCPConn, next func() error) { next() },
			want:     flowroute.ErrOutcomeUnknown,
			pass:     []string{"Written", "Abandoned"},
			requests: 1,
		},
		{
			name:    "closed after half the body",
			message: long,
			handle:  func(c *net.TCPConn, _ func() error) { io.CopyN(io.Discard, c, 50_000) },
			want:    flowroute.ErrOutcomeUnknown,
		},
		{
			name:    "reset when the first byte comes",
			message: hello,
			handle: func(c *net.TCPConn, _ func() error) {
				c.SetLinger(0)
				c.Read(make([]byte, 1))
			},
			want: flowroute.ErrOutcomeUnknown,
			pass: []string{"Written", "Abandoned"},
		},
		{
			name:    "status line never ends",
			message: hello,
			handle: func(c *net.TCPConn, next func() error) {
				next()
				io.WriteString(c, "HTTP/1.1 20")
				next()
			},
			want:     flowroute.ErrOutcomeUnknown,
			pass:     []string{"Written", "Abandoned"},
			requests: 1,
		},
		{
			name:    "header never ends",
			message: hello,
			handle: func(c *net.TCPConn, next func() error) {
				next()
				io.WriteString(c, accepted)
				next()
			},
			want:     flowroute.ErrOutcomeUnknown,
			pass:     []string{"Written", "Abandoned"},
			requests: 1,
		},
		{
			name:    "something that is not HTTP",
			message: hello,
			handle: func(c *net.TCPConn, next func() error) {
				next()
				io.WriteString(c, "220 mail.example.com ESMTP\r\n")
			},
			want:     flowroute.ErrOutcomeUnknown,
			pass:     []string{"Written", "Abandoned"},
			requests: 1,
		},
		{
			name:    "switching protocols",
			message: hello,
			handle: func(c *net.TCPConn, next func() error) {
				next()
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
			},
			want:     flowroute.ErrOutcomeUnknown,
			pass:     []string{"Responded"},
			requests: 1,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newWire(t, test.handle)
			p := new(pass)
			_, err := newClient(t, server.url, timeout(time.Second)).SendMessage(t.Context(), test.message, flowroute.Write{Pass: p})
			if !errors.Is(err, test.want) {
				t.Errorf("got error %v, want %v", err, test.want)
			}
			if test.pass != nil {
				p.expect(t, test.pass...)
			}
			if got := server.requests.Load(); got != test.requests {
				t.Errorf("got %d complete requests, want %d", got, test.requests)
			}
			if got := server.conns.Load(); got != 1 {
				t.Errorf("got %d connections, want 1", got)
			}
		})
	}
}

// TestResetBeforeReading is a race between the reset and the request. Both ends
// are right, as long as error, pass and server agree.
func TestResetBeforeReading(t *testing.T) {
	t.Parallel()
	server := newWire(t, func(c *net.TCPConn, _ func() error) { c.SetLinger(0) })
	c := newClient(t, server.url)
	for range 50 {
		p := new(pass)
		_, err := c.SendMessage(t.Context(), hello, flowroute.Write{Pass: p})
		switch flowroute.ResultOf(err) {
		case flowroute.NotSent:
			p.expect(t, "Unsent")
		case flowroute.OutcomeUnknown:
			if last := p.calls[len(p.calls)-1]; last != "Abandoned" {
				t.Errorf("got %v, want Abandoned at the end", p.calls)
			}
		default:
			t.Errorf("got %v, want not sent or unknown", err)
		}
	}
}

func TestWriteByStatus(t *testing.T) {
	t.Parallel()
	html := "<html><body>Bad Gateway</body></html>"
	envelope := golden(t, "error_403_empty_detail")
	tests := []struct {
		name   string
		status int
		body   string
		want   flowroute.Result
	}{
		{"300", 300, envelope, flowroute.OutcomeUnknown},
		{"304", 304, "", flowroute.OutcomeUnknown},
		{"400", 400, envelope, flowroute.Refused},
		{"400 without envelope", 400, `{"message":"bad request"}`, flowroute.OutcomeUnknown},
		{"400 with an empty list", 400, `{"errors":[]}`, flowroute.OutcomeUnknown},
		{"400 with an empty error", 400, `{"errors":[{}]}`, flowroute.OutcomeUnknown},
		{"400 with no error", 400, `{"errors":[null]}`, flowroute.OutcomeUnknown},
		{"401", 401, golden(t, "error_401_unauthorized"), flowroute.Refused},
		{"403", 403, envelope, flowroute.Refused},
		{"403 html", 403, html, flowroute.OutcomeUnknown},
		{"404 of a record", 404, golden(t, "error_404_no_title"), flowroute.Refused},
		{"404 of a URL", 404, golden(t, "error_404_string_status"), flowroute.Refused},
		{"407 of a proxy", 407, html, flowroute.OutcomeUnknown},
		{"408", 408, envelope, flowroute.OutcomeUnknown},
		{"413 of a proxy", 413, "", flowroute.OutcomeUnknown},
		{"422", 422, golden(t, "error_422_no_title"), flowroute.Refused},
		{"422 fields", 422, golden(t, "error_422_fields"), flowroute.Refused},
		{"422 larger than is read", 422, `{"errors":[{"detail":"` + strings.Repeat("x", 100_000) + `"}]}`, flowroute.OutcomeUnknown},
		{"429", 429, envelope, flowroute.Refused},
		{"429 empty", 429, "", flowroute.Refused},
		{"500 empty", 500, "", flowroute.OutcomeUnknown},
		{"500 envelope", 500, envelope, flowroute.OutcomeUnknown},
		{"502 html", 502, html, flowroute.OutcomeUnknown},
		{"503", 503, envelope, flowroute.OutcomeUnknown},
		{"504", 504, "", flowroute.OutcomeUnknown},
		{"999", 999, envelope, flowroute.OutcomeUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, reply(test.status, test.body))
			p := new(pass)
			_, err := newClient(t, server.URL).SendMessage(t.Context(), hello, flowroute.Write{Pass: p})
			if got := flowroute.ResultOf(err); got != test.want || err == nil {
				t.Errorf("got %v (%v), want %v", got, err, test.want)
			}
			if e, ok := errors.AsType[*flowroute.APIError](err); !ok || e.Status != test.status {
				t.Errorf("got %v, want an APIError with status %d", err, test.status)
			}
			p.expect(t, "Responded")
			if got := server.requests.Load(); got != 1 {
				t.Errorf("got %d requests, want 1", got)
			}
		})
	}
}

// TestNotSent has the cases in which nothing may reach the server.
func TestNotSent(t *testing.T) {
	t.Parallel()
	past := time.Now().Add(-time.Second)
	closed := errors.New("gate is closed")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()

	tests := []struct {
		name    string
		ctx     context.Context
		message flowroute.Message
		pass    *pass
		write   flowroute.Write
		gate    error
		cause   error
	}{
		{name: "deadline of the pass", pass: &pass{deadline: past}, cause: flowroute.ErrWriteDeadline},
		{name: "deadline of the call", pass: new(pass), write: flowroute.Write{Deadline: past}, cause: flowroute.ErrWriteDeadline},
		{name: "deadline on the wall clock", pass: new(pass), write: flowroute.Write{Deadline: past.Round(0)}, cause: flowroute.ErrWriteDeadline},
		{name: "the earlier deadline counts", pass: &pass{deadline: past}, write: flowroute.Write{Deadline: past.Add(time.Hour)}, cause: flowroute.ErrWriteDeadline},
		{name: "context is over", ctx: cancelled, pass: new(pass), cause: context.Canceled},
		{name: "gate is closed", gate: closed, cause: closed},
		{name: "invalid arguments", message: flowroute.Message{Body: "hi"}, pass: new(pass), cause: flowroute.ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, reply(202, "{}"))
			c := newClient(t, server.URL).WithGate(func(context.Context, flowroute.Endpoint) (flowroute.Pass, error) {
				return nil, test.gate
			})
			if test.ctx == nil {
				test.ctx = t.Context()
			}
			if test.message.Body == "" {
				test.message = hello
			}
			if test.pass != nil {
				test.write.Pass = test.pass
			}
			_, err := c.SendMessage(test.ctx, test.message, test.write)
			if !errors.Is(err, flowroute.ErrNotSent) || !errors.Is(err, test.cause) {
				t.Errorf("got %v, want not sent because of %v", err, test.cause)
			}
			if test.pass != nil {
				test.pass.expect(t, "Unsent")
			}
			if got := server.requests.Load(); got != 0 {
				t.Errorf("got %d requests, want none", got)
			}
		})
	}
}

func TestNotSentWhenNobodyListens(t *testing.T) {
	t.Parallel()
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	l.Close()
	p := new(pass)
	_, err := newClient(t, "http://"+l.Addr().String()).SendMessage(t.Context(), hello, flowroute.Write{Pass: p})
	if !errors.Is(err, flowroute.ErrNotSent) {
		t.Errorf("got %v, want not sent", err)
	}
	p.expect(t, "Unsent")
}

func TestNotSentWhenTLSFails(t *testing.T) {
	t.Parallel()
	server := newWire(t, func(c *net.TCPConn, _ func() error) { c.Read(make([]byte, 1)) })
	p := new(pass)
	url := strings.Replace(server.url, "http:", "https:", 1)
	_, err := newClient(t, url).SendMessage(t.Context(), hello, flowroute.Write{Pass: p})
	if !errors.Is(err, flowroute.ErrNotSent) {
		t.Errorf("got %v, want not sent", err)
	}
	p.expect(t, "Unsent")
}

// TestAcceptedWithoutBody has 2xx responses whose body is of no use: accepted.
func TestAcceptedWithoutBody(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, response string }{
		{"garbage", accepted + "\r\n<html>"},
		{"cut off", accepted + "Content-Length: 600\r\n\r\n{\"data\":{\"id\":\"mdr2-1"},
		{"empty", accepted + "Content-Length: 0\r\n\r\n"},
		{"another shape", accepted + "\r\n{\"data\":[{\"id\":\"x\"}]}"},
		{"no id", accepted + "\r\n{\"data\":{\"id\":[\"x\"]}}"},
		{"errors", accepted + "\r\n{\"errors\":[{\"detail\":\"something\"}]}"},
		{"larger than is read", accepted + "\r\n{\"data\":{\"id\":\"" + strings.Repeat("x", 2<<20) + "\"}}"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newWire(t, func(c *net.TCPConn, next func() error) {
				next()
				io.WriteString(c, test.response)
			})
			p := new(pass)
			sent, err := newClient(t, server.url).SendMessage(t.Context(), hello, flowroute.Write{Pass: p})
			if err != nil || sent != (flowroute.Sent{Status: 202}) {
				t.Errorf("got %+v, %v, want accepted without id", sent, err)
			}
			p.expect(t, "Responded")
		})
	}
}

// TestOnStatus: who keeps the books hears of a 2xx before its body is there, and
// only then.
func TestOnStatus(t *testing.T) {
	t.Parallel()
	told := make(chan int, 1)
	server := newWire(t, func(c *net.TCPConn, next func() error) {
		next()
		io.WriteString(c, accepted+"Content-Length: 26\r\n\r\n")
		<-told
		io.WriteString(c, `{"data":{"id":"mdr2-abc"}}`)
	})
	onStatus := func(status int) { told <- status }
	sent, err := newClient(t, server.url).SendMessage(t.Context(), hello, flowroute.Write{OnStatus: onStatus})
	if want := (flowroute.Sent{ID: "mdr2-abc", Status: 202}); err != nil || sent.Status != want.Status {
		t.Errorf("got %+v, %v, want %+v", sent, err, want)
	}

	quick := newAPI(t, reply(202, golden(t, "message_sent")))
	never := func(status int) { t.Errorf("told of %d although the body came at once", status) }
	if _, err := newClient(t, quick.URL).SendMessage(t.Context(), hello, flowroute.Write{OnStatus: never}); err != nil {
		t.Error(err)
	}

	refused := newAPI(t, reply(403, golden(t, "error_403_empty_detail")))
	if _, err := newClient(t, refused.URL).SendMessage(t.Context(), hello, flowroute.Write{OnStatus: never}); err == nil {
		t.Error("got no error for a 403")
	}
}

// TestOnStatusBodyNeverComes: after the timeout the message is still accepted.
func TestOnStatusBodyNeverComes(t *testing.T) {
	t.Parallel()
	server := newWire(t, func(c *net.TCPConn, next func() error) {
		next()
		io.WriteString(c, accepted+"Content-Length: 600\r\n\r\n{")
		next()
	})
	var told []int
	p := new(pass)
	sent, err := newClient(t, server.url, timeout(300*time.Millisecond)).SendMessage(t.Context(), hello,
		flowroute.Write{Pass: p, OnStatus: func(status int) { told = append(told, status) }})
	if err != nil || sent != (flowroute.Sent{Status: 202}) {
		t.Errorf("got %+v, %v, want accepted without id", sent, err)
	}
	if len(told) != 1 || told[0] != 202 {
		t.Errorf("told of %v, want 202 once", told)
	}
	p.expect(t, "Responded")
}

// TestPanicEndsPass: a pass gets its end although the caller's code fails.
func TestPanicEndsPass(t *testing.T) {
	t.Parallel()
	expectPanic := func(t *testing.T, f func()) {
		defer func() {
			if recover() == nil {
				t.Error("got no panic")
			}
		}()
		f()
	}
	t.Run("in OnStatus", func(t *testing.T) {
		t.Parallel()
		server := newWire(t, func(c *net.TCPConn, next func() error) {
			next()
			io.WriteString(c, accepted+"Content-Length: 600\r\n\r\n{")
			next()
		})
		p := new(pass)
		c := newClient(t, server.url)
		expectPanic(t, func() {
			c.SendMessage(t.Context(), hello, flowroute.Write{Pass: p, OnStatus: func(int) { panic("books are on fire") }})
		})
		p.expect(t, "Responded")
	})
	t.Run("in Deadline", func(t *testing.T) {
		t.Parallel()
		server := newAPI(t, reply(202, "{}"))
		p := new(pass)
		c := newClient(t, server.URL)
		expectPanic(t, func() { c.SendMessage(t.Context(), hello, flowroute.Write{Pass: brokenPass{p}}) })
		p.expect(t, "Unsent")
	})
}

type brokenPass struct{ *pass }

func (brokenPass) Deadline() time.Time { panic("no clock") }

// TestReadsUsePasses: a read is counted like a write.
func TestReadsUsePasses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		handle func(c *net.TCPConn, next func() error)
		pass   *pass
		want   []string
	}{
		{"answered", func(c *net.TCPConn, next func() error) {
			next()
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
		}, new(pass), []string{"Responded"}},
		{"refused", func(c *net.TCPConn, next func() error) {
			next()
			io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
		}, new(pass), []string{"Responded"}},
		{"closed", func(_ *net.TCPConn, next func() error) { next() }, new(pass), []string{"Written", "Abandoned"}},
		{"too late", func(_ *net.TCPConn, next func() error) { next() }, &pass{deadline: time.Now().Add(-time.Second)}, []string{"Unsent"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newWire(t, test.handle)
			var asked flowroute.Endpoint
			c := newClient(t, server.url).WithGate(func(_ context.Context, e flowroute.Endpoint) (flowroute.Pass, error) {
				asked = e
				return test.pass, nil
			})
			c.MDR(t.Context(), "mdr2-abc")
			test.pass.expect(t, test.want...)
			if asked != flowroute.EndpointLookup {
				t.Errorf("gate asked for %q, want %q", asked, flowroute.EndpointLookup)
			}
		})
	}
}

func TestMessageHeaders(t *testing.T) {
	t.Parallel()
	server := newAPI(t, reply(http.StatusAccepted, golden(t, "message_sent")))
	if _, err := newClient(t, server.URL).SendMessage(t.Context(), hello, flowroute.Write{}); err != nil {
		t.Fatal(err)
	}
	got := server.last.Load().Header
	for name, want := range map[string]string{
		"Content-Type":      "application/vnd.api+json",
		"Accept":            "application/vnd.api+json",
		"Authorization":     "Basic " + basicAuth,
		"User-Agent":        "flowroute-worker",
		"Content-Length":    "103",
		"Idempotency-Key":   "", // would make net/http repeat the request
		"X-Idempotency-Key": "",
		"Transfer-Encoding": "",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: got %q, want %q", name, got.Get(name), want)
		}
	}
}
