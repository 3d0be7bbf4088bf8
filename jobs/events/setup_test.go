package events_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/events"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

	streamKey   = "{flowroute}:events"
	positionKey = "{flowroute}:webhook:position"
)

// bundle is a Redis and a receiver of its own for one test.
type bundle struct {
	t    *testing.T
	db   *redistest.DB
	rdb  redis.UniversalClient
	jobs *jobs.Client
	to   *receiver
	logs *logs
}

func setup(t *testing.T) *bundle {
	t.Helper()
	db := redistest.New(t)
	b := &bundle{t: t, db: db, rdb: db.Client(), to: newReceiver(t), logs: &logs{}}
	b.jobs = b.client(b.rdb)
	return b
}

func (b *bundle) client(rdb redis.UniversalClient) *jobs.Client {
	b.t.Helper()
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	return client
}

// process is a sender that runs.
type process struct {
	*events.Sender
	registry *prometheus.Registry
	end      func() // and wait
}

// send starts a sender, with times that suit a test.
func (b *bundle) send(rdb redis.UniversalClient, change ...func(*events.SenderOptions)) *process {
	b.t.Helper()
	key, err := events.ParseSecret(secret)
	if err != nil {
		b.t.Fatal(err)
	}
	p := &process{registry: prometheus.NewRegistry()}
	o := events.SenderOptions{
		Redis: rdb, Ledger: b.client(rdb).Ledger(), URL: b.to.URL + "/hook?token=in-the-address", Key: key,
		Lease: 20 * time.Second, MinPause: 10 * time.Millisecond, MaxPause: 50 * time.Millisecond, Gather: 10 * time.Millisecond,
		Registry: p.registry, Logger: slog.New(slog.NewJSONHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&o)
	}
	if p.Sender, err = events.NewSender(o); err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	p.end = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			b.t.Errorf("run: %v", err)
		}
	})
	b.t.Cleanup(p.end)
	return p
}

// mortal is a sender that others take the place of soon, when it is cut off.
func mortal(o *events.SenderOptions) { o.Lease = 600 * time.Millisecond }

// begun waits until a sender has noted where it began.
func (b *bundle) begun() {
	b.t.Helper()
	b.until("the sender has not begun", func() bool { return b.rdb.Exists(b.t.Context(), positionKey).Val() == 1 })
}

const patience = 30 * time.Second

// until asks again and again.
func (b *bundle) until(otherwise string, is func() bool) {
	b.t.Helper()
	late := time.After(patience)
	for !is() {
		select {
		case <-late:
			b.t.Fatalf("%s\n%s", otherwise, b.logs)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// queue makes n jobs and cancels them: two changes each.
func (b *bundle) queue(n int) (ids []string) {
	b.t.Helper()
	messages := make([]jobs.Message, n)
	for i := range messages {
		messages[i] = jobs.Message{From: "+12065550100", To: "+12065550123", Body: "the secret word is swordfish"}
	}
	receipts, errs := b.jobs.SendMany(b.t.Context(), messages)
	for i, err := range errs {
		if err == nil {
			_, err = b.jobs.Cancel(b.t.Context(), receipts[i].ID)
		}
		if err != nil {
			b.t.Fatal(err)
		}
		ids = append(ids, receipts[i].ID)
	}
	return ids
}

// all are the ids of what is in the stream.
func (b *bundle) all() (ids []string) {
	b.t.Helper()
	entries, err := b.rdb.XRange(b.t.Context(), streamKey, "-", "+").Result()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, entry := range entries {
		ids = append(ids, entry.ID)
	}
	return ids
}

// body is what a receiver gets.
type body struct {
	V      int           `json:"v"`
	Gap    *events.Gap   `json:"gap"`
	Events []events.View `json:"events"`
}

// post is one post that came.
type post struct {
	header http.Header
	path   string
	raw    []byte
	body
}

// receiver is another app. What it answers is decided for each post, and noted with
// those that it took.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	posts  []post
	taken  []post
	answer func(n int, p post) int // status of the nth post; nil: 200 always
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	to := &receiver{}
	to.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		p := post{header: r.Header.Clone(), path: r.URL.Path, raw: raw}
		if err != nil || json.Unmarshal(raw, &p.body) != nil || r.Method != http.MethodPost {
			t.Errorf("got %s %s, %v, want a post of JSON", r.Method, raw, err)
		}
		to.mu.Lock()
		to.posts = append(to.posts, p)
		n, answer := len(to.posts), to.answer
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

func (to *receiver) answers(f func(n int, p post) int) {
	to.mu.Lock()
	defer to.mu.Unlock()
	to.answer = f
}

func (to *receiver) got() (all, taken []post) {
	to.mu.Lock()
	defer to.mu.Unlock()
	return append([]post{}, to.posts...), append([]post{}, to.taken...)
}

// events are the events that it took, in the order in which they came.
func (to *receiver) events() (list []events.View) {
	_, taken := to.got()
	for _, p := range taken {
		list = append(list, p.Events...)
	}
	return list
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
