package jobs

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Decimal is an amount of US dollars as text, like "1.25": exact, to nine
// decimals. In JSON it may be a number or a string.
type Decimal string

// Money is the amount. Errors: the text is no amount from 0 to 999999999 with at
// most nine decimals.
func (d Decimal) Money() (flowroute.Money, error) {
	whole, fraction, dotted := strings.Cut(string(d), ".")
	if !isDigits(whole, 1, 9) || !isDigits(fraction, 0, 9) || (dotted && fraction == "") {
		return 0, errors.New("is no amount: give US dollars like 1.25, at most nine decimals")
	}
	fraction += strings.Repeat("0", 9-len(fraction))
	nanodollars, err := strconv.ParseInt(whole+fraction, 10, 64)
	return flowroute.Money(nanodollars), err
}

// UnmarshalJSON takes a number, whose text is kept as it is, or a string.
func (d *Decimal) UnmarshalJSON(b []byte) error {
	var text string
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
		*d = Decimal(text)
		return nil
	}
	var number json.Number
	if err := json.Unmarshal(b, &number); err != nil {
		return err
	}
	*d = Decimal(number)
	return nil
}

// cost reads an optional bound; nil is none.
func (d *door) cost(field string, amount Decimal) *flowroute.Money {
	if amount == "" {
		return nil
	}
	money, err := amount.Money()
	if err != nil {
		d.refuse(field, CodeInvalid, "%v", err)
		return nil
	}
	return &money
}
