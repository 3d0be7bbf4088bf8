package httpapi_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
)

// lines reads what was logged about requests.
func (l *logs) lines(t *testing.T) (requests []map[string]any) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if entry["msg"] == "http request" {
			requests = append(requests, entry)
		}
	}
	return requests
}

func TestOneLineARequest(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpapi.Options) {
		o.Limits = func(context.Context) (any, error) { panic("a bug") }
	})
	b.do("GET", "/v1/jobs/12065550123?secret=swordfish", "")
	b.do("POST", "/v1/messages", goodMessage, "X-Secret", "swordfish")
	b.do("GET", "/nothing/swordfish", "")
	b.do("POST", "/v1/messages", "{", "Authorization", "Bearer swordfish")
	b.do("GET", "/healthz", "")
	b.do("SWORDFISH", "/healthz", "")
	b.do("GET", "/v1/limits", "").wantProblem(t, 500, "internal")

	want := []struct {
		method, route, level, login, reason string
		status                              float64
	}{
		{"GET", "GET /v1/jobs/{id}", "INFO", "app", "unknown_field", 422},
		{"POST", "POST /v1/messages", "INFO", "app", "", 202},
		{"GET", "", "INFO", "app", "not_found", 404},
		{"POST", "POST /v1/messages", "INFO", "", "unauthorized", 401},
		{"GET", "GET /healthz", "DEBUG", "", "", 200},
		{"other", "", "INFO", "app", "method_not_allowed", 405},
		{"GET", "GET /v1/limits", "WARN", "app", "internal", 500},
	}
	got := b.logs.lines(t)
	if len(got) != len(want) {
		t.Fatalf("got %d lines, want %d: %s", len(got), len(want), b.logs)
	}
	for i, w := range want {
		text := func(key string) string { s, _ := got[i][key].(string); return s }
		_, timed := got[i]["duration_ms"].(float64)
		if text("method") != w.method || text("route") != w.route || text("level") != w.level || text("login") != w.login ||
			text("reason") != w.reason || got[i]["status_code"] != w.status || !timed {
			t.Errorf("line %d: got %v, want %+v", i, got[i], w)
		}
	}
	for _, secret := range []string{"swordfish", "SWORDFISH", "2065550123", appToken} {
		if strings.Contains(b.logs.String(), secret) {
			t.Errorf("%q is in the log: %s", secret, b.logs)
		}
	}
}
