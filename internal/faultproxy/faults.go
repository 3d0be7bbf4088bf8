package faultproxy

import (
	"bytes"
	"net"
	"slices"
	"time"
)

// Cut resets all connections and each new one, until [Proxy.Resume].
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	p.resetAll()
}

// Stall stops forwarding in both directions, with all connections left open and new
// ones accepted, until [Proxy.Resume].
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

// DropReplies lets each of the next n commands reach the server and be executed, and
// resets its connection instead of passing the reply on: the client cannot know that
// it worked. What a Redis client sends of its own accord on a new connection (HELLO,
// SELECT and the like) does not count. It replaces what an earlier call has left.
func (p *Proxy) DropReplies(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drops = n
}

// SwallowPosts takes each of the next n HTTP POST requests without passing it on, lets
// its client give up, and delivers it after the delay all the same. Nobody hears the
// answer; a client that has not given up by then is reset. It replaces what an earlier
// call has left.
func (p *Proxy) SwallowPosts(n int, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallow = slices.Repeat([]time.Duration{delay}, n)
}

// Heal ends all misbehaviour but deliveries that are under way.
func (p *Proxy) Heal() {
	p.DropReplies(0)
	p.SwallowPosts(0, 0)
	p.Resume()
}

// Tally is how many requests were delivered late, and how many replies dropped.
func (p *Proxy) Tally() (late, dropped int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.late, p.dropped
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

// awaitFlow holds data back while the proxy is stalled; false says that the connection
// was cut meanwhile.
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

// passRequest says whether what a client sent is forwarded. A request that is
// swallowed stays here until it is delivered, with whatever follows on its connection.
func (p *Proxy) passRequest(l *link, data []byte) bool {
	l.sees(data)
	delay, taken := p.takes(data)
	if !taken {
		return true
	}
	due := time.Now().Add(delay)
	request := slices.Concat(data, l.hush(due))
	l.reset()
	p.deliver(request, due)
	return false
}

// takes says whether the data begins a request that is to be swallowed, and for how
// long.
func (p *Proxy) takes(data []byte) (delay time.Duration, taken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.swallow) == 0 || !bytes.HasPrefix(data, []byte("POST ")) {
		return 0, false
	}
	delay, p.swallow = p.swallow[0], p.swallow[1:]
	return delay, true
}

// answerPatience bounds how long a connection stays open for an answer that nobody
// hears; the server would take its end for the end of the request.
const answerPatience = 2 * time.Second

// deliver sends a request to the server when it is due, on a connection of its own,
// and takes no notice of the answer.
func (p *Proxy) deliver(request []byte, due time.Time) {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.ended:
		return
	}
	server, err := net.DialTimeout("tcp", p.upstream, dialPatience)
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
	_ = server.SetReadDeadline(time.Now().Add(answerPatience))
	_, _ = server.Read(make([]byte, 1))
}

// passReply says whether a reply of the server is forwarded.
func (p *Proxy) passReply(l *link, _ []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drops == 0 || !l.busy() {
		return true
	}
	p.drops--
	p.dropped++
	return false
}
