package worker

import (
	"slices"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// Place is where messages wait that share a limit which others do not have: a sending
// number's own, a campaign's, or that of MMS. Its text is kind, lane and, where they have
// caps, the number's digits and the campaign's id: "sms.bulk.12065550100", "mms.otp".
type Place struct {
	Kind     ratelimit.Kind // sms or mms
	Lane     ratelimit.Lane
	Sender   flowroute.E164 // zero: any
	Campaign ledger.ID      // zero: any
}

// String is what [ParsePlace] reads.
func (p Place) String() string {
	text := string(p.Kind) + "." + string(p.Lane)
	if !p.Sender.IsZero() {
		text += "." + p.Sender.Digits()
	}
	if !p.Campaign.IsZero() {
		text += "." + p.Campaign.String()
	}
	return text
}

// ParsePlace reads the text of a place, as [ledger.Ledger.Parked] has it; false: it is
// none.
func ParsePlace(text string) (Place, bool) {
	parts := strings.Split(text, ".")
	if len(parts) < 2 {
		return Place{}, false
	}
	p := Place{Kind: ratelimit.Kind(parts[0]), Lane: ratelimit.Lane(parts[1])}
	for _, part := range parts[2:] {
		var err error
		if id, notID := ledger.ParseID(part); notID == nil {
			p.Campaign = id
		} else if p.Sender, err = flowroute.ParseE164("+" + part); err != nil {
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
	if len(w.senderCaps(message.From)) > 0 {
		at.Sender = message.From
	}
	if campaign, _, row := job.ID.Row(); row && len(w.campaignCaps(campaign)) > 0 {
		at.Campaign = campaign
	}
	if at.Sender.IsZero() && at.Campaign.IsZero() && (at.Kind == ratelimit.KindSMS || w.o.Rates.MMS.IsZero()) {
		return Place{}
	}
	return at
}

// caps are the limits that the messages of a place share, beside the account's.
func (w *Worker) caps(at Place) []ratelimit.Cap {
	return append(slices.Clip(w.senderCaps(at.Sender)), w.campaignCaps(at.Campaign)...)
}

func (w *Worker) senderCaps(sender flowroute.E164) []ratelimit.Cap {
	if w.o.Caps == nil || sender.IsZero() {
		return nil
	}
	return w.o.Caps(sender)
}

func (w *Worker) campaignCaps(campaign ledger.ID) []ratelimit.Cap {
	if w.o.CampaignCaps == nil || campaign.IsZero() {
		return nil
	}
	return w.o.CampaignCaps(campaign)
}
