package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/reconcile"
)

// Reconciler compares what was sent with what was recorded, a [*reconcile.Reconciler].
type Reconciler interface {
	LastDay(context.Context) (reconcile.Window, error)
	Report(context.Context, reconcile.Window) (reconcile.Report, error)
	Reports(ctx context.Context, limit int) ([]reconcile.Report, error)
	Run(context.Context, reconcile.Request) (reconcile.Report, error)
}

// longestReconciliation bounds one comparison; a million records take some 15 s.
const longestReconciliation = 10 * time.Minute

// getReconciliation answers with the report on a window, which is made if there is none
// yet or a new one is asked for; as CSV or NDJSON, with what is behind its classes.
func (s *Server) getReconciliation(w http.ResponseWriter, r *http.Request) error {
	media := wanted(r, "application/json", textCSV, ndjson)
	known := []string{"since", "until", "fresh"}
	if media != "application/json" {
		known = []string{"since", "until", "class"}
	}
	q, err := readQuery(r, known...)
	if err != nil {
		return err
	}
	w.Header().Set("Vary", "Accept")
	now := time.Now()
	since, until := q.when("since", now), q.when("until", now)
	fresh, classes := q.oneOf("fresh", "true", "false") == "true", q.classes()
	if err := q.err(); err != nil {
		return err
	}
	window, err := s.reconciliationWindow(r.Context(), since, until, now)
	if err != nil {
		return err
	}
	if media != "application/json" {
		return s.streamReconciliation(w, r, media, reconcile.Request{Window: window, Classes: classes})
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	report, err := s.o.Reconciler.Report(ctx, window)
	cancel()
	if fresh || errors.Is(err, reconcile.ErrNotFound) {
		report, err = s.reconcile(w, r, reconcile.Request{Window: window})
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, report)
}

// classes are the ones to list: the one that is asked for, or all that do not match.
func (q *query) classes() []reconcile.Class {
	var words []string
	for _, c := range reconcile.Classes() {
		words = append(words, string(c))
	}
	if class := q.oneOf("class", words...); class != "" {
		return []reconcile.Class{reconcile.Class(class)}
	}
	return reconcile.Classes()[1:]
}

// reconciliationWindow is the one that is asked for, or the last complete day.
func (s *Server) reconciliationWindow(ctx context.Context, since, until, now time.Time) (reconcile.Window, error) {
	if since.IsZero() && until.IsZero() {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return s.o.Reconciler.LastDay(ctx)
	}
	window, err := reconcile.NewWindow(since, until, now)
	if err != nil {
		return window, &jobs.ValidationError{Problems: []jobs.FieldError{{Field: "since", Code: jobs.CodeInvalid, Message: err.Error()}}}
	}
	return window, nil
}

// reconcile compares, one at a time: each holds some megabytes and reads much of Redis.
func (s *Server) reconcile(w http.ResponseWriter, r *http.Request, q reconcile.Request) (reconcile.Report, error) {
	select {
	case s.comparing <- struct{}{}:
		defer func() { <-s.comparing }()
	default:
		return reconcile.Report{}, newProblem(http.StatusServiceUnavailable, codeTooManyStreams,
			"This server is comparing a window already. Try again, or ask another server.").with("Retry-After", "5")
	}
	// It may take longer than other answers; each piece of a list has its own time.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longestReconciliation + patience))
	ctx, cancel := context.WithTimeoutCause(r.Context(), longestReconciliation, newProblem(http.StatusServiceUnavailable, codeUnavailable,
		"It took longer than %v. Ask for a shorter window, or use the command reconcile.", longestReconciliation))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-s.drains.of(r):
			stop(serverEnds())
		case <-ended:
		}
	}()
	report, err := s.o.Reconciler.Run(ctx, q)
	if cause := context.Cause(ctx); err != nil && cause != nil && r.Context().Err() == nil {
		err = cause
	}
	return report, err
}

// streamReconciliation writes the items of classes while the comparison goes on.
func (s *Server) streamReconciliation(w http.ResponseWriter, r *http.Request, media string, q reconcile.Request) error {
	return s.stream(w, r, media, func(out io.Writer) error {
		end := func() error { return nil }
		if media == textCSV {
			table := reconcile.NewCSV(out)
			q.Each, end = table.Write, table.Flush
		} else {
			encoder := json.NewEncoder(out)
			encoder.SetEscapeHTML(false)
			q.Each = func(i reconcile.Item) error { return encoder.Encode(i) }
		}
		if _, err := s.reconcile(w, r, q); err != nil {
			return err
		}
		return end()
	})
}

// getReconciliationReports lists the reports that are kept, the latest first.
func (s *Server) getReconciliationReports(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r, "limit")
	if err != nil {
		return err
	}
	limit := q.limit()
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	reports, err := s.o.Reconciler.Reports(ctx, limit)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, listOf(reports, "", func(report reconcile.Report) reconcile.Report { return report }))
}
