package forward_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/forward"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// bundle is a Redis and a store of its own for one test.
type bundle struct {
	t     *testing.T
	db    *redistest.DB
	rdb   redis.UniversalClient
	store *forward.Store
	reg   *prometheus.Registry
	logs  *logs
}

func setup(t *testing.T, change ...func(*forward.Options)) *bundle {
	t.Helper()
	db := redistest.New(t)
	b := &bundle{t: t, db: db, rdb: db.Client(), reg: prometheus.NewRegistry(), logs: &logs{}}
	b.store = b.storeOn(b.rdb, append(change, func(o *forward.Options) { o.Registry = b.reg })...)
	return b
}

func (b *bundle) storeOn(rdb redis.UniversalClient, change ...func(*forward.Options)) *forward.Store {
	b.t.Helper()
	o := forward.Options{Logger: b.logger()}
	for _, f := range change {
		f(&o)
	}
	store, err := forward.New(rdb, o)
	if err != nil {
		b.t.Fatal(err)
	}
	return store
}

func (b *bundle) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (b *bundle) add(k forward.Kind, bodies ...string) {
	b.t.Helper()
	for _, body := range bodies {
		if err := b.store.Add(b.t.Context(), k, "application/json", []byte(body)); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bundle) backlog(k forward.Kind) forward.Backlog {
	b.t.Helper()
	got, err := b.store.Backlog(b.t.Context(), k)
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

// send starts a sender, with times that suit a test, and returns what stops it.
func (b *bundle) send(store *forward.Store, k forward.Kind, url string, change ...func(*forward.SenderOptions)) (end func()) {
	b.t.Helper()
	o := forward.SenderOptions{
		Store: store, Kind: k, URL: url, MinPause: 2 * time.Millisecond, MaxPause: 20 * time.Millisecond, Again: 50 * time.Millisecond, Logger: b.logger(),
	}
	for _, f := range change {
		f(&o)
	}
	sender, err := forward.NewSender(o)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sender.Run(ctx) }()
	end = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			b.t.Errorf("run: %v", err)
		}
	})
	b.t.Cleanup(end)
	return end
}

// until asks again and again.
func (b *bundle) until(otherwise string, is func() bool) {
	b.t.Helper()
	late := time.After(20 * time.Second)
	for !is() {
		select {
		case <-late:
			b.t.Fatalf("%s\n%s", otherwise, b.logs)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (b *bundle) empty(k forward.Kind) {
	b.t.Helper()
	b.until("not all was passed on", func() bool { return b.backlog(k).Waiting == 0 })
}

// post is one post that came.
type post struct {
	body, contentType, user, password, path string
}

// receiver is another app.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	all    []post
	taken  []post
	answer func(n int, p post) int // status of the nth post; nil: 200 always
}

func newReceiver(t *testing.T, answer func(n int, p post) int) *receiver {
	t.Helper()
	to := &receiver{answer: answer}
	to.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost {
			t.Errorf("got %s, %v, want a post", r.Method, err)
		}
		p := post{body: string(raw), contentType: r.Header.Get("Content-Type"), path: r.URL.RequestURI()}
		p.user, p.password, _ = r.BasicAuth()
		to.mu.Lock()
		to.all = append(to.all, p)
		n, answer := len(to.all), to.answer
		to.mu.Unlock()
		status := http.StatusOK
		if answer != nil {
			status = answer(n, p)
		}
		if status/100 == 2 {
			to.mu.Lock()
			to.taken = append(to.taken, p)
			to.mu.Unlock()
		}
		if status/100 == 3 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(to.Close)
	return to
}

func (to *receiver) got() (all, taken []post) {
	to.mu.Lock()
	defer to.mu.Unlock()
	return append([]post{}, to.all...), append([]post{}, to.taken...)
}

// bodies are the bodies that it took, in the order in which they came.
func (to *receiver) bodies() (list []string) {
	_, taken := to.got()
	for _, p := range taken {
		list = append(list, p.body)
	}
	return list
}

func (to *receiver) answers(f func(n int, p post) int) {
	to.mu.Lock()
	defer to.mu.Unlock()
	to.answer = f
}

func (b *bundle) counter(name string, labels ...string) float64 {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var values []string
			for _, label := range metric.GetLabel() {
				values = append(values, label.GetValue())
			}
			if family.GetName() == name && strings.Join(values, " ") == strings.Join(labels, " ") {
				return metric.GetCounter().GetValue()
			}
		}
	}
	b.t.Fatalf("no metric %s of %v", name, labels)
	return 0
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
