package flowroutetest

import (
	"math"
	"net"
	"net/http"
	"strconv"
	"time"
)

// failBefore answers a request that does not take effect, or not as usual.
func (c *call) failBefore(name string, f Fault) reply {
	s := c.s
	switch name {
	case "500-before", "read-500":
		return s.apiError(http.StatusInternalServerError, "Internal Server Error", "Try again later.")
	case "503-before":
		return bareHTML(http.StatusServiceUnavailable)
	case "502-html":
		return bareHTML(http.StatusBadGateway)
	case "408-before":
		return reply{status: http.StatusRequestTimeout}
	case "reset-before":
		c.cut(true)
	case "read-cut":
		c.cut(false)
	case "silence-before":
		s.holdOpen(c.r.Context())
		c.cut(false)
	case "bare-403-html":
		return bareHTML(http.StatusForbidden)
	case "401":
		return s.apiError(http.StatusUnauthorized, "Unauthorized", "Authentication failed.")
	case "403":
		return notAuthorized()
	case "404-url":
		return noSuchURL()
	case "405":
		return s.methodNotAllowed(nil)
	case "415":
		return s.apiError(http.StatusUnsupportedMediaType, "Unsupported Media Type", "The payload format is not supported.")
	case "429", "read-429":
		return s.tooManyRequests(false)
	case "429-retry-after":
		rep := s.tooManyRequests(false)
		rep.header = http.Header{"Retry-After": {strconv.Itoa(int(math.Ceil(f.Delay.Seconds())))}}
		return rep
	case "429-retry-after-date":
		rep := s.tooManyRequests(false)
		rep.header = http.Header{"Retry-After": {retryAfterDate(s.now(), f.Delay)}}
		return rep
	case "redirect-302":
		return c.redirect(http.StatusFound, f)
	case "redirect-307":
		return c.redirect(http.StatusTemporaryRedirect, f)
	case "redirect-308":
		return c.redirect(http.StatusPermanentRedirect, f)
	case "accepted-late":
		c.acceptLate(name, f)
	case "refused-leaves-failed-record":
		return c.refuseWithRecord()
	case "media-over-limit":
		return s.apiError(http.StatusUnprocessableEntity, "", `Error fetching media: File at "https://media.example.com/a.gif" is over 767840 byte limit.`)
	case "media-fetch-error":
		return s.apiError(http.StatusUnprocessableEntity, "", `Error fetching media: "https://media.example.com/a.gif" could not be fetched.`)
	case "purchase-no-funds":
		return s.apiError(http.StatusForbidden, "Forbidden", "Insufficient funds to purchase this number.")
	case "read-garbage":
		return reply{status: http.StatusOK, html: true, body: []byte("<html><body>Welcome to the hotel network</body></html>")}
	}
	return reply{}
}

// failAfter spoils the answer rep of a request that took effect.
func (c *call) failAfter(name string, f Fault, rep reply) reply {
	s := c.s
	switch name {
	case "accepted-then-cut", "purchase-accepted-then-cut", "route-accepted-then-cut":
		c.cut(false)
	case "accepted-then-reset":
		c.cut(true)
	case "accepted-then-500", "purchase-accepted-then-500", "route-accepted-then-500":
		return s.apiError(http.StatusInternalServerError, "Internal Server Error", "Try again later.")
	case "accepted-then-502-html":
		return bareHTML(http.StatusBadGateway)
	case "accepted-then-silence":
		s.holdOpen(c.r.Context())
		c.cut(false)
	case "accepted-garbage", "purchase-garbage":
		rep.body = []byte("\x1f\x8b not what was meant")
	case "accepted-truncated":
		c.truncate(rep)
	case "accepted-empty":
		rep.body = nil
	case "slow-body":
		c.slowBody(rep, f.Delay)
		return reply{}
	case "slow-response":
		if !s.pause(c.r.Context(), f.Delay) {
			return reply{}
		}
	}
	return rep
}

// cut ends the connection without an answer: closed (the client reads EOF),
// or reset (the client reads "connection reset").
func (c *call) cut(reset bool) {
	if !reset {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // a test's recorder, or HTTP/2: no connection to reset
	}
	c.begun = true
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// truncate announces the whole body, sends half and cuts the connection.
func (c *call) truncate(rep reply) {
	c.startBody(rep)
	_, _ = c.w.Write(rep.body[:len(rep.body)/2])
	_ = http.NewResponseController(c.w).Flush()
	panic(http.ErrAbortHandler)
}

func (c *call) slowBody(rep reply, d time.Duration) {
	c.startBody(rep)
	_ = http.NewResponseController(c.w).Flush()
	if c.s.pause(c.r.Context(), d) {
		_, _ = c.w.Write(rep.body)
	}
}

// startBody sends the header of rep, with the length of its body.
func (c *call) startBody(rep reply) {
	c.begun = true
	c.s.counts.answered(rep.status)
	if c.log != nil {
		c.s.seen.status(c.log, rep.status)
	}
	if rep.status != http.StatusNoContent {
		c.w.Header().Set("Content-Type", mediaType)
		c.w.Header().Set("Content-Length", strconv.Itoa(len(rep.body)))
	}
	c.w.WriteHeader(rep.status)
}

func (c *call) redirect(status int, f Fault) reply {
	to := f.Location
	if to == "" {
		to = c.r.URL.RequestURI()
	}
	return reply{status: status, header: http.Header{"Location": {to}}, html: true,
		body: []byte("<html><body>Moved</body></html>\n")}
}

// acceptLate plays a front end that holds the request for longer than the
// client may wait, and then delivers it.
func (c *call) acceptLate(name string, f Fault) {
	t := time.NewTimer(f.Delay)
	defer t.Stop()
	select {
	case <-t.C:
		if rep := c.act.run(c); rep.spoil != nil && rep.status < 300 {
			rep.spoil(name)
		}
	case <-c.s.closed:
	}
	c.cut(false)
}
