package faultproxy

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"
)

// link is one client's connection by way of a proxy, and its counterpart to the
// server.
type link struct {
	client net.Conn
	gone   chan struct{}

	mu       sync.Mutex
	server   net.Conn
	over     bool
	commands bool
}

// join adds the connection to the server; false says that the link is over.
func (l *link) join(server net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		_ = server.Close()
		return false
	}
	l.server = server
	return true
}

// reset closes both sides so that the peers see an error, not an orderly end.
func (l *link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.over = true
	close(l.gone)
	for _, conn := range []net.Conn{l.client, l.server} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		}
	}
}

// hush keeps the client waiting without an answer until it goes away, at the latest
// until then, and returns what it sent meanwhile.
func (l *link) hush(until time.Time) []byte {
	_ = l.client.SetReadDeadline(until)
	sent, _ := io.ReadAll(l.client) // any error is the end of it
	return sent
}

// sees looks at what the client sends and remembers whether it was more than the
// opening of a connection.
func (l *link) sees(data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commands = !isHandshake(data)
}

// busy says whether the latest that the client sent was a command.
func (l *link) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commands
}

// isHandshake says whether the data begins with a command that clients send of their
// own accord when they connect. A RESP command begins "*<n>\r\n$<n>\r\n<NAME>\r\n".
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
