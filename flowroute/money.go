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
	digits := strings.TrimPrefix(s, "$")
	if digits == "" {
		return 0, fmt.Errorf("amount %q is not a number", s)
	}
	n, err := scaled(digits, nanosPerDollar)
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
	fraction := strings.TrimRight(fmt.Sprintf("%09d", abs%nanosPerDollar), "0")
	return fmt.Sprintf("%s$%d.%-02s", sign, abs/nanosPerDollar, fraction)
}
