// Package faultproxy puts a TCP proxy between a client and a server that breaks
// their connections on request: it cuts them, refuses new ones, holds data back,
// loses replies to commands that were executed, and delivers requests after their
// client has given up.
//
//	p, err := faultproxy.Start(ctx, "127.0.0.1:6379")
//	defer p.Close()
//	p.Cut()    // the server at p.Addr() is gone
//	p.Resume() // it is back
//
// It starts well-behaved. It understands neither Redis nor HTTP, but for the first
// words of a command or a request; TLS can only be cut and stalled.
package faultproxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Proxy forwards connections to one server. Its methods are safe for concurrent use.
type Proxy struct {
	upstream string
	listener net.Listener
	running  sync.WaitGroup
	end      sync.Once
	ended    chan struct{}

	mu      sync.Mutex
	links   map[*link]struct{}
	cut     bool
	flow    chan struct{}   // closed while data is forwarded
	drops   int             // replies that are still to be dropped
	swallow []time.Duration // delays of the requests that are still to be swallowed
	late    int
	dropped int
}

// Start listens on a free port of 127.0.0.1 and forwards to the host and port of the
// server, which need not be up. The context bounds the start alone; the caller ends
// the proxy with [Proxy.Close].
func Start(ctx context.Context, upstream string) (*Proxy, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{upstream: upstream, listener: listener, ended: make(chan struct{}), flow: make(chan struct{}), links: map[*link]struct{}{}}
	close(p.flow)
	p.running.Go(p.accept)
	return p, nil
}

// Addr is the host and port at which clients reach the server by way of the proxy.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close resets all connections, gives up deliveries that are not under way yet, and
// returns when nothing of the proxy runs any more. Closing twice does no harm.
func (p *Proxy) Close() {
	p.end.Do(func() {
		_ = p.listener.Close()
		p.mu.Lock()
		close(p.ended)
		p.resetAll()
		p.mu.Unlock()
	})
	p.running.Wait()
}

func (p *Proxy) accept() {
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

// dialPatience bounds how long a server may take to accept a connection.
const dialPatience = 2 * time.Second

func (p *Proxy) serve(client net.Conn) {
	l := &link{client: client, gone: make(chan struct{})}
	defer l.reset()
	if !p.add(l) {
		return
	}
	defer p.remove(l)
	server, err := net.DialTimeout("tcp", p.upstream, dialPatience)
	if err != nil {
		return // it is down; so the client is reset
	}
	if !l.join(server) {
		return
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(l, client, server, p.passRequest) })
	pumps.Go(func() { p.pump(l, server, client, p.passReply) })
	pumps.Wait()
}

// add reports whether the link may live.
func (p *Proxy) add(l *link) bool {
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

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// resetAll needs p.mu.
func (p *Proxy) resetAll() {
	for l := range p.links {
		l.reset()
	}
}

// pump forwards what pass lets through until either side ends.
func (p *Proxy) pump(l *link, from, to net.Conn, pass func(*link, []byte) bool) {
	defer l.reset()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !p.awaitFlow(l) || !pass(l, buf[:n]) {
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
