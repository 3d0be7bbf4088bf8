package reconcile

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Handle does a job of type reconcile: the last complete day, or the day that begins at
// its Since. It returns window, classes and notes as JSON, and logs one line. Errors:
// those of [jobs.SyncOf] and of [Reconciler.Run].
func (r *Reconciler) Handle(ctx context.Context, job ledger.Job) ([]byte, error) {
	asked, err := jobs.SyncOf(job)
	if err != nil {
		return nil, err
	}
	window := Window{Since: asked.Since, Until: asked.Since.Add(day)}
	if asked.Since.IsZero() {
		if window, err = r.LastDay(ctx); err != nil {
			return nil, err
		}
	}
	report, err := r.Run(ctx, Request{Window: window})
	if err != nil {
		return nil, err
	}
	level := slog.LevelInfo
	if len(report.Warnings()) > 0 {
		level = slog.LevelWarn
	}
	r.o.Logger.LogAttrs(ctx, level, "reconciled", slog.Time("since", report.Window.Since), slog.Time("until", report.Window.Until),
		slog.Bool("complete", report.Complete), slog.Int64("matched", report.Matched.Records), slog.Int64("without_mdr", report.WithoutRecord.Messages),
		slog.Int64("without_job", report.WithoutJob.Records), slog.Int64("differing", report.Differing.Records),
		slog.Int64("waiting", report.Waiting.Messages), slog.Int64("duration_ms", report.Took.Milliseconds()))
	return json.Marshal(struct {
		Window   Window   `json:"window"`
		Complete bool     `json:"complete"`
		Notes    []string `json:"notes,omitempty"`
		Totals
	}{report.Window, report.Complete, report.Notes, report.Totals})
}

// LastDaily is the latest report on a whole day (UTC), whoever asked for it; false
// where there is none. Errors: Redis' own, [ledger.ErrNewerVersion].
func (r *Reconciler) LastDaily(ctx context.Context) (Report, bool, error) {
	const recent = 20
	list, err := r.Reports(ctx, recent)
	if err != nil {
		return Report{}, false, err
	}
	for _, report := range list {
		if w := report.Window; w.Until.Sub(w.Since) == day && w.Since.Equal(w.Since.Truncate(day)) {
			return report, true, nil
		}
	}
	return Report{}, false, nil
}
