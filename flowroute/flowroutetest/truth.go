package flowroutetest

import "time"

// Truth is what the simulator really accepted, sold and set, whatever it answered.
type Truth struct {
	Messages  []AcceptedMessage      `json:"messages"` // in order of acceptance
	Purchases []Purchase             `json:"purchases"`
	Numbers   map[string]NumberTruth `json:"numbers"` // by 11 digits
	Routes    []Route                `json:"routes"`
	Attempts  []AttemptStats         `json:"attempts"` // per access key and kind
	Counts    Counts                 `json:"counts"`
}

// AcceptedMessage is a message that was accepted, and will be delivered or not.
type AcceptedMessage struct {
	MDRIDs      []string  `json:"mdr_ids"` // more than one where the text was split
	From        string    `json:"from"`    // 11 digits, as To
	To          string    `json:"to"`
	Body        string    `json:"body"` // as posted; the record may differ
	MMS         bool      `json:"mms"`
	MediaURLs   []string  `json:"media_urls,omitempty"`
	DLRCallback string    `json:"dlr_callback,omitempty"`
	At          time.Time `json:"at"`
	Fault       string    `json:"fault,omitempty"` // the fault that spoiled the answer; empty: 202 was sent
}

// Purchase is a number that was bought.
type Purchase struct {
	Number    string    `json:"number"`
	At        time.Time `json:"at"`
	SetupCost float64   `json:"setup_cost"`
	Fault     string    `json:"fault,omitempty"`
}

// NumberTruth is the state of a number on the account.
type NumberTruth struct {
	Alias            string     `json:"alias"`
	PrimaryRoute     string     `json:"primary_route"` // route id; empty: none
	FailoverRoute    string     `json:"failover_route"`
	MessagingEnabled bool       `json:"messaging_enabled"`
	RouteSets        []RouteSet `json:"route_sets,omitempty"` // every change, in order
}

// RouteSet is one change of a number's route.
type RouteSet struct {
	Slot  string    `json:"slot"` // primary_route or failover_route
	Route string    `json:"route"`
	At    time.Time `json:"at"`
}

// Kind is what a limit counts.
type Kind string

// The kinds of attempts. The words are those of flowroute.Endpoint.
const (
	KindSMS     Kind = "sms"
	KindMMS     Kind = "mms"
	KindLookup  Kind = "lookup"
	KindNumbers Kind = "numbers"
)

// AttemptStats counts the attempts of one kind by one access key.
type AttemptStats struct {
	AccessKey   string    `json:"access_key"`
	Kind        Kind      `json:"kind"`
	Attempts    int       `json:"attempts"`      // rejected ones included
	Rejected    int       `json:"rejected"`      // by the limit, with 429
	MaxInWindow int       `json:"max_in_window"` // most attempts within any second
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
}

// Counts are totals since the start; they also count what was forgotten.
type Counts struct {
	Requests    int64            `json:"requests"` // to the API; admin requests do not count
	Accepted    int64            `json:"accepted"` // messages
	Refused     int64            `json:"refused"`  // messages answered with an error and not accepted
	RateLimited int64            `json:"rate_limited"`
	Purchases   int64            `json:"purchases"`
	Records     int64            `json:"records"`   // MDRs, inbound and planted ones included
	Callbacks   int64            `json:"callbacks"` // posts to webhooks that were tried
	CallbacksOK int64            `json:"callbacks_ok"`
	Unknown     int64            `json:"unknown"` // requests to paths the API does not have
	Forgotten   int64            `json:"forgotten"`
	Faults      map[string]int64 `json:"faults,omitempty"` // how often each happened
	Statuses    map[int]int64    `json:"statuses,omitempty"`
}

// Record is a message detail record, as a test plants or compares it.
type Record struct {
	ID        string        `json:"id,omitempty"`        // Plant: drawn when empty
	Direction string        `json:"direction,omitempty"` // "outbound" (default) or "inbound"
	From      string        `json:"from"`
	To        string        `json:"to"`
	Body      string        `json:"body"`
	MMS       bool          `json:"mms,omitempty"`
	MediaURLs []string      `json:"media_urls,omitempty"`
	Timestamp time.Time     `json:"timestamp"`             // zero: now
	Lag       time.Duration `json:"lag_ns,omitempty"`      // Plant: visible so much after now
	Code      int           `json:"code,omitempty"`        // 1004 delivered, 1003 in flight, others failed; 0: as for sent messages
	PerCost   int64         `json:"nanodollars,omitempty"` // cost; 0: by Flowroute's table
}

// Request is one request as it arrived.
type Request struct {
	At          time.Time `json:"at"`
	Method      string    `json:"method"`
	Path        string    `json:"path"` // without the base path
	Query       string    `json:"query,omitempty"`
	ContentType string    `json:"content_type,omitempty"`
	Accept      string    `json:"accept,omitempty"`
	UserAgent   string    `json:"user_agent,omitempty"`
	AccessKey   string    `json:"access_key,omitempty"`
	Body        string    `json:"body,omitempty"`
	Status      int       `json:"status"` // 0: no answer was given
	Fault       string    `json:"fault,omitempty"`
}
