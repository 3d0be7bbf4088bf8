package resolve

import (
	"context"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// windowBefore is how long before the first intent a window begins.
const windowBefore = 10 * time.Minute

// pair is a sender and a recipient, 11 digits each.
type pair struct{ from, to string }

// row is an outbound record of a pair that matters.
type row struct {
	mdr         string
	stamp       time.Time // Flowroute's clock
	fingerprint ledger.Fingerprint
	status      string
	mms         bool
	refused     bool
	text        string // normalised
}

// pass is one look at the whole window. Only what matters is kept of it.
type pass struct {
	pairs map[pair]map[string]row // by record id
	seen  []time.Time             // of each control: its record's time; zero: not in it
	rows  int
	// blurred: a record does not say whose it is.
	blurred bool
}

// controls are messages that Flowroute is known to have accepted.
type controls struct {
	list  []ledger.Acceptance
	index map[string]int // by record id
}

func newControls(list []ledger.Acceptance) controls {
	c := controls{index: make(map[string]int, len(list))}
	for _, a := range list {
		if at, known := c.index[a.MDR]; known {
			c.list[at].Direct = c.list[at].Direct || a.Direct
			continue
		}
		c.index[a.MDR] = len(c.list)
		c.list = append(c.list, a)
	}
	return c
}

// readPass reads the window from start on. keep is given each outbound record, some
// more than once.
func (r *Resolver) readPass(ctx context.Context, start time.Time, known controls, keep func(flowroute.MDR)) (*pass, error) {
	p := &pass{seen: make([]time.Time, len(known.list))}
	for m, err := range r.o.API.MDRs(ctx, flowroute.MDRQuery{Start: start, Limit: r.o.PageSize}) {
		if err != nil {
			r.metrics.reads.WithLabelValues("failed").Inc()
			return nil, err
		}
		p.rows++
		if m.Direction == flowroute.Inbound {
			continue
		}
		if m.From, m.To = digits(m.From), digits(m.To); m.ID == "" || m.From == "" || m.To == "" {
			p.blurred = true
			continue
		}
		if at, ok := known.index[m.ID]; ok {
			p.seen[at] = m.Timestamp
		}
		keep(m)
	}
	r.metrics.reads.WithLabelValues("ok").Inc()
	r.metrics.rows.Add(float64(p.rows))
	return p, nil
}

func rowOf(m flowroute.MDR) row {
	return row{
		mdr: m.ID, stamp: m.Timestamp, fingerprint: jobs.Fingerprint(m.From, m.To, m.Body, m.IsMMS),
		status: m.Status, mms: m.IsMMS, refused: refused(m), text: jobs.NormalBody(m.Body),
	}
}

// digits is a number as the ledger has it: eleven digits.
func digits(number string) string {
	number = strings.TrimPrefix(number, "+")
	if len(number) == 10 {
		return "1" + number
	}
	return number
}

// refused reports whether a record may be what a refusal has left: it failed, and
// nothing says that a carrier ever got it.
func refused(m flowroute.MDR) bool {
	if m.Delivery() != flowroute.DeliveryFailed {
		return false
	}
	for _, receipt := range m.Receipts {
		if receipt.Delivery() != flowroute.DeliveryFailed {
			return false
		}
	}
	return true
}

// same reports whether two passes saw the same records of a pair.
func (p *pass) same(other *pass, of pair) bool {
	if len(p.pairs[of]) != len(other.pairs[of]) {
		return false
	}
	for id := range p.pairs[of] {
		if _, ok := other.pairs[of][id]; !ok {
			return false
		}
	}
	return true
}
