package httpapi_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// rowLine is a line of an answer to recipients.
type rowLine struct {
	Line  int    `json:"line"`
	State string `json:"state"`
	ID    string `json:"id"`
	Why   string `json:"why"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Field   string `json:"field"`
	} `json:"error"`
	Campaign   *campaign.View `json:"campaign"`
	Duplicate  *bool          `json:"duplicate"`
	Repeatable *bool          `json:"repeatable"`
	Total      *rowTotals     `json:"total"`
}

type rowTotals struct {
	Rows      int `json:"rows"`
	Accepted  int `json:"accepted"`
	Duplicate int `json:"duplicate"`
	Blocked   int `json:"blocked"`
	Invalid   int `json:"invalid"`
	Segments  int `json:"segments"`
}

// short is the line in few words.
func (l rowLine) short() string {
	var text string
	switch {
	case l.Campaign != nil:
		text = fmt.Sprintf("campaign %s %t %t", l.Campaign.State, *l.Duplicate, *l.Repeatable)
	case l.Total != nil:
		text = fmt.Sprintf("total %v %s", *l.Total, l.State)
	default:
		text = fmt.Sprintf("%d %s", l.Line, l.State)
	}
	if l.Error != nil {
		text += fmt.Sprintf(" %s %s", l.Error.Code, l.Error.Field)
	}
	return strings.TrimSpace(text)
}

// rowsOf reads an answer to recipients; total is its last line.
func rowsOf(t *testing.T, body []byte) (shorts []string, total rowLine) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	for decoder.More() {
		total = rowLine{}
		if err := decoder.Decode(&total); err != nil {
			t.Fatalf("%v in %.300s", err, body)
		}
		shorts = append(shorts, total.short())
	}
	if total.Total == nil {
		t.Fatalf("there is no total: %.300s", body)
	}
	return shorts, total
}

// recipients sends recipients and reads the answers.
func (b *campaigns) recipients(id, body, media string, headers ...string) []string {
	b.t.Helper()
	a := b.do("POST", "/v1/campaigns/"+id+"/recipients", body, append([]string{"Content-Type", media}, headers...)...).want(b.t, 200)
	if got := a.header.Get("Content-Type"); got != asLines {
		b.t.Errorf("got content type %q", got)
	}
	list, _ := rowsOf(b.t, a.body)
	return list
}

// allInOne sends a campaign with its recipients.
func (b *campaigns) allInOne(body string, headers ...string) ([]string, rowLine) {
	b.t.Helper()
	a := b.do("POST", "/v1/campaigns", body, append([]string{"Content-Type", asLines}, headers...)...).want(b.t, 200)
	return rowsOf(b.t, a.body)
}

// to is a line with the nth recipient.
func to(n int) string { return fmt.Sprintf(`{"to":"+1206%07d"}`, 2000000+n) }

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !cmp.Equal(got, want) {
		t.Errorf("%s: %s", what, cmp.Diff(want, got))
	}
}

func TestRecipientsAreAnsweredOneByOne(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t)
	if _, _, err := b.optOuts.Add(t.Context(), suppress.Entry{Recipient: number(t, "+12062000004"), Source: suppress.SourcePerson}); err != nil {
		t.Fatal(err)
	}
	c := b.draft(`,"template":"Hi {{name}}"`)
	body := "\xef\xbb\xbfphone;name;other\r\n" +
		"+12062000001;Ann;\"two\nlines\"\r\n" +
		"(206) 200-0002;Ben;x\r\n" +
		"1.20655E+10;Carla;x\r\n" +
		"+12062000001;Ann;x\r\n" +
		"+12062000004;David;x\r\n" +
		"\r\n" +
		"+12062000005;;x\r\n" +
		"+12062000006;" + strings.Repeat("x", 70_000) + ";x\r\n" +
		"+12062000007;" + strings.Repeat("Emma ", 400) + ";x\r\n" +
		"+12062000008;Frank;x"
	want := []string{
		"2 accepted", "4 accepted", "5 invalid invalid phone", "6 duplicate", "7 blocked", "9 invalid required name",
		"10 invalid too_large", "11 invalid too_long", "12 accepted", "total {9 3 1 1 4 3}",
	}
	wantLines(t, "CSV", b.recipients(c.ID, body, "text/csv"), want...)
	if got := b.get(c.ID); got.Recipients != 3 || got.Skipped != (campaign.Skipped{Duplicate: 1, Blocked: 1, Invalid: 4}) {
		t.Errorf("got %+v", got)
	}
	// The same again adds none; packed, told of or not.
	want = []string{
		"2 duplicate", "4 duplicate", "5 invalid invalid phone", "6 duplicate", "7 blocked", "9 invalid required name",
		"10 invalid too_large", "11 invalid too_long", "12 duplicate", "total {9 0 4 1 4 0}",
	}
	wantLines(t, "gzip", b.recipients(c.ID, zipped(t, body), "text/csv", "Content-Encoding", "gzip"), want...)
	wantLines(t, "gzip by its bytes", b.recipients(c.ID, zipped(t, body), "text/csv"), want...)

	lines := "\n" + `{"to":"+12062000011","name":"Grace"}` + "\r\n" + `{"to":"+12062000011","name":"Grace"}` + "\n" + `{"to":"+12062000012","name":["x"]}` + "\n" +
		`{"to":"+1206` + "\n" + `{"to":12062000013,"name":7}` + "\n[]\n"
	at := "/v1/campaigns/" + c.ID + "/recipients"
	wantLines(t, "NDJSON", b.recipients(c.ID, lines, asLines),
		"2 accepted", "3 duplicate", "4 invalid wrong_type name", "5 invalid malformed_json", "6 accepted", "7 invalid wrong_type", "total {6 2 1 0 3 2}")
	got, _ := rowsOf(t, b.do("POST", at+"?results=errors", lines, "Content-Type", asLines).want(t, 200).body)
	wantLines(t, "errors only", got, "4 invalid wrong_type name", "5 invalid malformed_json", "7 invalid wrong_type", "total {6 0 3 0 3 0}")
	got, _ = rowsOf(t, b.do("POST", at+"?recipient=cell&latin1=true", "to,cell,name\n5,+12062000014,Zo\xe9\n", "Content-Type", "text/csv; charset=utf-8").want(t, 200).body)
	wantLines(t, "column and Latin-1", got, "2 accepted", "total {1 1 0 0 0 1}")
	wantLines(t, "nothing", b.recipients(c.ID, "", asLines), "total {0 0 0 0 0 0}")

	for _, tt := range []struct {
		query, media, body string
		status             int
		code               string
	}{
		{"", "application/json", to(1), 415, "unsupported_content_type"},
		{"", "text/csv; charset=iso-8859-1", "to\n", 415, "unsupported_content_type"},
		{"?results=some", "text/csv", "to\n", 422, "invalid"},
		{"?recipient=", "text/csv", "to\n", 422, "required"},
		{"?format=csv", "text/csv", "to\n", 422, "unknown_field"},
		{"", "text/csv", "", 422, "required"},
		{"", "text/csv", "name\nAnn\n", 422, "required"},
		{"", "text/csv", "to,to,name\n1,2,3\n", 422, "repeated_field"},
		{"?recipient=cell", "text/csv", "to,name\n1,2\n", 422, "unknown_field"},
		{"", "text/csv", "PK\x03\x04" + strings.Repeat("x", 1000), 422, "invalid"},
		{"", "text/csv", "\xff\xfet\x00o\x00", 400, "not_utf8"},
		{"?latin1=true", asLines, to(1), 422, "contradiction"},
	} {
		p := b.do("POST", at+tt.query, tt.body, "Content-Type", tt.media).want(t, tt.status)
		if got := decode[problem](t, p); got.Code != tt.code {
			t.Errorf("%s %q: got %+v, want %s", tt.query, tt.body, got, tt.code)
		}
	}
	b.do("POST", at, to(1), "Content-Type", asLines, "Content-Encoding", "gzip").wantProblem(t, 400, "malformed_gzip")
	b.do("POST", at, to(1), "Content-Type", asLines, "Content-Encoding", "br").wantProblem(t, 415, "unsupported_encoding")
	for _, secret := range []string{"Grace", "2000011", "Hi {{", "20655512"} {
		if strings.Contains(b.logs.String(), secret) {
			t.Errorf("%q is in the log: %s", secret, b.logs)
		}
	}
}

func TestCampaignAllInOne(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t)
	head := `{"from":"+12065550100","template":"hello","key":"spring"}`
	body := "\xef\xbb\xbf\n" + head + "\n" + to(1) + "\n\n" + to(2) + "\n" + to(1) + "\n{}"
	got, total := b.allInOne(body)
	wantLines(t, "first", got, "campaign draft false true", "3 accepted", "5 accepted", "6 duplicate", "7 invalid required to", "total {4 2 1 0 1 2} running")
	if total.Error != nil {
		t.Errorf("got %+v", total.Error)
	}
	list := decode[page](t, b.do("GET", "/v1/campaigns?state=running", "").want(t, 200))
	if len(list.Items) != 1 || list.Items[0].Recipients != 2 || list.Items[0].Waiting != 2 {
		t.Fatalf("got %+v", list)
	}
	got, total = b.allInOne(body)
	wantLines(t, "again", got, "campaign running true true", "total {0 0 0 0 0 0} running")
	got, _ = b.allInOne(zipped(t, body), "Content-Encoding", "gzip", "Idempotency-Key", "spring")
	wantLines(t, "again, packed", got, "campaign running true true", "total {0 0 0 0 0 0} running")
	b.do("POST", "/v1/campaigns", strings.Replace(body, "hello", "bye", 1), "Content-Type", asLines).wantProblem(t, 409, "key_conflict")
	b.do("POST", "/v1/campaigns/"+list.Items[0].ID+"/cancel", "").want(t, 200)
	b.do("POST", "/v1/campaigns", body, "Content-Type", asLines).wantProblem(t, 409, "wrong_state")

	got, total = b.allInOne(`{"from":"+12065550100","template":"hello"}` + "\n{}\n")
	wantLines(t, "nobody", got, "campaign draft false false", "2 invalid required to", "total {1 0 0 0 1 0} draft no_recipients")
	if !strings.Contains(total.Error.Message, "not started") {
		t.Errorf("got %+v", total.Error)
	}
	got, _ = b.allInOne(`{"from":"+12065550100","template":"hello","start_at":"`+hence(2)+`"}`+"\n"+to(1), "Idempotency-Key", "later")
	wantLines(t, "later", got, "campaign draft false true", "2 accepted", "total {1 1 0 0 0 1} scheduled")

	post := func(query, body string) answer {
		return b.do("POST", "/v1/campaigns"+query, body, "Content-Type", asLines)
	}
	post("", "\n \n").wantProblem(t, 422, "required")
	post("", to(1)+"\n"+to(2)).wantProblem(t, 422, "unknown_field")
	post("", strings.Repeat("x", 70_000)+"\n"+to(2)).wantProblem(t, 413, "too_large")
	post("?dry=true", head).wantProblem(t, 422, "unknown_field")
	post("?results=none", head).wantProblem(t, 422, "invalid")
}

