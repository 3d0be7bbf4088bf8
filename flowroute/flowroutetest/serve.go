package flowroutetest

import (
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRequest bounds a request's body; Flowroute's own bound is not published.
const maxRequest = 8 << 20

const mediaType = "application/vnd.api+json"

// endpoint is one path of the API: what it does by method.
type endpoint map[string]action

// action is what one method of one path does.
type action struct {
	op   Op
	kind Kind // what the limit counts it as; empty: not limited
	run  func(*call) reply
}

// call is one authenticated request on its way through the simulator.
type call struct {
	s       *Simulator
	w       http.ResponseWriter
	r       *http.Request
	act     action
	version string // v2, v2.1 or v2.2
	key     string // access key
	body    []byte
	msg     *outgoing // of OpSend, when it could be read
	msgErr  *reply
	log     *Request
	lost    string // the record fault that loses the answer too
	begun   bool   // the answer has begun, or the connection is no longer ours
}

// reply is an answer that has not been sent yet.
type reply struct {
	status int
	header http.Header
	body   []byte
	stream func(io.Writer) error // instead of body, for long lists
	html   bool
	// spoil notes in the truth which fault spoiled the answer of something
	// that took effect. It may be nil.
	spoil func(fault string)
}

// serveEndpoint answers a request to a path that the API has.
func (s *Simulator) serveEndpoint(w http.ResponseWriter, r *http.Request, version string, ep endpoint) {
	s.counts.request()
	c := &call{s: s, w: w, r: r, version: version, log: s.seen.arrive(s, r)}
	act, ok := ep[r.Method]
	if !ok {
		c.write(s.methodNotAllowed(ep))
		return
	}
	c.act = act
	key, ok := s.authenticate(r)
	if !ok {
		c.write(s.apiError(http.StatusUnauthorized, "Unauthorized", "Authentication failed."))
		return
	}
	c.key = key
	if c.log != nil {
		s.seen.key(c.log, key)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		if _, tooBig := errors.AsType[*http.MaxBytesError](err); tooBig {
			c.write(s.apiError(http.StatusRequestEntityTooLarge, "Request Entity Too Large", "The request body is too large."))
			return
		}
		c.write(reply{}) // else the client went away before the request was complete
		return
	}
	c.body = body
	if c.log != nil {
		s.seen.body(c.log, body)
	}
	c.write(c.answer())
}

// answer passes the request through limits, faults and the account. A zero
// status means that nothing shall be sent.
func (c *call) answer() reply {
	s := c.s
	if c.act.op == OpSend {
		c.msg, c.msgErr = c.readMessage()
	}
	if !s.limits.count(c.key, c.act.kind, c.msg != nil && c.msg.mms) {
		s.counts.rateLimited()
		return s.tooManyRequests(s.limits.get().RetryAfter)
	}
	if s.o.Choices.StrictContentType && len(c.body) > 0 && !isJSONAPI(c.r.Header.Get("Content-Type")) {
		return s.apiError(http.StatusUnsupportedMediaType, "Unsupported Media Type", "Content-Type must be "+mediaType+".")
	}
	s.held.stop(c.act.op, false, s.closed)
	if name, f, ok := s.faults.pick(phaseBefore, c.act.op); ok {
		c.note(name)
		rep := c.failBefore(name, f)
		if c.act.op == OpSend && rep.status != 0 {
			s.counts.refused()
		}
		return rep
	}
	rep := c.act.run(c)
	if c.act.op == OpSend && rep.status >= 300 {
		s.counts.refused()
	}
	s.held.stop(c.act.op, true, s.closed)
	if c.lost != "" {
		c.note(c.lost)
		rep.spoil(c.lost)
		c.cut(false)
	}
	if rep.status < 300 {
		if name, f, ok := s.faults.pick(phaseAfter, c.act.op); ok {
			c.note(name)
			if rep.spoil != nil {
				rep.spoil(name)
			}
			return c.failAfter(name, f, rep)
		}
	}
	return rep
}

// note writes down which fault happened to the request.
func (c *call) note(fault string) {
	if c.log != nil {
		c.s.seen.fault(c.log, fault)
	}
}

// write sends the answer after the configured latency; without one it ends
// the connection.
func (c *call) write(rep reply) {
	s := c.s
	if c.begun {
		return
	}
	if rep.status == 0 || !s.pause(c.r.Context(), s.o.Latency+s.jitter()) {
		panic(http.ErrAbortHandler) // to return would be to answer with an empty 200
	}
	s.counts.answered(rep.status)
	if c.log != nil {
		s.seen.status(c.log, rep.status)
	}
	h := c.w.Header()
	maps.Copy(h, rep.header)
	switch {
	case rep.html:
		h["Content-Type"] = []string{"text/html"}
	case rep.status != http.StatusNoContent:
		h["Content-Type"] = []string{mediaType}
	}
	if rep.stream != nil {
		c.w.WriteHeader(rep.status)
		if err := rep.stream(c.w); err != nil {
			panic(http.ErrAbortHandler) // the client sees a cut body, never a short one that looks whole
		}
		return
	}
	if rep.status != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.Itoa(len(rep.body))}
	}
	c.w.WriteHeader(rep.status)
	_, _ = c.w.Write(rep.body)
}

func (s *Simulator) jitter() time.Duration {
	if s.o.Jitter <= 0 {
		return 0
	}
	return time.Duration(s.errIDs.below(int64(s.o.Jitter)))
}

// authenticate checks HTTP Basic credentials.
func (s *Simulator) authenticate(r *http.Request) (string, bool) {
	user, pass, ok := r.BasicAuth()
	if !ok {
		return "", false
	}
	secret, known := s.secrets[user]
	return user, known && secret == pass
}

func isJSONAPI(contentType string) bool {
	mt, _, err := mime.ParseMediaType(contentType)
	return err == nil && strings.EqualFold(mt, mediaType)
}

// linkBase is what links of an answer to r begin with.
func (c *call) linkBase() string {
	if c.s.o.LinkBase != "" {
		return c.s.o.LinkBase
	}
	scheme := "http://"
	if c.r.TLS != nil {
		scheme = "https://"
	}
	return scheme + c.r.Host + c.s.o.BasePath
}
