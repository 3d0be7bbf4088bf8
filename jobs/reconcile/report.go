package reconcile

import (
	"errors"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Class is what became of comparing a record or a message.
type Class string

// The classes; see the package comment.
const (
	Matched       Class = "matched"
	WithoutRecord Class = "without-mdr"
	WithoutJob    Class = "without-job"
	Differing     Class = "differing"
)

// Classes lists every class.
func Classes() []Class { return []Class{Matched, WithoutRecord, WithoutJob, Differing} }

// Issue is what differs.
type Issue string

// The issues.
const (
	IssueState    Issue = "state"    // one says it was delivered, the other something else
	IssueSegments Issue = "segments" // charged for more or fewer segments than Flowroute's table has
	IssuePrice    Issue = "price"    // a price that is not usual in the window
	IssueEncoding Issue = "encoding" // not the one that the text has
)

// Issues lists every issue.
func Issues() []Issue { return []Issue{IssueState, IssueSegments, IssuePrice, IssueEncoding} }

// Window is a span of time; Until is not part of it.
type Window struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// NewWindow is the window that somebody asks for, in whole minutes, so that the same can
// be asked for again. A zero until is now, a zero since is a day before
// until. Errors: it ends before it begins.
func NewWindow(since, until, now time.Time) (Window, error) {
	if until.IsZero() {
		until = now
	}
	if since.IsZero() {
		since = until.Add(-day)
	}
	w := Window{Since: since.UTC().Truncate(time.Minute), Until: until.UTC().Truncate(time.Minute)}
	if !w.Since.Before(w.Until) {
		return w, errors.New("the window ends before it begins")
	}
	return w, nil
}

// Figures of a class.
type Figures struct {
	Messages int64           `json:"messages"` // jobs of ours; 0 of [WithoutJob]
	Records  int64           `json:"records"`  // 0 of [WithoutRecord]
	Money    flowroute.Money `json:"nanodollars"`
}

// Totals are the figures of all classes.
type Totals struct {
	Matched       Figures `json:"matched"`
	WithoutRecord Figures `json:"without_mdr"`
	WithoutJob    Figures `json:"without_job"`
	Differing     Figures `json:"differing"`
	// Waiting are messages whose records may not be in the copy yet; NotTold are records
	// so old that the claim of a message of ours may have lapsed.
	Waiting Figures `json:"waiting"`
	NotTold Figures `json:"not_told"`
}

// Of is the figures of a class.
func (t *Totals) Of(c Class) *Figures {
	switch c {
	case Matched:
		return &t.Matched
	case WithoutRecord:
		return &t.WithoutRecord
	case WithoutJob:
		return &t.WithoutJob
	case Differing:
		return &t.Differing
	}
	panic("reconcile: no such class: " + string(c))
}

// Row is a part of the totals: those of a day, a campaign, a sender, a status or a code.
// WithoutRecord and Waiting count messages, the others records.
type Row struct {
	Key           string          `json:"key"`
	Name          string          `json:"name,omitempty"` // of a code
	Matched       int64           `json:"matched"`
	WithoutRecord int64           `json:"without_mdr"`
	WithoutJob    int64           `json:"without_job"`
	Differing     int64           `json:"differing"`
	Waiting       int64           `json:"waiting,omitempty"`
	NotTold       int64           `json:"not_told,omitempty"`
	Money         flowroute.Money `json:"nanodollars"` // of all its records
}

// Price is how many records had a price per segment (of an MMS: per message).
type Price struct {
	Kind    string          `json:"kind"` // "sms longcode", "mms toll-free", …
	Price   flowroute.Money `json:"nanodollars"`
	Records int64           `json:"records"`
	Usual   bool            `json:"usual"` // no record differs for having it
}

// Coverage is what the copy of the records had when the report was made. Zero times:
// there was no sync yet.
type Coverage struct {
	First    time.Time `json:"first,omitzero"`
	Through  time.Time `json:"through,omitzero"`
	Complete time.Time `json:"complete,omitzero"`
}

// Report is the result for a window.
type Report struct {
	Version  int           `json:"v"`
	Window   Window        `json:"window"`
	Made     time.Time     `json:"made"`
	Took     time.Duration `json:"took_ns"`
	Coverage Coverage      `json:"coverage"`
	// Complete: the copy was complete for the whole window, and everything is told.
	Complete bool     `json:"complete"`
	Notes    []string `json:"notes,omitempty"` // what is not complete, and what that means

	Totals
	Issues  map[Issue]int64 `json:"issues"`  // a record may have several
	Lapsed  int64           `json:"lapsed"`  // matched records whose message is past its retention: only the claim is known
	Inbound Figures         `json:"inbound"` // not compared

	Days      []Row `json:"days"`
	Campaigns []Row `json:"campaigns"` // key empty: messages of no campaign, and of nobody
	Senders   []Row `json:"senders"`
	Statuses  []Row `json:"statuses"` // the records' words
	Codes     []Row `json:"codes"`    // the receipts' codes that decided; key empty: none

	Prices       []Price         `json:"prices"`
	SegmentPrice flowroute.Money `json:"segment_price_nanodollars"` // as configured

	// Before is the report on the same window before this one.
	Before *Before `json:"before,omitempty"`
}

// Before is what an earlier report on the window said.
type Before struct {
	Made time.Time `json:"made"`
	Totals
}

// Moved reports whether the classes of the report before had other figures.
func (r Report) Moved() bool { return r.Before != nil && r.Before.Totals != r.Totals }

// Warnings are the classes that do not fit for a thousandth of the window or more, and
// for one message or record at least.
func (r Report) Warnings() []Class {
	var all int64
	for _, c := range Classes() {
		all += r.count(c)
	}
	var list []Class
	for _, c := range Classes() {
		if n := r.count(c); c != Matched && n > 0 && n >= all/1000 {
			list = append(list, c)
		}
	}
	return list
}

func (r Report) count(c Class) int64 {
	if f := r.Of(c); c == WithoutRecord {
		return f.Messages
	} else {
		return f.Records
	}
}

// Item is a record or a message of a class.
type Item struct {
	Class    Class              `json:"class"`
	Issues   []Issue            `json:"issues,omitempty"`
	At       time.Time          `json:"at"` // of the record, else when the message was posted
	Job      ledger.ID          `json:"job_id,omitzero"`
	State    ledger.State       `json:"state,omitempty"` // of the job; empty: it is past its retention
	Reason   ledger.Reason      `json:"reason,omitempty"`
	Campaign ledger.ID          `json:"campaign,omitzero"`
	MDR      string             `json:"mdr_id,omitempty"`
	From     string             `json:"from"` // digits without +
	To       string             `json:"to"`
	Delivery flowroute.Delivery `json:"delivery,omitempty"`
	Status   string             `json:"status,omitempty"`
	Code     int                `json:"code,omitempty"`
	Money    flowroute.Money    `json:"nanodollars,omitempty"`
	Segments int                `json:"segments,omitempty"` // by Flowroute's table
	// Perhaps is a message of ours whose outcome is not known, to the same number: its
	// record this may be.
	Perhaps ledger.ID `json:"perhaps_of,omitzero"`
}
