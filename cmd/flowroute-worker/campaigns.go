package main

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// newCampaigns makes the store of campaigns, as the environment says.
func (s settings) newCampaigns(rdb redis.UniversalClient, senders checkSenders) (*campaign.Store, error) {
	optOuts, err := suppress.New(rdb, s.optOutOptions())
	if err != nil {
		return nil, err
	}
	return campaign.New(rdb, campaign.Options{
		Retention: s.LedgerRetention, Durable: s.waitsForDisk(), OptOuts: optOuts, Senders: senders,
		SendingHours: jobs.SendingHours{Start: s.SendingHours.Start, End: s.SendingHours.End},
		BrakePercent: s.CampaignBrake.Percent, BrakeWindow: s.CampaignBrake.Window, SegmentPrice: flowroute.Money(s.SegmentPrice),
	})
}

// campaignCaps gives the worker the limits of campaigns. A campaign's never changes.
type campaignCaps struct {
	store *campaign.Store
	mu    sync.Mutex
	known map[ledger.ID][]ratelimit.Cap
}

// campaignCapsMost bounds what is remembered.
const campaignCapsMost = 1000

func (c *campaignCaps) of(id ledger.ID) []ratelimit.Cap {
	c.mu.Lock()
	caps, known := c.known[id]
	c.mu.Unlock()
	if known {
		return caps
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	found, err := c.store.Get(ctx, id)
	if err != nil {
		return nil // the account's limit holds all the same
	}
	if rate := rateOf(found.Spec.Rate); !rate.IsZero() {
		caps = []ratelimit.Cap{{Name: "campaign:" + id.String(), Rate: rate}}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= campaignCapsMost {
		clear(c.known)
	}
	c.known[id] = caps
	return caps
}

// rateOf is a number of messages a second as the limiter takes it, at most a tenth less.
func rateOf(perSecond float64) ratelimit.Rate {
	switch {
	case perSecond <= 0:
		return ratelimit.Rate{}
	case perSecond < 1:
		return ratelimit.Rate{N: 1, Per: time.Duration(math.Ceil(float64(time.Second) / perSecond))}
	}
	for seconds := 1; seconds <= 10; seconds++ {
		if n := perSecond * float64(seconds); math.Abs(n-math.Round(n)) < 1e-6 {
			return ratelimit.Rate{N: int(math.Round(n)), Per: time.Duration(seconds) * time.Second}
		}
	}
	return ratelimit.Rate{N: int(perSecond * 10), Per: 10 * time.Second}
}

// newFeeder makes what feeds campaigns, for the processes that post.
func (v *service) newFeeder(client *jobs.Client, clocks *campaign.Clocks) (*campaign.Feeder, error) {
	o := campaign.FeederOptions{Store: v.campaigns, Jobs: client, Clocks: clocks, Logger: v.log}
	if !v.limits.SMS.IsZero() {
		o.Rate = v.limits.SMS.PerSecond()
	}
	return campaign.NewFeeder(o)
}
