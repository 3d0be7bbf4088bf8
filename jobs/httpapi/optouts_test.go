package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

func withOptOuts(t *testing.T, rdb redis.UniversalClient) *bundle {
	t.Helper()
	store, err := suppress.New(rdb, suppress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return setupOn(t, rdb, func(o *httpapi.Options) { o.OptOuts = store })
}

type optOutPage struct {
	Items []map[string]any
	Next  string `json:"next_cursor"`
}

func TestOptOuts(t *testing.T) {
	t.Parallel()
	b := withOptOuts(t, redistest.New(t).Client())
	const body = `{"recipient":"(206) 555-0123","from":"+14255550100","time":"2026-01-31T10:00:00-08:00","note":" asked by phone "}`
	want := map[string]any{
		"state": "added", "recipient": "+12065550123", "from": "+14255550100", "source": "person", "time": "2026-01-31T18:00:00Z", "note": "asked by phone",
	}
	if got := decode[map[string]any](t, b.do("POST", "/v1/optouts", body).want(t, http.StatusCreated)); !cmp.Equal(got, want) {
		t.Errorf("got %s", cmp.Diff(want, got))
	}
	want["state"] = "known"
	if got := decode[map[string]any](t, b.do("POST", "/v1/optouts", body).want(t, http.StatusOK)); !cmp.Equal(got, want) {
		t.Errorf("again: got %s", cmp.Diff(want, got))
	}
	b.do("POST", "/v1/optouts", `{"recipient":"+12065550123","from":null}`).want(t, http.StatusCreated)
	for i := range 5 {
		b.do("POST", "/v1/optouts", fmt.Sprintf(`{"recipient":"+1206555013%d"}`, i)).want(t, http.StatusCreated)
	}

	seen := 0
	for query := "?limit=2"; query != ""; {
		page := decode[optOutPage](t, b.do("GET", "/v1/optouts"+query, "").want(t, 200))
		seen += len(page.Items)
		if query = ""; page.Next != "" {
			query = "?limit=2&cursor=" + page.Next
		}
	}
	if seen != 7 {
		t.Errorf("got %d page by page, want 7", seen)
	}
	for _, recipient := range []string{"%2B12065550123", "+12065550123", "2065550123"} {
		if page := decode[optOutPage](t, b.do("GET", "/v1/optouts?recipient="+recipient, "").want(t, 200)); len(page.Items) != 2 || page.Items[0]["from"] != nil {
			t.Errorf("%s: got %+v", recipient, page)
		}
	}
	if got := strings.TrimSpace(string(b.do("GET", "/v1/optouts?recipient=2065550199", "").want(t, 200).body)); got != `{"items":[]}` {
		t.Errorf("a stranger: got %s", got)
	}

	type removal struct{ Removed, Left []map[string]any }
	for _, c := range []struct {
		query         string
		removed, left int
	}{{"&from=4255550100", 1, 1}, {"&from=4255550100", 0, 1}, {"", 1, 0}, {"", 0, 0}} {
		got := decode[removal](t, b.do("DELETE", "/v1/optouts?recipient=2065550123"+c.query, "").want(t, 200))
		if len(got.Removed) != c.removed || len(got.Left) != c.left || got.Removed == nil || got.Left == nil {
			t.Errorf("%+v: got %+v", c, got)
		}
	}
	if strings.Contains(b.logs.String(), "2065550") || strings.Contains(b.logs.String(), "asked by phone") {
		t.Errorf("a number or a note is in the log: %s", b.logs)
	}
}

func TestOptOutsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := withOptOuts(t, redistest.New(t).Client())
	for body, want := range map[string]struct {
		status      int
		code, field string
	}{
		`{`:                               {400, "malformed_json", ""},
		`{"recipient":"+12065550123"} {}`: {400, "malformed_json", ""},
		`[]`:                              {422, "wrong_type", ""},
		`null`:                            {422, "wrong_type", ""},
		`{}`:                              {422, "required", "recipient"},
		`{"recipient":""}`:                {422, "required", "recipient"},
		`{"recipient":"555"}`:             {422, "invalid", "recipient"},
		`{"recipient":12065550123}`:       {422, "wrong_type", "recipient"},
		`{"recipient":"+12065550123","recipient":"+12065550124"}`:                        {422, "repeated_field", "recipient"},
		`{"recipient":"+12065550123","form":"+12065550100"}`:                             {422, "unknown_field", "form"},
		`{"recipient":"+12065550123","from":"1"}`:                                        {422, "invalid", "from"},
		`{"recipient":"+12065550123","time":"yesterday"}`:                                {422, "invalid", "time"},
		`{"recipient":"+12065550123","time":"2199-01-01"}`:                               {422, "invalid", "time"},
		`{"recipient":"+12065550123","note":"` + strings.Repeat("x", 49) + `"}`:          {422, "too_long", "note"},
		`{"recipient":"+12065550123","note":"a\u0000b"}`:                                 {422, "invalid", "note"},
		`{"recipient":"+12065550123","note":"` + strings.Repeat("x", 64<<10) + `"}`:      {413, "too_large", ""},
		`{"recipient":"+12065550123","` + strings.Repeat("x", 100) + `":"+12065550100"}`: {422, "unknown_field", strings.Repeat("x", 40)},
	} {
		if p := b.do("POST", "/v1/optouts", body).wantProblem(t, want.status, want.code); p.Field != want.field {
			t.Errorf("%.80s: got field %q, want %q", body, p.Field, want.field)
		}
	}
	for query, want := range map[string][2]string{
		"GET ?recipient=x": {"invalid", "recipient"}, "GET ?recipient=": {"required", "recipient"}, "GET ?to=2065550123": {"unknown_field", "to"},
		"GET ?cursor=x": {"invalid", "cursor"}, "GET ?limit=0": {"invalid", "limit"}, "DELETE ": {"required", "recipient"},
		"DELETE ?from=2065550100": {"required", "recipient"}, "DELETE ?recipient=": {"required", "recipient"},
		"DELETE ?recipient=2065550123&from=": {"required", "from"}, "DELETE ?recipient=2065550123&all=1": {"unknown_field", "all"},
	} {
		method, rest, _ := strings.Cut(query, " ")
		if p := b.do(method, "/v1/optouts"+rest, "").wantProblem(t, 422, want[0]); p.Field != want[1] {
			t.Errorf("%s: got field %q, want %q", query, p.Field, want[1])
		}
	}
	b.do("POST", "/v1/optouts", `recipient=2065550123`, "Content-Type", "application/x-www-form-urlencoded").wantProblem(t, 415, "unsupported_content_type")
	b.do("POST", "/v1/optouts", `{"recipient":"+12065550123"}`, "Authorization", "").wantProblem(t, 401, "unauthorized")
	b.do("GET", "/v1/optouts", "", "Authorization", "").wantProblem(t, 401, "unauthorized")
	b.do("DELETE", "/v1/optouts?recipient=2065550123", "", "Authorization", "").wantProblem(t, 401, "unauthorized")
	b.do("PUT", "/v1/optouts", `{}`).wantProblem(t, 405, "method_not_allowed")
	if page := decode[optOutPage](t, b.do("GET", "/v1/optouts", "").want(t, 200)); len(page.Items) != 0 {
		t.Errorf("something was taken: %+v", page)
	}
	setup(t).do("GET", "/v1/optouts", "").wantProblem(t, 404, "not_found") // no store of them
}

