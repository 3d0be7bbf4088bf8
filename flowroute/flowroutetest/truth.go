package flowroutetest

import (
	"time"
)

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
	Slot  string    `json:"slot"`  // primary_route or failover_route
	Route string    `json:"route"` // empty: cleared
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

// AttemptStats counts the attempts of one kind by one access key. They are
// counted whether a limit is set or not.
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
	Refused     int64            `json:"refused"`  // messages answered with an error and not accepted; 429 by the limits apart
	RateLimited int64            `json:"rate_limited"`
	Purchases   int64            `json:"purchases"`
	Records     int64            `json:"records"`   // MDRs, inbound and planted ones included
	Callbacks   int64            `json:"callbacks"` // posts to webhooks that were tried
	CallbacksOK int64            `json:"callbacks_ok"`
	Unknown     int64            `json:"unknown"` // requests to paths the API does not have
	Forgotten   int64            `json:"forgotten"`
	Faults      map[string]int64 `json:"faults,omitempty"`   // how often each happened
	Statuses    map[int]int64    `json:"statuses,omitempty"` // answers by status; spoiled ones are not among them
}

// Truth returns what really happened so far.
func (s *Simulator) Truth() Truth {
	t := Truth{Attempts: s.limits.stats(), Counts: s.Counts(), Numbers: map[string]NumberTruth{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.acct.store
	t.Messages = make([]AcceptedMessage, 0, len(st.messages))
	for i := range st.messages {
		t.Messages = append(t.Messages, st.message(i))
	}
	t.Purchases = append([]Purchase{}, s.acct.purchases...)
	t.Routes = append([]Route{}, s.acct.routes.list...)
	now := s.now()
	for _, n := range s.acct.book.owned {
		t.Numbers[n.value] = n.truth(now)
	}
	return t
}

// Messages returns accepted messages from number skip on, at most limit of
// them (0: all), so that many can be read in parts.
func (s *Simulator) Messages(skip, limit int) []AcceptedMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.acct.store
	from := min(max(skip-st.forgotten, 0), len(st.messages))
	to := len(st.messages)
	if limit > 0 {
		to = min(from+limit, to)
	}
	out := make([]AcceptedMessage, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, st.message(i))
	}
	return out
}

// message renders the i-th message that is kept.
func (st *store) message(i int) AcceptedMessage {
	m := &st.messages[i]
	first := st.at(m.first)
	out := AcceptedMessage{From: numberText(first.from), To: numberText(first.to), Body: m.body, MMS: first.flags&flagMMS != 0,
		MediaURLs: first.media, DLRCallback: m.callback, At: time.Unix(0, m.at), Fault: m.fault}
	for k := m.first; k < m.first+m.n; k++ {
		out.MDRIDs = append(out.MDRIDs, string(appendMDRID(nil, st.at(k).id)))
	}
	return out
}

func (n *number) truth(now time.Time) NumberTruth {
	t := NumberTruth{PrimaryRoute: n.routes[slotPrimary], FailoverRoute: n.routes[slotFailover],
		MessagingEnabled: n.messaging(now), RouteSets: append([]RouteSet(nil), n.sets...)}
	if n.alias != nil {
		t.Alias = *n.alias
	}
	return t
}

// Counts returns the totals so far.
func (s *Simulator) Counts() Counts {
	out := s.counts.get()
	out.Faults = s.faults.happened()
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Forgotten = int64(s.acct.store.oldest())
	out.Purchases = int64(len(s.acct.purchases))
	return out
}
