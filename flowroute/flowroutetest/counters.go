package flowroutetest

import (
	"maps"
	"net/http"
	"sync"
	"time"
)

// counters are the totals, and wake those who wait for them to change.
type counters struct {
	mu       sync.Mutex
	c        Counts
	statuses map[int]int64
	changes  chan struct{} // closed at the next change; nil while nobody waits
}

func (k *counters) add(f func(*Counts)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(&k.c)
	k.wake()
}

func (k *counters) wake() {
	if k.changes != nil {
		close(k.changes)
		k.changes = nil
	}
}

func (k *counters) next() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changes == nil {
		k.changes = make(chan struct{})
	}
	return k.changes
}

func (k *counters) changed()      { k.add(func(*Counts) {}) }
func (k *counters) request()      { k.add(func(c *Counts) { c.Requests++ }) }
func (k *counters) accepted()     { k.add(func(c *Counts) { c.Accepted++ }) }
func (k *counters) refused()      { k.add(func(c *Counts) { c.Refused++ }) }
func (k *counters) rateLimited()  { k.add(func(c *Counts) { c.RateLimited++ }) }
func (k *counters) unknown()      { k.add(func(c *Counts) { c.Requests++; c.Unknown++ }) }
func (k *counters) records(n int) { k.add(func(c *Counts) { c.Records += int64(n) }) }

func (k *counters) callback(ok bool) {
	k.add(func(c *Counts) {
		c.Callbacks++
		if ok {
			c.CallbacksOK++
		}
	})
}

func (k *counters) answered(status int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.statuses == nil {
		k.statuses = map[int]int64{}
	}
	k.statuses[status]++
	k.wake()
}

func (k *counters) get() Counts {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := k.c
	out.Statuses = maps.Clone(k.statuses)
	return out
}

func (k *counters) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.c, k.statuses = Counts{}, nil
	k.wake()
}

func (s *faultSet) happened() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.hits)
}

// Request is one request as it arrived.
type Request struct {
	At          time.Time `json:"at"`
	Method      string    `json:"method"`
	Path        string    `json:"path"` // without the base path
	Query       string    `json:"query,omitempty"`
	ContentType string    `json:"content_type,omitempty"`
	Accept      string    `json:"accept,omitempty"`
	UserAgent   string    `json:"user_agent,omitempty"`
	AccessKey   string    `json:"access_key,omitempty"` // when it was accepted
	Body        string    `json:"body,omitempty"`
	Status      int       `json:"status"`          // 0: none was sent, or not yet
	Fault       string    `json:"fault,omitempty"` // what happened to it
}

// requestLog keeps the latest requests.
type requestLog struct {
	keep int

	mu   sync.Mutex
	ring []*Request
	next int
}

func (l *requestLog) arrive(s *Simulator, r *http.Request) *Request {
	if l.keep == 0 {
		return nil
	}
	h := r.Header
	req := &Request{At: s.now(), Method: r.Method, Path: r.URL.Path[len(s.o.BasePath):], Query: r.URL.RawQuery,
		ContentType: h.Get("Content-Type"), Accept: h.Get("Accept"), UserAgent: h.Get("User-Agent")}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) < l.keep {
		l.ring = append(l.ring, req)
		return req
	}
	l.ring[l.next] = req
	l.next = (l.next + 1) % l.keep
	return req
}

func (l *requestLog) body(r *Request, b []byte) { l.mu.Lock(); defer l.mu.Unlock(); r.Body = string(b) }
func (l *requestLog) status(r *Request, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Status = status
}
func (l *requestLog) fault(r *Request, name string) { l.mu.Lock(); defer l.mu.Unlock(); r.Fault = name }
func (l *requestLog) key(r *Request, accessKey string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.AccessKey = accessKey
}
func (l *requestLog) reset() { l.mu.Lock(); defer l.mu.Unlock(); l.ring, l.next = nil, 0 }

// Requests returns the latest requests, oldest first (Options.KeepRequests).
func (s *Simulator) Requests() []Request {
	l := &s.seen
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Request, 0, len(l.ring))
	for i := range l.ring {
		out = append(out, *l.ring[(l.next+i)%len(l.ring)])
	}
	return out
}
