package flowroutetest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

// discard is a ResponseWriter that keeps the status alone.
type discard struct {
	header http.Header
	status int
	n      int64
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { d.n += int64(len(b)); return len(b), nil }

func request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.SetBasicAuth(flowroutetest.DefaultAccessKey, flowroutetest.DefaultSecretKey)
	r.Header.Set("Content-Type", vndMedia)
	return r
}

// BenchmarkSend is the handler's cost of an accepted SMS, no faults, no limits.
func BenchmarkSend(b *testing.B) {
	s := flowroutetest.New(flowroutetest.Options{KeepMessages: 100_000})
	b.Cleanup(s.Close)
	const body = `{"data":{"type":"message","attributes":{"to":"12065550199","from":"12065550100","body":"Your table for two is ready, please come to the front desk."}}}`
	r := request("POST", "/v2.1/messages", body)
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(body))
		s.ServeHTTP(w, r)
	}
	if w.status != 202 {
		b.Fatalf("got status %d, want 202", w.status)
	}
}

// million is a simulator with a million records, some seconds apart.
func million(b *testing.B) *flowroutetest.Simulator {
	b.Helper()
	s := flowroutetest.New(flowroutetest.Options{})
	b.Cleanup(s.Close)
	start := time.Now().Add(-30 * 24 * time.Hour)
	for i := range 1_000_000 {
		if _, err := s.Plant(flowroutetest.Record{From: ours, To: theirs, Body: fmt.Sprintf("Message number %d of a million", i), Timestamp: start.Add(time.Duration(i) * 2 * time.Second)}); err != nil {
			b.Fatal(err)
		}
	}
	// The first reader puts the records in order.
	s.ServeHTTP(&discard{header: http.Header{}}, request("GET", "/v2.1/messages?start_date=2020-01-01&limit=1", ""))
	return s
}

// BenchmarkListPage is a page of 1,000 in the middle of a million records.
func BenchmarkListPage(b *testing.B) {
	s := million(b)
	w := &discard{header: http.Header{}}
	for b.Loop() {
		w.n = 0
		s.ServeHTTP(w, request("GET", "/v2.1/messages?start_date=2020-01-01&limit=1000&offset=500000", ""))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
	b.ReportMetric(float64(w.n)/1000, "B/row")
}

// BenchmarkListMillion is all of a million records in one answer.
func BenchmarkListMillion(b *testing.B) {
	s := million(b)
	w := &discard{header: http.Header{}}
	for b.Loop() {
		s.ServeHTTP(w, request("GET", "/v2.1/messages?start_date=2020-01-01&limit=10000000", ""))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/row")
}

// TestMillionRecords: planted in any order, listed in the right one, and the
// offset leads where it should.
func TestMillionRecords(t *testing.T) {
	t.Parallel()
	const total = 200_000 // the benchmarks have the million
	s := flowroutetest.New(flowroutetest.Options{})
	t.Cleanup(s.Close)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range total {
		n := i * 7919 % total // every number once, in no order
		if _, err := s.Plant(flowroutetest.Record{From: ours, To: theirs, Body: fmt.Sprint(n), Timestamp: start.Add(time.Duration(n) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, offset := range []int{0, 1, 99_999, total - 3} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, request("GET", fmt.Sprintf("/v2.2/messages?start_date=2025-01-01&limit=3&offset=%d", offset), ""))
		var page struct {
			Data []struct{ Attributes struct{ Body string } }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		for i, row := range page.Data {
			if want := fmt.Sprint(total - 1 - offset - i); row.Attributes.Body != want {
				t.Errorf("offset %d, row %d: got %s, want %s", offset, i, row.Attributes.Body, want)
			}
		}
		if len(page.Data) != 3 {
			t.Errorf("offset %d: got %d rows, want 3", offset, len(page.Data))
		}
	}
}
