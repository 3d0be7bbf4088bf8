package main

import (
	"time"

	"github.com/flowroute-worker/flowroute-worker/config"
	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// senderCaps are the limits of single sending numbers, below the account's.
type senderCaps struct {
	all  ratelimit.Rate // of each number that has none of its own; zero: none
	own  map[flowroute.E164]config.Override
	zone *time.Location // in which a day ends
}

// newSenderCaps reads them; the error names the variable and what it must be.
func newSenderCaps(cfg *config.Config, refuse func(name, rule string)) senderCaps {
	c := senderCaps{own: map[flowroute.E164]config.Override{}, zone: cfg.CarrierDayZone.Location()}
	c.all = keepable("RATE_PER_NUMBER_PER_SECOND", cfg.RatePerNumber, refuse)
	for _, o := range cfg.RateOverrides {
		number, err := flowroute.ParseE164(o.Sender)
		if err != nil {
			refuse("RATE_OVERRIDES", "must name numbers that can send: "+o.Sender+" cannot")
			continue
		}
		keepable("RATE_OVERRIDES", o.Rate, refuse)
		c.own[number] = o
	}
	return c
}

// of is for [worker.Options]; nil when no number has caps.
func (c senderCaps) of() func(flowroute.E164) []ratelimit.Cap {
	if c.all.IsZero() && len(c.own) == 0 {
		return nil
	}
	return c.at
}

// at are the caps of one number.
func (c senderCaps) at(sender flowroute.E164) []ratelimit.Cap {
	own := ratelimit.Cap{Name: "from:" + sender.Digits(), Rate: c.all, Zone: c.zone}
	if o, ok := c.own[sender]; ok {
		own.PerDay = o.PerDay
		if o.Rate.N > 0 {
			own.Rate = ratelimit.Rate{N: o.Rate.N, Per: o.Rate.Per}
		}
	}
	if own.Rate.IsZero() && own.PerDay == 0 {
		return nil
	}
	return []ratelimit.Cap{own}
}
