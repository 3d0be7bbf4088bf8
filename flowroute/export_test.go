package flowroute

import (
	"context"
	"net"
	"net/http"
	"time"
)

// ReadError lets the fuzz test read error bodies without a server.
func (c *Client) ReadError(status int, body []byte) *APIError {
	e := &APIError{Method: http.MethodGet, Path: "/v2/routes", Status: status}
	e.readEnvelope(body, c.clean)
	return e
}

// Dial makes a connection as the client's requests do.
func (c *Client) Dial(ctx context.Context, addr string) (*net.TCPConn, error) {
	dialled, err := c.wire.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return dialled.(*conn).tcp, nil
}

// IdleTimeout returns how long an unused connection is kept.
func (c *Client) IdleTimeout() time.Duration { return c.wire.IdleConnTimeout }
