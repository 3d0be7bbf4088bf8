package worker

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// operation is what an attempt tried to do.
type operation string

const (
	opSend        operation = "send"
	opPurchase    operation = "purchase"
	opCreateRoute operation = "create-route"
	opPatch       operation = "patch" // alias and routes of a number: the last write wins
)

// verdict is what an error means for the job, and for all others.
type verdict struct {
	State     ledger.State
	Reason    ledger.Reason
	Status    int    // HTTP, 0 without an answer
	Detail    string // for people; no bodies, numbers masked
	Uncounted bool   // costs the job no attempt
	// Wait is how long this job rests before it is tried again.
	Wait time.Duration
	// Breaker stops everybody: it says why, for people.
	Breaker string
	// Unreachable: nothing left, because there is no connection.
	Unreachable bool
}

// judge is the only place that turns an error of a write into what happens next.
//
//	not a request at all       failed: it would not be one the next time either
//	proven not sent            again, when the API can be reached
//	429                        again; no attempt (its permit holds everybody back)
//	401                        again, once the credentials are accepted; no attempt
//	404 of an address that is
//	not served, 405, 415       again, once somebody has looked; no attempt
//	400 with 1110              blocked: the recipient opted out
//	422 on fetching media      once more after half a minute: the media's host
//	other 4xx of the API       failed
//	3xx, 408, 5xx, 4xx that is
//	not the API's, no answer   unknown: it may have been accepted
func judge(op operation, err error, attempt int) verdict {
	api, answered := errors.AsType[*flowroute.APIError](err)
	v := verdict{Detail: describe(err)}
	if answered {
		v.Status = api.Status
	}
	switch result := flowroute.ResultOf(err); {
	case errors.Is(err, flowroute.ErrInvalid):
		v.State, v.Reason, v.Uncounted = ledger.Failed, ledger.ReasonInvalid, true
	case result == flowroute.NotSent:
		v.State, v.Reason, v.Uncounted = ledger.Queued, ledger.ReasonNotSent, true
		v.Unreachable = !errors.Is(err, flowroute.ErrWriteDeadline)
	case result == flowroute.OutcomeUnknown || !answered:
		v.State, v.Reason = ledger.Unknown, whyUnknown(api, answered)
	case api.Status == http.StatusTooManyRequests:
		v.State, v.Reason, v.Uncounted = ledger.Queued, ledger.ReasonRateLimited, true
	case api.Status == http.StatusUnauthorized:
		v.State, v.Reason, v.Uncounted = ledger.Queued, ledger.ReasonUnauthorized, true
		v.Breaker = "Flowroute refuses the credentials (401): check FR_ACCESS_KEY and FR_SECRET_KEY"
	case api.StringStatus, api.Status == http.StatusMethodNotAllowed, api.Status == http.StatusUnsupportedMediaType:
		v.State, v.Reason, v.Uncounted = ledger.Queued, ledger.ReasonBroken, true
		v.Breaker = fmt.Sprintf("the API does not serve this request (%d): check FLOWROUTE_BASE_URL", api.Status)
	case api.OptedOut():
		v.State, v.Reason = ledger.Blocked, ledger.ReasonOptedOut
	case op == opSend && mediaHiccup(api) && attempt <= 1:
		v.State, v.Reason, v.Wait = ledger.Queued, ledger.ReasonRefused, 30*time.Second
	default:
		v.State, v.Reason = ledger.Failed, ledger.ReasonRefused
	}
	return v
}

func whyUnknown(api *flowroute.APIError, answered bool) ledger.Reason {
	switch {
	case !answered:
		return ledger.ReasonNoAnswer
	case api.Status >= 500:
		return ledger.ReasonServerError
	}
	return ledger.ReasonUnexpected
}

// mediaHiccup tells an address that could not be fetched from one that is too
// large: the API fetches media while it answers.
func mediaHiccup(api *flowroute.APIError) bool {
	return api.Status == http.StatusUnprocessableEntity && strings.HasPrefix(api.Detail, "Error fetching media:") &&
		!strings.HasSuffix(strings.TrimRight(api.Detail, ". "), "byte limit")
}

var (
	// phone is seven digits or more, however people space them; not parts of words.
	phone  = regexp.MustCompile(`\+?\(?\b\d(?:[ ().-]{0,2}\d){6,}\b`)
	quoted = regexp.MustCompile(`"[^"]{20,}"`)
)

// describe is an error for the job's record: what the API said, without what it
// quotes back from the message, numbers masked.
func describe(err error) string {
	api, ok := errors.AsType[*flowroute.APIError](err)
	if !ok {
		return mask(err.Error())
	}
	text := fmt.Sprintf("%d", api.Status)
	for _, part := range []string{api.Code, api.Title, api.Detail} {
		if part != "" {
			text += " " + part
		}
	}
	for _, field := range slices.Sorted(maps.Keys(api.Fields)) {
		text += fmt.Sprintf("; %s: %s", field, strings.Join(api.Fields[field], ", "))
	}
	text = mask(text)
	if api.RequestID != "" {
		text += " (request " + api.RequestID + ")"
	}
	return text
}

// longest is how much of what the API said is kept, in bytes.
const longest = 240

func mask(text string) string {
	text = quoted.ReplaceAllString(text, `"…"`)
	text = phone.ReplaceAllStringFunc(text, func(n string) string { return "…" + n[len(n)-4:] })
	return clipped(text, longest)
}

func clipped(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
