package mdr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// A record is packed as a byte of marks and its content:
//
//	varint flags, varint time in the minute, from, to, body, status, message type,
//	then what the flags announce in their order: id, encoding, amount shown,
//	receipts, price details, media. The amount is always there, after the type.
//
// A text is its length and its bytes; a status, a type and a description are words, which
// are their places in a table (words.go), or 0 and a text. A number that is digits alone is a varint,
// else 0 and a text. A span of time is in hundredths of a second, times two; odd
// values are nanoseconds.

const (
	markMatched = 1 << iota
)

const (
	flagInbound = 1 << iota
	flagMMS
	flagID        // the id is not mdr2- and 32 hex digits
	flagEncoding  // it is not 0
	flagShown     // the amount shown is not the amount with four decimals
	flagReceipts  //
	flagPrice     //
	flagMedia     //
	flagDirection // it is neither inbound nor outbound
)

var errCut = errors.New("a stored record is cut")

type packer struct{ b []byte }

func (p *packer) uint(n uint64) { p.b = binary.AppendUvarint(p.b, n) }
func (p *packer) int(n int64)   { p.b = binary.AppendVarint(p.b, n) }

func (p *packer) text(s string) {
	p.uint(uint64(len(s)))
	p.b = append(p.b, s...)
}

func (p *packer) number(s string) {
	n := plainNumber(s)
	p.uint(n)
	if n == 0 {
		p.text(s)
	}
}

// plainNumber is a text that is digits alone as a number, else 0.
func plainNumber(s string) uint64 {
	if s == "" || s[0] < '1' || s[0] > '9' {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 62)
	if err != nil {
		return 0
	}
	return n
}

const (
	tick = 10 * time.Millisecond
	// A receipt's time that is farther from the record's is nonsense, and would not
	// fit; it is kept as missing.
	farthest = 100 * 365 * day
)

func (p *packer) span(d time.Duration) {
	if d%tick == 0 {
		p.int(int64(d/tick) * 2)
		return
	}
	p.int(int64(d)*2 + 1)
}

type unpacker struct {
	b     []byte
	texts bool // words are texts: the first format
	err   error
}

func (u *unpacker) uint() uint64 {
	n, size := binary.Uvarint(u.b)
	if size <= 0 {
		u.err, u.b = errCut, nil
		return 0
	}
	u.b = u.b[size:]
	return n
}

func (u *unpacker) int() int64 {
	n, size := binary.Varint(u.b)
	if size <= 0 {
		u.err, u.b = errCut, nil
		return 0
	}
	u.b = u.b[size:]
	return n
}

func (u *unpacker) text() string {
	n := u.uint()
	if n > uint64(len(u.b)) {
		u.err, u.b = errCut, nil
		return ""
	}
	s := string(u.b[:n])
	u.b = u.b[n:]
	return s
}

func (u *unpacker) number() string {
	n := u.uint()
	if n == 0 {
		return u.text()
	}
	return strconv.FormatUint(n, 10)
}

func (u *unpacker) span() time.Duration {
	n := u.int()
	if n&1 == 0 {
		return time.Duration(n/2) * tick
	}
	return time.Duration((n - 1) / 2)
}

// count reads the length of a list, whose entries take a byte each at least.
func (u *unpacker) count() int {
	n := u.uint()
	if n > uint64(len(u.b)) {
		u.err, u.b = errCut, nil
		return 0
	}
	return int(n)
}

// pack packs a record whose place is in minute m.
func pack(r Record, m int64) []byte {
	p := packer{b: make([]byte, 0, 160+len(r.Body))}
	var marks byte
	if r.Matched {
		marks |= markMatched
	}
	p.b = append(p.b, marks)
	_, exact := packID(r.ID)
	flags := flagsOf(r, exact)
	p.uint(flags)
	p.span(r.Timestamp.Sub(minuteStart(m)))
	p.number(r.From)
	p.number(r.To)
	p.text(r.Body)
	p.word(r.Status)
	p.word(r.MessageType)
	p.int(r.AmountNanodollars)
	if flags&flagID != 0 {
		p.text(r.ID)
	}
	if flags&flagEncoding != 0 {
		p.int(int64(r.Encoding))
	}
	if flags&flagShown != 0 {
		p.text(r.AmountDisplay)
	}
	p.tail(r, flags)
	return p.b
}

