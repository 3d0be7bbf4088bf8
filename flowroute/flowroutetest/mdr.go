package flowroutetest

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// never is the end of what only Complete ends.
const never = math.MaxInt64

// Delivery receipt response codes, from Flowroute's published table.
const (
	codeBuffered       = 1003
	codeDelivered      = 1004
	codeRejected       = 1005
	codeNotTextEnabled = 1116
)

// codeText is the published name of a code.
func codeText(code int) string {
	switch code {
	case 1000:
		return "Default State"
	case 1001:
		return "Message queued for delivery"
	case 1002:
		return "Message has been sent"
	case 1003:
		return "Message accepted by Carrier"
	case 1004:
		return "Message delivered to handset"
	case 1005:
		return "Message rejected"
	case 1006:
		return "Message expired"
	case 1007:
		return "Message failed"
	case 1008:
		return "Permanent Send Error"
	case 1105:
		return "Destination Carrier Disabled"
	case 1106:
		return "No Valid Route"
	case 1110:
		return "User Opted Out (STOP)"
	case 1111:
		return "Temporary Resolution Failure"
	case 1112:
		return "Permanent Resolution Failure"
	case 1116:
		return "Destination Address is not text enabled"
	case 1150:
		return "Spam"
	case 1152:
		return "Spam Reject"
	case 1201:
		return "Message too long"
	}
	return "Unknown error"
}

const (
	mdrTime     = "2006-01-02T15:04:05.00Z"
	listingTime = "2006-01-02T15:04:05+00:00"
)

// receipt is one delivery receipt of a record; a code of 0 is null.
type receipt struct {
	level  int
	status string
	code   int
	about  string
	at     int64
}

// receipts returns what is known of r at now, oldest first.
func (r *record) receipts(now int64, buf []receipt) []receipt {
	if r.flags&flagInbound != 0 {
		return buf
	}
	at := r.stamp
	if r.flags&flagRefused == 0 {
		buf = append(buf, receipt{1, "smsc submit", 0, "Message has been sent", at},
			receipt{2, "message buffered", codeBuffered, codeText(codeBuffered), at})
	}
	if r.done <= now && r.code != codeBuffered {
		buf = append(buf, receipt{2, r.status(now), int(r.code), codeText(int(r.code)), at + max(r.done-r.at, 0)})
	}
	return buf
}

func (r *record) status(now int64) string {
	switch {
	case r.flags&flagInbound != 0:
		return "delivered"
	case r.done > now || r.code == codeBuffered:
		return "message buffered"
	case r.code == codeDelivered:
		return "delivered"
	}
	return "failed"
}

// changed is when r last looked different.
func (r *record) changed(now int64) int64 {
	if r.done <= now {
		return max(r.stamp, r.stamp+r.done-r.at)
	}
	return r.stamp
}

func appendMDRID(b []byte, id [16]byte) []byte {
	return hex.AppendEncode(append(b, "mdr2-"...), id[:])
}

func parseMDRID(s string) (id [16]byte, ok bool) {
	h, found := strings.CutPrefix(s, "mdr2-")
	if !found || len(h) != 32 {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(h))
	return id, err == nil
}

// appendRecord renders the resource object of r, for one reader at now.
func appendRecord(b []byte, r *record, now int64, priced bool) []byte {
	b = append(b, `{"attributes":{"body":`...)
	b = appendText(b, r.body)
	b = append(b, `,"status":"`...)
	b = append(b, r.status(now)...)
	direction, ours := `outbound`, r.from
	if r.flags&flagInbound != 0 {
		direction, ours = `inbound`, r.to
	}
	b = append(b, `","direction":"`...)
	b = append(b, direction...)
	b = append(b, `","amount_nanodollars":`...)
	b = strconv.AppendInt(b, r.cost, 10)
	b = append(b, `,"amount_display":"$`...)
	b = appendDollars(b, r.cost)
	b = append(b, `","to":"`...)
	b = strconv.AppendUint(b, r.to, 10)
	b = append(b, `","from":"`...)
	b = strconv.AppendUint(b, r.from, 10)
	if r.flags&flagUCS2 != 0 {
		b = append(b, `","message_encoding":8,"timestamp":"`...)
	} else {
		b = append(b, `","message_encoding":0,"timestamp":"`...)
	}
	stamp := len(b)
	b = time.Unix(0, r.stamp).UTC().AppendFormat(b, mdrTime)
	shown := b[stamp:len(b):len(b)] // most receipts have the same time: formatted once
	b = append(b, `","is_mms":`...)
	b = strconv.AppendBool(b, r.flags&flagMMS != 0)
	if tollFree(ours) {
		b = append(b, `,"message_type":"toll-free"`...)
	} else {
		b = append(b, `,"message_type":"longcode"`...)
	}
	if priced {
		b = appendPrice(b, r)
	}
	b = appendReceipts(append(b, `,"delivery_receipts":[`...), r, now, shown)
	b = append(b, `]},"type":"message","id":"`...)
	b = append(appendMDRID(b, r.id), '"')
	if len(r.media) > 0 {
		b = append(b, `,"relationships":{"media":{"data":[`...)
		for i := range r.media {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(append(b, `{"id":"`...), r.mediaID(i)...), `","type":"media"}`...)
		}
		b = append(b, `]}}`...)
	}
	return append(b, '}')
}

