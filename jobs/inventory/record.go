package inventory

import (
	"encoding/json"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Number is a number of the account, as last seen.
type Number struct {
	Number                  flowroute.E164
	Alias                   string
	Type, RateCenter, State string
	MessagingEnabled        *bool     // nil: the API does not say
	PrimaryRoute            string    // id; empty: none, or not known yet (DetailsRead)
	FailoverRoute           string    // id
	FirstSeen, LastSeen     time.Time // LastSeen: in a listing, or read by itself
	DetailsRead             time.Time // zero: routes not known yet
	Gone                    time.Time // zero: on the account
}

// Route is an inbound voice route of the account.
type Route struct {
	flowroute.Route
	FirstSeen time.Time
}

// record is a Number as Redis keeps it; times are seconds since 1970.
type record struct {
	Alias      string `json:"a,omitempty"`
	Type       string `json:"t,omitempty"`
	RateCenter string `json:"rc,omitempty"`
	State      string `json:"st,omitempty"`
	Messaging  *bool  `json:"m,omitempty"`
	Primary    string `json:"p,omitempty"`
	Failover   string `json:"f,omitempty"`
	First      int64  `json:"fs"`
	Last       int64  `json:"ls"`
	Details    int64  `json:"d,omitempty"`
	Gone       int64  `json:"g,omitempty"`
}

func (r record) encode() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // texts and integers only
	}
	return string(b)
}

// decodeRecord reads a record; one that cannot be read counts as never seen, and
// the next sync writes it anew.
func decodeRecord(text string) (record, bool) {
	var r record
	if text == "" || json.Unmarshal([]byte(text), &r) != nil {
		return record{}, false
	}
	return r, true
}

func (r record) number(n flowroute.E164) Number {
	return Number{
		Number: n, Alias: r.Alias, Type: r.Type, RateCenter: r.RateCenter, State: r.State, MessagingEnabled: r.Messaging,
		PrimaryRoute: r.Primary, FailoverRoute: r.Failover,
		FirstSeen: moment(r.First), LastSeen: moment(r.Last), DetailsRead: moment(r.Details), Gone: moment(r.Gone),
	}
}

func moment(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// listed is the record after the number was seen in a listing.
func (r record) listed(n flowroute.Number, now time.Time) record {
	if r.First == 0 {
		r.First = now.Unix()
	}
	r.Last, r.Gone = now.Unix(), 0
	r.Alias, r.Type, r.RateCenter, r.State = n.Alias, n.Type, n.RateCenter, n.State
	if n.MessagingEnabled != nil {
		r.Messaging = n.MessagingEnabled
	}
	return r
}

// detailed is the record after the number's details were read.
func (r record) detailed(d flowroute.NumberDetails, now time.Time) record {
	r = r.listed(d.Number, now)
	r.Details, r.Primary, r.Failover = now.Unix(), "", ""
	if d.PrimaryRoute != nil {
		r.Primary = d.PrimaryRoute.ID
	}
	if d.FailoverRoute != nil {
		r.Failover = d.FailoverRoute.ID
	}
	return r
}
