package flowroute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Direction is a message's, seen from the account.
type Direction string

const (
	Inbound  Direction = "inbound"
	Outbound Direction = "outbound"
)

// MDR is a message detail record: what Flowroute knows about one message.
type MDR struct {
	ID        string // "mdr2-" and 32 hex digits
	Direction Direction
	From, To  string // digits without +; an inbound sender may be a short code
	Body      string // may differ from what was sent: trimmed, or with plain quotes
	Status    string // an open set of words; see [MDR.Delivery]

	IsMMS       bool
	MessageType string // "longcode" or "toll-free"
	Encoding    int    // 0 ASCII, 8 UCS-2

	AmountNanodollars int64
	AmountDisplay     string        // "$0.0040"
	PriceDetails      *PriceDetails // nil from version 2.1 of the API

	Timestamp time.Time // Flowroute's clock, UTC, to a hundredth of a second
	Receipts  []DeliveryReceipt
	Media     []Media // of an MMS
}

// Media is a file of an inbound MMS.
type Media struct {
	ID       string
	FileName string
	MIMEType string
	URL      string
	FileSize int64 // bytes
}

// MDR looks one message up. Shortly after it was sent the answer may still be
// [ErrNotFound].
//
// See https://developer.flowroute.com/api/messages/v2.1/look-up-a-message-detail-record.
func (c *Client) MDR(ctx context.Context, id string) (MDR, error) {
	var doc document[mdrAttributes]
	err := c.read(ctx, call{
		op:       "look up MDR",
		endpoint: EndpointLookup,
		method:   http.MethodGet,
		path:     "/v2.1/messages/" + id,
		limit:    maxReply,
		invalid:  checkMDRID(id),
	}, &doc)
	if err != nil {
		return MDR{}, err
	}
	return readMDR(doc.Data, doc.Included), nil
}

// checkMDRID keeps what is no id out of the path.
func checkMDRID(id string) error {
	safe := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_'
	}
	if id == "" || strings.ContainsFunc(id, func(r rune) bool { return !safe(r) }) {
		return fmt.Errorf("MDR id %q", id)
	}
	return nil
}

// MDRQuery selects the messages of a time window. There is no other filter.
type MDRQuery struct {
	// Start is required. It is sent rounded down to a hundredth of a second.
	Start time.Time

	// End is sent rounded up; whether it is inclusive is not documented. The zero
	// time is no end.
	End time.Time

	// Limit is the number of rows of a page; Flowroute's documents allow any, and
	// a server that gives fewer is followed. Defaults to 1000.
	Limit int

	// Offset is the number of rows to leave out at the beginning.
	Offset int
}

const defaultMDRLimit = 1000

func (q MDRQuery) check() error {
	switch {
	case q.Start.IsZero():
		return errors.New("MDR query has no start")
	case !q.End.IsZero() && q.End.Before(q.Start):
		return errors.New("MDR query ends before it starts")
	default:
		return checkWindow(q.Limit, q.Offset)
	}
}

func (q MDRQuery) values() url.Values {
	const tick = 10 * time.Millisecond
	v := url.Values{"start_date": {mdrTime(q.Start.Truncate(tick))}}
	if !q.End.IsZero() {
		v.Set("end_date", mdrTime(q.End.Add(tick-1).Truncate(tick)))
	}
	return v
}

func mdrTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.00Z") }

// MDRPage reads one page, in one request.
//
// See https://developer.flowroute.com/api/messages/v2.1/look-up-a-set-of-messages.
func (c *Client) MDRPage(ctx context.Context, q MDRQuery) (Page[MDR], error) {
	if q.Limit == 0 {
		q.Limit = defaultMDRLimit
	}
	var doc listDocument[mdrAttributes]
	err := c.read(ctx, call{
		op:       "list MDRs",
		endpoint: EndpointLookup,
		method:   http.MethodGet,
		path:     "/v2.1/messages",
		query:    windowed(q.values(), q.Limit, q.Offset),
		limit:    maxList,
		invalid:  q.check(),
	}, &doc)
	if err != nil {
		return Page[MDR]{}, err
	}
	page := Page[MDR]{Items: make([]MDR, len(doc.Data)), More: doc.more(), noLinks: doc.Links == nil}
	for i, row := range doc.Data {
		page.Items[i] = readMDR(row, doc.Included)
	}
	return page, nil
}

type mdrAttributes struct {
	Direction         text          `json:"direction"`
	From              text          `json:"from"`
	To                text          `json:"to"`
	Body              text          `json:"body"`
	Status            text          `json:"status"`
	IsMMS             flag          `json:"is_mms"`
	MessageType       text          `json:"message_type"`
	MessageEncoding   integer       `json:"message_encoding"`
	AmountNanodollars integer       `json:"amount_nanodollars"`
	AmountDisplay     text          `json:"amount_display"`
	Timestamp         moment        `json:"timestamp"`
	DeliveryReceipts  []receipt     `json:"delivery_receipts"`
	PriceDetails      *priceDetails `json:"price_details"`
}

type receipt struct {
	Level       integer  `json:"level"`
	Status      text     `json:"status"`
	StatusCode  *integer `json:"status_code"`
	Description text     `json:"status_code_description"`
	Timestamp   moment   `json:"timestamp"`
}

func (r receipt) public() DeliveryReceipt {
	d := DeliveryReceipt{
		Level:       int(r.Level),
		Status:      string(r.Status),
		Description: string(r.Description),
		Timestamp:   r.Timestamp.Time,
	}
	if r.StatusCode != nil {
		d.StatusCode = new(int(*r.StatusCode))
	}
	return d
}

func readMDR(r resource[mdrAttributes], extras []included) MDR {
	a := r.Attributes
	m := MDR{
		ID:                string(r.ID),
		Direction:         Direction(a.Direction),
		From:              string(a.From),
		To:                string(a.To),
		Body:              string(a.Body),
		Status:            string(a.Status),
		IsMMS:             bool(a.IsMMS),
		MessageType:       string(a.MessageType),
		Encoding:          int(a.MessageEncoding),
		AmountNanodollars: int64(a.AmountNanodollars),
		AmountDisplay:     string(a.AmountDisplay),
		PriceDetails:      a.PriceDetails.public(),
		Timestamp:         a.Timestamp.Time,
	}
	for _, dlr := range a.DeliveryReceipts {
		m.Receipts = append(m.Receipts, dlr.public())
	}
	for _, ref := range r.Relationships.Media.Data {
		m.Media = append(m.Media, readMedia(ref, extras))
	}
	return m
}

// readMedia fills in what the response says about a file, if anything.
func readMedia(ref reference, extras []included) Media {
	m := Media{ID: string(ref.ID)}
	i := slices.IndexFunc(extras, func(x included) bool { return x.Type == "media" && x.ID == ref.ID })
	if i < 0 {
		return m
	}
	var a struct {
		FileName text    `json:"file_name"`
		FileSize integer `json:"file_size"`
		MIMEType text    `json:"mime_type"`
		URL      text    `json:"url"`
	}
	_ = json.Unmarshal(extras[i].Attributes, &a)
	m.FileName, m.MIMEType, m.URL, m.FileSize = string(a.FileName), string(a.MIMEType), string(a.URL), int64(a.FileSize)
	return m
}
