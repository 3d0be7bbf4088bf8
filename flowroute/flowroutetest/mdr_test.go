package flowroutetest_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

// timed is a simulator with a clock that stands still unless moved.
func timed(t testing.TB, o flowroutetest.Options) (*bundle, *clock) {
	t.Helper()
	c := &clock{}
	o.Now = c.now
	return setup(t, o), c
}

func TestRecordLifecycle(t *testing.T) {
	t.Parallel()
	b, c := timed(t, flowroutetest.Options{MDRDelay: 2 * time.Second, DeliverAfter: 5 * time.Second, Undeliverable: []string{"12065550188"}})
	good := b.send("hello")
	bad := b.do("POST", "/v2.1/messages", strings.ReplaceAll(message("hello"), theirs, "12065550188")).at(t, "data.id").(string)
	const list = "/v2.1/messages?start_date=2026-03-01"

	for _, step := range []struct {
		at       time.Duration
		status   int
		good     string
		bad      string
		receipts string
	}{
		{0, 404, "", "", ""},
		{1999 * time.Millisecond, 404, "", "", ""},
		{2 * time.Second, 200, "message buffered", "message buffered", "2/1003 1/null"},
		{4999 * time.Millisecond, 200, "message buffered", "message buffered", "2/1003 1/null"},
		{5 * time.Second, 200, "delivered", "failed", "2/1004 2/1003 1/null"},
	} {
		c.at(step.at)
		one := b.get("/v2.1/messages/" + good)
		wantStatus(t, one, step.status)
		rows := b.get(list).at(t, "data").([]any)
		if step.status != 200 {
			if len(rows) != 0 {
				t.Errorf("at %v: got %d rows, want none", step.at, len(rows))
			}
			continue
		}
		if got := one.at(t, "data.attributes.status"); got != step.good {
			t.Errorf("at %v: got status %v, want %q", step.at, got, step.good)
		}
		if got := b.get("/v2.1/messages/"+bad).at(t, "data.attributes.status"); got != step.bad {
			t.Errorf("at %v: got status %v of the undeliverable one, want %q", step.at, got, step.bad)
		}
		if got := receipts(t, one); got != step.receipts {
			t.Errorf("at %v: got receipts %q, want %q", step.at, got, step.receipts)
		}
		if len(rows) != 2 {
			t.Errorf("at %v: got %d rows, want 2", step.at, len(rows))
		}
	}
	want := map[string]any{"body": "hello", "status": "delivered", "direction": "outbound", "amount_nanodollars": 4e6, "amount_display": "$0.0040",
		"to": theirs, "from": ours, "message_encoding": 0.0, "timestamp": "2026-03-04T12:00:00.12Z", "is_mms": false, "message_type": "longcode"}
	got := b.get("/v2.1/messages/"+good).at(t, "data.attributes").(map[string]any)
	delete(got, "delivery_receipts")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

func receipts(t *testing.T, a answer) string {
	t.Helper()
	var out []string
	for _, r := range a.at(t, "data.attributes.delivery_receipts").([]any) {
		m := r.(map[string]any)
		code := "null"
		if v := m["status_code"]; v != nil {
			code = fmt.Sprint(v)
		}
		out = append(out, fmt.Sprint(m["level"])+"/"+code)
	}
	return strings.Join(out, " ")
}

func TestVersions(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	id := b.send(strings.Repeat("x", 161))
	old := b.get("/v2.1/messages/"+id).at(t, "data.attributes").(map[string]any)
	if _, ok := old["price_details"]; ok {
		t.Error("v2.1 has price_details")
	}
	want := map[string]any{"base_rate": "0.0040", "charged_cost": "0.0080", "segment_count": 2.0, "surcharge_rate": "0.0000"}
	if diff := cmp.Diff(want, b.get("/v2.2/messages/"+id).at(t, "data.attributes.price_details")); diff != "" {
		t.Errorf("price_details (-want +got):\n%s", diff)
	}
	rows := b.get("/v2.2/messages?start_date=2026-01-01").at(t, "data").([]any)
	if diff := cmp.Diff(want, rows[0].(map[string]any)["attributes"].(map[string]any)["price_details"]); diff != "" {
		t.Errorf("price_details of the listing (-want +got):\n%s", diff)
	}
}

func TestSegmentsCost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		nano       float64
		encoding   float64
	}{
		{"one", "x", 4e6, 0},
		{"160 ASCII", strings.Repeat("x", 160), 4e6, 0},
		{"161 ASCII are parts of 140", strings.Repeat("x", 161), 8e6, 0},
		{"280 ASCII", strings.Repeat("x", 280), 8e6, 0},
		{"281 ASCII", strings.Repeat("x", 281), 12e6, 0},
		{"70 with an accent", strings.Repeat("é", 70), 4e6, 8},
		{"71 with an accent", strings.Repeat("é", 71), 8e6, 8},
		{"escapes", "tab\t\"quoted\" \\ line\n", 4e6, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, flowroutetest.Options{})
			attrs := b.get("/v2.1/messages/"+b.send(c.body)).at(t, "data.attributes").(map[string]any)
			if attrs["body"] != c.body || attrs["amount_nanodollars"] != c.nano || attrs["message_encoding"] != c.encoding {
				t.Errorf("got %v nanodollars, encoding %v, body %q, want %v, %v, %q", attrs["amount_nanodollars"], attrs["message_encoding"], attrs["body"], c.nano, c.encoding, c.body)
			}
		})
	}
}

