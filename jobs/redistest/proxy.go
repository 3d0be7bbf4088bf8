package redistest

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
)

// Proxy stands between a client and Redis and misbehaves on request. It
// starts well-behaved. Its methods are safe for concurrent use.
type Proxy struct {
	// URL is the REDIS_URL of the same database by way of the proxy.
	URL string

	t        testing.TB
	upstream string
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	cut    bool
	flow   chan struct{} // closed while data is forwarded
	drops  int
	links  map[*link]struct{}
}

func newProxy(t testing.TB, rawURL string) *Proxy {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "redis" {
		t.Fatalf("redistest: a proxy needs a redis:// url, got %s", redacted(rawURL))
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	p := &Proxy{
		t:        t,
		upstream: u.Host,
		listener: listener,
		flow:     make(chan struct{}),
		links:    map[*link]struct{}{},
	}
	close(p.flow)
	u.Host = listener.Addr().String()
	p.URL = u.String()
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Client returns a producer's client that goes by way of the proxy, closed
// when the test ends.
func (p *Proxy) Client() redis.UniversalClient {
	p.t.Helper()
	return newClient(p.t, p.URL, redisconn.Target.Producer)
}

// Worker returns a worker's client that goes by way of the proxy, closed when
// the test ends.
func (p *Proxy) Worker() redis.UniversalClient {
	p.t.Helper()
	return newClient(p.t, p.URL, redisconn.Target.Worker)
}

// Cut resets all connections and each new one, until [Proxy.Resume].
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for l := range p.links {
		l.reset()
	}
}

// Stall stops forwarding in both directions, with all connections left open
// and new ones accepted, until [Proxy.Resume].
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flowing() {
		p.flow = make(chan struct{})
	}
}

// Resume ends Cut and Stall. What was held back is forwarded.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
	if !p.flowing() {
		close(p.flow)
	}
}

// DropReplies lets each of the next n commands reach Redis and be executed,
// and resets its connection instead of passing the reply on: the caller
// cannot know that it worked. What a client sends by itself on a new
// connection (HELLO, SELECT and the like) does not count.
func (p *Proxy) DropReplies(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drops = n
}

// flowing needs p.mu.
func (p *Proxy) flowing() bool {
	select {
	case <-p.flow:
		return true
	default:
		return false
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed with the test
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	l := &link{client: client, gone: make(chan struct{})}
	defer l.reset()
	server, err := net.Dial("tcp", p.upstream)
	if err != nil {
		return // Redis is down; so the client is reset
	}
	l.server = server
	if !p.add(l) {
		return
	}
	defer p.remove(l)
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(l, client, server, l.sees) })
	pumps.Go(func() { p.pump(l, server, client, func([]byte) bool { return !p.dropReply(l) }) })
	pumps.Wait()
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut || p.closed {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// pump forwards what pass lets through until either side ends.
func (p *Proxy) pump(l *link, from, to net.Conn, pass func([]byte) bool) {
	defer l.reset()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !p.awaitFlow(l) || !pass(buf[:n]) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// awaitFlow holds data back while the proxy is stalled; false says that the
// connection was cut meanwhile.
func (p *Proxy) awaitFlow(l *link) bool {
	p.mu.Lock()
	flow := p.flow
	p.mu.Unlock()
	select {
	case <-flow:
		return true
	case <-l.gone:
		return false
	}
}

// dropReply decides about a reply of the server that has arrived.
func (p *Proxy) dropReply(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drops == 0 || !l.busy() {
		return false
	}
	p.drops--
	return true
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	for l := range p.links {
		l.reset()
	}
	p.mu.Unlock()
	_ = p.listener.Close()
	p.running.Wait()
}

// link is one client's connection and its counterpart to the server.
type link struct {
	client, server net.Conn
	once           sync.Once
	gone           chan struct{}

	mu       sync.Mutex
	commands bool
}

// reset closes both sides so that the peers see an error, not an orderly end.
func (l *link) reset() {
	l.once.Do(func() {
		close(l.gone)
		for _, conn := range []net.Conn{l.client, l.server} {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
				_ = tcp.Close()
			}
		}
	})
}

// sees looks at what the client sends and remembers whether it was more than
// the opening of a connection.
func (l *link) sees(data []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commands = !isHandshake(data)
	return true
}

// busy says whether the latest that the client sent was a command.
func (l *link) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commands
}

// isHandshake says whether the data begins with a command that clients send
// of their own accord when they connect. A RESP command begins
// "*<n>\r\n$<n>\r\n<NAME>\r\n".
func isHandshake(data []byte) bool {
	fields := bytes.SplitN(data, []byte("\r\n"), 4)
	if len(fields) < 3 {
		return false
	}
	switch string(bytes.ToUpper(fields[2])) {
	case "HELLO", "AUTH", "SELECT", "CLIENT", "READONLY":
		return true
	}
	return false
}
