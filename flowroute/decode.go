package flowroute

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Flowroute's types are not quite what its documents say: ids and amounts come
// as strings or numbers, flags as booleans or words, timestamps in several
// forms, and each may be null or missing. The types of this file take all of
// that; what is no number, flag or time in any form is an error.

// text is a JSON string, or a number or boolean as it is written.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	if b[0] == '{' || b[0] == '[' {
		return errors.New("a text is an object or an array")
	}
	*t = text(looseText(b))
	return nil
}

// flag is a JSON boolean, or one as a word: SDKs send is_mms as "true".
type flag bool

func (f *flag) UnmarshalJSON(b []byte) error {
	s := strings.ToLower(looseText(b))
	if s == "" {
		return nil
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		return errors.New("a flag is not a boolean")
	}
	*f = flag(v)
	return nil
}

// integer is a JSON number without a fraction, or a string with one.
type integer int64

func (i *integer) UnmarshalJSON(b []byte) error {
	s := looseText(b)
	if s == "" {
		return nil
	}
	n, err := scaled(s, 1)
	if err != nil {
		return fmt.Errorf("an integer %w", err)
	}
	*i = integer(n)
	return nil
}

// dollars is an amount of dollars as a JSON number or string. An empty string is
// an error: it must not pass for a price of nothing.
type dollars Money

func (d *dollars) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	n, err := scaled(looseText(b), nanosPerDollar)
	if err != nil {
		return fmt.Errorf("an amount %w", err)
	}
	*d = dollars(n)
	return nil
}

// moment is a timestamp, usually RFC 3339 with a fraction of two or six digits or
// none. There may be a space for the T, and no zone, which is UTC.
type moment struct{ time.Time }

func (m *moment) UnmarshalJSON(b []byte) error {
	s := looseText(b)
	if s == "" {
		return nil
	}
	for _, layout := range [...]string{
		time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", time.DateTime,
	} {
		if t, err := time.Parse(layout, s); err == nil {
			m.Time = t.UTC()
			return nil
		}
	}
	return errors.New("a timestamp has an unknown form")
}

// scaled returns the decimal s times scale, exactly for all that has no more
// digits than scale allows, else rounded.
func scaled(s string, scale int64) (int64, error) {
	// 128 bits hold each product that fits an int64 with 64 bits to spare, which
	// rounding to the nearest integer brings back to the exact value.
	f, _, err := big.ParseFloat(s, 10, 128, big.ToNearestEven)
	if err != nil || f.IsInf() {
		return 0, errors.New("is not a number")
	}
	f.Mul(f, new(big.Float).SetInt64(scale))
	half := big.NewFloat(0.5)
	if f.Signbit() {
		half.Neg(half)
	}
	f.Add(f, half)
	if f.MantExp(nil) > 63 {
		return 0, errors.New("is out of range")
	}
	n, _ := f.Int64()
	return n, nil
}

// resource is a JSON:API object with the relationships that Flowroute uses.
type resource[A any] struct {
	ID            text `json:"id"`
	Attributes    A    `json:"attributes"`
	Relationships struct {
		Media         toMany `json:"media"`
		PrimaryRoute  toOne  `json:"primary_route"`
		FailoverRoute toOne  `json:"failover_route"`
		E911Address   toOne  `json:"e911_address"`
		CNAMPreset    toOne  `json:"cnam_preset"`
	} `json:"relationships"`
}

type toOne struct {
	Data *reference `json:"data"`
}

type toMany struct {
	Data []reference `json:"data"`
}

type reference struct {
	ID text `json:"id"`
}

// id returns "" when the relationship is null or missing.
func (r toOne) id() string {
	if r.Data == nil {
		return ""
	}
	return string(r.Data.ID)
}

// included is what comes along with a record: routes of a number, media of a
// message, and kinds that are none of our business.
type included struct {
	ID         text            `json:"id"`
	Type       text            `json:"type"`
	Attributes json.RawMessage `json:"attributes"`
}

// document is the body of a response about one record.
type document[A any] struct {
	Data     resource[A] `json:"data"`
	Included []included  `json:"included"`
}

// listDocument is the body of one page.
type listDocument[A any] struct {
	Data     []resource[A] `json:"data"`
	Included []included    `json:"included"`
	Links    *struct {
		Next text `json:"next"`
	} `json:"links"`
}

// more reports whether rows follow after this page. Flowroute leaves links.next
// away on the last one. Where there are no links at all, only a page without rows
// is surely the last: a short one may be the server's cap.
func (d *listDocument[A]) more() bool {
	if d.Links == nil {
		return len(d.Data) > 0
	}
	return d.Links.Next != "" && len(d.Data) > 0
}
