package flowroutetest

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// The credentials a Simulator accepts when Options name none. They have the
// shape of Flowroute's own: eight characters, and 32 hexadecimal digits.
const (
	DefaultAccessKey = "f10w0000"
	DefaultSecretKey = "00112233445566778899aabbccddeeff"
)

// Options configure a [Simulator]. The zero value is a complete account with
// [DefaultOwned] numbers, [DefaultInventory], no limits, no delays and no faults.
type Options struct {
	AccessKey, SecretKey string // default to DefaultAccessKey and DefaultSecretKey
	Keys                 []Key  // further keys of the same account; each has its own limits

	// Seed makes ids and the choices of faults reproducible, as far as the
	// order in which requests arrive is.
	Seed uint64

	Limits  Limits
	Choices Choices

	// Latency is added to every answer, and up to Jitter more. A write takes
	// effect before the wait: a client that gives up meanwhile was accepted.
	Latency, Jitter time.Duration

	// MDRDelay is how long after its acceptance a message's record can be
	// read, both by id (404 until then) and in the listing. 0: at once.
	MDRDelay time.Duration
	// DeliverAfter is how long after its acceptance a message goes from
	// "message buffered" to its end. 0: at once. Negative: only by
	// [Simulator.Complete].
	DeliverAfter time.Duration
	// FailShare is the share of messages, 0 to 1, that end as failed.
	// Undeliverable names recipients whose messages always do.
	FailShare     float64
	Undeliverable []string
	// ClockSkew is how far the API's clock (MDR timestamps) is ahead of ours;
	// StampDelay how much later than its acceptance a message is stamped.
	ClockSkew, StampDelay time.Duration
	// MessagingAfter is how long after a purchase with messaging_enabled the
	// number can send. 0: at once.
	MessagingAfter time.Duration

	// BasePath precedes every path of the API, for example "/flowroute".
	BasePath string
	// LinkBase replaces the scheme, host and base path in links. Default: what the request
	// used, so that a client that follows links stays inside the simulator.
	LinkBase string

	Owned     []string     // numbers on the account, messaging enabled; nil: DefaultOwned()
	Inventory []ForSale    // purchasable numbers; nil: DefaultInventory()
	Routes    []Route      // besides route "0", which every account has; ids are assigned when empty
	OptedOut  []OptOutPair // recipients that sent STOP

	Callbacks Callbacks
	Faults    Faults

	// KeepMessages bounds memory: older messages and records are forgotten,
	// in blocks of 4,096. 0: all are kept (about 320 bytes each plus the body).
	KeepMessages int
	// KeepRequests is how many of the latest requests [Simulator.Requests]
	// holds. 0: none ([NewServer]: 10,000).
	KeepRequests int

	// Now replaces the clock. Default: time.Now. [Simulator.Advance] adds to it.
	Now func() time.Time
	// NoAdmin leaves out the administration surface under /_sim/.
	NoAdmin bool
	Logger  *slog.Logger // nil: discard
}

// Key is one more pair of credentials of the account.
type Key struct{ AccessKey, SecretKey string }

// WindowKind says how attempts are counted.
type WindowKind string

// Flowroute counts attempts in 1,000 ms; whether by the clock's second or in
// a sliding window is not published. The zero value is WindowFixed.
const (
	WindowFixed   WindowKind = "fixed"
	WindowSliding WindowKind = "sliding"
)

// Limits are attempts per second, per access key and endpoint; rejected
// attempts count. 0 means no limit.
type Limits struct {
	SMSPerSecond     int        `json:"sms_per_second"`     // POST messages; 5 on a real account
	MMSPerSecond     int        `json:"mms_per_second"`     // POST messages with media or is_mms; 1 on a real account
	NumbersPerSecond int        `json:"numbers_per_second"` // every call to /v2/…
	LookupsPerSecond int        `json:"lookups_per_second"` // GET messages and GET messages/{id}
	Window           WindowKind `json:"window"`
	// RetryAfter adds "Retry-After: 1" to a 429; Flowroute documents none.
	RetryAfter bool `json:"retry_after"`
	// LookupsShareSMS counts look-ups as attempts of the SMS limit too.
	LookupsShareSMS bool `json:"lookups_share_sms"`
	// MMSApart leaves MMS out of the SMS limit. Default: an MMS counts in both.
	MMSApart bool `json:"mms_apart"`
}

