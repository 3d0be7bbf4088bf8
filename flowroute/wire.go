package flowroute

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	dialTimeout = 15 * time.Second // TCP, and again for TLS

	// A connection that idles longer is likely to be closed by the other side
	// just as we write to it, and then a message's outcome is unknown.
	idleTimeout = 10 * time.Second

	// More than any request header we make, so that a GET is one write.
	writeBuffer = 16 << 10

	maxResponseHeader = 64 << 10
)

// newTransport returns a transport that makes one request of one RoundTrip.
//
// HTTP/2 is off because its transport repeats any request after GOAWAY,
// REFUSED_STREAM or PROTOCOL_ERROR, and may still be writing when RoundTrip has
// returned. There is no proxy, since one could hold a request for longer than
// any of our clocks. Redirects and cookies are matters of http.Client, which is
// not used.
func newTransport(timeout time.Duration, roots *x509.CertPool) *http.Transport {
	d := &wireDialer{
		tcp: net.Dialer{Timeout: min(timeout, dialTimeout), Control: limitUnacked(timeout)},
		tls: &tls.Config{RootCAs: roots, NextProtos: []string{"http/1.1"}},
	}
	http1 := new(http.Protocols)
	http1.SetHTTP1(true)
	return &http.Transport{
		Protocols:           http1,
		Proxy:               nil,
		DialContext:         d.dial,
		DialTLSContext:      d.dialTLS,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     idleTimeout,
		WriteBufferSize:     writeBuffer,

		MaxResponseHeaderBytes: maxResponseHeader,
	}
}

type wireDialer struct {
	tcp net.Dialer
	tls *tls.Config
}

func (d *wireDialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := d.tcp.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	tcp := c.(*net.TCPConn)
	// Closing, or dying, discards what is unsent or unacknowledged. By default the
	// kernel would go on delivering it for minutes after we gave up.
	if err := tcp.SetLinger(0); err != nil {
		tcp.Close()
		return nil, err
	}
	return &conn{Conn: tcp, tcp: tcp}, nil
}

func (d *wireDialer) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	plain, err := d.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := plain.(*conn)
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		c.abort()
		return nil, err
	}
	config := d.tls.Clone()
	config.ServerName = host
	secure := tls.Client(c.tcp, config)
	ctx, cancel := context.WithTimeout(ctx, d.tcp.Timeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		c.abort()
		return nil, err
	}
	c.Conn = secure
	return c, nil
}

// conn is a connection that knows which flight is aboard. It sits above TLS, so
// that a Write is a piece of the request and not of a TLS record.
type conn struct {
	net.Conn // TCP, or TLS over it
	tcp      *net.TCPConn

	flight atomic.Pointer[flight]
	held   []byte // header waiting for its body; touched by the writing goroutine only
}

// board puts f on this connection. A flight whose first byte has left is not
// let on another one: net/http would be repeating it.
func (c *conn) board(f *flight) {
	if !f.wire.open() {
		c.flight.Store(nil)
		return
	}
	f.conn.Store(c)
	c.flight.Store(f)
}

// Write hands a piece of the request to the kernel. net/http flushes the header
// of a request before it reads the body; such a header is held back and leaves
// together with the body, in one write. So as long as the body is unread, nothing
// at all has left, and the deadline is checked directly before the system call.
func (c *conn) Write(p []byte) (int, error) {
	f := c.flight.Load()
	if f == nil {
		return 0, errOneShot
	}
	if f.body.open() {
		c.held = append(c.held, p...)
		return len(p), nil
	}
	if err := f.leave(&f.wire); err != nil {
		return 0, err
	}
	header := len(c.held)
	if header > 0 {
		p = append(c.held, p...)
		c.held = nil
	}
	n, err := c.Conn.Write(p)
	f.took = f.took || n > 0
	if err != nil && !f.took {
		f.wire.undo() // a connection that had died already: nothing left
	}
	if err == nil && f.read.Load() {
		f.pass.wrote(c.acked())
	}
	return max(n-header, 0), err
}

// abort ends the connection at once: the peer gets a reset, and the kernel
// forgets what it has not delivered. Closing through TLS would first try to send
// a farewell, for up to five seconds.
func (c *conn) abort() { c.tcp.Close() }

// acked returns the function for Pass.Written. When a later request uses the
// same connection, its bytes must be acknowledged too: that errs on the slow side.
func (c *conn) acked() func() bool {
	if !canTellUnacked {
		return nil
	}
	return func() bool {
		n, err := unacked(c.tcp)
		return err == nil && n == 0
	}
}
