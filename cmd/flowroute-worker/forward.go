package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/config"
	"github.com/flowroute-worker/flowroute-worker/jobs/forward"
)

// stuck is for how long something waits that a receiver ought to have.
const stuck = 10 * time.Minute

// receiver is where what Flowroute posts here is posted on.
type receiver struct {
	kind forward.Kind
	name string // of the variable
	url  config.Secret
}

// receivers lists all kinds; those without an address want nothing.
func (s settings) receivers() []receiver {
	return []receiver{
		{forward.Receipts, "FORWARD_DLR_URL", s.ForwardDLRURL}, {forward.SMS, "FORWARD_SMS_URL", s.ForwardSMSURL}, {forward.MMS, "FORWARD_MMS_URL", s.ForwardMMSURL},
	}
}

// wantedPosts are the receivers that have an address.
func (s settings) wantedPosts() []receiver {
	return slices.DeleteFunc(s.receivers(), func(r receiver) bool { return r.url.IsZero() })
}

// openForward opens what waits to be posted on, when anybody wants something.
func (v *service) openForward() error {
	if len(v.wantedPosts()) == 0 {
		return nil
	}
	store, err := forward.New(v.redis.producer, forward.Options{Registry: v.registry, Logger: v.log})
	if err != nil {
		return err
	}
	v.forward = store
	return v.registry.Register(forwardBacklog{v})
}

// keepPost writes a post down for its receiver.
func (v *service) keepPost(ctx context.Context, kind, contentType string, body []byte) (wanted bool, err error) {
	k := forward.Kind(kind)
	if !slices.ContainsFunc(v.wantedPosts(), func(r receiver) bool { return r.kind == k }) {
		return false, nil
	}
	return true, v.forward.Add(ctx, k, contentType, body)
}

// forwarders are the parts that post on, one for each receiver.
func (v *service) forwarders() (parts []part, err error) {
	for _, r := range v.wantedPosts() {
		sender, err := forward.NewSender(forward.SenderOptions{
			Store: v.forward, Kind: r.kind, URL: r.url.Reveal(), UserAgent: "flowroute-worker/" + readBuild().Version, Logger: v.log,
		})
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{"forward-" + string(r.kind), sender.Run})
	}
	return parts, nil
}

// forwardBacklog reads what waits, which all processes share, for each scrape.
type forwardBacklog struct{ v *service }

// Describe says nothing beforehand: without Redis there is none.
func (forwardBacklog) Describe(chan<- *prometheus.Desc) {}

// Collect leaves out what cannot be had.
func (b forwardBacklog) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	waiting := prometheus.NewDesc("flowroute_worker_forward_waiting", "Posts of Flowroute's that wait to be posted on to FORWARD_…_URL.", []string{"kind"}, nil)
	lag := prometheus.NewDesc("flowroute_worker_forward_lag_seconds", "For how long the oldest of them waits.", []string{"kind"}, nil)
	for _, r := range b.v.wantedPosts() {
		backlog, err := b.v.forward.Backlog(ctx, r.kind)
		if err != nil {
			return
		}
		age := 0.0
		if !backlog.Oldest.IsZero() {
			age = max(0, time.Since(backlog.Oldest).Seconds())
		}
		ch <- prometheus.MustNewConstMetric(waiting, prometheus.GaugeValue, float64(backlog.Waiting), string(r.kind))
		ch <- prometheus.MustNewConstMetric(lag, prometheus.GaugeValue, age, string(r.kind))
	}
}

// examineForward looks for posts that their receivers do not get.
func (d *desk) examineForward(ctx context.Context, f *findings, now time.Time) {
	store, err := forward.New(d.rdb, forward.Options{})
	if err != nil {
		f.fail("forward", err.Error(), "")
		return
	}
	for _, r := range d.receivers() {
		backlog, err := store.Backlog(ctx, r.kind)
		if err != nil {
			f.fail("forward", err.Error(), "")
			return
		}
		if backlog.LastDrop.After(now.Add(-72 * time.Hour)) {
			f.warn("forward", fmt.Sprintf("posts for %s were dropped before it had them: %d had waited for too long, %d were too many; the last at %s",
				r.name, backlog.Lapsed, backlog.Full, stamp(backlog.LastDrop)), "the records of these messages are in the stored copy: flowroute-worker mdr list")
		}
		switch {
		case r.url.IsZero() && backlog.Waiting > 0:
			f.warn("forward", fmt.Sprintf("%s to pass on to %s, which is not set here; they lapse 72 hours after they came", plural(int(backlog.Waiting), "post"), r.name),
				"set it for all processes, or for none")
		case r.url.IsZero():
		case backlog.Waiting > 0 && now.Sub(backlog.Oldest) > stuck:
			f.warn("forward", fmt.Sprintf("%s to pass on to %s, the oldest since %s", plural(int(backlog.Waiting), "post"), r.name, stamp(backlog.Oldest)),
				"see the log of the process with the role scheduler: its receiver does not take them, or no such process runs")
		default:
			f.ok("forward", "what Flowroute posts is posted on to %s; %d wait", r.name, backlog.Waiting)
		}
	}
}