func TestCampaignDryRun(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t, func(o *httpapi.Options) {
		o.Forecast = func(spec campaign.Spec) campaign.PreflightOptions {
			return campaign.PreflightOptions{Rate: float64(len(spec.From))}
		}
	})
	body := `{"from":["+12065550100","+12065550101"],"template":"it’s you","key":"k"}` + "\n" + to(1) + "\n" + to(2) + "\n" + to(1) + "\n{}"
	got := decode[campaign.Preflight](t, b.do("POST", "/v1/campaigns?dry_run=true", body, "Content-Type", asLines).want(t, 200))
	if got.Recipients != 2 || got.Skipped != (campaign.Skipped{Duplicate: 1, Invalid: 1}) || got.UCS2 != 2 || len(got.Costly) != 1 || got.Rate != 2 || got.Invalid[0].Line != 5 {
		t.Errorf("got %+v", got)
	}
	b.do("POST", "/v1/campaigns?dry_run=true", `{"from":"555"}`, "Content-Type", asLines).wantProblem(t, 422, "invalid")
	if left := decode[page](t, b.do("GET", "/v1/campaigns", "").want(t, 200)); len(left.Items) != 0 {
		t.Errorf("got %+v, want nothing written", left)
	}
}

// rowTalk is a client that writes and reads recipients as a test says.
type rowTalk struct{ *talk }

