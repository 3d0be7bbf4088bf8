package flowroute

import (
	"fmt"
	"strings"
)

// Money is an amount in nanodollars, a billionth of a US dollar: the unit in
// which Flowroute states what a message cost.
type Money int64

const nanosPerDollar = 1_000_000_000

// ParseMoney parses an amount of dollars, such as "1.25" or "$0.0040", exactly.
// Digits beyond a nanodollar are rounded.
func ParseMoney(s string) (Money, error) {
	n, err := scaled(strings.TrimPrefix(s, "$"), nanosPerDollar)
	if err != nil {
		return 0, fmt.Errorf("amount %q %w", s, err)
	}
	return Money(n), nil
}

// String returns the amount in dollars with at least two decimals: "$1.25",
// "$0.004".
func (m Money) String() string {
	sign, abs := "", uint64(m)
	if m < 0 {
		sign, abs = "-", -abs
	}
	text := fmt.Sprintf("%s$%d.%09d", sign, abs/nanosPerDollar, abs%nanosPerDollar)
	cents := len(text) - len("0000000")
	return text[:cents] + strings.TrimRight(text[cents:], "0")
}
