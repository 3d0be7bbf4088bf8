package main

import (
	"fmt"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
)

// The numbers of the demo's account. Those with 555-01 are kept free for fiction.
const (
	demoSender   = "+12065550100"
	demoSenders  = 5              // …100 to …104
	demoForeign  = "+12065550199" // not on the account
	demoOptedOut = "+12125550100" // has sent STOP to demoSender
)

// demoKind says what the demo wants to see of a message.
type demoKind string

const (
	demoBulk      demoKind = "bulk" // rows of a campaign
	demoNormal    demoKind = "normal"
	demoOTP       demoKind = "otp"
	demoMMS       demoKind = "mms"
	demoPlain     demoKind = "plain task of another app"
	demoBlocked   demoKind = "recipient opted out"
	demoRefused   demoKind = "sender that is not ours"
	demoCancelled demoKind = "cancelled in time"
	demoExpired   demoKind = "expired before its turn"
)

// demoMessage is one message of the demo.
type demoMessage struct {
	kind demoKind
	jobs.Message
}

// minDemoMessages has one message of each kind and a backlog.
const minDemoMessages = 20

// demoMessages plans the load: mostly bulk, so that there is a backlog for the
// others to overtake. Each text is there once.
func demoMessages(n int, now time.Time) []demoMessage {
	kinds := []demoKind{demoPlain, demoBlocked, demoRefused, demoCancelled, demoExpired}
	for range max(2, n/15) {
		kinds = append(kinds, demoMMS)
	}
	for range max(3, n/10) {
		kinds = append(kinds, demoOTP)
	}
	for range n / 5 {
		kinds = append(kinds, demoNormal)
	}
	list := make([]demoMessage, n)
	for i := range list {
		kind := demoBulk
		if i < len(kinds) {
			kind = kinds[i]
		}
		list[i] = newDemoMessage(kind, i, n, now)
	}
	return list
}

func newDemoMessage(kind demoKind, i, n int, now time.Time) demoMessage {
	m := jobs.Message{
		From:     fmt.Sprintf("+1206555010%d", i%demoSenders),
		To:       fmt.Sprintf("+1212555%04d", 1000+i%9000),
		Body:     fmt.Sprintf("Demo message %d of %d: your order is on its way.", i+1, n),
		Priority: jobs.PriorityNormal,
	}
	switch kind {
	case demoBulk:
		m.From, m.Priority = demoSender, jobs.PriorityBulk
	case demoOTP:
		m.Priority, m.Body = jobs.PriorityOTP, fmt.Sprintf("Your code is %06d.", 100_000+i*7)
	case demoMMS:
		m.MediaURLs = []string{"https://media.example.com/cat.jpg"}
	case demoNormal:
		m.Key = fmt.Sprintf("demo-%d", i)
	case demoBlocked:
		m.From, m.To = demoSender, demoOptedOut
	case demoRefused:
		m.From = demoForeign
	case demoCancelled:
		m.SendAt = now.Add(time.Hour)
	case demoExpired:
		m.SendAt = now.Add(1500 * time.Millisecond)
		m.ExpiresAt = m.SendAt.Add(time.Millisecond)
	}
	return demoMessage{kind, m}
}

// demoCampaign texts those of the kind bulk; its rows bring n, which message it is.
func demoCampaign(n int) campaign.Spec {
	return campaign.Spec{
		Name: "demo", From: campaign.Senders{demoSender}, SendingHours: "00:00-24:00", Key: "demo",
		Template: fmt.Sprintf("Demo message {{n}} of %d: your order is on its way.", n),
	}
}

// demoFaults go wrong about once in twelve: answers that are lost after the
// message was taken, and ones that look the same when it was not.
func demoFaults() flowroutetest.Faults {
	return flowroutetest.Faults{
		// Answers that are lost, or cannot be read, though the message was taken.
		"accepted-then-cut":     {Probability: 0.03},
		"accepted-then-500":     {Probability: 0.015},
		"accepted-then-silence": {Probability: 0.01},
		"accepted-garbage":      {Probability: 0.01},
		// The same to look at, but nothing was taken.
		"500-before":   {Probability: 0.015, On: []flowroutetest.Op{flowroutetest.OpSend}},
		"reset-before": {Probability: 0.01, On: []flowroutetest.Op{flowroutetest.OpSend}},
		// A number that is bought, and a route that is set, without our hearing of it.
		"purchase-accepted-then-cut": {Count: 1},
		"route-accepted-then-500":    {Count: 1, On: []flowroutetest.Op{flowroutetest.OpRouteSet}},
		"slow-response":              {Probability: 0.05, On: []flowroutetest.Op{flowroutetest.OpSend}, Delay: 400 * time.Millisecond},
	}
}

// demoPurchase buys a number by search, names it and gives it a route.
func demoPurchase() jobs.Purchase {
	messaging := true
	return jobs.Purchase{
		Search: &jobs.NumberSearch{StartsWith: "1206", State: "WA"}, MaxSetupCost: "2", MaxMonthlyCost: "2",
		Alias: demoAlias, MessagingEnabled: &messaging, Key: "demo-number",
		PrimaryRoute: &jobs.RouteSpec{Type: "host", Value: demoPrimary, Alias: "demo office"},
	}
}

const (
	demoAlias    = "demo line"
	demoPrimary  = "sip.example.com:5060"
	demoFailover = "12065550100"
)

// demoRouteUpdate sends the calls that cannot be delivered to another number.
func demoRouteUpdate(number string) jobs.RouteUpdate {
	return jobs.RouteUpdate{
		Number: number, Failover: &jobs.RouteSpec{Type: "number", Value: "+" + demoFailover, Alias: "demo mobile"}, Key: "demo-route",
	}
}