func (b *campaigns) talk(addr, path string, headers ...string) rowTalk {
	return rowTalk{b.talkTo(addr, path, headers...)}
}

// row reads an answer's next line.
func (k rowTalk) row() rowLine {
	k.t.Helper()
	if k.response == nil {
		var err error
		if k.response, err = http.ReadResponse(bufio.NewReader(k.conn), nil); err != nil {
			k.t.Fatal(err)
		}
		if k.response.StatusCode != 200 {
			text, _ := io.ReadAll(k.response.Body)
			k.t.Fatalf("got status %d: %s", k.response.StatusCode, text)
		}
		k.answers = bufio.NewReader(k.response.Body)
	}
	var l rowLine
	line, err := k.answers.ReadBytes('\n')
	if err != nil {
		k.t.Fatalf("%v after %q", err, line)
	}
	if err := json.Unmarshal(line, &l); err != nil {
		k.t.Fatalf("%v: %s", err, line)
	}
	return l
}

// rest reads what is left.
func (k rowTalk) rest() []string {
	k.t.Helper()
	var list []string
	for {
		l := k.row()
		list = append(list, l.short())
		if l.Total != nil {
			if extra, err := io.ReadAll(k.answers); err != nil || len(extra) > 0 {
				k.t.Errorf("after the total: %q, %v", extra, err)
			}
			return list
		}
	}
}

