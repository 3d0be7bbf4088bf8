package ratelimit

// Lane is a priority class among those that wait for a permit.
type Lane string

// The lanes, first served first. [LaneBulk] and [LaneSync] are not starved by
// [LaneNormal]: while they wait, at least one permit in twenty goes to bulk and
// one in fifty to sync. [LaneOTP] and [LaneResolve] go before all of that.
const (
	LaneOTP     Lane = "otp"
	LaneResolve Lane = "resolve" // the reads that decide about unknown outcomes
	LaneNormal  Lane = "normal"
	LaneBulk    Lane = "bulk"
	LaneSync    Lane = "sync"
)

// Lanes returns all lanes, first served first.
func Lanes() []Lane {
	return []Lane{LaneOTP, LaneResolve, LaneNormal, LaneBulk, LaneSync}
}

func (l Lane) valid() bool {
	switch l {
	case LaneOTP, LaneResolve, LaneNormal, LaneBulk, LaneSync:
		return true
	}
	return false
}

// Kind says which limits a request counts against.
type Kind string

// The kinds. The words are those of flowroute.Endpoint.
const (
	KindSMS     Kind = "sms"     // takes an SMS permit
	KindMMS     Kind = "mms"     // takes an MMS permit and an SMS permit
	KindLookup  Kind = "lookup"  // takes a look-up permit, with LookupsShareSMS an SMS permit too
	KindNumbers Kind = "numbers" // every call to /v2/numbers and /v2/routes
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{KindSMS, KindMMS, KindLookup, KindNumbers} }

// Limits are what one account is allowed, as this process is told. Where two
// processes are told different things, the lower holds for both while both
// live: the smaller number in the longer period.
type Limits struct {
	SMS, MMS, Lookups, Numbers Rate
	// LookupsShareSMS is for an API that counts look-ups of messages with the
	// messages.
	LookupsShareSMS bool
}
