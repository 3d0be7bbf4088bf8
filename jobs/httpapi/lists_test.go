package httpapi_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// shelf holds what a sync would have stored, and remembers what was asked.
type shelf struct {
	numbers inventory.Page
	routes  []inventory.Route
	asked   inventory.Query
}

func (s *shelf) List(_ context.Context, q inventory.Query) (inventory.Page, error) {
	s.asked = q
	return s.numbers, nil
}

func (s *shelf) Routes(context.Context) ([]inventory.Route, error) { return s.routes, nil }

func TestNumbersRoutesAndLimits(t *testing.T) {
	t.Parallel()
	number, err := flowroute.ParseE164("+12065550100")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	held := &shelf{
		numbers: inventory.Page{Numbers: []inventory.Number{{Number: number, Alias: "front desk", FirstSeen: at, LastSeen: at}}, Next: "more"},
		routes:  []inventory.Route{{Route: flowroute.Route{ID: "83834", Type: "uri", Value: "sip:a@example.com"}, FirstSeen: at}},
	}
	b := setup(t, func(o *httpapi.Options) {
		o.Numbers = held
		o.Limits = func(context.Context) (any, error) { return map[string]string{"sms": "5/s"}, nil }
	})
	for path, want := range map[string]string{
		"/v1/numbers?starts_with=1206&limit=5": `{"items":[{"number":"+12065550100","alias":"front desk",` +
			`"first_seen":"2026-11-22T18:00:00Z","last_seen":"2026-11-22T18:00:00Z"}],"next_cursor":"more"}`,
		"/v1/routes": `{"items":[{"id":"83834","type":"uri","value":"sip:a@example.com","first_seen":"2026-11-22T18:00:00Z"}]}`,
		"/v1/limits": `{"sms":"5/s"}`,
	} {
		if got := strings.TrimSpace(string(b.do("GET", path, "").want(t, 200).body)); got != want {
			t.Errorf("%s: %s", path, cmp.Diff(want, got))
		}
	}
	if want := (inventory.Query{StartsWith: "1206", Limit: 5}); held.asked != want {
		t.Errorf("asked %+v, want %+v", held.asked, want)
	}
	b.do("GET", "/v1/routes?limit=5", "").wantProblem(t, 422, "unknown_field")
	b.do("GET", "/v1/numbers?gone=perhaps", "").wantProblem(t, 422, "invalid")
	b.do("GET", "/v1/mdrs", "").wantProblem(t, 404, "not_found") // no store of them here
}

type mdrPage struct {
	Items []struct {
		ID, Direction, From, To, Status, Delivery string
		Timestamp                                 time.Time
	}
	Next string `json:"next_cursor"`
}

func TestMDRs(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	store, err := mdr.New(rdb, mdr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := setupOn(t, rdb, func(o *httpapi.Options) { o.MDRs = store })
	newest := time.Now().UTC().Truncate(time.Second)
	var batch []flowroute.MDR
	for i := range 5 {
		batch = append(batch, flowroute.MDR{
			ID: fmt.Sprintf("mdr2-%032x", i), Direction: flowroute.Outbound, From: "12065550100", To: fmt.Sprintf("1206555012%d", i),
			Body: "the secret word is swordfish", Status: "delivered", Timestamp: newest.Add(-time.Duration(i) * time.Hour),
		})
	}
	batch[4].Direction, batch[4].From = flowroute.Inbound, "78787" // a short code
	if _, err := store.Put(t.Context(), batch); err != nil {
		t.Fatal(err)
	}

	list := func(query string) mdrPage {
		a := b.do("GET", "/v1/mdrs?"+query, "").want(t, 200)
		if strings.Contains(string(a.body), "swordfish") {
			t.Errorf("a text is shown: %s", a.body)
		}
		return decode[mdrPage](t, a)
	}
	var seen []string
	query := "limit=2"
	for {
		page := list(query)
		for _, item := range page.Items {
			seen = append(seen, item.From+">"+item.To)
		}
		if page.Next == "" {
			break
		}
		query = "limit=2&cursor=" + url.QueryEscape(page.Next)
	}
	want := []string{
		"+12065550100>+12065550120", "+12065550100>+12065550121", "+12065550100>+12065550122",
		"+12065550100>+12065550123", "78787>+12065550124",
	}
	if !cmp.Equal(seen, want) {
		t.Errorf("page by page: %s", cmp.Diff(want, seen))
	}
	for query, n := range map[string]int{
		"since=90m": 2, "until=90m": 3, "direction=inbound": 1, "delivery=delivered&direction=outbound": 4,
		"number=%2B12065550121": 1, "number=+12065550121": 1, "number=(206)555-0121": 1, "number=78787": 1,
		"since=" + newest.Format(time.RFC3339): 1,
	} {
		if got := list(query); len(got.Items) != n {
			t.Errorf("%s: got %+v, want %d", query, got.Items, n)
		}
	}

	for query, field := range map[string]string{
		"limit=0": "limit", "limit=1001": "limit", "limit=many": "limit", "limit=1&limit=2": "limit", "sinse=48h": "sinse",
		"since=yesterday": "since", "since=-48h": "since", "direction=up": "direction", "delivery=": "delivery",
		"number=anna": "number", "cursor=nonsense": "cursor", "campaign=x": "campaign",
	} {
		if p := b.do("GET", "/v1/mdrs?"+query, ""); p.status != 422 || decode[problem](t, p).Field != field {
			t.Errorf("%s: got %d %s, want the field refused", query, p.status, p.body)
		}
	}
	b.do("GET", "/v1/mdrs?since=%zz", "").wantProblem(t, 400, "invalid")
}