func (k rowTalk) want(texts ...string) {
	k.t.Helper()
	for _, want := range texts {
		if got := k.row().short(); got != want {
			k.t.Errorf("got %s, want %s", got, want)
		}
	}
}

// brieflyHeld makes an upload that died keep others out for less long, and one that lives
// show it sooner.
func brieflyHeld(t *testing.T) func(*httpapi.Options) {
	return func(o *httpapi.Options) {
		store, err := campaign.New(o.Redis, campaign.Options{UploadTTL: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		o.Campaigns = store
	}
}

const keyedHead = `{"from":"+12065550100","template":"hello","key":"k"}` + "\n"

// TestRecipientsAreAnsweredWhileTheyCome: one after another, on one connection, and the
// next request on it too. Meanwhile nobody else adds any.
func TestRecipientsAreAnsweredWhileTheyCome(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t, brieflyHeld(t))
	k := b.talk(b.url, "/v1/campaigns")
	k.chunk(keyedHead)
	first := k.row()
	if got := first.short(); got != "campaign draft false true" {
		t.Fatalf("got %s", got)
	}
	for i := range 3 {
		k.chunk(to(i) + "\n")
		k.want(fmt.Sprint(i+2, " accepted"))
	}
	at := "/v1/campaigns/" + first.Campaign.ID
	busy := b.do("POST", at+"/recipients", to(9), "Content-Type", asLines)
	busy.wantProblem(t, 409, "upload_running")
	if busy.header.Get("Retry-After") == "" {
		t.Errorf("got %v", busy.header)
	}
	b.do("POST", "/v1/campaigns", keyedHead+to(9), "Content-Type", asLines).wantProblem(t, 409, "upload_running")
	b.do("POST", at+"/start", "").wantProblem(t, 409, "upload_running")
	k.chunk(to(3)[:9])
	k.chunk(to(3)[9:])
	k.end()
	wantLines(t, "rest", k.rest(), "5 accepted", "total {4 4 0 0 0 4} running")
	k.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	next, err := http.ReadResponse(bufio.NewReader(k.conn), nil)
	if err != nil || next.StatusCode != 200 {
		t.Errorf("on the same connection: got %v, %v", next, err)
	}
}

// TestCampaignThatEndsInTheMiddle: what was whole is taken and answered, nothing starts,
// and the same request again goes on.
func TestCampaignThatEndsInTheMiddle(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t)
	k := b.talk(b.url, "/v1/campaigns")
	k.chunk(keyedHead + to(1) + "\n" + to(2) + "\n" + to(3)) // the third lacks its line's end, and is whole JSON
	if err := k.conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	first := k.row()
	wantLines(t, "connection", k.rest(), "2 accepted", "3 accepted", "total {2 2 0 0 0 2} draft incomplete_body")
	if got := b.get(first.Campaign.ID); got.State != campaign.Draft || got.Recipients != 2 {
		t.Errorf("got %+v", got)
	}

	body := keyedHead + to(1) + "\n" + to(4) + "\n" + to(3)
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = io.WriteString(zip, body)
	_ = zip.Flush() // and no end
	got, _ := b.allInOne(packed.String(), "Content-Encoding", "gzip")
	wantLines(t, "gzip", got, "campaign draft true true", "2 duplicate", "3 accepted", "total {2 1 1 0 0 1} draft incomplete_body")
	damaged := []byte(zipped(t, body))
	damaged[len(damaged)-5] ^= 1 // in the checksum
	got, total := b.allInOne(string(damaged))
	wantLines(t, "damaged", got, "campaign draft true true", "2 duplicate", "3 duplicate", "total {2 0 2 0 0 0} draft malformed_gzip")
	if !strings.Contains(total.Error.Message, "not started") {
		t.Errorf("got %+v", total.Error)
	}

	gone := b.talk(b.url, "/v1/campaigns")
	gone.chunk(body[:len(body)-5])
	gone.want("campaign draft true true", "2 duplicate", "3 duplicate")
	if err := gone.conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = gone.conn.Close()
	got, _ = b.allInOne(body) // at once: it waits until the server has noticed
	wantLines(t, "whole", got, "campaign draft true true", "2 duplicate", "3 duplicate", "4 accepted", "total {3 1 2 0 0 1} running")
	if got := b.get(first.Campaign.ID); got.Recipients != 4 {
		t.Errorf("got %+v", got)
	}
}

