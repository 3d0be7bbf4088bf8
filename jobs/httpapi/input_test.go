package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
)

func TestBadInput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const message, json = "/v1/messages", "application/json"
	with := func(field string) string {
		return `{"from":"+12065550100","to":"+12065550123","body":"x",` + field + `}`
	}
	tests := []struct {
		name, path, contentType, body string
		status                        int
		code, field                   string
	}{
		{"empty body", message, json, " ", 400, "malformed_json", ""},
		{"no JSON", message, json, "from=+12065550100", 400, "malformed_json", ""},
		{"cut JSON", message, json, `{"from":"+1206`, 400, "malformed_json", ""},
		{"two objects", message, json, goodMessage + goodMessage, 400, "malformed_json", ""},
		{"a list", message, json, `[` + goodMessage + `]`, 422, "wrong_type", ""},
		{"not UTF-8", message, json, "{\"from\":\"+12065550100\",\"to\":\"+12065550123\",\"body\":\"caf\xe9\"}", 400, "not_utf8", ""},
		{"half an emoji", message, json, `{"from":"+12065550100","to":"+12065550123","body":"hi \ud83d"}`, 422, "not_utf8", "body"},
		{"unknown field", message, json, with(`"bdoy":"x"`), 422, "unknown_field", "bdoy"},
		{"field in another case", message, json, with(`"Key":"x"`), 422, "unknown_field", "Key"},
		{"field twice", message, json, with(`"body":"y"`), 422, "repeated_field", "body"},
		{"wrong type", message, json, with(`"is_mms":"yes"`), 422, "wrong_type", "is_mms"},
		{"bad time", message, json, with(`"send_at":"tomorrow"`), 422, "wrong_type", "send_at"},
		{"no sender", message, json, `{"to":"+12065550123","body":"x"}`, 422, "required", "from"},
		{"no number", message, json, `{"from":"+12065550100","to":"hello","body":"x"}`, 422, "invalid", "to"},
		{"huge key", message, json, with(`"key":"` + strings.Repeat("k", 20_000) + `"`), 422, "too_long", "key"},
		{"bad priority", message, json, with(`"priority":"urgent"`), 422, "invalid", "priority"},
		{"over the bound", message, json, with(`"key":"` + strings.Repeat("k", 70_000) + `"`), 413, "too_large", ""},
		{"no content type", message, "", goodMessage, 415, "unsupported_content_type", ""},
		{"text", message, "text/plain", goodMessage, 415, "unsupported_content_type", ""},
		{"form", message, "application/x-www-form-urlencoded", goodMessage, 415, "unsupported_content_type", ""},
		{"other charset", message, json + "; charset=latin1", goodMessage, 415, "unsupported_content_type", ""},
		{"unknown field of a purchase", "/v1/number-purchases", json, `{"numbre":"+12065550100"}`, 422, "unknown_field", "numbre"},
		{"unknown inner field", "/v1/number-purchases", json, `{"search":{"zip":"98101"}}`, 422, "unknown_field", "search.zip"},
		{"route update without route", "/v1/route-updates", json, `{"number":"+12065550100"}`, 422, "required", "primary"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := b.do("POST", tt.path, tt.body, "Content-Type", tt.contentType).wantProblem(t, tt.status, tt.code)
			if p.Field != tt.field {
				t.Errorf("got field %q, want %q", p.Field, tt.field)
			}
			if tt.status == 422 && (len(p.Errors) == 0 || p.Errors[0].Field != tt.field || p.Errors[0].Message == "") {
				t.Errorf("got errors %+v, want the field among them", p.Errors)
			}
		})
	}
	t.Run("charset", func(t *testing.T) {
		t.Parallel()
		b.do("POST", message, goodMessage, "Content-Type", "application/json; charset=UTF-8").want(t, 202)
	})
	t.Run("compressed", func(t *testing.T) {
		t.Parallel()
		b.do("POST", message, goodMessage, "Content-Encoding", "gzip").wantProblem(t, 415, "unsupported_encoding")
	})
}

func TestAllProblemsAtOnceAndNoSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const body = `{"from":"+1212555014","to":"+121255501434567890","body":"swordfish \u0000","priority":"swordfish","media_urls":["swordfish://x"]}`
	a := b.do("POST", "/v1/messages", body)
	p := a.wantProblem(t, 422, "invalid")
	var fields []string
	for _, e := range p.Errors {
		fields = append(fields, e.Field)
	}
	for _, want := range []string{"from", "to", "body", "priority", "media_urls[0]"} {
		if !slices.Contains(fields, want) {
			t.Errorf("got problems with %v, want %s too", fields, want)
		}
	}
	for _, text := range []string{string(a.body), b.logs.String()} {
		for _, secret := range []string{"swordfish", "212555014", "255501434", appToken} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is shown in %s", secret, text)
			}
		}
	}
}

// endless is a body of that many bytes which is never whole JSON.
type endless struct{ left atomic.Int64 }

func (e *endless) Read(b []byte) (int, error) {
	n := min(int64(len(b)), e.left.Load())
	if n == 0 {
		return 0, io.EOF
	}
	for i := range b[:n] {
		b[i] = ' '
	}
	e.left.Add(-n)
	return int(n), nil
}

func TestHugeBodyIsCutAtTheBound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const size = 100 << 20
	for name, length := range map[string]int64{"length known": size, "chunked": -1} {
		body := &endless{}
		body.left.Store(size)
		r := b.request("POST", "/v1/messages", "x")
		r.Body, r.ContentLength = io.NopCloser(body), length
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: got status %d, want 413", name, response.StatusCode)
		}
		// What the sockets' buffers hold may have left, no more.
		if sent := size - body.left.Load(); sent > 20<<20 {
			t.Errorf("%s: %d bytes were taken", name, sent)
		}
		_ = response.Body.Close()
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("GET", "/v2/messages", "").wantProblem(t, 404, "not_found")
	b.do("GET", "/v1/limits", "").wantProblem(t, 404, "not_found") // not set up here
	b.do("POST", "/nothing", goodMessage).wantProblem(t, 404, "not_found")
	wrong := b.do("PUT", "/v1/messages", goodMessage)
	wrong.wantProblem(t, 405, "method_not_allowed")
	if got := wrong.header.Get("Allow"); got != "GET, HEAD, POST" {
		t.Errorf("got Allow %q, want GET, HEAD, POST", got)
	}
}

// TestSlowClientsCostTheirConnections starts requests that never end, by every
// way to be slow, and has others served meanwhile.
func TestSlowClientsCostTheirConnections(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpapi.Options) { o.ReadTimeout = time.Second })
	addr, stop := serve(t, b.server)
	defer stop()
	auth := "Host: localhost\r\nAuthorization: Bearer " + appToken + "\r\n"
	begin := func(text string) net.Conn {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	var inHeader, inBody []net.Conn
	for range 50 {
		inHeader = append(inHeader, begin("POST /v1/messages HTTP/1.1\r\n"+auth))
		inBody = append(inBody, begin("POST /v1/messages HTTP/1.1\r\n"+auth+"Content-Type: application/json\r\nContent-Length: 200\r\n\r\n{"))
	}
	b.url = "http://" + addr
	b.do("POST", "/v1/messages", goodMessage).want(t, 202)

	for _, conn := range inHeader {
		if _, err := io.Copy(io.Discard, conn); err != nil { // until the server closes it
			t.Errorf("in the header: %v", err)
		}
		_ = conn.Close()
	}
	for _, conn := range inBody {
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("in the body: %v", err)
		}
		if response.StatusCode != http.StatusRequestTimeout {
			t.Errorf("in the body: got status %d, want 408", response.StatusCode)
		}
		_ = conn.Close()
	}
	counts, err := b.jobs.Ledger().Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(counts["send-message"]["queued"]); got != "1" {
		t.Errorf("got %s jobs, want the whole one alone", got)
	}
}
