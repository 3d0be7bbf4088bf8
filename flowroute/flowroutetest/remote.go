package flowroutetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Remote is the administration surface of a simulator in another process.
type Remote struct {
	Root string       // scheme, host and port, for example "http://127.0.0.1:9000"
	HTTP *http.Client // nil: http.DefaultClient
}

// Truth is [Simulator.Truth].
func (r Remote) Truth(ctx context.Context) (t Truth, err error) {
	err = r.call(ctx, http.MethodGet, "truth", nil, &t)
	return t, err
}

// Counts is [Simulator.Counts].
func (r Remote) Counts(ctx context.Context) (c Counts, err error) {
	err = r.call(ctx, http.MethodGet, "counts", nil, &c)
	return c, err
}

// Attempts is [Simulator.Attempts]; the times have no monotonic reading.
func (r Remote) Attempts(ctx context.Context, accessKey string, kind Kind) (list []Attempt, err error) {
	q := url.Values{"key": {accessKey}, "kind": {string(kind)}}
	err = r.call(ctx, http.MethodGet, "attempts?"+q.Encode(), nil, &list)
	return list, err
}

// SetFaults switches faults on by name; those not named stay as they are, and
// the zero Fault switches one off.
func (r Remote) SetFaults(ctx context.Context, f Faults) error {
	return r.call(ctx, http.MethodPut, "faults", f, nil)
}

// ClearFaults is [Simulator.ClearFaults].
func (r Remote) ClearFaults(ctx context.Context) error {
	return r.call(ctx, http.MethodDelete, "faults", nil, nil)
}

// FailNext is [Simulator.FailNext].
func (r Remote) FailNext(ctx context.Context, name string, n int) error {
	return r.call(ctx, http.MethodPost, "faults/"+url.PathEscape(name)+"/next?n="+strconv.Itoa(n), nil, nil)
}

// SetLimits is [Simulator.SetLimits].
func (r Remote) SetLimits(ctx context.Context, l Limits) error {
	return r.call(ctx, http.MethodPut, "limits", l, nil)
}

// Advance is [Simulator.Advance].
func (r Remote) Advance(ctx context.Context, d time.Duration) error {
	return r.call(ctx, http.MethodPost, "advance", map[string]string{"duration": d.String()}, nil)
}

// HoldRecords is [Simulator.HoldRecords].
func (r Remote) HoldRecords(ctx context.Context, d time.Duration) error {
	return r.call(ctx, http.MethodPost, "hold-records", map[string]string{"duration": d.String()}, nil)
}

// Complete is [Simulator.Complete].
func (r Remote) Complete(ctx context.Context) (int, error) {
	var out struct {
		Completed int `json:"completed"`
	}
	err := r.call(ctx, http.MethodPost, "complete", nil, &out)
	return out.Completed, err
}

// Inbound is [Simulator.Inbound].
func (r Remote) Inbound(ctx context.Context, from, to, body string, mediaURLs ...string) (string, error) {
	in := map[string]any{"from": from, "to": to, "body": body, "media_urls": mediaURLs}
	var out struct {
		ID string `json:"id"`
	}
	err := r.call(ctx, http.MethodPost, "inbound", in, &out)
	return out.ID, err
}

// OptOut is [Simulator.OptOut].
func (r Remote) OptOut(ctx context.Context, from, to string) error {
	return r.call(ctx, http.MethodPut, "optouts", OptOutPair{From: from, To: to}, nil)
}

// Reset is [Simulator.Reset].
func (r Remote) Reset(ctx context.Context) error {
	return r.call(ctx, http.MethodPost, "reset", nil, nil)
}

func (r Remote) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		body = bytes.NewReader(encode(in))
	}
	req, err := http.NewRequestWithContext(ctx, method, r.Root+adminPrefix+path, body)
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	client := r.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return fmt.Errorf("simulator: %s %s: status %d: %s", method, path, resp.StatusCode, bytes.TrimSpace(text))
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("simulator: %s %s: %w", method, path, err)
	}
	return nil
}
