package flowroute_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

const (
	accessKey = "29017446"
	secretKey = "1f3c9d2e5b7a48608c1d2e3f4a5b6c7d"
	basicAuth = "MjkwMTc0NDY6MWYzYzlkMmU1YjdhNDg2MDhjMWQyZTNmNGE1YjZjN2Q="
)

var (
	credentials = flowroute.Credentials{AccessKey: accessKey, SecretKey: secretKey}
	sender      = mustE164("+12065550100")
	recipient   = mustE164("+12065550199")
	hello       = flowroute.Message{From: sender, To: recipient, Body: "hello there"}

	comparable = cmpopts.EquateComparable(flowroute.E164{})
)

func mustE164(s string) flowroute.E164 {
	n, err := flowroute.ParseE164(s)
	if err != nil {
		panic(err)
	}
	return n
}

// newClient returns a client of the server at url, with a path prefix that every
// test server has to see.
func newClient(tb testing.TB, url string, set ...func(*flowroute.Options)) *flowroute.Client {
	tb.Helper()
	o := flowroute.Options{BaseURL: url + "/prefix", Credentials: credentials, Timeout: 10 * time.Second}
	for _, f := range set {
		f(&o)
	}
	c, err := flowroute.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

func timeout(d time.Duration) func(*flowroute.Options) {
	return func(o *flowroute.Options) { o.Timeout = d }
}

// api is a server below /prefix that answers by method and path, and counts.
type api struct {
	*httptest.Server
	requests atomic.Int64
	last     atomic.Pointer[recorded]
}

type recorded struct {
	Method, URL, Body string
	Header            http.Header
}

func newAPI(tb testing.TB, h http.HandlerFunc) *api {
	tb.Helper()
	a := new(api)
	a.Server = httptest.NewServer(http.StripPrefix("/prefix", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.requests.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		a.last.Store(&recorded{Method: r.Method, URL: r.URL.String(), Body: string(body), Header: r.Header})
		h(w, r)
	})))
	tb.Cleanup(a.Close)
	return a
}

// reply answers everything with one status and body.
func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.api+json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// golden returns a body of the API's documents, verbatim.
func golden(tb testing.TB, name string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// wire is a TCP server whose connections are handled by hand.
type wire struct {
	url      string
	conns    atomic.Int64
	requests atomic.Int64
}

// newWire serves each connection with handle, which may call next for the next
// complete request on it.
func newWire(tb testing.TB, handle func(c *net.TCPConn, next func() error), set ...func(*net.ListenConfig)) *wire {
	tb.Helper()
	var config net.ListenConfig
	for _, f := range set {
		f(&config)
	}
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	w := &wire{url: "http://" + l.Addr().String()}
	var handlers sync.WaitGroup
	handlers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.conns.Add(1)
			handlers.Go(func() {
				defer c.Close()
				r := bufio.NewReader(c)
				handle(c.(*net.TCPConn), func() error {
					req, err := http.ReadRequest(r)
					if err != nil {
						return err
					}
					if _, err := io.ReadAll(req.Body); err != nil {
						return err
					}
					w.requests.Add(1)
					return nil
				})
			})
		}
	})
	tb.Cleanup(func() {
		l.Close()
		handlers.Wait()
	})
	return w
}

// pass records what it is told.
type pass struct {
	deadline time.Time

	mu    sync.Mutex
	calls []string
	acked func() bool
	wrote chan struct{} // closed by Written, when not nil
}

func (p *pass) Deadline() time.Time { return p.deadline }
func (p *pass) Responded()          { p.note("Responded") }
func (p *pass) Abandoned()          { p.note("Abandoned") }
func (p *pass) Unsent()             { p.note("Unsent") }

func (p *pass) Written(acked func() bool) {
	p.mu.Lock()
	p.acked = acked
	p.mu.Unlock()
	p.note("Written")
	if p.wrote != nil {
		close(p.wrote)
	}
}

func (p *pass) note(call string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, call)
}

// expect checks that the pass ended as it should. Written may come before an end
// with a response or not, since the response can be faster.
func (p *pass) expect(tb testing.TB, want ...string) {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	got := slices.Clone(p.calls)
	if len(want) == 1 && want[0] == "Responded" && len(got) == 2 && got[0] == "Written" {
		got = got[1:]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("calls of the pass (-want +got):\n%s", diff)
	}
}

// eventually waits for something that another goroutine or the kernel does.
func eventually(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			tb.Fatalf("waited in vain: %s", what)
		}
	}
}

// must returns the value of a call that is not the subject of the test.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("unexpected error: %v", err))
	}
	return v
}
