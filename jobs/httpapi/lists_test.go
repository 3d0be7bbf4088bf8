package httpapi_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

// shelf holds what a sync would have stored, and remembers what was asked.
type shelf struct {
	numbers inventory.Page
	routes  []inventory.Route
	askedN  inventory.Query
}

func (s *shelf) List(_ context.Context, q inventory.Query) (inventory.Page, error) {
	s.askedN = q
	return s.numbers, nil
}

func (s *shelf) Routes(context.Context) ([]inventory.Route, error) { return s.routes, nil }

type records struct {
	page  mdr.Page
	asked mdr.Query
}

func (r *records) List(_ context.Context, q mdr.Query) (mdr.Page, error) {
	r.asked = q
	return r.page, nil
}

func TestLists(t *testing.T) {
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
	known := &records{page: mdr.Page{Records: []mdr.Record{{Matched: true, MDR: flowroute.MDR{
		ID: "mdr2-1", Direction: flowroute.Outbound, From: "12065550100", To: "78787", Body: "the secret word is swordfish", Timestamp: at,
		Status: "delivered",
	}}}}}
	b := setup(t, func(o *httpapi.Options) {
		o.Numbers, o.MDRs = held, known
		o.Limits = func(context.Context) (any, error) { return map[string]string{"sms": "5/s"}, nil }
	})

	for path, want := range map[string]string{
		"/v1/numbers?starts_with=1206&limit=5": `{"items":[{"number":"+12065550100","alias":"front desk",` +
			`"first_seen":"2026-11-22T18:00:00Z","last_seen":"2026-11-22T18:00:00Z"}],"next_cursor":"more"}`,
		"/v1/routes": `{"items":[{"id":"83834","type":"uri","value":"sip:a@example.com","first_seen":"2026-11-22T18:00:00Z"}]}`,
		"/v1/mdrs?since=2026-11-01T00:00:00Z&direction=outbound&delivery=delivered&cursor=c": `{"items":[{"id":"mdr2-1",` +
			`"direction":"outbound","from":"+12065550100","to":"78787","timestamp":"2026-11-22T18:00:00Z","status":"delivered",` +
			`"delivery":"delivered","is_mms":false,"amount_nanodollars":0,"matched":true}]}`,
		"/v1/limits": `{"sms":"5/s"}`,
	} {
		if got := strings.TrimSpace(string(b.do("GET", path, "").want(t, 200).body)); got != want {
			t.Errorf("%s: %s", path, cmp.Diff(want, got))
		}
	}
	if want := (inventory.Query{StartsWith: "1206", Limit: 5}); held.askedN != want {
		t.Errorf("asked %+v, want %+v", held.askedN, want)
	}
	want := mdr.Query{Since: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Direction: "outbound", Delivery: "delivered", Limit: 100, Cursor: "c"}
	if known.asked != want {
		t.Errorf("asked %+v, want %+v", known.asked, want)
	}
	b.do("GET", "/v1/mdrs?since=48h", "").want(t, 200)
	if ago := time.Since(known.asked.Since); ago < 48*time.Hour || ago > 49*time.Hour {
		t.Errorf("asked since %v, want 48 h ago", known.asked.Since)
	}

	for query, field := range map[string]string{
		"limit=0": "limit", "limit=1001": "limit", "limit=many": "limit", "limit=1&limit=2": "limit", "sinse=48h": "sinse",
		"since=yesterday": "since", "since=-48h": "since", "direction=up": "direction", "delivery=": "delivery",
	} {
		if p := b.do("GET", "/v1/mdrs?"+query, ""); p.status != 422 || decode[problem](t, p).Field != field {
			t.Errorf("%s: got %d %s, want the field refused", query, p.status, p.body)
		}
	}
	b.do("GET", "/v1/routes?limit=5", "").wantProblem(t, 422, "unknown_field")
	b.do("GET", "/v1/mdrs?since=%zz", "").wantProblem(t, 400, "invalid")
}
