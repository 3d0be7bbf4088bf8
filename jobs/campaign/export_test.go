package campaign

import "time"

// SetNow gives the clocks another now.
func (c *Clocks) SetNow(now func() time.Time) { c.now = now }
