package jobs

import (
	"bytes"
	"context"
	_ "embed"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

//go:embed nudge.lua
var nudgeLua string

var nudgeScript = redis.NewScript(nudgeLua)

// nudgesAtOnce is how many tasks one script makes at most: some 0.5 ms of Redis' time.
const nudgesAtOnce = 100

// asynqEnqueues is the script by which asynq enqueues a task, as of v0.26.0. nudge.lua does
// the same for many; where asynq has another one, it makes each task itself.
const asynqEnqueues = "98d28b42650870a743450ffda9791e9e19c6991b"

// kindOfNudge is what nudges have in common whose tasks differ in nothing but the job.
type kindOfNudge struct {
	kind       ledger.Type
	queue      string
	generation int
	atOnce     bool
}

// mould is what asynq itself writes for a nudge, cut where the job's id is: to be filled
// with the ids of others. So the tasks are asynq's own to the byte, whatever its version
// puts into them, and making one costs a fraction.
type mould struct {
	pending string // the key of the queue's list
	key     string // what the key of a task begins with
	tail    string // what the id of a task has after the job's
	message [][]byte
}

// mouldOf makes the mould of nudges like this one. It is nil where asynq's way is not the
// known one.
func (c *Client) mouldOf(ctx context.Context, n notice) (*mould, error) {
	call, err := c.noted(ctx, n)
	if err != nil || call.sha1 != asynqEnqueues || len(call.keys) != 2 || len(call.args) != 3 {
		return nil, err
	}
	job := n.id.String()
	text, isText := call.args[0].([]byte)
	task, isTask := call.args[1].(string)
	m := &mould{pending: call.keys[1], message: bytes.Split(text, []byte(job))}
	var begins, ends bool
	m.tail, begins = strings.CutPrefix(task, job)
	m.key, ends = strings.CutSuffix(call.keys[0], task)
	if !isText || !isTask || !begins || !ends || len(m.message) != 3 {
		return nil, nil
	}
	return m, nil
}

// call makes the tasks of the jobs whose notices are at these places of places.
func (m *mould) call(notices []notice, places, of []int) scriptCall {
	ids := make([]byte, 0, len(of)*36)
	for _, at := range of {
		ids = append(ids, notices[places[at]].id.String()...)
	}
	return scriptCall{nudgeScript.Hash(), []string{m.pending}, []any{
		m.key, m.tail, m.message[0], m.message[1], m.message[2], time.Now().UnixNano(), ids,
	}}
}