// Choices settle what no public source says. The zero value is the default
// that the package comment lists.
type Choices struct {
	RefuseOverMax      bool // a limit above the maximum is refused with 422; default: clamped to the maximum
	EndDateExclusive   bool // end_date of the MDR listing; default: inclusive
	RoundTimestamps    bool // MDR timestamps are rounded to 10 ms; default: truncated
	OrderByUpdate      bool // the MDR listing has the latest changed first; default: latest stamped first
	MDRDefaultLimit    int  // rows of the MDR listing without limit; default 10
	MDRPageCap         int  // most rows of an MDR listing whatever the limit says; default: none
	MDRIgnoreLimit     bool // the MDR listing always gives MDRDefaultLimit rows
	BareRateLimit      bool // 429 with an empty body; default: the error envelope
	NotOwnedStatus     int  // sending from a number that is not ours; default 403
	AlreadyOwnedStatus int  // purchase of a number that is ours; default 422
	TakenStatus        int  // purchase of a number that is neither ours nor for sale; default 404
	StrictContentType  bool // 415 unless the body is application/vnd.api+json; default: JSON kinds and none are read
	SendWithoutSetup   bool // a number whose messaging is not enabled can send all the same
	OldNumberTypes     bool // number_type "standard" and "tollfree" instead of "longcode" and "toll-free"
	MaxBodyRunes       int  // 422 above; default: none
	MaxMediaURLs       int  // 422 above; default: none
}

// Callbacks configure what the simulator posts to webhooks.
type Callbacks struct {
	Compact  bool // the flat body of legacy accounts; default: JSON:API
	Reversed bool // the receipts of a message are posted latest first, when all are known
	Copies   int  // every receipt is posted so many times; default 1
	// RetryEvery is the interval at which an inbound message is posted again
	// until 200 is answered, four times in all. Default 30 s.
	RetryEvery time.Duration
	// AllowHosts are host names beyond loopback addresses that may be posted
	// to. Posts to anything else are counted, not made.
	AllowHosts []string
}

// OptOutPair is a recipient who sent STOP to one of our numbers.
type OptOutPair struct {
	From string `json:"from"` // our number
	To   string `json:"to"`   // the recipient
}

// ForSale is a purchasable number. Costs are US dollars.
type ForSale struct {
	Number      string  `json:"number"` // 11 digits
	RateCenter  string  `json:"rate_center"`
	State       string  `json:"state"`
	TollFree    bool    `json:"toll_free"`
	SetupCost   float64 `json:"setup_cost"`
	MonthlyCost float64 `json:"monthly_cost"`
}

// Route is an inbound voice route of the account.
type Route struct {
	ID    string `json:"id"`
	Type  string `json:"route_type"` // host, number, uri or sip-reg
	Value string `json:"value"`      // empty for sip-reg
	Alias string `json:"alias"`
}

// Validate reports every problem of o at once.
func (o Options) Validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if o.BasePath != "" && (!strings.HasPrefix(o.BasePath, "/") || strings.HasSuffix(o.BasePath, "/")) {
		bad("base path %q: begins with / and does not end with one", o.BasePath)
	}
	if strings.HasPrefix(o.BasePath+"/", adminPrefix) {
		bad("base path %q: %s is the administration surface", o.BasePath, adminPrefix)
	}
	if o.FailShare < 0 || o.FailShare > 1 {
		bad("fail share %v: from 0 to 1", o.FailShare)
	}
	if o.Latency < 0 || o.Jitter < 0 || o.MDRDelay < 0 {
		bad("latency, jitter and MDR delay are not negative")
	}
	for _, list := range []struct {
		what    string
		numbers []string
	}{{"owned", o.Owned}, {"undeliverable", o.Undeliverable}, {"opted out", o.optOutNumbers()}, {"inventory", o.forSaleNumbers()}} {
		for _, n := range list.numbers {
			if digits(n) == 0 {
				bad("%s number %q: 11 digits beginning with 1 are needed", list.what, n)
			}
		}
	}
	problems = append(problems, o.Limits.validate(), o.Faults.Validate())
	return errors.Join(problems...)
}

func (o Options) optOutNumbers() (list []string) {
	for _, p := range o.OptedOut {
		list = append(list, p.From, p.To)
	}
	return list
}

func (o Options) forSaleNumbers() (list []string) {
	for _, f := range o.Inventory {
		list = append(list, f.Number)
	}
	return list
}

func (l Limits) validate() error {
	switch l.Window {
	case "", WindowFixed, WindowSliding:
	default:
		return fmt.Errorf("window %q: %q or %q", l.Window, WindowFixed, WindowSliding)
	}
	if min(l.SMSPerSecond, l.MMSPerSecond, l.NumbersPerSecond, l.LookupsPerSecond) < 0 {
		return errors.New("limits per second are not negative")
	}
	return nil
}

var _ http.Handler = (*Simulator)(nil)
