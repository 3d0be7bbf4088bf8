package main

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// lastSyncs are gauges of when each sync last ended well, in whatever process;
// they read the stored copies when they are asked.
func (v *service) lastSyncs() []prometheus.Collector {
	gauge := func(sync ledger.Type, last func(context.Context) (time.Time, error)) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "flowroute_worker", Name: "sync_last_success_timestamp_seconds", ConstLabels: prometheus.Labels{"sync": string(sync)},
			Help: "When the sync that last ended well began; 0 before the first one.",
		}, func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			at, err := last(ctx)
			switch {
			case err != nil:
				return math.NaN()
			case at.IsZero():
				return 0
			}
			return float64(at.Unix())
		})
	}
	return []prometheus.Collector{
		gauge(ledger.SyncMDR, func(ctx context.Context) (time.Time, error) {
			report, err := v.records.LastSync(ctx)
			return report.Started, err
		}),
		gauge(ledger.SyncNumbers, func(ctx context.Context) (time.Time, error) {
			report, err := v.numbers.LastSync(ctx)
			return report.Started, err
		}),
	}
}
