package mdr

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// PayloadError says why the payload of a sync-mdr job cannot be used; asking again
// will not help.
type PayloadError struct{ Reason string }

func (e *PayloadError) Error() string { return "sync-mdr payload: " + e.Reason }

// payload of a sync-mdr job: {"v":1} or {"v":1,"since":"48h"} or with a time.
type payload struct {
	Version int    `json:"v"`
	Since   string `json:"since"`
}

// ParsePayload reads the payload of a sync-mdr job; none asks for what is due.
// Errors: [*PayloadError], [ledger.ErrNewerVersion].
func ParsePayload(b []byte, now time.Time) (SyncRequest, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return SyncRequest{}, nil
	}
	var p payload
	if err := json.Unmarshal(b, &p); err != nil {
		return SyncRequest{}, &PayloadError{Reason: "not JSON of the form {\"v\":1,\"since\":\"48h\"}"}
	}
	if p.Version > 1 {
		return SyncRequest{}, ledger.ErrNewerVersion
	}
	if p.Since == "" {
		return SyncRequest{}, nil
	}
	if t, err := time.Parse(time.RFC3339, p.Since); err == nil {
		return SyncRequest{Since: t}, nil
	}
	d, err := time.ParseDuration(p.Since)
	if err != nil || d <= 0 {
		return SyncRequest{}, &PayloadError{Reason: fmt.Sprintf("since %.40q: a duration like 48h, or a time like 2026-11-22T10:00:00Z", p.Since)}
	}
	return SyncRequest{Since: now.Add(-d)}, nil
}

// Handle does a sync-mdr job and returns its report as JSON, on an error too. A
// run that found another one at work is done, with "skipped" and "warning" in its
// report. Errors: those of [ParsePayload] and of [Syncer.Sync].
func (s *Syncer) Handle(ctx context.Context, job ledger.Job) ([]byte, error) {
	request, err := ParsePayload(job.Payload, s.now())
	if err != nil {
		return nil, err
	}
	request.Name = job.ID.String()
	report, err := s.Sync(ctx, request)
	result, jsonErr := json.Marshal(report)
	if err == nil {
		err = jsonErr
	}
	return result, err
}