// leaseWatch hears when somebody asks how long a lease still lasts.
type leaseWatch struct {
	asked chan struct{} // closed then
	once  sync.Once
}

func (w *leaseWatch) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (w *leaseWatch) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (w *leaseWatch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		if slices.ContainsFunc(commands, func(c redis.Cmder) bool { return c.Name() == "pttl" }) {
			w.once.Do(func() { close(w.asked) })
		}
		return next(ctx, commands)
	}
}

// TestRecipientsAfterAServerThatDied: its upload is in the way until its lease lapses,
// which the next request waits for; not so if its own server ends meanwhile.
func TestRecipientsAfterAServerThatDied(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	rdb, watch := db.Client(), &leaseWatch{asked: make(chan struct{})}
	rdb.AddHook(watch)
	b := setupCampaignsOn(t, rdb)
	at := b.draft(`,"template":"hello"`).ID
	lease := "{flowroute}:cp:" + at + ":u"
	if err := b.rdb.Set(t.Context(), lease, "of one that died", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	addr, stop := serve(t, b.server)
	k := b.talk(addr, "/v1/campaigns/"+at+"/recipients")
	k.chunk(to(1) + "\n")
	<-watch.asked
	stop()
	response, err := http.ReadResponse(bufio.NewReader(k.conn), nil)
	if err != nil || response.StatusCode != 503 || response.Header.Get("Retry-After") == "" {
		t.Errorf("its server ends: got %+v, %v", response, err)
	}

	if err := b.rdb.PExpire(t.Context(), lease, 700*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "after it", b.recipients(at, to(1), asLines), "1 accepted", "total {1 1 0 0 0 1}")
}

// TestServerEndsDuringRecipients: the stream is ended at a row, and the client is told
// which; then it goes on elsewhere.
func TestServerEndsDuringRecipients(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t)
	addr, stop := serve(t, b.server)
	k := b.talk(addr, "/v1/campaigns")
	k.chunk(keyedHead + to(1) + "\n" + to(2)[:9])
	k.want("campaign draft false true", "2 accepted")
	stop() // it does not wait for the client
	wantLines(t, "rest", k.rest(), "total {1 1 0 0 0 1} draft unavailable")
	got, _ := b.allInOne(keyedHead + to(1) + "\n" + to(2))
	wantLines(t, "elsewhere", got, "campaign draft true true", "2 duplicate", "3 accepted", "total {2 1 1 0 0 1} running")
}

// flooded is what became of a client that sent recipients without end.
type flooded struct {
	head     string
	campaign ledger.ID
	accepted int // rows that were answered so, the first ones, in order
	last     rowLine
	err      error
}

