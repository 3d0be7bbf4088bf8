package reconcile

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

// totals are counted while a run goes on.
type totals struct {
	Totals
	issues    map[Issue]int64
	lapsed    int64
	inbounds  Figures
	days      map[uint16]*Row
	campaigns map[ledger.ID]*Row
	senders   map[uint32]*Row
	statuses  map[uint16]*Row
	codes     map[uint16]*Row
}

func newTotals() totals {
	return totals{issues: map[Issue]int64{}, days: map[uint16]*Row{}, campaigns: map[ledger.ID]*Row{},
		senders: map[uint32]*Row{}, statuses: map[uint16]*Row{}, codes: map[uint16]*Row{}}
}

// figures are those of an outcome.
func (t *totals) figures(o outcome) *Figures {
	if o == notTold {
		return &t.NotTold
	}
	c, _ := o.class()
	return t.Of(c)
}

func (t *totals) inbound(r mdr.Record) {
	t.inbounds.Records++
	t.inbounds.Money += flowroute.Money(r.AmountNanodollars)
}

// record counts a record that was decided.
func (t *totals) record(h *heldRecord, campaign ledger.ID) {
	f := t.figures(h.outcome)
	f.Records++
	f.Money += h.money
	for _, issue := range issuesOf(h.issues) {
		if h.outcome == differing {
			t.issues[issue]++
		}
	}
	for _, row := range []*Row{rowOf(t.days, h.day), rowOf(t.campaigns, campaign), rowOf(t.senders, h.sender), rowOf(t.statuses, h.status), rowOf(t.codes, h.code)} {
		row.Money += h.money
		switch h.outcome {
		case matched:
			row.Matched++
		case differing:
			row.Differing++
		case foreign:
			row.WithoutJob++
		case notTold:
			row.NotTold++
		}
	}
}

// message counts a message without a record; told: it is sure that there should be one.
func (t *totals) message(at time.Time, campaign ledger.ID, sender int, told bool) {
	rows := []*Row{rowOf(t.days, dayOf(at)), rowOf(t.campaigns, campaign), rowOf(t.senders, uint32(sender))}
	if told {
		t.WithoutRecord.Messages++
	} else {
		t.Waiting.Messages++
	}
	for _, row := range rows {
		if told {
			row.WithoutRecord++
		} else {
			row.Waiting++
		}
	}
}

func rowOf[K comparable](rows map[K]*Row, key K) *Row {
	if rows[key] == nil {
		rows[key] = &Row{}
	}
	return rows[key]
}

func (r Row) size() int64 {
	return r.Matched + r.WithoutRecord + r.WithoutJob + r.Differing + r.Waiting + r.NotTold
}

func (r *Row) add(o Row) {
	r.Matched, r.WithoutRecord, r.WithoutJob = r.Matched+o.Matched, r.WithoutRecord+o.WithoutRecord, r.WithoutJob+o.WithoutJob
	r.Differing, r.Waiting, r.NotTold, r.Money = r.Differing+o.Differing, r.Waiting+o.Waiting, r.NotTold+o.NotTold, r.Money+o.Money
}

// mostRows of one kind are in a report; the smallest ones become one.
const mostRows = 200

// Others is the key of the row for all that are not in a report by themselves.
const Others = "others"

// listed are rows with their keys, the largest first.
func listed[K comparable](rows map[K]*Row, key func(K) string) []Row {
	list := []Row{}
	for k, row := range rows {
		row.Key = key(k)
		list = append(list, *row)
	}
	slices.SortFunc(list, func(a, b Row) int { return cmp.Or(cmp.Compare(b.size(), a.size()), cmp.Compare(a.Key, b.Key)) })
	if len(list) > mostRows {
		rest := Row{Key: Others}
		for _, row := range list[mostRows-1:] {
			rest.add(row)
		}
		list = append(list[:mostRows-1], rest)
	}
	return list
}

// report is the result of a run.
func (n *run) report() Report {
	t := &n.totals
	r := Report{Version: 1, Window: n.window, Made: n.now.UTC(), Coverage: n.coverage, Totals: t.Totals, Issues: maps.Clone(t.issues),
		Lapsed: t.lapsed, Inbound: t.inbounds, SegmentPrice: n.r.o.SegmentPrice, Prices: n.listPrices()}
	r.Days = listed(t.days, func(d uint16) string {
		return time.Unix(int64(d)*int64(day/time.Second), 0).UTC().Format(time.DateOnly)
	})
	slices.SortFunc(r.Days, func(a, b Row) int { return cmp.Compare(a.Key, b.Key) })
	r.Campaigns = listed(t.campaigns, func(id ledger.ID) string {
		if id.IsZero() {
			return ""
		}
		return id.String()
	})
	r.Senders = listed(t.senders, func(i uint32) string { return n.senders.list[i] })
	r.Statuses = listed(t.statuses, func(i uint16) string { return n.statuses.list[i] })
	r.Codes = listed(t.codes, func(code uint16) string {
		if code == 0 {
			return ""
		}
		return strconv.Itoa(int(code))
	})
	for i := range r.Codes {
		code, _ := strconv.Atoi(r.Codes[i].Key)
		r.Codes[i].Name = CodeName(code)
	}
	r.Notes = n.notes(r)
	r.Complete = n.covered() && r.NotTold.Records == 0
	return r
}

// covered reports whether the copy is complete for the window.
func (n *run) covered() bool {
	c := n.coverage
	return !c.First.IsZero() && !n.window.Since.Before(c.First) && !n.window.Until.After(c.Complete)
}

// notes say what is not complete, and what that means for each class.
func (n *run) notes(r Report) []string {
	var notes []string
	c, at := n.coverage, func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }
	switch {
	case c.First.IsZero():
		return append(notes, "No records were ever synced: nothing can be told of any message.")
	case n.window.Since.Before(c.First):
		notes = append(notes, "The copy of the records begins at "+at(c.First)+": of messages posted before nothing is told, they count as waiting.")
	}
	if n.window.Until.After(c.Complete) {
		notes = append(notes, "The copy is complete up to "+at(c.Complete)+" only: after it records may be missing and may change, so matched, "+
			"differing and without-job are what is known so far; messages without a record count as waiting, not as without-mdr.")
	} else if n.window.Until.Add(skew).After(c.Complete) {
		notes = append(notes, "The copy is complete up to "+at(c.Complete)+", which is the end of the window within "+
			"the difference that clocks may have: messages of its last minutes without a record count as waiting.")
	}
	if r.NotTold.Records > 0 {
		notes = append(notes, "Records before "+at(n.claims)+" may have been ours: jobs and claims are not kept so long. Without a claim they count as not told, not as without-job.")
	}
	if since := n.r.ledger.JobsSince(n.now); n.window.Since.Before(since) {
		notes = append(notes, "Jobs that ended before "+at(since)+" may be gone (LEDGER_RETENTION): such a message without a record cannot be told.")
	}
	return notes
}