const asLines = "application/x-ndjson"

func answers(t *testing.T, a answer) []map[string]any {
	t.Helper()
	var list []map[string]any
	for line := range strings.Lines(string(a.body)) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		list = append(list, v)
	}
	return list
}

func TestOptOutLines(t *testing.T) {
	t.Parallel()
	b := withOptOuts(t, redistest.New(t).Client())
	const lines = `{"recipient":"+12065550123","note":"one"}` + "\r\n" +
		`{"recipient":"nobody"}` + "\n\n" +
		`{"recipient":` + "\n" +
		`{"recipient":"+12065550123"}` + "\n" +
		`{"recipient":"+12065550124","form":"x"}` + "\n" +
		`{"recipient":"+12065550125"}`
	got := b.do("POST", "/v1/optouts", lines, "Content-Type", asLines).want(t, 200)
	if got.header.Get("Content-Type") != asLines {
		t.Errorf("got content type %q", got.header.Get("Content-Type"))
	}
	var short []string
	for _, v := range answers(t, got) {
		text := fmt.Sprint(v["line"], " ", v["state"])
		if bad, ok := v["error"].(map[string]any); ok {
			text += fmt.Sprint(" ", bad["code"], " ", bad["field"])
		} else {
			text += fmt.Sprint(" ", v["recipient"], " ", v["source"])
		}
		short = append(short, text)
	}
	want := []string{
		"1 added +12065550123 import", "2 invalid invalid recipient", "4 invalid malformed_json <nil>", "5 known +12065550123 import",
		"6 invalid unknown_field form", "7 added +12065550125 import",
	}
	if !cmp.Equal(short, want) {
		t.Error(cmp.Diff(want, short))
	}
	b.do("POST", "/v1/optouts", "\n\n", "Content-Type", asLines).wantProblem(t, 422, "required")
	b.do("POST", "/v1/optouts", strings.Repeat("x", 8<<20+1), "Content-Type", asLines).wantProblem(t, 413, "too_large")
	b.do("POST", "/v1/optouts", "{}", "Content-Type", asLines+"; charset=latin1").wantProblem(t, 415, "unsupported_content_type")
}

