package httpapi_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

var benchRecipients = flag.Int("httpapi.recipients", 100_000, "recipients of BenchmarkCampaign")

// BenchmarkCampaign sends a campaign with its recipients as NDJSON, with a first name and
// a code each, as a stream that is answered meanwhile; against 16 goroutines that call
// asynq's Client.Enqueue with the same content, by turns in one run. One operation is a
// round of each.
func BenchmarkCampaign(b *testing.B) {
	const workers = 16
	db := redistest.New(b)
	rdb := db.Client()
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	store, err := campaign.New(rdb, campaign.Options{})
	if err != nil {
		b.Fatal(err)
	}
	server, err := httpapi.New(httpapi.Options{Jobs: client, Redis: rdb, Campaigns: store})
	if err != nil {
		b.Fatal(err)
	}
	listener := httptest.NewServer(server)
	defer listener.Close()
	plain := asynq.NewClientFromRedisClient(db.Client())
	n, tasks := *benchRecipients, min(*benchRecipients, 50_000)
	rng := rand.New(rand.NewPCG(7, 7))
	names := strings.Fields("Ann Ben Carla David Emma Frank Grace Henry Isabel Jack Katherine Liam Mia Noah Olivia Peter Quinn Rachel Samuel Theresa")
	var body bytes.Buffer
	body.WriteString(`{"from":"+12065550100","template":"Hi {{name}}, your code is {{code}}."}` + "\n")
	payloads := make([][]byte, tasks)
	for i := range n {
		to, name, code := fmt.Sprintf("+1%d", 2012000000+i), names[rng.IntN(len(names))], rng.IntN(1_000_000)
		fmt.Fprintf(&body, `{"to":"%s","name":"%s","code":"%06d"}`+"\n", to, name, code)
		if i < tasks {
			payloads[i] = fmt.Appendf(nil, `{"from":"+12065550100","to":"%s","body":"Hi %s, your code is %06d."}`, to, name, code)
		}
	}

	post := func(query string) {
		// A reader of no known length is sent in chunks.
		request, err := http.NewRequest(http.MethodPost, listener.URL+"/v1/campaigns"+query, io.MultiReader(bytes.NewReader(body.Bytes())))
		if err != nil {
			b.Fatal(err)
		}
		request.Header.Set("Content-Type", asLines)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		defer response.Body.Close()
		last := ""
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if last == "" || len(lines.Bytes()) > 10 && lines.Bytes()[2] == 't' {
				last = lines.Text()
			}
		}
		if want := fmt.Sprintf(`{"total":{"rows":%d,"accepted":%d,`, n, n); !strings.HasPrefix(last, want) || !strings.HasSuffix(last, `"state":"running"}`) {
			b.Fatalf("got %s", last)
		}
	}
	enqueue := func() {
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				for i := w; i < tasks; i += workers {
					if _, err := plain.Enqueue(asynq.NewTask("send-message", payloads[i]), asynq.Queue("normal")); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	timed := func(rows int, f func()) float64 {
		b.Helper()
		if err := rdb.FlushDB(b.Context()).Err(); err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		began := time.Now()
		f()
		return float64(rows) / time.Since(began).Seconds()
	}
	var all, quiet, theirs, ratios, quietRatios []float64
	for b.Loop() {
		t, a, q := timed(tasks, enqueue), timed(n, func() { post("") }), timed(n, func() { post("?results=errors") })
		theirs, all, quiet = append(theirs, t), append(all, a), append(quiet, q)
		ratios, quietRatios = append(ratios, a/t), append(quietRatios, q/t)
	}
	b.ReportMetric(median(all), "rows/s")
	b.ReportMetric(median(quiet), "rows-errors-only/s")
	b.ReportMetric(median(theirs), "enqueued/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(quietRatios), "ratio-errors-only")

	found, _, err := store.List(b.Context(), 1, [16]byte{})
	if err != nil || len(found) != 1 {
		b.Fatalf("got %v, %v", found, err)
	}
	const looks = 20
	began := time.Now()
	for range looks {
		response, err := http.Get(listener.URL + "/v1/campaigns/" + found[0].ID.String())
		if err != nil || response.StatusCode != 200 {
			b.Fatalf("got %v, %v", response, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	b.ReportMetric(float64(time.Since(began).Microseconds())/1000/looks, "ms/look")
}
