package worker_test

import (
	"flag"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

var campaignsFor = flag.Duration("campaigns.for", 3*time.Second, "how long BenchmarkCampaigns lets two campaigns share")

// BenchmarkCampaigns is about two campaigns of very different size at 100 messages a
// second: how evenly they share, and how long after a pause the last post comes.
func BenchmarkCampaigns(b *testing.B) {
	const perSecond, pauses = 100, 3
	for b.Loop() {
		f := withCampaigns(b, perSecond)
		small := int(campaignsFor.Seconds()*perSecond) + 1000
		one := f.begin(campaign.Spec{}, 2062000000, 20*small)
		other := f.begin(campaign.Spec{}, 2063000000, small)
		posted := func(id ledger.ID) int {
			c, err := f.store.Get(b.Context(), id)
			if err != nil {
				b.Fatal(err)
			}
			return c.Posted()
		}
		<-time.After(*campaignsFor)
		large, little := float64(posted(one)), float64(posted(other))
		b.ReportMetric(100*large/(large+little), "%large")
		b.ReportMetric((large+little)/campaignsFor.Seconds(), "posts/s")

		worst := time.Duration(0)
		for range pauses {
			if _, err := f.store.Pause(b.Context(), one); err != nil {
				b.Fatal(err)
			}
			paused := time.Now()
			<-time.After(1200 * time.Millisecond)
			for _, m := range f.sim.Truth().Messages {
				if m.To[:5] == "12062" || m.To[:5] == "12061" {
					worst = max(worst, m.At.Sub(paused))
				}
			}
			if _, err := f.store.Resume(b.Context(), one); err != nil {
				b.Fatal(err)
			}
			<-time.After(500 * time.Millisecond)
		}
		b.ReportMetric(float64(worst.Milliseconds()), "ms/last-post")
		b.ReportMetric(0, "ns/op")
		f.stop()
	}
}
