package worker

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// The table of what each error means, for the job and for all others.
func TestJudge(t *testing.T) {
	t.Parallel()
	api := func(status int, change ...func(*flowroute.APIError)) error {
		e := &flowroute.APIError{Method: "POST", Path: "/v2.1/messages", Status: status, Envelope: true, Detail: "no"}
		for _, c := range change {
			c(e)
		}
		result := flowroute.Refused
		if !e.Envelope || status >= 500 || status < 400 || status == 408 {
			result = flowroute.OutcomeUnknown
		}
		return &flowroute.WriteError{Op: "send message", Result: result, Err: e}
	}
	bare := func(e *flowroute.APIError) { e.Envelope = false }
	notSent := func(err error) error {
		return &flowroute.WriteError{Op: "send message", Result: flowroute.NotSent, Err: err}
	}
	tests := map[string]struct {
		err     error
		attempt int
		want    verdict // without the detail
	}{
		"dial failed":           {err: notSent(errors.New("connection refused")), want: verdict{State: ledger.Queued, Reason: ledger.ReasonNotSent, Uncounted: true, Unreachable: true}},
		"write deadline passed": {err: notSent(flowroute.ErrWriteDeadline), want: verdict{State: ledger.Queued, Reason: ledger.ReasonNotSent, Uncounted: true}},
		"no request at all":     {err: notSent(fmt.Errorf("%w: from", flowroute.ErrInvalid)), want: verdict{State: ledger.Failed, Reason: ledger.ReasonInvalid, Uncounted: true}},
		"timeout":               {err: &flowroute.WriteError{Op: "send message", Err: io.ErrUnexpectedEOF}, want: verdict{State: ledger.Unknown, Reason: ledger.ReasonNoAnswer}},
		"an error of no kind":   {err: errors.New("?"), want: verdict{State: ledger.Unknown, Reason: ledger.ReasonNoAnswer}},
		"302":                   {err: api(302), want: verdict{State: ledger.Unknown, Reason: ledger.ReasonUnexpected}},
		"400":                   {err: api(400), want: verdict{State: ledger.Failed, Reason: ledger.ReasonRefused}},
		"400 with 1110":         {err: api(400, func(e *flowroute.APIError) { e.Code = "1110" }), want: verdict{State: ledger.Blocked, Reason: ledger.ReasonOptedOut}},
		"400 of a proxy":        {err: api(400, bare), want: verdict{State: ledger.Unknown, Reason: ledger.ReasonUnexpected}},
		"401":                   {err: api(401), want: verdict{State: ledger.Queued, Reason: ledger.ReasonUnauthorized, Uncounted: true, Breaker: "401"}},
		"402":                   {err: api(402), want: verdict{State: ledger.Failed, Reason: ledger.ReasonRefused}},
		"403":                   {err: api(403), want: verdict{State: ledger.Failed, Reason: ledger.ReasonRefused}},
		"404":                   {err: api(404), want: verdict{State: ledger.Failed, Reason: ledger.ReasonRefused}},
		"404 of an address":     {err: api(404, func(e *flowroute.APIError) { e.StringStatus = true }), want: verdict{State: ledger.Queued, Reason: ledger.ReasonBroken, Uncounted: true, Breaker: "404"}},
		"405":                   {err: api(405), want: verdict{State: ledger.Queued, Reason: ledger.ReasonBroken, Uncounted: true, Breaker: "405"}},
		"408":                   {err: api(408), want: verdict{State: ledger.Unknown, Reason: ledger.ReasonUnexpected}},
		"409":                   {err: api(409), want: verdict{State: ledger.Failed, Reason: ledger.ReasonRefused}},
		"415":                   {err: api(415), want: verdict{State: ledger.Queued, Reason: ledger.ReasonBroken, Uncounted: true, Breaker: "415"}},
		"422":                   {err: api(422), want: verdict{State: ledger.Failed, Reason: ledger.ReasonRefused}},
		"422 media, first": {err: api(422, func(e *flowroute.APIError) { e.Detail = "Error fetching media: timeout" }), attempt: 1,
			want: verdict{State: ledger.Queued, Reason: ledger.ReasonRefused, Wait: 30 * time.Second}},
		"422 media, again": {err: api(422, func(e *flowroute.APIError) { e.Detail = "Error fetching media: timeout" }), attempt: 2,
			want: verdict{State: ledger.Failed, Reason: ledger.ReasonRefused}},
		"422 media too large": {err: api(422, func(e *flowroute.APIError) { e.Detail = `Error fetching media: File at "x" is over 767840 byte limit.` }), attempt: 1,
			want: verdict{State: ledger.Failed, Reason: ledger.ReasonRefused}},
		"429": {err: api(429, func(e *flowroute.APIError) { e.RetryAfter = 3 * time.Second }),
			want: verdict{State: ledger.Queued, Reason: ledger.ReasonRateLimited, Uncounted: true}},
		"500": {err: api(500), want: verdict{State: ledger.Unknown, Reason: ledger.ReasonServerError}},
		"503": {err: api(503, bare), want: verdict{State: ledger.Unknown, Reason: ledger.ReasonServerError}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := judge(opSend, test.err, test.attempt)
			if test.want.Breaker != "" && strings.Contains(got.Breaker, test.want.Breaker) {
				test.want.Breaker = got.Breaker
			}
			test.want.Detail, test.want.Status = got.Detail, got.Status
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if got.Detail == "" {
				t.Error("nobody is told why")
			}
		})
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"from +12065550100 to 12065550177":                                                          "from …0100 to …0177",
		"call (206) 555-0123 or 206.555.0124 now":                                                   "call …0123 or …0124 now",
		"at most 1600 characters, 10 segments":                                                      "at most 1600 characters, 10 segments",
		`File at "https://s3.example.com/testing/1503617641_12067392634" is over 767840 byte limit`: `File at "…" is over 767840 byte limit`,
	} {
		if got := mask(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
