package ratelimit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Rate is a limit of N attempts in any window of length Per. The zero value is
// no limit.
type Rate struct {
	N   int
	Per time.Duration
}

// Bounds of a rate. Above MaxN the permits themselves would be the load.
const (
	MaxN   = 10_000
	MinPer = 10 * time.Millisecond
	MaxPer = time.Hour
)

// RateError says why a text or a value is no rate.
type RateError struct {
	Text   string // as given
	Reason string
}

func (e *RateError) Error() string {
	return fmt.Sprintf("rate %q: %s", e.Text, e.Reason)
}

// ParseRate reads a rate as people write it:
//
//	5        5 in a second
//	5/2      5 in 2 seconds
//	0.5      1 in 2 seconds (below 1: one in the time that makes)
//	2.5      5 in 2 seconds (above 1: as the fraction in whole numbers)
//	0        no limit
//
// Each may end in "/s". The error is a [*RateError].
func ParseRate(s string) (Rate, error) {
	text := strings.TrimSuffix(strings.TrimSpace(s), "/s")
	count, seconds, split := strings.Cut(text, "/")
	n, err := decimal(count)
	if err != nil {
		return Rate{}, &RateError{Text: s, Reason: "not n, n/seconds or a decimal per second"}
	}
	var r Rate
	switch {
	case split:
		per, err := decimal(seconds)
		if err != nil || n%1000 != 0 {
			return Rate{}, &RateError{Text: s, Reason: "not a whole number in a number of seconds"}
		}
		r = Rate{N: int(n / 1000), Per: time.Duration(per) * time.Millisecond}
	case n == 0:
		return Rate{}, nil
	case n < 1000:
		r = Rate{N: 1, Per: time.Duration((1000*1000+n-1)/n) * time.Millisecond}
	default:
		d := gcd(n, 1000)
		r = Rate{N: int(n / d), Per: time.Duration(1000/d) * time.Second}
	}
	if split && r.N == 0 {
		return Rate{}, nil
	}
	if reason := r.invalid(); reason != "" {
		return Rate{}, &RateError{Text: s, Reason: reason}
	}
	return r, nil
}

// decimal reads a number with up to three decimals as thousandths.
func decimal(s string) (int64, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	if len(fraction) > 3 || whole+fraction == "" {
		return 0, strconv.ErrSyntax
	}
	fraction += "000"[len(fraction):]
	n, err := strconv.ParseUint(whole+fraction, 10, 40)
	return int64(n), err
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// IsZero reports whether r is no limit.
func (r Rate) IsZero() bool { return r == Rate{} }

// String writes r as [ParseRate] reads it.
func (r Rate) String() string {
	if r.IsZero() {
		return "0"
	}
	if r.Per == time.Second {
		return strconv.Itoa(r.N)
	}
	return strconv.Itoa(r.N) + "/" + strconv.FormatFloat(r.Per.Seconds(), 'f', -1, 64)
}

// PerSecond returns r as a number per second; +Inf for no limit.
func (r Rate) PerSecond() float64 {
	if r.IsZero() {
		return math.Inf(1)
	}
	return float64(r.N) / r.Per.Seconds()
}

// invalid returns why r cannot be used, or "".
func (r Rate) invalid() string {
	switch {
	case r.N < 1 || r.N > MaxN:
		return fmt.Sprintf("number not from 1 to %d", MaxN)
	case r.Per < MinPer || r.Per > MaxPer:
		return fmt.Sprintf("period not from %v to %v", MinPer, MaxPer)
	}
	return ""
}
