package ledger

// Reason says why a job changed its state. It is kept as one byte in the job's
// history; the words are part of the public contract.
type Reason string

// The reasons. Append only: their place in the list is what Redis keeps.
const (
	ReasonNone            Reason = ""
	ReasonRateLimited     Reason = "rate_limited"      // 429: not processed
	ReasonNotSent         Reason = "not_sent"          // proven: no request left
	ReasonUnauthorized    Reason = "unauthorized"      // 401: the credentials are refused
	ReasonNoAnswer        Reason = "no_answer"         // the answer got lost or never came
	ReasonServerError     Reason = "server_error"      // 5xx: may have been processed
	ReasonUnexpected      Reason = "unexpected_answer" // a redirect, 408, or a 4xx that is not the API's own
	ReasonRefused         Reason = "refused"           // the API said no
	ReasonOptedOut        Reason = "opted_out"
	ReasonInvalid         Reason = "invalid" // refused at our door
	ReasonExpired         Reason = "expired"
	ReasonTooLate         Reason = "too_late" // 24 h after its due time, nothing proven accepted
	ReasonAttemptsUsedUp  Reason = "attempts_used_up"
	ReasonCancelled       Reason = "cancelled"
	ReasonCancelRequested Reason = "cancel_requested"
	ReasonWorkerLost      Reason = "worker_lost" // an intent without outcome
	ReasonIDPending       Reason = "id_pending"  // accepted; the answer's body could not be read
	ReasonLateProof       Reason = "late_proof"  // evidence of acceptance after another end
	ReasonDisplaced       Reason = "displaced"   // the record matched to this job is another's, proven
	ReasonReceipt         Reason = "receipt"     // a delivery receipt
	ReasonNumberTaken     Reason = "number_taken"
	ReasonAlreadyOwned    Reason = "already_owned"
	ReasonSuperseded      Reason = "superseded" // a newer route update for the same number and slot
	ReasonBought          Reason = "bought"
	ReasonReadBack        Reason = "read_back" // the API's own state shows the outcome
	ReasonNoCandidate     Reason = "no_candidate"
	ReasonTooExpensive    Reason = "too_expensive"
	ReasonMDRClaimedTwice Reason = "mdr_claimed_twice"
	ReasonBroken          Reason = "breaker_open" // wrong address or payload format on our side: waits
	ReasonUnresolved      Reason = "unresolved"   // asked again, still unclear
	ReasonInternal        Reason = "internal"
	ReasonMatched         Reason = "matched"           // a record that was nobody's is its
	ReasonAbsent          Reason = "proven_absent"     // Flowroute's records, proven current, do not have it
	ReasonRecheck         Reason = "recheck"           // that proof is too old to post on
	ReasonNearMatch       Reason = "near_match"        // review: a record for this pair of numbers differs in its text
	ReasonNotCurrent      Reason = "not_current"       // review: the records did not prove themselves current
	ReasonNoRecord        Reason = "no_record"         // review: accepted, and no record of it
	ReasonOtherAccount    Reason = "other_account"     // review: posted with another account's key
	ReasonForeignTraffic  Reason = "foreign_traffic"   // review: somebody else sends with this account
	ReasonBeyondReach     Reason = "beyond_reach"      // review: older than what the records show
	ReasonUsedUpUnknown   Reason = "used_up_unknown"   // review: no attempts left, and one of them unknown
	ReasonHeld            Reason = "held"              // review: proven absent, but posting again is switched off
	ReasonRuled           Reason = "ruled"             // a person decided
	ReasonRedisLost       Reason = "redis_lost_writes" // what Redis had lost was found again
	ReasonWorkerSilent    Reason = "worker_silent"     // the worker that posts it gives no sign of life
)

// reasons are all of them, each at the place that is its code.
var reasons = [...]Reason{
	ReasonNone, ReasonRateLimited, ReasonNotSent, ReasonUnauthorized, ReasonNoAnswer, ReasonServerError,
	ReasonUnexpected, ReasonRefused, ReasonOptedOut, ReasonInvalid, ReasonExpired, ReasonTooLate,
	ReasonAttemptsUsedUp, ReasonCancelled, ReasonCancelRequested, ReasonWorkerLost, ReasonIDPending,
	ReasonLateProof, ReasonDisplaced, ReasonReceipt, ReasonNumberTaken, ReasonAlreadyOwned, ReasonSuperseded,
	ReasonBought, ReasonReadBack, ReasonNoCandidate, ReasonTooExpensive, ReasonMDRClaimedTwice, ReasonBroken,
	ReasonUnresolved, ReasonInternal, ReasonMatched, ReasonAbsent, ReasonRecheck, ReasonNearMatch, ReasonNotCurrent,
	ReasonNoRecord, ReasonOtherAccount, ReasonForeignTraffic, ReasonBeyondReach, ReasonUsedUpUnknown, ReasonHeld,
	ReasonRuled, ReasonRedisLost, ReasonWorkerSilent,
}

func (r Reason) code() byte {
	for i, known := range reasons {
		if r == known {
			return byte(i)
		}
	}
	panic("ledger: no such reason: " + string(r))
}

// ReasonOf is the reason that a code in Redis stands for.
func ReasonOf(code byte) Reason {
	if int(code) < len(reasons) {
		return reasons[code]
	}
	return "other"
}
