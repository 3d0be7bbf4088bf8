package httpapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/console"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

const (
	appToken = "app-secret-for-tests"
	opsToken = "ops-secret-for-tests"

	goodMessage = `{"from":"+12065550100","to":"+12065550123","body":"the secret word is swordfish"}`
)

// bundle is a server with a Redis of its own.
type bundle struct {
	t      *testing.T
	rdb    redis.UniversalClient
	jobs   *jobs.Client
	server *httpapi.Server
	url    string
	logs   *logs
}

// setup starts a server with two tokens; change may alter its options.
func setup(t *testing.T, change ...func(*httpapi.Options)) *bundle {
	t.Helper()
	return setupOn(t, redistest.New(t).Client(), change...)
}

func setupOn(t *testing.T, rdb redis.UniversalClient, change ...func(*httpapi.Options)) *bundle {
	t.Helper()
	client, err := jobs.NewClient(rdb, jobs.Options{Patience: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := console.New(console.Options{Ledger: client.Ledger(), Redis: rdb})
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{t: t, rdb: rdb, jobs: client, logs: &logs{}}
	o := httpapi.Options{
		Jobs: client, Redis: rdb, Console: pages,
		Tokens: []httpapi.Token{{Name: "app", Secret: appToken}, {Name: "ops", Secret: opsToken}},
		Logger: slog.New(slog.NewJSONHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&o)
	}
	if b.server, err = httpapi.New(o); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(b.server)
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

func withoutTokens(o *httpapi.Options) { o.Tokens = nil }

// request makes a request with the app's token. Headers are pairs of name and
// value; an empty value takes the header away.
func (b *bundle) request(method, path, body string, headers ...string) *http.Request {
	b.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, reader)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+appToken)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		switch {
		case headers[i] == "Host":
			r.Host = headers[i+1]
		case headers[i+1] == "":
			r.Header.Del(headers[i])
		default:
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	return r
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (b *bundle) do(method, path, body string, headers ...string) answer {
	b.t.Helper()
	return b.send(b.request(method, path, body, headers...))
}

func (b *bundle) send(r *http.Request) answer {
	b.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, body}
}

func (a answer) want(t *testing.T, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("got status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// decode reads the answer's JSON into a T.
func decode[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("answer is no JSON: %v: %s", err, a.body)
	}
	return v
}

type problem struct {
	Title      string            `json:"title"`
	Status     int               `json:"status"`
	Code       string            `json:"code"`
	Detail     string            `json:"detail"`
	Field      string            `json:"field"`
	Errors     []jobs.FieldError `json:"errors"`
	Repeatable *bool             `json:"repeatable"`
}

// wantProblem checks status and code of a problem, and its form.
func (a answer) wantProblem(t *testing.T, status int, code string) problem {
	t.Helper()
	a.want(t, status)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("got content type %q, want application/problem+json", got)
	}
	p := decode[problem](t, a)
	if p.Code != code || p.Status != status || p.Title == "" || p.Detail == "" {
		t.Errorf("got %+v, want code %s, status %d, title and detail", p, code, status)
	}
	return p
}

// logs collects what a logger writes.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
