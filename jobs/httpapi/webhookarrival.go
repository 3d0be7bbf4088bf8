package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// Inbound is where messages go that Flowroute posts as they arrive.
type Inbound struct {
	// Records is the stored copy. A message that arrives is in it at once; a sync reads
	// its record all the same, and what that says counts. Without it such posts are not
	// taken.
	Records RecordStore
	// Heed acts upon the words like STOP among the messages, as with those that a sync
	// reads. Defaults to not at all.
	Heed func(context.Context, []flowroute.MDR) error
}

// RecordStore is the part of [*mdr.Store] that messages on arrival need.
type RecordStore interface {
	Holds(ctx context.Context, ids []string, since time.Time) ([]bool, error)
	Get(ctx context.Context, id string) (mdr.Record, error)
	Put(ctx context.Context, batch []flowroute.MDR) (mdr.PutResult, error)
}

// What became of a message that arrived, as the metric says it.
const (
	inboundStored   = "stored"    // it is in the copy
	inboundNoRecord = "no_record" // it was heeded; its record is left to the sync
)

func inboundResults() []string {
	return []string{inboundStored, hookKnown, inboundNoRecord, hookForwarded, hookRefused, hookNotTaken}
}

func (h *webhooks) readArrival(kind string) func(*http.Request, []byte) (func(context.Context) (string, error), error) {
	return func(_ *http.Request, body []byte) (func(context.Context) (string, error), error) {
		m, err := readInbound(body, kind, time.Now())
		return func(ctx context.Context) (string, error) { return h.arrivals.take(ctx, m) }, err
	}
}

// arrivals writes down what arrives. What comes while others are on their way leaves
// together: the records of a minute are one value in Redis, which many writers at once
// would take from each other's hands.
type arrivals struct {
	to Inbound

	mu      sync.Mutex
	waiting []*arrival
	flying  bool
}

// arrival is a message on its way.
type arrival struct {
	inbound
	result string
	err    error
	done   chan struct{}
}

func newArrivals(to Inbound) *arrivals {
	if to.Heed == nil {
		to.Heed = func(context.Context, []flowroute.MDR) error { return nil }
	}
	return &arrivals{to: to}
}

// take returns when the message is in Redis, with what became of it.
func (a *arrivals) take(ctx context.Context, m inbound) (string, error) {
	one := &arrival{inbound: m, done: make(chan struct{})}
	a.mu.Lock()
	a.waiting = append(a.waiting, one)
	first := !a.flying
	a.flying = true
	a.mu.Unlock()
	if first {
		go a.fly(context.WithoutCancel(ctx))
	}
	select {
	case <-one.done:
		return one.result, one.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// maxTogether keeps one round trip short.
const maxTogether = 200

// fly writes down what waits until nothing does.
func (a *arrivals) fly(ctx context.Context) {
	for {
		a.mu.Lock()
		n := min(len(a.waiting), maxTogether)
		group := a.waiting[:n:n]
		a.waiting = a.waiting[n:]
		a.flying = n > 0
		a.mu.Unlock()
		if n == 0 {
			return
		}
		err := a.write(ctx, group)
		for _, one := range group {
			// What is wrong with one of them must not keep out the others.
			if one.err = err; err != nil && n > 1 && !isRedisTrouble(err) {
				one.err = a.write(ctx, []*arrival{one})
			}
			close(one.done)
		}
	}
}

// write heeds the messages' words and puts into the copy those that it does not hold.
func (a *arrivals) write(ctx context.Context, group []*arrival) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ids := make([]string, len(group))
	for i, one := range group {
		ids[i] = one.record.ID
	}
	held, err := a.to.Records.Holds(ctx, ids, time.Time{})
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	var heeded, fresh []flowroute.MDR
	for i, one := range group {
		at, known, err := a.timeOf(ctx, one.inbound, held[i], now)
		if err != nil {
			return err
		}
		m := one.record
		m.Timestamp = at
		if one.timed || suppress.ReadWord(m.Body) != suppress.StartWord {
			heeded = append(heeded, m)
		}
		switch {
		case known:
			one.result = hookKnown
		case !hasRecord(m):
			one.result = inboundNoRecord
		default:
			one.result = inboundStored
			fresh = append(fresh, m)
		}
	}
	if err := a.to.Heed(ctx, heeded); err != nil {
		return err
	}
	if len(fresh) == 0 {
		return nil
	}
	_, err = a.to.Records.Put(ctx, fresh)
	return err
}

// timeOf is the message's time, and whether the copy holds its record, which is then
// left alone: it is from here, or from a sync and fuller. The posts of older accounts
// have no time; such a message is taken to be as old as its first post. That will do
// for a STOP. A START is left to the sync, which reads the time: with a wrong one it
// would take back a STOP that came after it.
func (a *arrivals) timeOf(ctx context.Context, m inbound, held bool, now time.Time) (at time.Time, known bool, err error) {
	at = now
	if m.timed {
		at = m.record.Timestamp
	}
	if !held {
		return at, false, nil
	}
	// The index may know of a record whose writing was cut short.
	record, err := a.to.Records.Get(ctx, m.record.ID)
	switch {
	case errors.Is(err, mdr.ErrNotFound):
		return at, false, nil
	case err == nil && !m.timed:
		at = record.Timestamp
	}
	return at, err == nil, err
}

// hasRecord reports whether Flowroute's list has a record of the message that takes
// the place of ours. Ids of the API before this one are not in it.
func hasRecord(m flowroute.MDR) bool {
	return m.From != "" && m.To != "" && !strings.HasPrefix(m.ID, "mdr1-")
}
