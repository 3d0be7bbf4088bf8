package httpapi_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/forward"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

var (
	webhookPosts   = flag.Int("webhook.posts", 300, "posts of each kind that BenchmarkWebhooks makes")
	webhookClients = flag.Int("webhook.clients", 16, "how many of them are under way at once")
	webhookRate    = flag.Float64("webhook.rate", 0, "how many of them are made a second; 0: as many as are answered")
	webhookLoad    = flag.Int("webhook.load", 100, "messages a second that go through the ledger meanwhile")
)

// BenchmarkWebhooks posts receipts of messages whose answer was lost, two of each, and
// messages that arrive, all of them kept for somebody else too, while other messages are
// queued, begun and settled. It says after how long they were answered with 200.
func BenchmarkWebhooks(b *testing.B) {
	rdb := redistest.New(b).Client()
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	records, err := mdr.New(rdb, mdr.Options{})
	if err != nil {
		b.Fatal(err)
	}
	optOuts, err := suppress.New(rdb, suppress.Options{})
	if err != nil {
		b.Fatal(err)
	}
	store, err := forward.New(rdb, forward.Options{})
	if err != nil {
		b.Fatal(err)
	}
	server, err := httpapi.New(httpapi.Options{
		Jobs: client, Redis: rdb, WebhookSecret: webhookSecret,
		Inbound: httpapi.Inbound{Records: records, Heed: inboundBundle{optOuts: optOuts}.heed},
		Forward: func(ctx context.Context, kind, contentType string, body []byte) (bool, error) {
			return true, store.Add(ctx, forward.Kind(kind), contentType, body)
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	listener := httptest.NewServer(server)
	defer listener.Close()
	poster := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *webhookClients}}
	defer poster.CloseIdleConnections()

	type post struct{ path, body string }
	serial := 0
	measure := func(b *testing.B, make func(n int) []post) {
		var took []time.Duration
		rate := 0.0
		for b.Loop() {
			b.StopTimer()
			posts := make(*webhookPosts)
			stop := busy(b, client, *webhookLoad)
			b.StartTimer()
			began := time.Now()
			times := timed(b, *webhookClients, *webhookRate, posts, func(p post) error { return postTo(poster, listener.URL+p.path, p.body) })
			rate = float64(len(posts)) / time.Since(began).Seconds()
			b.StopTimer()
			stop()
			took = append(took, times...)
			b.StartTimer()
		}
		slices.Sort(took)
		ms := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
		b.ReportMetric(ms(0.5), "p50-ms")
		b.ReportMetric(ms(0.99), "p99-ms")
		b.ReportMetric(ms(1), "max-ms")
		b.ReportMetric(rate, "posts/s")
	}
	b.Run("receipts", func(b *testing.B) {
		measure(b, func(n int) (posts []post) {
			for _, id := range lost(b, client, (n+1)/2) {
				serial++
				one, _, end := levels(serial%2 == 0, mdrID(serial))
				path := httpapi.ReceiptPath(webhookSecret, id, 1)
				posts = append(posts, post{path, one}, post{path, end})
			}
			return posts[:n]
		})
	})
	b.Run("messages", func(b *testing.B) {
		measure(b, func(n int) (posts []post) {
			for i := range n {
				serial++
				body := "a text of some forty characters, perhaps"
				if i%10 == 0 {
					body = "STOP"
				}
				posts = append(posts, post{smsPath, arrivedAt(serial, body, time.Now().UTC())})
			}
			return posts
		})
	})
}

// lost makes messages whose answer was lost.
func lost(b *testing.B, client *jobs.Client, n int) (ids []ledger.ID) {
	b.Helper()
	messages := make([]jobs.Message, n)
	for i := range messages {
		messages[i] = jobs.Message{From: "+12065550100", To: "+12065550123", Body: "hello"}
	}
	taken, errs := client.SendMany(b.Context(), messages)
	for i, err := range errs {
		if err == nil {
			err = through(b.Context(), client, taken[i].ID, ledger.Settlement{To: ledger.Unknown, Reason: ledger.ReasonNoAnswer})
		}
		if err != nil {
			b.Fatal(err)
		}
		id, err := ledger.ParseID(taken[i].ID)
		if err != nil {
			b.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// through begins and settles an attempt of a message, as a worker does.
func through(ctx context.Context, client *jobs.Client, id string, s ledger.Settlement) error {
	job, err := client.Get(ctx, id)
	if err != nil {
		return err
	}
	s.ID, s.Token = job.ID, ledger.NewID().String()
	_, err = client.Ledger().Begin(ctx, ledger.Intent{
		ID: job.ID, Generation: job.Generation, Token: s.Token, Account: "account", Budget: time.Minute, Timeout: time.Minute, Settle: time.Minute,
		Fingerprint: ledger.Fingerprint(job.ID[8:]),
	})
	if err == nil {
		_, err = client.Ledger().Settle(ctx, s)
	}
	return err
}

// busy takes messages through the ledger, so many a second, until stop.
func busy(b *testing.B, client *jobs.Client, perSecond int) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var all sync.WaitGroup
	ticks := time.NewTicker(time.Second / time.Duration(max(perSecond, 1)))
	for w := range 4 {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-ticks.C:
				}
				taken, err := client.Send(ctx, jobs.Message{From: "+12065550100", To: "+12065550123", Body: fmt.Sprintf("hello %d %d", w, n)})
				if err == nil {
					err = through(ctx, client, taken.ID, ledger.Settlement{To: ledger.Accepted, MDR: "mdr2-" + strings.ReplaceAll(taken.ID, "-", "")})
				}
				if err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
			}
		})
	}
	return func() { cancel(); ticks.Stop(); all.Wait() }
}

// timed does all of a list, so many at once, and says how long each took; with a rate,
// from when it was due.
func timed[T any](b *testing.B, atOnce int, rate float64, list []T, do func(T) error) []time.Duration {
	b.Helper()
	took := make([]time.Duration, len(list))
	start := time.Now()
	var all sync.WaitGroup
	for w := range atOnce {
		all.Go(func() {
			for i := w; i < len(list); i += atOnce {
				began := time.Now()
				if rate > 0 {
					began = start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
					<-time.After(time.Until(began))
				}
				if err := do(list[i]); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	all.Wait()
	return took
}

func postTo(client *http.Client, url, body string) error {
	response, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, got)
	}
	return err
}
