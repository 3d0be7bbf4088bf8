package torture

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// proxy stands between a worker and Redis, or between a worker and the API, and
// misbehaves on request. Its methods are safe for concurrent use.
type proxy struct {
	upstream string
	listener net.Listener
	running  sync.WaitGroup
	ended    chan struct{}

	mu      sync.Mutex
	cut     bool
	flow    chan struct{} // closed while data is forwarded
	drops   int           // replies that are still to be dropped
	swallow []time.Duration
	links   map[*link]struct{}
	late    int // requests that were delivered late
	dropped int // replies that were dropped
}

func newProxy(ctx context.Context, upstream string) (*proxy, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{upstream: upstream, listener: listener, ended: make(chan struct{}), flow: make(chan struct{}), links: map[*link]struct{}{}}
	close(p.flow)
	p.running.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// sever resets all connections and each new one, until resume.
func (p *proxy) sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for l := range p.links {
		l.reset()
	}
}

// stall stops forwarding in both directions, with all connections left open, until
// resume.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flowing() {
		p.flow = make(chan struct{})
	}
}

// resume ends sever and stall. What was held back is forwarded.
func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
	if !p.flowing() {
		close(p.flow)
	}
}

// dropReplies lets each of the next n commands reach the server and be executed, and
// resets its connection instead of passing the reply on. What a client sends of its
// own accord on a new connection does not count.
func (p *proxy) dropReplies(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drops = n
}

// swallowPosts takes each of the next n POST requests without passing it on, lets
// its client give up, and delivers it after the delay all the same. Nobody hears the
// answer.
func (p *proxy) swallowPosts(n int, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallow = nil
	for range n {
		p.swallow = append(p.swallow, delay)
	}
}

// heal ends all misbehaviour but deliveries that are under way.
func (p *proxy) heal() {
	p.dropReplies(0)
	p.swallowPosts(0, 0)
	p.resume()
}

// tally is how many requests were delivered late, and how many replies dropped.
func (p *proxy) tally() (late, dropped int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.late, p.dropped
}

// flowing needs p.mu.
func (p *proxy) flowing() bool {
	select {
	case <-p.flow:
		return true
	default:
		return false
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			continue // that client is gone
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	l := &link{client: client, gone: make(chan struct{})}
	defer l.reset()
	if !p.add(l) {
		return
	}
	defer p.remove(l)
	server, err := net.DialTimeout("tcp", p.upstream, 2*time.Second)
	if err != nil {
		return // it is down; so the client is reset
	}
	if !l.join(server) {
		return
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(l, client, server, func(data []byte) bool { return p.up(l, data) }) })
	pumps.Go(func() { p.pump(l, server, client, func([]byte) bool { return !p.dropReply(l) }) })
	pumps.Wait()
}

func (p *proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.ended:
		return false
	default:
	}
	if p.cut {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// pump forwards what pass lets through until either side ends.
func (p *proxy) pump(l *link, from, to net.Conn, pass func([]byte) bool) {
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
func (p *proxy) awaitFlow(l *link) bool {
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

// up looks at what a client sends. A request that is swallowed is taken here, with
// whatever follows on its connection.
func (p *proxy) up(l *link, data []byte) bool {
	l.sees(data)
	if !bytes.HasPrefix(data, []byte("POST ")) {
		return true
	}
	p.mu.Lock()
	if len(p.swallow) == 0 {
		p.mu.Unlock()
		return true
	}
	delay := p.swallow[0]
	p.swallow = p.swallow[1:]
	p.mu.Unlock()
	received := time.Now()
	request := bytes.Clone(data)
	p.running.Go(func() { p.deliver(request, delay-time.Since(received)) })
	l.hush(received.Add(delay))
	return false
}

// deliver sends a request to the server on a connection of its own after the delay,
// and takes no notice of the answer.
func (p *proxy) deliver(request []byte, delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.ended:
		return
	}
	server, err := net.DialTimeout("tcp", p.upstream, 2*time.Second)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.late++
	p.mu.Unlock()
	if _, err := server.Write(request); err != nil {
		return
	}
	_ = server.SetReadDeadline(time.Now().Add(2 * time.Second))
	_, _ = server.Read(make([]byte, 1)) // it is being answered; nobody listens
}

// dropReply decides about a reply of the server that has arrived.
func (p *proxy) dropReply(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drops == 0 || !l.busy() {
		return false
	}
	p.drops--
	p.dropped++
	return true
}

func (p *proxy) close() {
	p.mu.Lock()
	close(p.ended)
	for l := range p.links {
		l.reset()
	}
	p.mu.Unlock()
	_ = p.listener.Close()
	p.running.Wait()
}
