package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/flowroute-worker/flowroute-worker/config"
	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// settings is the environment, in the types of the packages that use it.
type settings struct {
	*config.Config
	target redisconn.Target
	limits ratelimit.Limits
	caps   senderCaps
}

// need is what a command cannot do without.
type need bool

const (
	redisOnly       need = false
	withCredentials need = true // it talks to Flowroute
)

// minMDRRetention is what the store of records can do.
const minMDRRetention = 24 * time.Hour

// settings reads the environment. The error is a [*configError] with all that is
// wrong with it.
func (w world) settings(ctx context.Context, needs need) (settings, error) {
	cfg, err := config.Load(ctx, w.env)
	problems := flatten(err)
	s := settings{Config: cfg}
	refuse := func(name, rule string) {
		for _, known := range problems {
			if p, ok := errors.AsType[*config.Problem](known); ok && (p.Variable == name || p.Variable == name+"_FILE") {
				return
			}
		}
		problems = append(problems, &config.Problem{Variable: name, Rule: rule})
	}
	if !cfg.RedisURL.IsZero() {
		if s.target, err = redisconn.Parse(cfg.RedisURL.Reveal()); err != nil {
			rule := "must be a Redis URL"
			if bad, ok := errors.AsType[*redisconn.URLError](err); ok {
				rule = bad.Reason
			}
			refuse("REDIS_URL", rule)
		}
	}
	for _, rate := range []struct {
		name string
		from config.Rate
		to   *ratelimit.Rate
	}{
		{"RATE_SMS_PER_SECOND", cfg.RateSMS, &s.limits.SMS},
		{"RATE_MMS_PER_SECOND", cfg.RateMMS, &s.limits.MMS},
		{"RATE_LOOKUPS_PER_SECOND", cfg.RateLookups, &s.limits.Lookups},
		{"RATE_NUMBERS_PER_SECOND", cfg.RateNumbers, &s.limits.Numbers},
	} {
		*rate.to = keepable(rate.name, rate.from, refuse)
	}
	s.caps = newSenderCaps(cfg, refuse)
	if cfg.MDRRetention < minMDRRetention {
		refuse("MDR_RETENTION", "must be at least "+minMDRRetention.String())
	}
	s.limits.LookupsShareSMS = cfg.LookupsShareSMS
	if needs == withCredentials {
		problems = append(problems, flatten(cfg.NeedCredentials())...)
	}
	if len(problems) > 0 {
		return s, &configError{problems}
	}
	return s, nil
}

// keepable is a rate as the limiter takes it; one that it cannot keep is refused.
func keepable(name string, rate config.Rate, refuse func(name, rule string)) ratelimit.Rate {
	r := ratelimit.Rate{N: rate.N, Per: rate.Per}
	if r.IsZero() {
		return r
	}
	if _, err := ratelimit.ParseRate(strconv.Itoa(r.N) + "/" + strconv.FormatFloat(r.Per.Seconds(), 'f', -1, 64)); err != nil {
		rule := err.Error()
		if bad, ok := errors.AsType[*ratelimit.RateError](err); ok {
			rule = bad.Reason
		}
		refuse(name, "cannot be kept: "+rule)
	}
	return r
}

// flatten takes a joined error apart.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// hasCredentials reports whether there is a key to talk to Flowroute with.
func (s settings) hasCredentials() bool { return s.NeedCredentials() == nil }

// client makes the API client; its gate is to be set by the caller.
func (s settings) client(o flowroute.Options) (*flowroute.Client, error) {
	o.BaseURL = string(s.BaseURL)
	o.Credentials = flowroute.Credentials{AccessKey: s.AccessKey, SecretKey: s.SecretKey.Reveal()}
	o.Timeout = s.Timeout
	o.UserAgent = "flowroute-worker/" + readBuild().Version
	client, err := flowroute.New(o)
	if err != nil {
		return nil, &configError{[]error{fmt.Errorf("FLOWROUTE_BASE_URL, FR_ACCESS_KEY or FR_SECRET_KEY: %w", err)}}
	}
	return client, nil
}

// account names whose limits and records these are: the alias, or what the
// client makes of base URL and key.
func (s settings) account(client *flowroute.Client) string {
	if s.AccountAlias != "" {
		return s.AccountAlias
	}
	return client.Account()
}
