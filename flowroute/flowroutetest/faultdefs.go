package flowroutetest

import "time"

// phase is the moment of a request at which a fault acts.
type phase uint8

const (
	phaseBefore phase = iota // nothing took effect yet
	phaseAfter               // it took effect; only the answer is spoiled
	phaseRecord              // a detail of what takes effect or is read; drawn where it happens
)

type faultDef struct {
	FaultInfo
	phase phase
}

// faultDefs is the catalogue. Of the faults of one phase at most one happens
// to a request: the first in this order that is drawn.
func faultDefs() []faultDef {
	send, lookup := []Op{OpSend}, []Op{OpLookup}
	money, route := []Op{OpPurchase}, []Op{OpRouteWrite, OpRouteSet, OpNumberWrite}
	reads := []Op{OpLookup, OpRead}
	def := func(p phase, name string, on []Op, delay time.Duration, about string) faultDef {
		return faultDef{FaultInfo{Name: name, About: about, On: on, Delay: delay}, p}
	}
	return []faultDef{
		def(phaseBefore, "500-before", writeOps(), 0, "500 with the error envelope; nothing took effect"),
		def(phaseBefore, "503-before", writeOps(), 0, "503 with an HTML body; nothing took effect"),
		def(phaseBefore, "502-html", writeOps(), 0, "502 of a proxy with an HTML body; nothing took effect"),
		def(phaseBefore, "408-before", writeOps(), 0, "408 with an empty body; nothing took effect"),
		def(phaseBefore, "reset-before", writeOps(), 0, "the connection is reset; nothing took effect"),
		def(phaseBefore, "silence-before", writeOps(), 0, "no answer until the client gives up; nothing took effect"),
		def(phaseBefore, "bare-403-html", writeOps(), 0, "403 of a firewall with an HTML body; nothing took effect"),
		def(phaseBefore, "401", allOps(), 0, "401 as for an expired key"),
		def(phaseBefore, "403", writeOps(), 0, "403 ActionNotAuthorizedError"),
		def(phaseBefore, "404-url", writeOps(), 0, "404 of an unknown path, with a string status"),
		def(phaseBefore, "405", writeOps(), 0, "405 with the error envelope"),
		def(phaseBefore, "415", writeOps(), 0, "415 with the error envelope"),
		def(phaseBefore, "429", writeOps(), 0, "429 without Retry-After, whatever the limits say"),
		def(phaseBefore, "429-retry-after", writeOps(), 2*time.Second, "429 with Retry-After in seconds"),
		def(phaseBefore, "429-retry-after-date", writeOps(), 2*time.Second, "429 with Retry-After as an HTTP date"),
		def(phaseBefore, "redirect-302", writeOps(), 0, "302; nothing took effect"),
		def(phaseBefore, "redirect-307", writeOps(), 0, "307, which repeats the request if followed; nothing took effect"),
		def(phaseBefore, "redirect-308", writeOps(), 0, "308, which repeats the request if followed; nothing took effect"),
		def(phaseBefore, "accepted-late", send, 5*time.Second, "held by a front end, and accepted after the delay even when the client is gone; the client hears nothing"),
		def(phaseBefore, "refused-leaves-failed-record", send, 0, "422, but an MDR with status failed remains"),
		def(phaseBefore, "media-over-limit", send, 0, "422 as for media over the byte limit"),
		def(phaseBefore, "media-fetch-error", send, 0, "422 as for media that could not be fetched"),
		def(phaseBefore, "purchase-no-funds", money, 0, "403 with the error envelope: insufficient funds"),
		def(phaseBefore, "read-500", reads, 0, "500 with the error envelope to a read"),
		def(phaseBefore, "read-cut", reads, 0, "the connection of a read is cut"),
		def(phaseBefore, "read-garbage", reads, 0, "200 with a body that is not JSON to a read"),
		def(phaseBefore, "read-429", reads, 0, "429 to a read"),

		def(phaseAfter, "accepted-then-cut", send, 0, "accepted; the connection is closed without an answer"),
		def(phaseAfter, "accepted-then-reset", send, 0, "accepted; the connection is reset without an answer"),
		def(phaseAfter, "accepted-then-500", send, 0, "accepted; the answer is 500"),
		def(phaseAfter, "accepted-then-502-html", send, 0, "accepted; the answer is 502 with an HTML body"),
		def(phaseAfter, "accepted-then-silence", send, 0, "accepted; no answer until the client gives up"),
		def(phaseAfter, "accepted-garbage", send, 0, "accepted; 202 with a body that is not JSON"),
		def(phaseAfter, "accepted-truncated", send, 0, "accepted; 202, then half of the body and a cut connection"),
		def(phaseAfter, "accepted-empty", send, 0, "accepted; 202 with an empty body"),
		def(phaseAfter, "purchase-accepted-then-cut", money, 0, "bought; the connection is closed without an answer"),
		def(phaseAfter, "purchase-accepted-then-500", money, 0, "bought; the answer is 500"),
		def(phaseAfter, "purchase-garbage", money, 0, "bought; 201 with a body that is not JSON"),
		def(phaseAfter, "route-accepted-then-cut", route, 0, "created, set or named; the connection is closed without an answer"),
		def(phaseAfter, "route-accepted-then-500", route, 0, "created, set or named; the answer is 500"),
		def(phaseAfter, "slow-body", writeOps(), time.Second, "took effect; the header at once, the body after the delay"),
		def(phaseAfter, "slow-response", allOps(), time.Second, "took effect; the whole answer comes after the delay"),

		def(phaseRecord, "body-trimmed", send, 0, "the record's body has lost its white space at both ends"),
		def(phaseRecord, "quotes-replaced", send, 0, "the record's body has curly quotes for plain ones and the other way round"),
		def(phaseRecord, "body-suffixed", send, 0, "the record's body ends with ' Reply STOP to opt out'"),
		def(phaseRecord, "body-redacted", send, 0, "the record's body is empty"),
		def(phaseRecord, "split-records", send, 0, "the text is split into two or more MDRs"),
		def(phaseRecord, "mdr-lag", send, 10*time.Second, "the message's record becomes visible later by the delay"),
		def(phaseRecord, "mdr-lag-correlated", send, 3*time.Minute, "accepted; the answer is lost, and no record at all becomes visible for the delay"),
		def(phaseRecord, "mdr-empty-200", lookup, 0, "the MDR listing is 200 with no rows"),
		def(phaseRecord, "purchase-207", money, 0, "bought, but enabling messaging failed: 207"),
		def(phaseRecord, "purchase-lag", money, 5*time.Second, "bought, but the number reads as 404 until the delay has passed"),
	}
}
