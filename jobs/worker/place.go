package worker

import (
	"strings"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// Place is where messages wait that share a limit which others do not have: a sending
// number's own, or that of MMS. Its text is kind, lane and, where the number has caps,
// its digits: "sms.bulk.12065550100", "mms.otp".
type Place struct {
	Kind   ratelimit.Kind // sms or mms
	Lane   ratelimit.Lane
	Sender flowroute.E164 // zero: any
}

// String is what [ParsePlace] reads.
func (p Place) String() string {
	text := string(p.Kind) + "." + string(p.Lane)
	if !p.Sender.IsZero() {
		text += "." + p.Sender.Digits()
	}
	return text
}

// ParsePlace reads the text of a place, as [ledger.Ledger.Parked] has it; false: it is
// none.
func ParsePlace(text string) (Place, bool) {
	kind, rest, _ := strings.Cut(text, ".")
	lane, digits, capped := strings.Cut(rest, ".")
	p := Place{Kind: ratelimit.Kind(kind), Lane: ratelimit.Lane(lane)}
	if capped {
		var err error
		if p.Sender, err = flowroute.ParseE164("+" + digits); err != nil {
			return Place{}, false
		}
	}
	return p, p.Kind == ratelimit.KindSMS || p.Kind == ratelimit.KindMMS
}

// placeOf is where a message waits for a limit of its own; zero: it has none.
func (w *Worker) placeOf(job ledger.Job, message flowroute.Message) Place {
	at := Place{Kind: ratelimit.KindSMS, Lane: laneOf(job.Queue)}
	if message.MMS() {
		at.Kind = ratelimit.KindMMS
	}
	if len(w.caps(message.From)) > 0 {
		at.Sender = message.From
	}
	if at.Sender.IsZero() && (at.Kind == ratelimit.KindSMS || w.o.Rates.MMS.IsZero()) {
		return Place{}
	}
	return at
}

func (w *Worker) caps(sender flowroute.E164) []ratelimit.Cap {
	if w.o.Caps == nil || sender.IsZero() {
		return nil
	}
	return w.o.Caps(sender)
}
