package httpapi

import (
	"context"
	"errors"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// chunk is some rows and what came of asking for them.
type chunk struct {
	rows     []row
	ctx      context.Context // under which they were asked for
	receipts []jobs.Receipt  // of the rows that are in order, or nil: not tried
	errs     []error
	muted    bool
	unread   *problem // why it is, with the first one that is
}

// ask has the good rows of a chunk written down, unless there was trouble before. They
// have arrived whole: it does not matter whether the client waits for the answer. The
// error is [errGone]. done is to be called once the chunk is answered and announced.
func (u *upload) ask(rows []row) (c chunk, done func(), err error) {
	c = chunk{rows: rows, ctx: u.ctx}
	if !u.muted && !u.d.Answers.WaitRoom(context.WithoutCancel(u.ctx), u.d.idle/2) {
		u.muted = true
		c.unread = unreadProblem(rows[0].line)
	}
	c.muted = u.muted
	if u.d.IsGone() {
		return c, nil, errGone
	}
	c.ctx, done = context.WithTimeout(context.WithoutCancel(u.ctx), patience)
	if u.muted || u.failed {
		u.stream.Wait()
		return c, done, nil
	}
	messages := make([]jobs.Message, 0, len(rows))
	for i := range rows {
		if rows[i].err == nil {
			messages = append(messages, rows[i].message)
		}
	}
	c.receipts, c.errs = u.stream.SendMany(c.ctx, messages)
	for _, err := range c.errs {
		u.failed = u.failed || err != nil && errors.Is(err, jobs.ErrUnconfirmed)
	}
	return c, done, nil
}

// tell answers the rows of a chunk.
func (u *upload) tell(c chunk) {
	if c.unread != nil {
		u.fail(c.unread)
	}
	u.total.Lines = c.rows[len(c.rows)-1].line
	if c.muted {
		u.total.NotTaken += len(c.rows)
		return
	}
	u.answer.Reset()
	asked := 0
	for i := range c.rows {
		r := &c.rows[i]
		switch {
		case r.err != nil:
			u.refuse(c.ctx, r, "", r.err)
		case c.receipts == nil && u.invalid(c.ctx, r):
		case c.receipts == nil:
			u.total.NotTaken++
			u.put(lineRefused{Line: r.line, Error: lineError{Code: codeUnavailable, Message: notTried}})
		case c.errs[asked] != nil && c.receipts[asked].ID == "" && u.invalid(c.ctx, r):
			asked++
		case c.errs[asked] != nil:
			u.refuse(c.ctx, r, c.receipts[asked].ID, c.errs[asked])
			asked++
		default:
			u.accept(r, c.receipts[asked])
			asked++
		}
	}
	if _, err := u.d.Answers.Write(u.answer.Bytes()); err != nil {
		u.gone = true
	}
}