// TestSegmentsAgree: this package counts segments by itself; the client of
// package flowroute must come to the same.
func TestSegmentsAgree(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	alphabet := []rune("abc \n\"\\{^~é’€漢😀")
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		known := 1 + rng.IntN(len(alphabet))
		text := make([]rune, 1+rng.IntN(400))
		for i := range text {
			text[i] = alphabet[rng.IntN(known)]
		}
		id, err := b.Plant(flowroutetest.Record{From: ours, To: theirs, Body: string(text)})
		if err != nil {
			t.Fatal(err)
		}
		attrs := b.get("/v2.2/messages/"+id).at(t, "data.attributes").(map[string]any)
		n, encoding := flowroute.Segments(string(text))
		got := fmt.Sprint(attrs["price_details"].(map[string]any)["segment_count"], attrs["message_encoding"])
		if want := fmt.Sprint(n, map[flowroute.Encoding]int{flowroute.EncodingASCII: 0, flowroute.EncodingUCS2: 8}[encoding]); got != want {
			t.Errorf("%q: got segments and encoding %s, flowroute.Segments says %s", string(text), got, want)
		}
	}
}

// rows returns the bodies of a listing.
func (b *bundle) rows(query string) []string {
	b.t.Helper()
	a := b.get("/v2.1/messages?" + query)
	wantStatus(b.t, a, 200)
	out := []string{}
	for _, r := range a.at(b.t, "data").([]any) {
		out = append(out, r.(map[string]any)["attributes"].(map[string]any)["body"].(string))
	}
	return out
}

