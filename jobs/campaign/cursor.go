package campaign

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// A campaign is fed in passes. The first goes over all rows; those whose recipients may
// not be texted at that moment are put off. Each further pass goes over those that are.

// cursor goes over the rows of one campaign. What it knows is of use while nobody else
// feeds the campaign.
type cursor struct {
	store  *Store
	clocks *Clocks
	plan   *plan
	chunks chunkReader

	pass    int
	later   []byte    // of a further pass: the rows put off, nil before they are read
	opening time.Time // the first that this pass has seen
}

// step is what a cursor found on its way to some rows that can be fed.
type step struct {
	id         ledger.ID
	pass, from int // where it began
	rows       []int
	messages   []jobs.Row
	putOff     []int // rows
	toPass, to int   // where it has come to
	notBefore  time.Time
}

// scanMost is how many rows one step looks at: it holds up the feeding of others.
const scanMost = 20 * chunkRows

// step finds up to n rows that can be fed.
func (c *cursor) step(ctx context.Context, of *Campaign, n int) (step, error) {
	s := step{id: of.ID, pass: of.pass, from: of.at, toPass: of.pass, to: of.at}
	if c.pass != of.pass {
		c.pass, c.later, c.opening = of.pass, nil, time.Time{}
	}
	if c.pass > 1 && c.later == nil {
		later, err := c.store.rdb.Get(ctx, c.store.keys.later(of.ID)).Bytes()
		if err != nil && !errors.Is(err, redis.Nil) {
			return s, err
		}
		c.later = append([]byte{}, later...)
	}
	for looked := 0; len(s.messages) < n && looked < scanMost; looked++ {
		number, ok := c.next(s.to, of.Rows)
		if !ok {
			c.end(&s, of)
			break
		}
		if err := c.look(ctx, &s, number); err != nil {
			return s, err
		}
		s.to = number
	}
	return s, nil
}

// next is the row after one, of this pass.
func (c *cursor) next(after, rows int) (int, bool) {
	if c.pass == 1 {
		return after + 1, after < rows
	}
	for row := range setBits(c.later, after+1) {
		return row, row <= rows
	}
	return 0, false
}

func (c *cursor) look(ctx context.Context, s *step, number int) error {
	r, err := c.chunks.row(ctx, number)
	if err != nil {
		return err
	}
	if wait := c.clocks.Closed(c.plan.spec.SendingHours, r.to); wait > 0 {
		if opening := c.clocks.now().Add(wait); c.opening.IsZero() || opening.Before(c.opening) {
			c.opening = opening
		}
		if c.pass == 1 {
			s.putOff = append(s.putOff, number)
		}
		return nil
	}
	text, err := c.plan.template.Append(nil, r.values)
	if err != nil {
		return err // it was fine when it came in
	}
	spec := c.plan.spec
	s.rows = append(s.rows, number)
	s.messages = append(s.messages, jobs.Row{ID: s.id.OfRow(uint32(number)), Message: jobs.Message{
		From: c.plan.sender(r.to).String(), To: r.to.String(), Body: string(text),
		ExpiresAt: spec.EndAt, Priority: spec.Priority, SendingHours: spec.SendingHours, Campaign: spec.Name,
	}})
	return nil
}

// end ends the pass: the next one goes over what is put off then, once the first of those
// can be sent.
func (c *cursor) end(s *step, of *Campaign) {
	left := of.PutOff + len(s.putOff)
	if c.pass > 1 {
		left -= len(s.rows)
	}
	if left <= 0 {
		s.to = of.Rows
		return
	}
	s.toPass, s.to = c.pass+1, 0
	if s.notBefore = c.opening; s.notBefore.IsZero() {
		s.notBefore = c.clocks.now().Add(time.Minute) // another process has seen it
	}
}

// cut leaves only the first n rows that can be fed in a step: of the others there is no
// job.
func (s *step) cut(n int) {
	if n >= len(s.rows) {
		return
	}
	last := s.rows[n] - 1
	s.rows, s.messages = s.rows[:n], s.messages[:n]
	s.toPass, s.to, s.notBefore = s.pass, last, time.Time{}
	for len(s.putOff) > 0 && s.putOff[len(s.putOff)-1] > last {
		s.putOff = s.putOff[:len(s.putOff)-1]
	}
}

// fed notes that there are jobs of the rows of a step. False: the campaign does not run
// any more, or somebody else has fed it.
func (c *cursor) fed(ctx context.Context, s step) (bool, error) {
	args := []any{s.pass, s.from, s.toPass, s.to, millis(s.notBefore), len(s.putOff)}
	for _, row := range s.putOff {
		args = append(args, row)
	}
	if s.pass > 1 {
		for _, row := range s.rows {
			args = append(args, row)
		}
	}
	r := c.store.run(ctx, scriptAdvance, s.id, args...)
	if r.err != nil || r.verdict() != "ok" {
		return false, r.err
	}
	if s.pass > 1 {
		for _, row := range s.rows {
			c.later[row/8] &^= 0x80 >> (row % 8)
		}
	}
	return true, nil
}
