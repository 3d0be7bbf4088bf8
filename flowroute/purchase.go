package flowroute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"
)

// PurchaseOptions are the settings of a number from its first moment; nil and
// empty leave them to Flowroute.
type PurchaseOptions struct {
	CNAMLookups          *bool
	MessagingEnabled     *bool // Flowroute's default is false
	MessagingEmail       string
	MessagingCallbackURL string
}

// Purchased is a number that has been bought.
type Purchased struct {
	// Number is what the response says. When it could not be read, it holds the
	// number itself and nothing else.
	Number NumberDetails

	Status int // of HTTP: 201, or 200, or 207

	// Partial says that the number was bought, but not enabled for messaging as
	// asked (207). Enabling it is what to repeat, not the purchase.
	Partial bool
}

// PurchaseNumber buys a number. Money is spent at once.
//
// The error is a [*WriteError]. After [ErrOutcomeUnknown], [Client.Number] tells
// in the end: the account has the number or not.
//
// Flowroute needs no body here and takes the options in it or in the query. They
// go into the body, and without options it is an empty object: so a purchase
// has the one-shot body that proves a request unsent, like every other write.
//
// See https://developer.flowroute.com/api/numbers/v2.0/purchase-a-phone-number.
func (c *Client) PurchaseNumber(ctx context.Context, n E164, o PurchaseOptions, w Write) (Purchased, error) {
	q := numberCall("purchase number", http.MethodPost, n, "")
	q.body = struct {
		CNAMLookups          *bool  `json:"cnam_lookups_enabled,omitempty"`
		MessagingEnabled     *bool  `json:"messaging_enabled,omitempty"`
		MessagingEmail       string `json:"messaging_email,omitempty"`
		MessagingCallbackURL string `json:"messaging_callback_url,omitempty"`
	}(o)
	answer, err := c.write(ctx, w, q)
	if err != nil {
		return Purchased{}, err
	}
	return Purchased{
		Number:  readWritten(n, answer),
		Status:  answer.status,
		Partial: answer.status == http.StatusMultiStatus,
	}, nil
}

const maxAlias = 64 // characters, of https://developer.flowroute.com/api/numbers/v2.0

// SetAlias names a number of the account; the alias need not be unique, and ""
// takes it away. Repeating it is harmless, unless another alias was set meanwhile.
//
// The error is a [*WriteError].
//
// See https://developer.flowroute.com/api/numbers/v2.0/update-phone-number-alias.
func (c *Client) SetAlias(ctx context.Context, n E164, alias string, w Write) (NumberDetails, error) {
	q := numberCall("set alias", http.MethodPatch, n, "")
	q.body = struct { // flat, unlike all other bodies
		Type  string `json:"type"`
		Alias string `json:"alias"`
	}{"number", alias}
	if length := utf8.RuneCountInString(alias); length > maxAlias {
		q.invalid = errors.Join(q.invalid, fmt.Errorf("alias has %d characters, at most %d are allowed", length, maxAlias))
	}
	answer, err := c.write(ctx, w, q)
	if err != nil {
		return NumberDetails{}, err
	}
	return readWritten(n, answer), nil
}

// readWritten takes from the answer what is readable of it: no error undoes a 2xx.
func readWritten(n E164, answer reply) NumberDetails {
	var doc document[numberAttributes]
	if json.Unmarshal(answer.body, &doc) == nil {
		if details, err := readDetails(doc); err == nil {
			return details
		}
	}
	return NumberDetails{Number: Number{Number: n}}
}
