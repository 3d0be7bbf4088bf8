package flowroutetest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

const (
	ours     = "12065550100"
	theirs   = "12065550199"
	forSale  = "12065550130"
	vndMedia = "application/vnd.api+json"
)

// bundle is a simulator on loopback and a plain HTTP client for it.
type bundle struct {
	*flowroutetest.Server
	t    testing.TB
	http *http.Client
}

func setup(t testing.TB, o flowroutetest.Options) *bundle {
	t.Helper()
	b := &bundle{t: t, Server: flowroutetest.NewServer(t, o)}
	transport := &http.Transport{}
	b.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(transport.CloseIdleConnections)
	return b
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("status %d: body %q: %v", a.status, a.body, err)
	}
	return v
}

// at walks into the JSON of the body: "data.0.id".
func (a answer) at(t testing.TB, path string) any {
	t.Helper()
	var v any = a.json(t)
	for key := range strings.SplitSeq(path, ".") {
		switch node := v.(type) {
		case map[string]any:
			v = node[key]
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(node) {
				t.Fatalf("%s: no element %q in %s", path, key, a.body)
			}
			v = node[i]
		default:
			t.Fatalf("%s: nothing at %q in %s", path, key, a.body)
		}
	}
	return v
}

// try makes a request and returns what came, connection errors too.
func (b *bundle) try(method, path, body string, header ...string) (answer, error) {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.URL+path, r)
	if err != nil {
		return answer{}, err
	}
	req.SetBasicAuth(b.AccessKey, b.SecretKey)
	req.Header.Set("Content-Type", vndMedia)
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] == "" {
			req.Header.Del(header[i])
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	return b.roundTrip(req)
}

func (b *bundle) roundTrip(req *http.Request) (answer, error) {
	resp, err := b.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text), err}, nil
}

// raw makes a request that is not of the API.
func (b *bundle) raw(req *http.Request) answer {
	b.t.Helper()
	a, err := b.roundTrip(req)
	if err = errors.Join(err, a.err); err != nil {
		b.t.Fatal(err)
	}
	return a
}

// tryAs makes a request without a body and with other credentials.
func (b *bundle) tryAs(method, path, authorization string) (answer, error) {
	return b.try(method, path, "", "Authorization", authorization)
}

func (b *bundle) do(method, path, body string, header ...string) answer {
	b.t.Helper()
	a, err := b.try(method, path, body, header...)
	if err = errors.Join(err, a.err); err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (b *bundle) get(path string) answer { b.t.Helper(); return b.do("GET", path, "") }

// send posts a message and returns its MDR id.
func (b *bundle) send(body string) string {
	b.t.Helper()
	a := b.do("POST", "/v2.1/messages", message(body))
	if a.status != 202 {
		b.t.Fatalf("send: got status %d, want 202: %s", a.status, a.body)
	}
	return a.at(b.t, "data.id").(string)
}

func message(body string) string {
	return fmt.Sprintf(`{"to":"%s","from":"%s","body":%q}`, theirs, ours, body)
}

// clock is a time that a test moves.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Date(2026, 3, 4, 12, 0, 0, 123_456_789, time.UTC).Add(time.Duration(c.offset.Load()))
}

func (c *clock) at(d time.Duration) { c.offset.Store(int64(d)) }

func wantStatus(t testing.TB, a answer, status int) {
	t.Helper()
	if a.status != status {
		t.Fatalf("got status %d, want %d: %s", a.status, status, a.body)
	}
}
