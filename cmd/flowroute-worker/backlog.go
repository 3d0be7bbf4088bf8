package main

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// backlogView is what is due and not posted yet.
type backlogView struct {
	Backlog []laneBacklog `json:"backlog"`
	Parked  []parkedView  `json:"parked"`
}

// laneBacklog is the messages of one lane.
type laneBacklog struct {
	Lane   ratelimit.Lane `json:"lane"`
	Due    int            `json:"due"`    // in all; those whose time is to come do not count
	Parked int            `json:"parked"` // of these, how many wait for a limit of their own
	// ETASeconds is about how long it takes until the last of them was posted, and all
	// that go before it; 0 when there is no limit.
	ETASeconds float64 `json:"eta_seconds"`
}

// parkedView is the messages that wait for one limit of their own.
type parkedView struct {
	Kind       ratelimit.Kind `json:"kind"` // sms or mms
	Lane       ratelimit.Lane `json:"lane"`
	From       string         `json:"from,omitempty"` // the sending number, if it has limits
	Messages   int            `json:"messages"`
	Limit      string         `json:"limit,omitempty"`
	PerDay     string         `json:"per_day,omitempty"`
	ETASeconds float64        `json:"eta_seconds"`
}

func (p parkedView) what() string { return cmp.Or(p.From, "all "+string(p.Kind)) }

// backlogSource is where it is read.
type backlogSource struct {
	ledger *ledger.Ledger
	queues *asynq.Inspector
	caps   senderCaps
}

func (v *limitsView) addBacklog(ctx context.Context, from backlogSource) error {
	places, err := from.ledger.Parked(ctx)
	if err != nil {
		return err
	}
	parked, slowest := map[ratelimit.Lane]int{}, map[ratelimit.Lane]float64{}
	v.Parked = []parkedView{}
	for text, n := range places {
		if at, ok := worker.ParsePlace(text); ok {
			p := v.parkedAt(at, n, from.caps)
			parked[at.Lane] += n
			slowest[at.Lane] = max(slowest[at.Lane], p.ETASeconds)
			v.Parked = append(v.Parked, p)
		}
	}
	slices.SortFunc(v.Parked, func(a, b parkedView) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.From, b.From), cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Kind, b.Kind))
	})
	present, err := from.queues.Queues()
	if err != nil {
		return err
	}
	before := 0
	for _, lane := range []struct {
		lane   ratelimit.Lane
		queues []string
	}{
		{ratelimit.LaneOTP, []string{ledger.QueueOTP}},
		{ratelimit.LaneNormal, []string{worker.QueueResend, ledger.QueueNormal}},
		{ratelimit.LaneBulk, []string{ledger.QueueBulk}},
	} {
		b := laneBacklog{Lane: lane.lane, Due: parked[lane.lane], Parked: parked[lane.lane]}
		for _, queue := range lane.queues {
			if !slices.Contains(present, queue) {
				continue // nothing was ever put into it
			}
			info, err := from.queues.GetQueueInfo(queue)
			if err != nil {
				return err
			}
			b.Due += info.Pending + info.Active
		}
		before += b.Due
		if b.Due > 0 {
			b.ETASeconds = max(v.eta("sms", before), slowest[lane.lane])
		}
		v.Backlog = append(v.Backlog, b)
	}
	return nil
}

// parkedAt is what waits at one place, and for how long at the lower of its limits.
func (v *limitsView) parkedAt(at worker.Place, messages int, caps senderCaps) parkedView {
	p := parkedView{Kind: at.Kind, Lane: at.Lane, Messages: messages, ETASeconds: v.eta(string(at.Kind), messages)}
	if at.Sender.IsZero() {
		return p
	}
	p.From = at.Sender.String()
	for _, c := range caps.at(at.Sender) {
		if !c.Rate.IsZero() {
			p.Limit = c.Rate.String()
			p.ETASeconds = max(p.ETASeconds, seconds(messages, c.Rate))
		}
		if c.PerDay > 0 {
			p.PerDay = strconv.Itoa(c.PerDay)
			p.ETASeconds = max(p.ETASeconds, 86400*math.Floor(float64(messages-1)/float64(c.PerDay)))
		}
	}
	return p
}

// eta is how long a limit takes for so many messages; 0: there is no such limit.
func (v *limitsView) eta(limit string, messages int) float64 {
	for _, l := range v.Limits {
		if rate, err := ratelimit.ParseRate(l.Effective); l.Name == limit && err == nil {
			return seconds(messages, rate)
		}
	}
	return 0
}

func seconds(messages int, rate ratelimit.Rate) float64 {
	if rate.IsZero() {
		return 0
	}
	return math.Ceil(float64(messages) / rate.PerSecond())
}
