package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// mostReports are kept in the list of them.
const mostReports = 1000

// keep writes a report down, in the place of the one before on the same window.
func (r *Reconciler) keep(ctx context.Context, report *Report) error {
	before, err := r.Report(ctx, report.Window)
	switch {
	case err == nil:
		report.Before = &Before{Made: before.Made, Totals: before.Totals}
	case !errors.Is(err, ErrNotFound):
		return err
	}
	b, err := json.Marshal(report)
	if err != nil {
		return err
	}
	m := member(report.Window)
	pipe := r.rdb.Pipeline()
	pipe.Set(ctx, r.reportKey(m), b, r.o.Retention)
	pipe.ZAdd(ctx, r.indexKey(), redis.Z{Score: float64(report.Made.UnixMilli()), Member: m})
	pipe.ZRemRangeByScore(ctx, r.indexKey(), "-inf", strconv.FormatInt(report.Made.Add(-r.o.Retention).UnixMilli(), 10))
	pipe.ZRemRangeByRank(ctx, r.indexKey(), 0, -mostReports-1)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("keep the report: %w", err)
	}
	return nil
}

// ErrNotFound: no report on that window is kept.
var ErrNotFound = errors.New("no report on that window")

// Report is the last one on a window. Errors: [ErrNotFound],
// [ledger.ErrNewerVersion], or Redis' own.
func (r *Reconciler) Report(ctx context.Context, w Window) (Report, error) {
	return r.read(ctx, member(w))
}

func (r *Reconciler) read(ctx context.Context, member string) (Report, error) {
	var report Report
	b, err := r.rdb.Get(ctx, r.reportKey(member)).Bytes()
	if errors.Is(err, redis.Nil) {
		return report, ErrNotFound
	}
	if err != nil {
		return report, fmt.Errorf("read report: %w", err)
	}
	if err := json.Unmarshal(b, &report); err != nil {
		return report, fmt.Errorf("read report: %w", err)
	}
	if report.Version > 1 {
		return Report{}, ledger.ErrNewerVersion
	}
	return report, nil
}

// Reports are the last ones that were made, at most limit, the latest first. Errors: as
// of [Reconciler.Report].
func (r *Reconciler) Reports(ctx context.Context, limit int) ([]Report, error) {
	members, err := r.rdb.ZRevRange(ctx, r.indexKey(), 0, int64(min(max(limit, 1), mostReports))-1).Result()
	if err != nil {
		return nil, fmt.Errorf("list reports: %w", err)
	}
	var list []Report
	for _, m := range members {
		report, err := r.read(ctx, m)
		if errors.Is(err, ErrNotFound) {
			continue // it has lapsed
		}
		if err != nil {
			return nil, err
		}
		list = append(list, report)
	}
	return list, nil
}