func TestListingPages(t *testing.T) {
	t.Parallel()
	b, c := timed(t, flowroutetest.Options{})
	for i := range 5 {
		c.at(time.Duration(i) * time.Second)
		b.send(fmt.Sprint(i))
	}
	const noon = "start_date=2026-03-04T12:00:00Z"
	for _, step := range []struct {
		name, query string
		want        []string
	}{
		{"newest first", noon, []string{"4", "3", "2", "1", "0"}},
		{"limit", noon + "&limit=2", []string{"4", "3"}},
		{"offset", noon + "&limit=2&offset=2", []string{"2", "1"}},
		{"last page", noon + "&limit=2&offset=4", []string{"0"}},
		{"beyond", noon + "&limit=2&offset=9", []string{}},
		{"as high as you want", noon + "&limit=10000000", []string{"4", "3", "2", "1", "0"}},
		{"date alone", "start_date=2026-03-04", []string{"4", "3", "2", "1", "0"}},
		{"a date's end is its midnight", "start_date=2026-03-03&end_date=2026-03-04", []string{}},
		{"end is inclusive", noon + "&end_date=2026-03-04T12:00:01.12Z", []string{"1", "0"}},
		{"start is a bound", "start_date=2026-03-04T12:00:03.12Z", []string{"4", "3"}},
		{"offset of zone", "start_date=" + url.QueryEscape("2026-03-04T14:00:03+02:00"), []string{"4", "3"}},
		{"unencoded plus", "start_date=2026-03-04T14:00:03+02:00", []string{"4", "3"}},
		{"python's isoformat", "start_date=2026-03-04T12:00:03", []string{"4", "3"}},
		{"backwards", noon + "&end_date=2026-03-01", []string{}},
	} {
		if diff := cmp.Diff(step.want, b.rows(step.query)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	wantNext := b.URL + "/v2.1/messages?limit=2&start_date=2026-03-04T12%3A00%3A00%2B00%3A00&end_date=2026-03-05T00%3A00%3A00%2B00%3A00&offset=2"
	if got := b.get("/v2.1/messages?offset=0&limit=2&end_date=2026-03-05&"+noon).at(t, "links.next"); got != wantNext {
		t.Errorf("got next %v\nwant     %v", got, wantNext)
	}
	if got := b.get("/v2.1/messages?limit=5&"+noon).at(t, "links").(map[string]any); len(got) != 0 {
		t.Errorf("got links %v on the last page, want none", got)
	}
	for query, field := range map[string]string{
		"limit=0&" + noon: "limit", "limit=-1&" + noon: "limit", "limit=x&" + noon: "limit", "offset=-1&" + noon: "offset",
		"start_date=yesterday": "start_date", noon + "&end_date=12": "end_date", "start_date=": "start_date",
	} {
		a := b.get("/v2.1/messages?" + query)
		wantStatus(t, a, 422)
		if _, ok := a.at(t, "errors.0.detail").(map[string]any)[field]; !ok {
			t.Errorf("%s: got %s, want a detail about %s", query, a.body, field)
		}
	}
}

func TestListingChoices(t *testing.T) {
	t.Parallel()
	all := "start_date=2026-03-04"
	for _, c := range []struct {
		name    string
		choices flowroutetest.Choices
		query   string
		want    []string
	}{
		{"exclusive end", flowroutetest.Choices{EndDateExclusive: true}, all + "&end_date=2026-03-04T12:00:01.12Z", []string{"0"}},
		{"page cap", flowroutetest.Choices{MDRPageCap: 2}, all + "&limit=1000", []string{"2", "1"}},
		{"limit ignored", flowroutetest.Choices{MDRIgnoreLimit: true, MDRDefaultLimit: 1}, all + "&limit=1000", []string{"2"}},
		{"default limit", flowroutetest.Choices{MDRDefaultLimit: 2}, all, []string{"2", "1"}},
		{"latest change first", flowroutetest.Choices{OrderByUpdate: true}, all, []string{"1", "0", "2"}},
		{"rounded up is after the bound", flowroutetest.Choices{RoundTimestamps: true}, "start_date=2026-03-04T12:00:02.13Z", []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, clk := timed(t, flowroutetest.Options{Choices: c.choices, DeliverAfter: -1})
			for i := range 3 {
				clk.at(time.Duration(i) * time.Second)
				if b.send(fmt.Sprint(i)); i == 1 {
					clk.at(10 * time.Second)
					if n := b.Complete(); n != 2 {
						t.Errorf("got %d completed, want 2", n)
					}
				}
			}
			clk.at(20 * time.Second)
			if diff := cmp.Diff(c.want, b.rows(c.query)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestLateRecords: records that become visible out of order take their place
// by time, pages by offset shift, and a hold keeps everything back.
func TestLateRecords(t *testing.T) {
	t.Parallel()
	b, c := timed(t, flowroutetest.Options{})
	b.SetFault("mdr-lag", flowroutetest.Fault{Count: 1, Delay: time.Minute})
	b.send("late")
	c.at(time.Second)
	b.send("on time")
	const q = "start_date=2026-03-04"
	if diff := cmp.Diff([]string{"on time"}, b.rows(q)); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	c.at(time.Minute)
	if diff := cmp.Diff([]string{"on time", "late"}, b.rows(q)); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
	b.HoldRecords(10 * time.Second)
	b.send("held")
	c.at(time.Minute + 9*time.Second)
	if diff := cmp.Diff([]string{"on time", "late"}, b.rows(q)); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	c.at(time.Minute + 10*time.Second)
	if diff := cmp.Diff([]string{"held", "on time", "late"}, b.rows(q)); diff != "" {
		t.Errorf("hold over (-want +got):\n%s", diff)
	}
}

func TestClockSkew(t *testing.T) {
	t.Parallel()
	b, _ := timed(t, flowroutetest.Options{ClockSkew: -time.Minute, StampDelay: 2 * time.Second})
	got := b.get("/v2.1/messages/"+b.send("x")).at(t, "data.attributes.timestamp")
	if want := "2026-03-04T11:59:02.12Z"; got != want {
		t.Errorf("got timestamp %v, want %s", got, want)
	}
}

func TestMMSRecord(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	a := b.do("POST", "/v2.1/messages", `{"to":"12065550199","from":"12065550100","media_urls":["https://media.example.com/a.gif","https://media.example.com/b.gif"]}`)
	one := b.get("/v2.1/messages/" + a.at(t, "data.id").(string))
	refs, included := one.at(t, "data.relationships.media.data").([]any), one.at(t, "included").([]any)
	if len(refs) != 2 || len(included) != 2 || one.at(t, "included.1.attributes.file_name") != "b.gif" ||
		one.at(t, "data.relationships.media.data.1.id") != one.at(t, "included.1.id") || one.at(t, "data.attributes.is_mms") != true {
		t.Errorf("got %s, want two media", one.body)
	}
}

func TestPlant(t *testing.T) {
	t.Parallel()
	b, c := timed(t, flowroutetest.Options{})
	at := c.now().Add(-time.Hour)
	id, err := b.Plant(flowroutetest.Record{From: "12125550100", To: theirs, Body: "of another system", Timestamp: at, Code: 1007, Nanodollars: 5e6})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Plant(flowroutetest.Record{ID: id, From: ours, To: theirs}); err == nil {
		t.Error("the same id twice: got no error")
	}
	got := b.get("/v2.1/messages/"+id).at(t, "data.attributes").(map[string]any)
	if got["status"] != "failed" || got["amount_nanodollars"] != 5e6 || got["timestamp"] != "2026-03-04T11:00:00.12Z" {
		t.Errorf("got %v", got)
	}
	if n := len(b.Truth().Messages); n != 0 {
		t.Errorf("got %d accepted messages, want none: it was not posted by us", n)
	}
	var all []flowroutetest.Record
	for r := range b.Records() {
		all = append(all, r)
	}
	want := []flowroutetest.Record{{ID: id, Direction: "outbound", From: "12125550100", To: theirs, Body: "of another system",
		Timestamp: at.Truncate(10 * time.Millisecond), Code: 1007, Nanodollars: 5e6, Status: "failed"}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// TestKeepMessages: memory is bounded, and what is left stays right.
func TestKeepMessages(t *testing.T) {
	t.Parallel()
	b, c := timed(t, flowroutetest.Options{KeepMessages: 5000, MDRDelay: time.Second})
	const total = 20_000
	first := ""
	for i := range total {
		id, err := b.Plant(flowroutetest.Record{From: ours, To: theirs, Body: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = id
		}
		if i == 10_000 {
			c.at(2 * time.Second)
		}
	}
	c.at(time.Minute)
	wantStatus(t, b.get("/v2.1/messages/"+first), 404)
	rows := b.rows("start_date=2026-03-04&limit=1000000")
	if len(rows) < 5000 || len(rows) > 5000+2*4096 || rows[0] != fmt.Sprint(total-1) {
		t.Errorf("got %d rows, the newest %q, want 5,000 or some more and %d", len(rows), rows[0], total-1)
	}
	if got, want := b.Counts().Forgotten, int64(total-len(rows)); got != want {
		t.Errorf("got %d forgotten, want %d", got, want)
	}
}
