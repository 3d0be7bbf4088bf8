package mdr

// commonWords are those that Flowroute uses for how messages end. What is in the table
// must never change; further ones may be added at its end.
var commonWords = [...]string{
	"message buffered", "Message accepted by Carrier", "smsc submit", "Message has been sent", "longcode",
	"delivered", "Message delivered to handset", "failed", "Message failed", "toll-free", "",
	"message sent", "sent", "delivery success", "delivery failure", "smsc reject",
	"Default State", "Message queued for delivery", "Message rejected", "Message expired", "Permanent Send Error",
	"Unknown error", "Source Carrier Invalid", "Destination Carrier Invalid", "Source Not Authorized",
	"Source Carrier Disabled", "Destination Carrier Disabled", "No Valid Route", "Route Denied", "User Opted Out (STOP)",
	"Temporary Resolution Failure", "Permanent Resolution Failure", "No Handler found",
	"Destination Address is not text enabled", "Spam", "Spam Reject", "Message too long", "System error",
	"Invalid source address", "Invalid destination address", "Message queue full",
}

func (p *packer) word(s string) {
	for i, word := range commonWords {
		if word == s {
			p.uint(uint64(i) + 1)
			return
		}
	}
	p.uint(0)
	p.text(s)
}

func (u *unpacker) word() string {
	if u.texts {
		return u.text()
	}
	switch n := u.uint(); {
	case n == 0:
		return u.text()
	case n <= uint64(len(commonWords)):
		return commonWords[n-1]
	}
	u.err, u.b = ErrNewerVersion, nil
	return ""
}
