package httpapi_test

import (
	"context"
	"encoding/csv"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/reconcile"
)

// comparer is a reconciler that answers what it is told to.
type comparer struct {
	items []reconcile.Item
	kept  map[reconcile.Window]reconcile.Report
	ran   []reconcile.Request
	began chan struct{} // told of each run, which then goes on until its ctx ends. nil: it ends at once
	err   error         // after the items
}

func (c *comparer) LastDay(context.Context) (reconcile.Window, error) {
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	return reconcile.Window{Since: day, Until: day.Add(24 * time.Hour)}, nil
}

func (c *comparer) Report(_ context.Context, w reconcile.Window) (reconcile.Report, error) {
	if r, ok := c.kept[w]; ok {
		return r, nil
	}
	return reconcile.Report{}, reconcile.ErrNotFound
}

func (c *comparer) Reports(context.Context, int) ([]reconcile.Report, error) {
	var list []reconcile.Report
	for _, r := range c.kept {
		list = append(list, r)
	}
	return list, nil
}

func (c *comparer) Run(ctx context.Context, q reconcile.Request) (reconcile.Report, error) {
	c.ran = append(c.ran, q)
	if c.began != nil {
		c.began <- struct{}{}
		<-ctx.Done()
		return reconcile.Report{}, ctx.Err()
	}
	for _, i := range c.items {
		if q.Each != nil && slices.Contains(q.Classes, i.Class) {
			if err := q.Each(i); err != nil {
				return reconcile.Report{}, err
			}
		}
	}
	r := reconcile.Report{Version: 1, Window: q.Window}
	r.WithoutJob.Records = int64(len(c.items))
	if c.kept == nil {
		c.kept = map[reconcile.Window]reconcile.Report{}
	}
	c.kept[q.Window] = r
	return r, c.err
}

func TestReconciliation(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	c := &comparer{items: []reconcile.Item{
		{Class: reconcile.Matched, At: at, MDR: "m0", From: "1", To: "2", Delivery: flowroute.DeliveryDelivered},
		{Class: reconcile.WithoutJob, At: at, MDR: "m1", From: "=1+1", To: "12065550123", Delivery: flowroute.DeliveryPending, Status: "sent", Money: 4_000_000},
		{Class: reconcile.Differing, Issues: []reconcile.Issue{reconcile.IssueState, reconcile.IssuePrice}, At: at, MDR: "m2", From: "12065550100", To: "12065550124",
			Delivery: flowroute.DeliveryFailed, Money: 8_000_000, Segments: 1, Code: 1110},
	}}
	b := setup(t, func(o *httpapi.Options) { o.Reconciler = c })

	// The last day is compared once; after that the report is there, until another is
	// asked for.
	for i, query := range []string{"", "", "?fresh=false", "?fresh=true"} {
		got := decode[reconcile.Report](t, b.do("GET", "/v1/reconciliation"+query, "").want(t, 200))
		if day, _ := c.LastDay(t.Context()); got.Window != day || got.WithoutJob.Records != 3 {
			t.Errorf("%d: got %+v", i, got)
		}
	}
	if len(c.ran) != 2 || c.ran[0].Each != nil {
		t.Errorf("got %d runs, want two without a list", len(c.ran))
	}
	if got := decode[struct{ Items []reconcile.Report }](t, b.do("GET", "/v1/reconciliation/reports", "").want(t, 200)); len(got.Items) != 1 {
		t.Errorf("got %d reports, want 1", len(got.Items))
	}

	// A window is in whole minutes, so that it is the same when it is asked for again.
	b.do("GET", "/v1/reconciliation?since=2026-11-20T10:00:59Z&until=2026-11-20T12:00:01Z", "").want(t, 200)
	want := reconcile.Window{Since: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	if got := c.ran[len(c.ran)-1].Window; got != want {
		t.Errorf("got window %v, want %v", got, want)
	}

	// Lists.
	table := b.do("GET", "/v1/reconciliation", "", "Accept", "text/csv").want(t, 200)
	rows, err := csv.NewReader(strings.NewReader(string(table.body))).ReadAll()
	if err != nil || len(rows) != 3 || rows[0][0] != "class" {
		t.Fatalf("got %v %v, want a header and two rows", rows, err)
	}
	if foreign, other := rows[1], rows[2]; foreign[0] != "without-job" || foreign[3] != "'=1+1" || foreign[13] != "0.004" ||
		other[1] != "state price" || other[3] != "12065550100" || other[12] != "1110" {
		t.Errorf("got %v", rows)
	}
	lines := b.do("GET", "/v1/reconciliation?class=matched", "", "Accept", "application/x-ndjson").want(t, 200)
	if got := strings.Count(string(lines.body), "\n"); got != 1 || !strings.Contains(string(lines.body), `"m0"`) {
		t.Errorf("got %s", lines.body)
	}
	b.do("GET", "/v1/reconciliation?class=matched&fresh=true", "", "Accept", "text/csv").wantProblem(t, 422, "unknown_field")

	// A list that fails before it has begun is a problem; after that it is cut.
	c.err, c.items = errors.New("went wrong"), nil
	b.do("GET", "/v1/reconciliation", "", "Accept", "application/x-ndjson").wantProblem(t, 500, "internal")
	c.items = slices.Repeat([]reconcile.Item{{Class: reconcile.WithoutJob, From: strings.Repeat("1", 1000)}}, 1000)
	r := b.request("GET", "/v1/reconciliation", "", "Accept", "application/x-ndjson")
	if a, err := http.DefaultTransport.RoundTrip(r); err != nil || a.StatusCode != 200 {
		t.Errorf("got %v %v", a, err)
	} else if n, err := drain(a); err == nil {
		t.Errorf("got %d bytes and no error, want a cut", n)
	}
}

func drain(a *http.Response) (n int, err error) {
	defer a.Body.Close()
	b := make([]byte, 32<<10)
	for err == nil {
		var m int
		m, err = a.Body.Read(b)
		n += m
	}
	if err.Error() == "EOF" {
		err = nil
	}
	return n, err
}

// One comparison runs at a time, and one whose client is gone ends.
func TestReconciliationRuns(t *testing.T) {
	t.Parallel()
	c := &comparer{began: make(chan struct{})}
	b := setup(t, func(o *httpapi.Options) { o.Reconciler = c })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		a, err := http.DefaultTransport.RoundTrip(b.request("GET", "/v1/reconciliation", "").WithContext(ctx))
		if err == nil {
			_ = a.Body.Close()
		}
		ended <- err
	}()
	<-c.began
	b.do("GET", "/v1/reconciliation", "").wantProblem(t, 503, "too_many_streams")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// Its place is free again, for a next one.
	second, stop := context.WithCancel(t.Context())
	defer stop()
	began := make(chan struct{})
	go func() { <-c.began; close(began); stop() }()
	for {
		a, err := http.DefaultTransport.RoundTrip(b.request("GET", "/v1/reconciliation", "").WithContext(second))
		if err != nil {
			break
		}
		_ = a.Body.Close() // the one before is still ending
	}
	<-began
}
