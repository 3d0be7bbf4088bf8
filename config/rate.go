package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is a limit of N in any time of length Per. The zero value is no limit.
type Rate struct {
	N   int
	Per time.Duration
}

// maxRate is above what any messaging account has, and low enough that
// keeping to it is not itself the load.
const maxRate = 10_000

// maxRatePer keeps a rate from being a daily or monthly cap.
const maxRatePer = time.Hour

const rateRule = "must be n, n/m (n in m seconds) or a decimal per second, such as 5, 1/2 or 0.5"

// ParseRate reads a rate as the variables have it:
//
//	5       5 a second
//	5/2     5 in 2 seconds
//	0.5     1 in 2 seconds
//	2.5     5 in 2 seconds
//	0       no limit
//
// "/s" may follow. A decimal has at most three places.
func ParseRate(text string) (Rate, error) {
	var r Rate
	err := r.EnvDecode(text)
	return r, err
}

// EnvDecode is for go-envconfig.
func (r *Rate) EnvDecode(text string) error {
	count, seconds, split := strings.Cut(strings.TrimSuffix(text, "/s"), "/")
	n, ok := thousandths(count)
	if !ok || split && n%1000 != 0 {
		return broken(rateRule)
	}
	switch {
	case split:
		per, ok := thousandths(seconds)
		if !ok || per == 0 {
			return broken(rateRule)
		}
		*r = Rate{N: int(n / 1000), Per: time.Duration(per) * time.Millisecond}
	case n < 1000 && n > 0:
		// One in the time that makes, rounded up: never more than was asked.
		*r = Rate{N: 1, Per: time.Duration((1_000_000+n-1)/n) * time.Millisecond}
	default:
		whole := greatestCommonDivisor(n, 1000)
		*r = Rate{N: int(n / whole), Per: time.Duration(1000/whole) * time.Second}
	}
	return r.bound()
}

// bound refuses what is too fast or too slow, and makes 0 the zero value.
func (r *Rate) bound() error {
	switch {
	case r.N == 0:
		*r = Rate{}
	case r.N > maxRate || float64(r.N)/r.Per.Seconds() > maxRate:
		return broken(fmt.Sprintf("must be at most %d a second", maxRate))
	case r.Per > maxRatePer:
		return broken("must be at least one an hour (or 0 for no limit)")
	}
	return nil
}

// thousandths reads a number without sign and with at most three decimals.
func thousandths(text string) (int64, bool) {
	whole, fraction, point := strings.Cut(text, ".")
	if whole == "" || point && fraction == "" || len(whole) > 9 || len(fraction) > 3 {
		return 0, false
	}
	digits := whole + fraction + strings.Repeat("0", 3-len(fraction))
	n, err := strconv.ParseUint(digits, 10, 63)
	return int64(n), err == nil
}

func greatestCommonDivisor(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