func TestOptOutLinesPacked(t *testing.T) {
	t.Parallel()
	b := withOptOuts(t, redistest.New(t).Client())
	post := func(body, encoding string) answer {
		return b.do("POST", "/v1/optouts", body, "Content-Type", asLines, "Content-Encoding", encoding)
	}
	const line = `{"recipient":"+12065550123"}`
	if list := answers(t, post(zipped(t, line+"\n"+line), "gzip").want(t, 200)); len(list) != 2 || list[0]["state"] != "added" || list[1]["state"] != "known" {
		t.Errorf("got %v", list)
	}
	post(line, "identity").want(t, 200)
	post(line, "gzip").wantProblem(t, 400, "malformed_gzip")
	post(zipped(t, line)[:30], "gzip").wantProblem(t, 400, "incomplete_body")
	post(line, "br").wantProblem(t, 415, "unsupported_encoding")
	post(zipped(t, strings.Repeat(" ", 8<<20+1)), "gzip").wantProblem(t, 413, "too_large")
	b.do("POST", "/v1/optouts", line, "Content-Encoding", "gzip").wantProblem(t, 415, "unsupported_encoding")
}

// TestOptOutLinesFromOneWhoReadsLate: a client that writes everything before it reads
// anything must not hang.
func TestOptOutLinesFromOneWhoReadsLate(t *testing.T) {
	t.Parallel()
	b := withOptOuts(t, redistest.New(t).Client())
	var body strings.Builder
	const count = 20_000
	for i := range count {
		recipient := "a text that is no number, of which the answer says so at length"
		if i%100 == 0 {
			recipient = fmt.Sprint("+", 12065550000+i/100)
		}
		fmt.Fprintf(&body, `{"recipient":%q}`+"\n", recipient)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /v1/optouts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", appToken, asLines, body.Len())
	if _, err := io.WriteString(conn, body.String()); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if n := strings.Count(string(all), `"state":"added"`); err != nil || n != count/100 || n+strings.Count(string(all), `"state":"invalid"`) != count {
		t.Errorf("got %d added in %d bytes, %v", n, len(all), err)
	}
}

// cutAfter lets so many imports' batches through and then takes Redis away.
type cutAfter struct {
	*suppress.Store
	proxy *redistest.Proxy
}

func (c cutAfter) Import(ctx context.Context, rows iter.Seq2[suppress.Row, error], o suppress.ImportOptions, answer func(suppress.Answer) error) (suppress.Totals, error) {
	return c.Store.Import(ctx, rows, o, func(a suppress.Answer) error {
		if a.Line == 500 {
			c.proxy.Cut()
		}
		return answer(a)
	})
}

func TestOptOutsWithoutRedis(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	rdb := proxy.Client()
	store, err := suppress.New(rdb, suppress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := setupOn(t, rdb, func(o *httpapi.Options) { o.OptOuts = cutAfter{store, proxy} })
	var body strings.Builder
	for i := range 1200 {
		fmt.Fprintf(&body, `{"recipient":"+%d"}`+"\n", 12065550000+i%1000)
	}
	list := answers(t, b.do("POST", "/v1/optouts", body.String(), "Content-Type", asLines).want(t, 200))
	last, ok := list[len(list)-1]["error"].(map[string]any)
	if len(list) != 501 || !ok || last["code"] != "unavailable" || list[len(list)-1]["line"] != nil {
		t.Errorf("got %d lines, the last %v; want 500 answers and what went wrong", len(list), list[len(list)-1])
	}
	if !strings.Contains(b.logs.String(), `"reason":"unavailable"`) {
		t.Errorf("the log does not say so: %s", b.logs)
	}
	one := b.do("POST", "/v1/optouts", `{"recipient":"+12065550123"}`).wantProblem(t, 503, "unavailable")
	if one.Repeatable == nil || !*one.Repeatable {
		t.Errorf("got %+v, want it repeatable", one)
	}
	b.do("POST", "/v1/optouts", `{"recipient":"+12065550123"}`, "Content-Type", asLines).wantProblem(t, 503, "unavailable")
	b.do("DELETE", "/v1/optouts?recipient=2065550123", "").wantProblem(t, 503, "unavailable")
	b.do("GET", "/v1/optouts", "").wantProblem(t, 503, "unavailable")
	proxy.Resume()
	number, err := flowroute.ParseE164("+12065550499")
	if err != nil {
		t.Fatal(err)
	}
	if _, blocked, err := store.Blocked(t.Context(), flowroute.E164{}, number); err != nil || !blocked {
		t.Errorf("got %v, %v, want what was answered to be there", blocked, err)
	}
}
