package config

import (
	"strconv"
	"strings"
)

// Nanodollars is an amount of money in billionths of a US dollar: what
// Flowroute's records count in, and exact where floating point is not.
type Nanodollars int64

const (
	nanodollarPlaces = 9
	// maxDollarDigits makes room for any price of a text and none for a typo.
	maxDollarDigits = 3
)

// EnvDecode is for go-envconfig. It reads dollars as a decimal.
func (n *Nanodollars) EnvDecode(text string) error {
	const rule = broken("must be US dollars as a decimal such as 0.0040, from 0 to 999, with at most nine places")
	whole, fraction, point := strings.Cut(text, ".")
	if whole == "" || point && fraction == "" || len(whole) > maxDollarDigits || len(fraction) > nanodollarPlaces {
		return rule
	}
	digits := whole + fraction + strings.Repeat("0", nanodollarPlaces-len(fraction))
	amount, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return rule
	}
	*n = Nanodollars(amount)
	return nil
}
