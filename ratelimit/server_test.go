package ratelimit_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// counter counts attempts as the strictest server could: in a window that
// slides, refused attempts included.
type counter struct {
	n   int
	per time.Duration

	senders []*counter // of one sending number each; may be none

	mu       sync.Mutex
	moments  []time.Time
	violated int // attempts that made a window hold more than n
}

// attempt counts one attempt and reports whether it is within the limit.
func (c *counter) attempt(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := len(c.moments)
	for i > 0 && now.Before(c.moments[i-1]) {
		i--
	}
	c.moments = slices.Insert(c.moments, i, now)
	for last := i; last <= i+c.n && last < len(c.moments); last++ { // of each window that it is in
		if last >= c.n && c.moments[last].Sub(c.moments[last-c.n]) < c.per {
			c.violated++
			return false
		}
	}
	return true
}

// below gives the counter one for each of some senders.
func (c *counter) below(senders, n int) *counter {
	for range senders {
		c.senders = append(c.senders, &counter{n: n, per: c.per})
	}
	return c
}

// beyond returns how many attempts made a window of a sender hold too many.
func (c *counter) beyond() int {
	sum := 0
	for _, one := range c.senders {
		_, violated := one.totals()
		sum += violated
	}
	return sum
}

// fixed returns how many attempts are beyond the limit in windows that do not
// slide, at the phase at which they are most.
func (c *counter) fixed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	worst := 0
	for phase := range 20 {
		windows := make(map[int64]int)
		beyond := 0
		for _, at := range c.moments {
			window := at.Add(c.per*time.Duration(phase)/20).UnixNano() / int64(c.per)
			if windows[window]++; windows[window] > c.n {
				beyond++
			}
		}
		worst = max(worst, beyond)
	}
	return worst
}

func (c *counter) totals() (attempts, violated int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.moments), c.violated
}

// delays draws the way there and the way back of one request.
type delays func() (there, back time.Duration)

func fixed(there, back time.Duration) delays {
	return func() (time.Duration, time.Duration) { return there, back }
}

// uneven draws both ways between least and most, one in ten thrice as long.
func uneven(least, most time.Duration) delays {
	draw := func() time.Duration {
		d := least + rand.N(most-least)
		if rand.IntN(10) == 0 {
			d *= 3
		}
		return d
	}
	return func() (time.Duration, time.Duration) { return draw(), draw() }
}

// serve runs an API that counts every request with c, between the way there
// and the way back, and answers 202 or 429.
func serve(t testing.TB, c *counter, d delays) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		there, back := d()
		after(there)
		now := time.Now()
		ok := c.attempt(now)
		if from, err := strconv.Atoi(r.URL.Query().Get("from")); err == nil && from < len(c.senders) {
			ok = c.senders[from].attempt(now) && ok
		}
		after(back)
		if ok {
			w.WriteHeader(http.StatusAccepted)
		} else {
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// after waits for d as the network does.
func after(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}
