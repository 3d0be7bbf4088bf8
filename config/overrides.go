package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Override caps one sending number, besides the account's limits.
type Override struct {
	// Sender is the number in E.164, as in "+12065550100".
	Sender string
	// Rate is zero when there is no such cap.
	Rate Rate
	// PerDay is how many in one carrier's day, 0 when there is no such cap.
	PerDay int
}

// Overrides are the caps of all numbers that have some.
type Overrides []Override

const maxPerDay = 100_000_000

// EnvDecode is for go-envconfig. It reads sender=cap,cap,sender=cap where a
// cap is a rate or n/d, n a day.
func (o *Overrides) EnvDecode(text string) error {
	var overrides Overrides
	for part := range strings.SplitSeq(text, ",") {
		limit := part
		if sender, rest, found := strings.Cut(part, "="); found {
			limit = rest
			if !isE164(sender) {
				return broken(fmt.Sprintf("must name senders in E.164 as in +12065550100=0.5/s,2000/d; %q is not", sender))
			}
			for _, other := range overrides {
				if other.Sender == sender {
					return broken(fmt.Sprintf("must name each sender once; %s is there twice", sender))
				}
			}
			overrides = append(overrides, Override{Sender: sender})
		}
		if len(overrides) == 0 {
			return broken("must begin with a sender, as in +12065550100=0.5/s,2000/d")
		}
		if err := overrides[len(overrides)-1].add(limit); err != nil {
			return err
		}
	}
	*o = overrides
	return nil
}

// add sets one cap.
func (o *Override) add(limit string) error {
	twice := broken(fmt.Sprintf("must give a sender one rate and one cap a day at most; %s has more", o.Sender))
	if count, daily := strings.CutSuffix(limit, "/d"); daily {
		n, err := strconv.ParseUint(count, 10, 32)
		if err != nil || n < 1 || n > maxPerDay {
			return broken(fmt.Sprintf("must have caps a day from 1/d to %d/d; %q is not", maxPerDay, limit))
		}
		if o.PerDay != 0 {
			return twice
		}
		o.PerDay = int(n)
		return nil
	}
	rate, err := ParseRate(limit)
	if err != nil || rate == (Rate{}) {
		return broken(fmt.Sprintf("must have caps such as 0.5/s, 1/2 (one in two seconds) or 2000/d; %q is not", limit))
	}
	if o.Rate != (Rate{}) {
		return twice
	}
	o.Rate = rate
	return nil
}

// isE164 checks the form alone: whether such a number exists is for the API.
func isE164(text string) bool {
	digits, found := strings.CutPrefix(text, "+")
	if !found || len(digits) < 8 || len(digits) > 15 || digits[0] == '0' {
		return false
	}
	return !strings.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
}