// flood sends recipients until nobody takes them, and reads the answers. It calls under
// when it is under way, at the latest when it ends.
func (k rowTalk) flood(head string, under func()) (f flooded) {
	defer under()
	f.head = head
	written := make(chan struct{})
	go func() {
		defer close(written)
		lines := head + "\n"
		for n := 0; ; {
			if _, err := fmt.Fprintf(k.conn, "%x\r\n%s\r\n", len(lines), lines); err != nil {
				return
			}
			var next strings.Builder
			for range 500 {
				next.WriteString(to(n) + "\n")
				n++
			}
			lines = next.String()
		}
	}()
	defer func() {
		_ = k.conn.Close()
		<-written
	}()
	response, err := http.ReadResponse(bufio.NewReaderSize(k.conn, 64<<10), nil)
	if err != nil {
		f.err = err
		return f
	}
	var answers bytes.Buffer
	for lines, piece := 0, make([]byte, 64<<10); err == nil; {
		var n int
		n, err = response.Body.Read(piece)
		answers.Write(piece[:n])
		if lines += bytes.Count(piece[:n], []byte("\n")); lines > 1000 {
			under()
		}
	}
	if !errors.Is(err, io.EOF) {
		f.err = err
	}
	for line := range bytes.Lines(answers.Bytes()) {
		if string(line) == fmt.Sprintf(`{"line":%d,"state":"accepted","id":"%s"}`+"\n", f.accepted+2, f.campaign.OfRow(uint32(f.accepted+1))) {
			f.accepted++
			continue
		}
		f.last = rowLine{}
		if err := json.Unmarshal(line, &f.last); err != nil {
			f.err = errors.Join(f.err, err)
			break
		}
		if f.last.Campaign != nil {
			f.campaign, err = ledger.ParseID(f.last.Campaign.ID)
			f.err = errors.Join(f.err, err)
		}
	}
	return f
}

// TestServerEndsDuringAFlood: neither does it wait for those who never stop to send. What
// it has answered is there, and nothing else; elsewhere they go on.
func TestServerEndsDuringAFlood(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t)
	addr, stop := serve(t, b.server)
	const floods = 3
	var under sync.WaitGroup
	ended := make(chan flooded, floods)
	for i := range floods {
		k, head := b.talk(addr, "/v1/campaigns"), fmt.Sprintf(`{"from":"+12065550100","template":"hello","key":"flood %d"}`, i)
		under.Add(1)
		go func() { ended <- k.flood(head, sync.OnceFunc(under.Done)) }()
	}
	under.Wait()
	began := time.Now()
	stop()
	if took := time.Since(began); took > 8*time.Second { // at 10 s it is cut
		t.Errorf("took %v", took)
	}
	for range floods {
		f := <-ended
		if n := f.accepted; f.err != nil || n < 1000 || f.last.short() != fmt.Sprintf("total {%[1]d %[1]d 0 0 0 %[1]d} draft unavailable", n) {
			t.Errorf("got %s, %v after %d rows", f.last.short(), f.err, n)
			continue
		}
		if got := b.get(f.campaign.String()); got.State != campaign.Draft || got.Recipients != f.accepted {
			t.Errorf("%d rows were answered as accepted, and there are %d: %+v", f.accepted, got.Recipients, got)
		}
		var again strings.Builder
		again.WriteString(f.head + "\n")
		for n := range f.accepted + 5 {
			again.WriteString(to(n) + "\n")
		}
		a := b.do("POST", "/v1/campaigns?results=errors", again.String(), "Content-Type", asLines).want(t, 200)
		got, _ := rowsOf(t, a.body)
		wantLines(t, "elsewhere", got, "campaign draft true true", fmt.Sprintf("total {%d 5 %d 0 0 5} running", f.accepted+5, f.accepted))
	}
}

// TestCampaignIsCancelledWhileRecipientsCome: nobody waits for the rest of them.
func TestCampaignIsCancelledWhileRecipientsCome(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t)
	k := b.talk(b.url, "/v1/campaigns")
	k.chunk(keyedHead + to(1) + "\n")
	first := k.row()
	k.want("2 accepted")
	b.do("POST", "/v1/campaigns/"+first.Campaign.ID+"/cancel", "").want(t, 200)
	k.chunk(to(2) + "\n")
	k.want("total {1 1 0 0 0 1} cancelled wrong_state")
	for range 3 {
		k.chunk(to(3) + "\n") // it may go on
	}
	k.end()
	if extra, err := io.ReadAll(k.answers); err != nil || len(extra) > 0 {
		t.Errorf("got %q, %v", extra, err)
	}
}

