package worker

import (
	"strings"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// place is where messages wait that share a limit which others do not have: a sending
// number's own, or that of MMS. Its text is kind, lane and, where the number has caps,
// its digits: "sms.bulk.12065550100", "mms.otp".
type place struct {
	kind   ratelimit.Kind
	lane   ratelimit.Lane
	sender flowroute.E164
}

func (p place) String() string {
	text := string(p.kind) + "." + string(p.lane)
	if !p.sender.IsZero() {
		text += "." + p.sender.Digits()
	}
	return text
}

func parsePlace(text string) (place, bool) {
	kind, rest, _ := strings.Cut(text, ".")
	lane, digits, capped := strings.Cut(rest, ".")
	p := place{kind: ratelimit.Kind(kind), lane: ratelimit.Lane(lane)}
	if capped {
		var err error
		if p.sender, err = flowroute.ParseE164("+" + digits); err != nil {
			return place{}, false
		}
	}
	return p, p.kind == ratelimit.KindSMS || p.kind == ratelimit.KindMMS
}

// placeOf is where a message waits for a limit of its own; zero: it has none.
func (w *Worker) placeOf(job ledger.Job, message flowroute.Message) place {
	at := place{kind: ratelimit.KindSMS, lane: laneOf(job.Queue)}
	if message.MMS() {
		at.kind = ratelimit.KindMMS
	}
	if len(w.caps(message.From)) > 0 {
		at.sender = message.From
	}
	if at.sender.IsZero() && (at.kind == ratelimit.KindSMS || w.o.Rates.MMS.IsZero()) {
		return place{}
	}
	return at
}

func (w *Worker) caps(sender flowroute.E164) []ratelimit.Cap {
	if w.o.Caps == nil || sender.IsZero() {
		return nil
	}
	return w.o.Caps(sender)
}
