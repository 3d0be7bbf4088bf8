package flowroute

import "net/http"

// ReadError lets the fuzz test read error bodies without a server.
func (c *Client) ReadError(status int, body []byte) *APIError {
	e := &APIError{Method: http.MethodGet, Path: "/v2/routes", Status: status}
	e.readEnvelope(body, c.clean)
	return e
}
