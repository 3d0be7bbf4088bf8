package campaign

import (
	"errors"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/hours"
)

// never is how long a message rests whose recipient's hours have no moment in common:
// until it expires, looked at once a day.
const never = 24 * time.Hour

// Clocks tell when recipients may be texted. Many goroutines may use them at once.
type Clocks struct {
	zone *time.Location
	now  func() time.Time

	mu     sync.Mutex
	clocks map[string]*hours.Clock
}

// NewClocks makes clocks; zone is that of numbers that do not tell theirs.
func NewClocks(zone *time.Location) (*Clocks, error) {
	if zone == nil {
		return nil, errors.New("campaign: sending hours need a zone for numbers that do not tell theirs")
	}
	return &Clocks{zone: zone, now: time.Now, clocks: map[string]*hours.Clock{}}, nil
}

// clock is the clock for some hours; nil for hours that cannot be read, which mean always.
func (c *Clocks) clock(text string) *hours.Clock {
	c.mu.Lock()
	defer c.mu.Unlock()
	clock, known := c.clocks[text]
	if known {
		return clock
	}
	window, err := jobs.ParseSendingHours(text)
	if err == nil && (window.Start > 0 || window.End < 24*time.Hour) {
		if clock, err = hours.New(window, c.zone); err != nil {
			clock = nil
		}
	}
	if len(c.clocks) < 1000 { // a few are in use
		c.clocks[text] = clock
	}
	return clock
}

// Closed is how long a message has to wait for the hours of its recipient; 0 within them.
func (c *Clocks) Closed(text string, to flowroute.E164) time.Duration {
	clock := c.clock(text)
	if clock == nil {
		return 0
	}
	now := c.now()
	next, ok := clock.Next(now, to)
	if !ok {
		return never
	}
	return max(next.From.Sub(now), 0)
}