// appendReceipts has the latest and highest first, as the samples do.
func appendReceipts(b []byte, r *record, now int64, stamp []byte) []byte {
	var room [3]receipt
	list := r.receipts(now, room[:0])
	for i := len(list) - 1; i >= 0; i-- {
		d := &list[i]
		b = append(append(append(b, `{"status":"`...), d.status...), `","status_code":`...)
		if d.code == 0 {
			b = append(b, `null`...)
		} else {
			b = strconv.AppendInt(b, int64(d.code), 10)
		}
		b = append(append(append(b, `,"status_code_description":"`...), d.about...), `","timestamp":"`...)
		if d.at == r.stamp {
			b = append(b, stamp...)
		} else {
			b = time.Unix(0, d.at).UTC().AppendFormat(b, mdrTime)
		}
		b = strconv.AppendInt(append(b, `","level":`...), int64(d.level), 10)
		b = append(b, '}')
		if i > 0 {
			b = append(b, ',')
		}
	}
	return b
}

// appendPrice is what v2.2 has on top; rates are strings there.
func appendPrice(b []byte, r *record) []byte {
	b = append(b, `,"price_details":{"base_rate":"`...)
	b = appendDollars(b, r.cost/max(int64(r.segments), 1))
	b = append(b, `","charged_cost":"`...)
	b = appendDollars(b, r.cost)
	b = append(b, `","segment_count":`...)
	b = strconv.AppendInt(b, int64(r.segments), 10)
	return append(b, `,"surcharge_rate":"0.0000"}`...)
}

// appendDollars has four decimals, as amount_display.
func appendDollars(b []byte, nano int64) []byte {
	tenThousandths := (nano + 50_000) / 100_000
	b = strconv.AppendInt(b, tenThousandths/10_000, 10)
	frac := tenThousandths % 10_000
	return append(b, '.', byte('0'+frac/1000), byte('0'+frac/100%10), byte('0'+frac/10%10), byte('0'+frac%10))
}

// appendText is s as a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic("flowroutetest: " + err.Error())
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

func (r *record) mediaID(i int) string {
	id := r.id
	id[15] ^= byte(i + 1)
	return hex.EncodeToString(id[:])
}

// getMessage is GET messages/{id}.
func (s *Simulator) getMessage(c *call) reply {
	name := c.r.PathValue("id")
	if isCallbackType(name) {
		return s.getCallback(c, name)
	}
	now := s.now().UnixNano()
	id, ok := parseMDRID(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	var r *record
	if ok {
		r = s.acct.store.find(id, now)
	}
	if r == nil {
		return s.noSuchResource("No such message")
	}
	b := appendRecord([]byte(`{"data":`), r, now, c.version == "v2.2")
	if len(r.media) > 0 {
		b = append(append(b, `,"included":`...), encode(r.included())...)
	}
	return reply{status: http.StatusOK, body: append(b, '}')}
}

func (r *record) included() []map[string]any {
	var out []map[string]any
	for i, u := range r.media {
		name := u[strings.LastIndexByte(u, '/')+1:]
		out = append(out, map[string]any{"type": "media", "id": r.mediaID(i), "links": map[string]any{"self": u},
			"attributes": map[string]any{"file_name": name, "file_size": 4096 + len(u), "mime_type": "image/gif", "url": u}})
	}
	return out
}
