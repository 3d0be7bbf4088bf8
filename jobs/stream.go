package jobs

import (
	"context"
	"fmt"
	"time"
)

// Stream asks for messages call after call, for one who has many more than it can hold:
// workers are told of the last jobs of a call while the next one is under way. It is for
// one goroutine; make one with [Client.Stream] and end with [Stream.Wait].
type Stream struct {
	c         *Client
	announced <-chan struct{} // closed when workers know of what was asked for so far
}

// Stream begins a stream.
func (c *Client) Stream() *Stream {
	announced := make(chan struct{})
	close(announced)
	return &Stream{c, announced}
}

// SendMany is [Client.SendMany], but it returns as soon as the jobs are taken. ctx should
// not end before the next call has returned, or Wait has: from then on workers are told
// for a second, and otherwise find the jobs by themselves, some time later.
func (s *Stream) SendMany(ctx context.Context, messages []Message) ([]Receipt, []error) {
	return s.send(ctx, "send message", len(messages), func(now time.Time, i int) draft {
		d := door{now: now}
		return d.draft(messages[i].plan(&d), messages[i].Key)
	})
}

// Wait waits until workers were told of all jobs, as far as Redis let that be done.
func (s *Stream) Wait() { <-s.announced }

// send asks for n jobs, some hundred at a time.
func (s *Stream) send(ctx context.Context, op string, n int, draftOf func(now time.Time, i int) draft) ([]Receipt, []error) {
	receipts, errs := make([]Receipt, n), make([]error, n)
	now, asked, done := time.Now(), 0, 0
	next := func() []draft {
		drafts := make([]draft, min(chunkSize, n-asked))
		for i := range drafts {
			drafts[i] = draftOf(now, asked+i)
		}
		asked += len(drafts)
		return drafts
	}
	before := s.announced
	var down error
	s.announced, down = s.c.enqueueMany(ctx, s.announced, next, func(drafts []draft) {
		for _, draft := range drafts {
			receipts[done], errs[done] = draft.receipt, wrap(op, draft.err)
			done++
		}
	})
	for ; done < n; done++ {
		errs[done] = fmt.Errorf("%s: not tried: %w", op, down)
	}
	<-before // also when there was nothing to announce now
	return receipts, errs
}