// TestRedisDiesWhileRecipientsCome: what was answered is there afterwards, and the same
// again adds nobody twice.
func TestRedisDiesWhileRecipientsCome(t *testing.T) {
	t.Parallel()
	db := redistest.Own(t, redisembed.Options{})
	if db.Kind != redisembed.KindInProcess { // else a kill may take the latest writes along
		if err := db.Client().ConfigSet(t.Context(), "appendfsync", "always").Err(); err != nil {
			t.Fatal(err)
		}
	}
	b := setupCampaignsOn(t, db.Client(), brieflyHeld(t))
	k := b.talk(b.url, "/v1/campaigns")
	body := []string{keyedHead}
	k.chunk(keyedHead)
	first := k.row()
	for i := range 5 {
		body = append(body, to(i)+"\n")
		k.chunk(body[i+1])
		k.want(fmt.Sprint(i+2, " accepted"))
	}
	db.Kill()
	body = append(body, to(5)+"\n")
	k.chunk(body[6])
	last := k.row()
	if last.Total == nil || *last.Total != (rowTotals{5, 5, 0, 0, 0, 5}) || last.Error == nil || last.Error.Code != "unavailable" && last.Error.Code != "unconfirmed" {
		t.Errorf("got %s", last.short())
	}
	k.end()
	a := b.do("POST", "/v1/campaigns", strings.Join(body, ""), "Content-Type", asLines).want(t, 503)
	if p := decode[problem](t, a); p.Repeatable == nil || !*p.Repeatable {
		t.Errorf("got %s", a.body)
	}
	db.Restart()
	b.until("Redis is back", func() bool { return b.do("GET", "/v1/campaigns/"+first.Campaign.ID, "").status == 200 })
	if got := b.get(first.Campaign.ID); got.State != campaign.Draft || got.Recipients < 5 {
		t.Errorf("got %+v", got)
	}
	all := b.do("POST", "/v1/campaigns", strings.Join(body, ""), "Content-Type", asLines).want(t, 200)
	got, total := rowsOf(t, all.body)
	if total.State != "running" || total.Total.Rows != 6 || total.Total.Invalid != 0 || b.get(first.Campaign.ID).Recipients != 6 {
		t.Errorf("got %v", got)
	}
}

// TestStuckClientsOfRecipients: one that sends nothing whole any more is told so.
func TestStuckClientsOfRecipients(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t, func(o *httpapi.Options) { o.ReadTimeout = 500 * time.Millisecond })
	addr, stop := serve(t, b.server)
	defer stop()
	k := b.talk(addr, "/v1/campaigns")
	k.chunk(keyedHead)
	k.want("campaign draft false true")
	for i := range 4 { // longer than a whole request may take
		timer := time.NewTimer(250 * time.Millisecond)
		k.chunk(to(i) + "\n")
		k.row()
		<-timer.C
	}
	wantLines(t, "rest", k.rest(), "total {4 4 0 0 0 4} draft request_timeout")
}

// TestRecipientsAreRefusedBeforeTheyAreSent: a client that asks first need not send
// them, and one that does not comes to its answer all the same.
func TestRecipientsAreRefusedBeforeTheyAreSent(t *testing.T) {
	t.Parallel()
	b := setupCampaigns(t)
	c := b.draft("")
	b.do("POST", "/v1/campaigns/"+c.ID+"/cancel", "").want(t, 200)
	at := "/v1/campaigns/" + c.ID + "/recipients"
	k := b.talk(b.url, at, "Expect: 100-continue\r\n")
	response, err := http.ReadResponse(bufio.NewReader(k.conn), nil)
	if err != nil || response.StatusCode != 409 {
		t.Errorf("got %+v, %v", response, err)
	}
	many := strings.Repeat(to(1)+"\n", 500_000)
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", at, appToken, asLines, len(many))
	if _, err := io.WriteString(conn, many); err != nil {
		t.Fatal(err)
	}
	if response, err = http.ReadResponse(bufio.NewReader(conn), nil); err != nil || response.StatusCode != 409 {
		t.Errorf("got %+v, %v", response, err)
	}
}
