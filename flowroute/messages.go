package flowroute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"unicode/utf8"
)

// Message is one SMS or MMS.
type Message struct {
	From E164 // a number of the account with messaging enabled
	To   E164

	// Body is required for an SMS. How long it may be is not documented;
	// [Segments] tells what it will be billed as.
	Body string

	// MediaURLs are fetched by Flowroute before it answers; any makes the message
	// an MMS. All files together may have 767,840 bytes.
	MediaURLs []string

	// IsMMS sends a text alone as MMS when true. Nil leaves it to the media.
	IsMMS *bool

	// DLRCallback is where Flowroute posts the delivery receipts of this message,
	// instead of the account's setting.
	DLRCallback string
}

// MMS reports whether the message counts as MMS.
func (m Message) MMS() bool {
	return len(m.MediaURLs) > 0 || m.IsMMS != nil && *m.IsMMS
}

// check finds what can be known to be wrong without asking Flowroute.
func (m Message) check() error {
	var errs []error
	if m.From.IsZero() {
		errs = append(errs, errors.New("message has no sender"))
	}
	if m.To.IsZero() {
		errs = append(errs, errors.New("message has no recipient"))
	}
	if m.Body == "" && len(m.MediaURLs) == 0 {
		errs = append(errs, errors.New("message has neither body nor media"))
	}
	if !utf8.ValidString(m.Body) {
		errs = append(errs, errors.New("message body is not UTF-8"))
	}
	for i, u := range m.MediaURLs {
		if err := checkURL(u); err != nil {
			errs = append(errs, fmt.Errorf("media URL %d %w", i+1, err))
		}
	}
	if m.DLRCallback != "" {
		if err := checkURL(m.DLRCallback); err != nil {
			errs = append(errs, fmt.Errorf("DLR callback %w", err))
		}
	}
	return errors.Join(errs...)
}

// checkURL does not quote the URL: it may hold a secret.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("is not an http or https URL")
	}
	return nil
}

// Sent is a message that Flowroute has accepted; whether it is delivered shows in
// its [MDR] and in receipts.
type Sent struct {
	// ID is the message's MDR id, "mdr2-…". It is empty when the status was 2xx
	// but the body could not be read: the message is accepted, its id still to be
	// found out. Sending it again would send it twice.
	ID string

	Status       int           // of HTTP, 202
	PriceDetails *PriceDetails // nil from version 2.1 of the API
}

// PriceDetails is how a price comes about: charged is base and surcharge for
// each segment.
type PriceDetails struct {
	BaseRate      Money
	SurchargeRate Money
	ChargedCost   Money
	SegmentCount  int
}

// SendMessage posts a message. It counts against [EndpointMMS] when m.MMS, else
// against [EndpointSMS].
//
// The error is a [*WriteError]. There is no such thing as a key that would make
// repeating safe: after [ErrOutcomeUnknown] only the MDRs tell.
//
// See https://developer.flowroute.com/api/messages/v2.1/send-an-sms.
func (c *Client) SendMessage(ctx context.Context, m Message, w Write) (Sent, error) {
	endpoint := EndpointSMS
	if m.MMS() {
		endpoint = EndpointMMS
	}
	var body messageRequest
	body.Data.Type = "message"
	body.Data.Attributes = messageAttributes{
		To:          m.To.Digits(),
		From:        m.From.Digits(),
		Body:        m.Body,
		MediaURLs:   m.MediaURLs,
		IsMMS:       m.IsMMS,
		DLRCallback: m.DLRCallback,
	}
	answer, err := c.write(ctx, w, call{
		op:       "send message",
		endpoint: endpoint,
		method:   http.MethodPost,
		path:     "/v2.1/messages",
		body:     body,
		invalid:  m.check(),
	})
	if err != nil {
		return Sent{}, err
	}
	return readSent(answer), nil
}

// messageRequest is the JSON:API form; the API takes a flat one too.
type messageRequest struct {
	Data struct {
		Type       string            `json:"type"`
		Attributes messageAttributes `json:"attributes"`
	} `json:"data"`
}

type messageAttributes struct {
	To          string   `json:"to"`
	From        string   `json:"from"`
	Body        string   `json:"body,omitempty"`
	MediaURLs   []string `json:"media_urls,omitempty"`
	IsMMS       *bool    `json:"is_mms,omitempty"`
	DLRCallback string   `json:"dlr_callback,omitempty"`
}

// readSent takes from the answer what is readable of it: no error undoes a 2xx.
func readSent(answer reply) Sent {
	var doc document[struct {
		PriceDetails *priceDetails `json:"price_details"`
	}]
	_ = json.Unmarshal(answer.body, &doc)
	return Sent{
		ID:           string(doc.Data.ID),
		Status:       answer.status,
		PriceDetails: doc.Data.Attributes.PriceDetails.public(),
	}
}

type priceDetails struct {
	BaseRate      dollars `json:"base_rate"`
	SurchargeRate dollars `json:"surcharge_rate"`
	ChargedCost   dollars `json:"charged_cost"`
	SegmentCount  integer `json:"segment_count"`
}

func (p *priceDetails) public() *PriceDetails {
	if p == nil {
		return nil
	}
	return &PriceDetails{
		BaseRate:      Money(p.BaseRate),
		SurchargeRate: Money(p.SurchargeRate),
		ChargedCost:   Money(p.ChargedCost),
		SegmentCount:  int(p.SegmentCount),
	}
}