func flagsOf(r Record, exact bool) uint64 {
	var flags uint64
	for _, f := range []struct {
		flag uint64
		set  bool
	}{
		{flagInbound, r.Direction == flowroute.Inbound},
		{flagMMS, r.IsMMS},
		{flagID, !exact},
		{flagEncoding, r.Encoding != 0},
		{flagShown, r.AmountDisplay != shown(r.AmountNanodollars)},
		{flagReceipts, len(r.Receipts) > 0},
		{flagPrice, r.PriceDetails != nil},
		{flagMedia, len(r.Media) > 0},
		{flagDirection, r.Direction != flowroute.Inbound && r.Direction != flowroute.Outbound},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	return flags
}

// shown is how Flowroute shows an amount: "$0.0040".
func shown(nanodollars int64) string {
	sign, n := "", nanodollars
	if n < 0 {
		sign, n = "-", -n
	}
	if n < 0 || n%100_000 != 0 {
		return ""
	}
	return fmt.Sprintf("%s$%d.%04d", sign, n/1e9, n%1e9/100_000)
}

func (p *packer) tail(r Record, flags uint64) {
	if flags&flagReceipts != 0 {
		p.uint(uint64(len(r.Receipts)))
		for _, receipt := range r.Receipts {
			p.int(int64(receipt.Level))
			p.word(receipt.Status)
			p.code(receipt.StatusCode)
			p.word(receipt.Description)
			p.stamp(receipt.Timestamp, r.Timestamp)
		}
	}
	if price := r.PriceDetails; price != nil {
		p.int(int64(price.BaseRate))
		p.int(int64(price.SurchargeRate))
		p.int(int64(price.ChargedCost))
		p.int(int64(price.SegmentCount))
	}
	if flags&flagMedia != 0 {
		p.uint(uint64(len(r.Media)))
		for _, media := range r.Media {
			p.text(media.ID)
			p.text(media.FileName)
			p.text(media.MIMEType)
			p.text(media.URL)
			p.int(media.FileSize)
		}
	}
	if flags&flagDirection != 0 {
		p.text(string(r.Direction))
	}
}

// code is a status code, zigzag and one more; 0 is none.
func (p *packer) code(code *int) {
	if code == nil {
		p.uint(0)
		return
	}
	p.uint(1 + uint64(uint32(*code)))
}

// stamp is a time near another; a missing one is told apart.
func (p *packer) stamp(t, near time.Time) {
	d := t.Sub(near)
	if t.IsZero() || d.Abs() > farthest {
		p.uint(0)
		return
	}
	p.uint(1)
	p.span(d)
}

// unpack reads what pack wrote.
func unpack(b []byte, raw rawID, m int64) (Record, error) { return unpackAs(b, raw, m, false) }

func unpackAs(b []byte, raw rawID, m int64, texts bool) (Record, error) {
	if len(b) == 0 {
		return Record{}, errCut
	}
	r := Record{Matched: b[0]&markMatched != 0}
	u := unpacker{b: b[1:], texts: texts}
	flags := u.uint()
	r.Timestamp = minuteStart(m).Add(u.span())
	r.From, r.To = u.number(), u.number()
	r.Body, r.Status, r.MessageType = u.text(), u.word(), u.word()
	r.AmountNanodollars = u.int()
	r.Direction, r.IsMMS = flowroute.Outbound, flags&flagMMS != 0
	if flags&flagInbound != 0 {
		r.Direction = flowroute.Inbound
	}
	r.ID, r.AmountDisplay = unpackID(raw), shown(r.AmountNanodollars)
	if flags&flagID != 0 {
		r.ID = u.text()
	}
	if flags&flagEncoding != 0 {
		r.Encoding = int(u.int())
	}
	if flags&flagShown != 0 {
		r.AmountDisplay = u.text()
	}
	u.tail(&r, flags)
	return r, u.err
}

func (u *unpacker) tail(r *Record, flags uint64) {
	if flags&flagReceipts != 0 {
		for range u.count() {
			r.Receipts = append(r.Receipts, flowroute.DeliveryReceipt{
				Level: int(u.int()), Status: u.word(), StatusCode: u.code(), Description: u.word(), Timestamp: u.stamp(r.Timestamp),
			})
		}
	}
	if flags&flagPrice != 0 {
		r.PriceDetails = &flowroute.PriceDetails{
			BaseRate: flowroute.Money(u.int()), SurchargeRate: flowroute.Money(u.int()),
			ChargedCost: flowroute.Money(u.int()), SegmentCount: int(u.int()),
		}
	}
	if flags&flagMedia != 0 {
		for range u.count() {
			r.Media = append(r.Media, flowroute.Media{ID: u.text(), FileName: u.text(), MIMEType: u.text(), URL: u.text(), FileSize: u.int()})
		}
	}
	if flags&flagDirection != 0 {
		r.Direction = flowroute.Direction(u.text())
	}
}

func (u *unpacker) code() *int {
	n := u.uint()
	if n == 0 {
		return nil
	}
	return new(int(int32(uint32(n - 1))))
}

func (u *unpacker) stamp(near time.Time) time.Time {
	if u.uint() == 0 {
		return time.Time{}
	}
	return near.Add(u.span()).UTC()
}
