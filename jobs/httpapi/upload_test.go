package httpapi_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// told is a line of an answer.
type told struct {
	Line       int    `json:"line"`
	ID         string `json:"id"`
	State      string `json:"state"`
	Duplicate  *bool  `json:"duplicate"`
	Repeatable *bool  `json:"repeatable"`
	Retention  int    `json:"key_retention_seconds"`
	Error      *struct {
		Code    string            `json:"code"`
		Message string            `json:"message"`
		Field   string            `json:"field"`
		Errors  []jobs.FieldError `json:"errors"`
	} `json:"error"`
	Total *totals `json:"total"`
}

type totals struct {
	Lines       int `json:"lines"`
	Accepted    int `json:"accepted"`
	Duplicate   int `json:"duplicate"`
	Blocked     int `json:"blocked"`
	Invalid     int `json:"invalid"`
	Unconfirmed int `json:"unconfirmed"`
	NotTaken    int `json:"not_taken"`
}

// short is the line in few words.
func (l told) short() string {
	switch {
	case l.Total != nil && l.Error != nil:
		return fmt.Sprintf("total %v %s", *l.Total, l.Error.Code)
	case l.Total != nil:
		return fmt.Sprintf("total %v", *l.Total)
	case l.Error != nil:
		return strings.TrimSpace(fmt.Sprintf("%d %s %s", l.Line, l.Error.Code, l.Error.Field))
	case l.Duplicate != nil && *l.Duplicate:
		return fmt.Sprintf("%d duplicate", l.Line)
	}
	return fmt.Sprintf("%d %s", l.Line, l.State)
}

// linesOf reads an answer to lines, and its total.
func linesOf(t *testing.T, body []byte) ([]told, totals) {
	t.Helper()
	var list []told
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	for decoder.More() {
		var l told
		if err := decoder.Decode(&l); err != nil {
			t.Fatalf("%v in %.300s", err, body)
		}
		list = append(list, l)
	}
	if len(list) == 0 || list[len(list)-1].Total == nil {
		t.Fatalf("there is no total: %.300s", body)
	}
	return list, *list[len(list)-1].Total
}

func shorts(list []told) []string {
	var texts []string
	for _, l := range list {
		texts = append(texts, l.short())
	}
	return texts
}

// upload sends lines and reads the answer.
func (b *bundle) upload(body string, headers ...string) []told {
	b.t.Helper()
	a := b.do("POST", "/v1/messages", body, append([]string{"Content-Type", asLines}, headers...)...).want(b.t, 200)
	if got := a.header.Get("Content-Type"); got != asLines {
		b.t.Errorf("got content type %q", got)
	}
	list, _ := linesOf(b.t, a.body)
	return list
}

// text is a message to the nth recipient.
func text(n int, fields string) string {
	return fmt.Sprintf(`{"from":"+12065550100","to":"+1206%07d","body":"hello"%s}`, 2000000+n, fields)
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	if _, err := io.WriteString(zip, text); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func number(t *testing.T, text string) flowroute.E164 {
	t.Helper()
	n, err := flowroute.ParseE164(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLinesAreAnsweredOneByOne(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	b := setupOn(t, rdb)
	store, err := suppress.New(rdb, suppress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Add(t.Context(), suppress.Entry{Recipient: number(t, "+12062000007"), Source: suppress.SourcePerson}); err != nil {
		t.Fatal(err)
	}
	body := "\xef\xbb\xbf" + text(1, `,"key":"a"`) + "\r\n" +
		text(2, "") + "\n" +
		"\n  \r\n" +
		`{"from":"+12065550100","to":"555","body":"\u0000"}` + "\n" +
		`{"from":"+1206` + "\n" +
		text(3, `,"key":"`+strings.Repeat("k", 70_000)+`"`) + "\n" +
		text(1, `,"key":"a"`) + "\n" +
		text(4, `,"key":"a"`) + "\n" +
		text(7, `,"key":"b"`) + "\n" +
		text(5, `,"bdoy":1`) + "\n" +
		strings.Repeat("x", 300_000) + "\n" +
		text(6, "")
	want := []string{
		"1 queued", "2 queued", "5 invalid to", "6 malformed_json", "7 too_large", "8 duplicate", "9 key_conflict", "10 blocked", "11 unknown_field bdoy",
		"12 too_large", "13 queued", "total {13 3 1 1 6 0 0}",
	}
	list := b.upload(body)
	if got := shorts(list); !cmp.Equal(got, want) {
		t.Fatal(cmp.Diff(want, got))
	}
	if list[0].ID != list[5].ID || !*list[0].Repeatable || list[0].Retention == 0 || *list[1].Repeatable || list[1].Retention != 0 {
		t.Errorf("got %+v and %+v", list[0], list[1])
	}
	if e := list[2].Error; len(e.Errors) != 2 || e.Errors[1].Field != "body" {
		t.Errorf("got %+v, want both problems", e)
	}
	if e := list[8].Error; len(e.Errors) != 0 || strings.Contains(e.Message, "bdoy") {
		t.Errorf("got %+v, want the field said once", e)
	}
	for _, i := range []int{0, 1, 10} {
		if job := decode[job](t, b.do("GET", "/v1/messages/"+list[i].ID, "").want(t, 200)); job.State != "queued" {
			t.Errorf("got %+v", job)
		}
	}

	// The same again, packed and only what is wrong.
	want = []string{"5 invalid to", "6 malformed_json", "7 too_large", "9 key_conflict", "11 unknown_field bdoy", "12 too_large", "total {13 2 3 0 6 0 0}"}
	for _, encoding := range []string{"gzip", "x-gzip", "GZIP"} {
		a := b.send(b.request("POST", "/v1/messages?results=errors", zipped(t, body), "Content-Type", asLines, "Content-Encoding", encoding)).want(t, 200)
		again, _ := linesOf(t, a.body)
		if got := shorts(again); !cmp.Equal(got, want) {
			t.Error(cmp.Diff(want, got))
		}
	}
	for _, secret := range []string{"hello", "2062000", "2065550100"} {
		if strings.Contains(b.logs.String(), secret) {
			t.Errorf("%q is in the log: %s", secret, b.logs)
		}
	}
}

func TestLinesHaveTheKeyOfTheHeader(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := text(1, "") + "\n\n" + text(2, `,"key":"own"`) + "\n" + text(3, "")
	first, second := b.upload(body, "Idempotency-Key", `"file-1"`), b.upload(body, "Idempotency-Key", "file-1")
	for i, want := range []string{"1 duplicate", "3 duplicate", "4 duplicate", "total {4 0 3 0 0 0 0}"} {
		if second[i].short() != want || second[i].ID != first[i].ID || i < 3 && !*first[i].Repeatable {
			t.Errorf("got %s of %s, want %s of %s", second[i].short(), second[i].ID, want, first[i].ID)
		}
	}
	for key, want := range map[string]string{"file-1#4": first[2].ID, "own": first[1].ID} {
		one := decode[jobs.Receipt](t, b.do("POST", "/v1/messages", text(map[string]int{"file-1#4": 3, "own": 2}[key], ""), "Idempotency-Key", key).want(t, 202))
		if one.ID != want || !one.Duplicate {
			t.Errorf("%s: got %+v, want %s", key, one, want)
		}
	}
	// Other content under the same key and line.
	if got := b.upload(text(9, ""), "Idempotency-Key", "file-1")[0].short(); got != "1 key_conflict" {
		t.Errorf("got %s", got)
	}
	for key, code := range map[string]string{`""`: "required", strings.Repeat("k", 250): "too_long", "caf\xe9": "not_utf8"} {
		p := b.do("POST", "/v1/messages", body, "Content-Type", asLines, "Idempotency-Key", key).wantProblem(t, 422, code)
		if p.Field != "key" {
			t.Errorf("%s: got field %q", key, p.Field)
		}
	}
}

func TestLinesThatCannotBe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good := text(1, "")
	post := func(path, body string, headers ...string) answer {
		return b.do("POST", path, body, append([]string{"Content-Type", asLines}, headers...)...)
	}
	post("/v1/messages", "\n\r\n \n").wantProblem(t, 422, "required")
	post("/v1/messages", zipped(t, ""), "Content-Encoding", "gzip").wantProblem(t, 422, "required")
	post("/v1/messages", good, "Content-Encoding", "gzip").wantProblem(t, 400, "malformed_gzip")
	post("/v1/messages", zipped(t, good)[:8], "Content-Encoding", "gzip").wantProblem(t, 400, "incomplete_body")
	packed := post("/v1/messages", good, "Content-Encoding", "br")
	packed.wantProblem(t, 415, "unsupported_encoding")
	if packed.header.Get("Accept-Encoding") != "gzip, identity" {
		t.Errorf("got %v", packed.header)
	}
	post("/v1/messages", good, "Content-Type", asLines+"; charset=latin1").wantProblem(t, 415, "unsupported_content_type")
	post("/v1/messages?results=some", good).wantProblem(t, 422, "invalid")
	post("/v1/messages?result=errors", good).wantProblem(t, 422, "unknown_field")
	b.do("POST", "/v1/messages?results=errors", good).wantProblem(t, 422, "unknown_field") // one message is no list
	post("/v1/messages", good, "Authorization", "").wantProblem(t, 401, "unauthorized")
	if counts, err := b.jobs.Ledger().Counts(t.Context()); err != nil || counts[jobs.TypeSendMessage][ledger.Queued] != 0 {
		t.Errorf("something was taken: %v, %v", counts, err)
	}
}

// talk is a client that writes and reads as a test says.
type talk struct {
	*bundle
	conn     net.Conn
	response *http.Response
	answers  *bufio.Reader
}

// talkTo begins a request whose body comes in chunks.
func (b *bundle) talkTo(addr, path string, headers ...string) *talk {
	b.t.Helper()
	conn, err := new(net.Dialer).DialContext(b.t.Context(), "tcp", strings.TrimPrefix(addr, "http://"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		b.t.Fatal(err)
	}
	k := &talk{bundle: b, conn: conn}
	k.write(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n%sTransfer-Encoding: chunked\r\n\r\n",
		path, appToken, asLines, strings.Join(headers, "")))
	return k
}

func (k *talk) write(text string) {
	k.t.Helper()
	if _, err := io.WriteString(k.conn, text); err != nil {
		k.t.Fatal(err)
	}
}

func (k *talk) chunk(text string) {
	k.t.Helper()
	k.write(fmt.Sprintf("%x\r\n%s\r\n", len(text), text))
}
func (k *talk) end() { k.t.Helper(); k.write("0\r\n\r\n") }

// read reads an answer's next line.
func (k *talk) read() told {
	k.t.Helper()
	if k.response == nil {
		var err error
		if k.response, err = http.ReadResponse(bufio.NewReader(k.conn), nil); err != nil {
			k.t.Fatal(err)
		}
		if k.response.StatusCode != 200 {
			k.t.Fatalf("got status %d", k.response.StatusCode)
		}
		k.answers = bufio.NewReader(k.response.Body)
	}
	var l told
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
func (k *talk) rest() []string {
	k.t.Helper()
	var list []string
	for {
		l := k.read()
		list = append(list, l.short())
		if l.Total != nil {
			if extra, err := io.ReadAll(k.answers); err != nil || len(extra) > 0 {
				k.t.Errorf("after the total: %q, %v", extra, err)
			}
			return list
		}
	}
}

// TestLinesAreAnsweredWhileTheyCome: one after another, on one connection, and the next
// request on it too.
func TestLinesAreAnsweredWhileTheyCome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.talkTo(b.url, "/v1/messages")
	for i := range 3 {
		k.chunk(text(i, "") + "\n")
		if got, want := k.read().short(), fmt.Sprint(i+1, " queued"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	half := text(3, "")
	k.chunk(half[:20])
	k.chunk(half[20:])
	k.end()
	if got, want := k.rest(), []string{"4 queued", "total {4 4 0 0 0 0 0}"}; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	k.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	next, err := http.ReadResponse(bufio.NewReader(k.conn), nil)
	if err != nil || next.StatusCode != 200 {
		t.Errorf("on the same connection: got %v, %v", next, err)
	}
}

// TestInputThatEndsInTheMiddle: what was whole is taken and answered, the half line is
// not.
func TestInputThatEndsInTheMiddle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	whole := text(1, `,"key":"a"`) + "\n" + text(2, `,"key":"b"`) + "\n"
	half := text(3, `,"key":"c"`) // without the line's end, whole JSON
	want := []string{"1 queued", "2 queued", "total {2 2 0 0 0 0 0} incomplete_body"}

	k := b.talkTo(b.url, "/v1/messages")
	k.chunk(whole + half)
	if err := k.conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := k.rest(); !cmp.Equal(got, want) {
		t.Errorf("connection: got %v, want %v", got, want)
	}

	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = io.WriteString(zip, whole+half)
	_ = zip.Flush() // and no end
	want[0], want[1], want[2] = "1 duplicate", "2 duplicate", "total {2 0 2 0 0 0 0} incomplete_body"
	if got := shorts(b.upload(packed.String(), "Content-Encoding", "gzip")); !cmp.Equal(got, want) {
		t.Errorf("gzip: got %v, want %v", got, want)
	}
	damaged := []byte(zipped(t, whole+half))
	damaged[len(damaged)-5] ^= 1 // in the checksum
	want[2] = "total {2 0 2 0 0 0 0} malformed_gzip"
	if got := shorts(b.upload(string(damaged), "Content-Encoding", "gzip")); !cmp.Equal(got, want) {
		t.Errorf("damaged: got %v, want %v", got, want)
	}
	counts, err := b.jobs.Ledger().Counts(t.Context())
	if got := counts[jobs.TypeSendMessage][ledger.Queued]; err != nil || got != 2 {
		t.Errorf("got %d jobs, %v, want 2", got, err)
	}
}

// TestStuckClientsOfLines: one that sends nothing whole any more is told so, and one that
// only waits to be answered is not cut off.
func TestStuckClientsOfLines(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpapi.Options) { o.ReadTimeout = 500 * time.Millisecond })
	addr, stop := serve(t, b.server)
	defer stop()
	k := b.talkTo(addr, "/v1/messages")
	began := time.Now()
	for i := range 4 { // longer than a whole request may take
		timer := time.NewTimer(250 * time.Millisecond)
		k.chunk(text(i, "") + "\n")
		k.read()
		<-timer.C
	}
	if took := time.Since(began); took < time.Second {
		t.Fatalf("took %v", took)
	}
	drip := make(chan struct{})
	go func() { // single bytes do not count
		defer close(drip)
		for range time.Tick(100 * time.Millisecond) {
			if _, err := io.WriteString(k.conn, "1\r\n{\r\n"); err != nil || time.Since(began) > 20*time.Second {
				return
			}
		}
	}()
	if got, want := k.rest(), []string{"total {4 4 0 0 0 0 0} request_timeout"}; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	_ = k.conn.Close()
	<-drip
}

// TestServerEndsDuringLines: the stream is ended at a line, and the client is told which.
func TestServerEndsDuringLines(t *testing.T) {
	t.Parallel()
	b := setup(t)
	addr, stop := serve(t, b.server)
	k := b.talkTo(addr, "/v1/messages")
	k.chunk(text(1, "") + "\n" + text(2, "")[:30])
	if got := k.read().short(); got != "1 queued" {
		t.Errorf("got %s", got)
	}
	stop() // it does not wait for the client
	if got, want := k.rest(), []string{"total {1 1 0 0 0 0 0} unavailable"}; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestServerEndsDuringAFloodOfLines: a client that never stops to send hears of each line
// that was taken, and how many they are.
func TestServerEndsDuringAFloodOfLines(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	b := setupOn(t, db.Client())
	addr, stop := serve(t, b.server)
	k := b.talkTo(addr, "/v1/messages")
	written := make(chan struct{})
	go func() {
		defer close(written)
		for n := 0; ; n += 500 {
			var lines strings.Builder
			for i := range 500 {
				lines.WriteString(text(n+i, "") + "\n")
			}
			if _, err := fmt.Fprintf(k.conn, "%x\r\n%s\r\n", lines.Len(), lines.String()); err != nil {
				return
			}
		}
	}()
	answers, taken := 0, 0
	next := func() told {
		l := k.read()
		if answers++; l.State == "queued" {
			taken++
		}
		return l
	}
	for answers < 1000 {
		next()
	}
	began, stopped := time.Now(), make(chan struct{})
	go func() { defer close(stopped); stop() }()
	unsure := 0 // an imitation of Redis may be too slow for so many
	for {
		l := next()
		if l.Total == nil {
			continue
		}
		if l.Error == nil || l.Total.Accepted != taken || l.Total.Lines < answers-1 {
			t.Errorf("got %s after %d answers, %d of them good", l.short(), answers-1, taken)
		}
		unsure = l.Total.Unconfirmed
		break
	}
	<-stopped
	if took := time.Since(began); took > 8*time.Second && db.Kind != redisembed.KindInProcess { // at 10 s it is cut
		t.Errorf("took %v", took)
	}
	_ = k.conn.Close()
	<-written
	counts, err := b.jobs.Ledger().Counts(t.Context())
	if got := int(counts[ledger.SendMessage][ledger.Queued]); err != nil || got < taken || got > taken+unsure {
		t.Errorf("got %d jobs, %v, want the %d that were answered so, and at most %d others", got, err, taken, unsure)
	}
}

func TestUploadsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var open []*talk
	for i := range httpapi.MaxUploads {
		k := b.talkTo(b.url, "/v1/messages")
		k.chunk(text(i, "") + "\n")
		k.read()
		open = append(open, k)
	}
	a := b.do("POST", "/v1/messages", text(1, ""), "Content-Type", asLines)
	a.wantProblem(t, 503, "too_many_streams")
	if a.header.Get("Retry-After") == "" {
		t.Errorf("got %v", a.header)
	}
	b.do("POST", "/v1/messages", text(1, "")).want(t, 202) // a single one goes its own way
	for _, k := range open {
		k.end()
		k.rest()
	}
	b.upload(text(1, ""))
}

// TestRedisGoesWhileLinesCome: each line says what is certain of it.
func TestRedisGoesWhileLinesCome(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	b := setupOn(t, proxy.Client())
	k := b.talkTo(b.url, "/v1/messages")
	k.chunk(text(1, `,"key":"a"`) + "\n")
	if got := k.read().short(); got != "1 queued" {
		t.Errorf("got %s", got)
	}
	proxy.Cut()
	k.chunk(text(2, `,"key":"b"`) + "\n" + text(3, "") + "\n{}\n")
	lost := []told{k.read(), k.read(), k.read()}
	if got, want := shorts(lost), []string{"2 unconfirmed", "3 unconfirmed", "4 required from"}; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !*lost[0].Repeatable || *lost[1].Repeatable || lost[0].ID == "" || lost[1].ID == "" {
		t.Errorf("got %+v", lost)
	}
	proxy.Resume()
	k.chunk(text(4, `,"key":"d"`) + "\n{}\n\n")
	k.end()
	if got, want := k.rest(), []string{"5 unavailable", "6 required from", "total {7 1 0 0 2 2 1} unconfirmed"}; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// The same again, whose keys make that safe.
	again := b.upload(text(1, `,"key":"a"`) + "\n" + text(2, `,"key":"b"`) + "\n" + text(4, `,"key":"d"`))
	if got := shorts(again); got[0] != "1 duplicate" || got[2] != "3 queued" || again[1].ID != lost[0].ID {
		t.Errorf("got %v, the second is %s, want %s", got, again[1].ID, lost[0].ID)
	}
	if strings.Contains(b.logs.String(), "hello") {
		t.Error("a text is in the log")
	}
}

// TestClientThatGoesAway: what is answered into nowhere does not go on for ever.
func TestClientThatGoesAway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.talkTo(b.url, "/v1/messages")
	k.chunk(text(1, "") + "\n")
	k.read()
	if err := k.conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = k.conn.Close()
	for { // until the server has noticed: there is room for as many as ever
		var open []*talk
		for range httpapi.MaxUploads {
			o := b.talkTo(b.url, "/v1/messages")
			o.chunk("{}\n")
			open = append(open, o)
		}
		free := 0
		for _, o := range open {
			r, err := http.ReadResponse(bufio.NewReader(o.conn), nil)
			if err == nil && r.StatusCode == 200 {
				free++
			}
			_ = o.conn.Close()
		}
		if free == httpapi.MaxUploads {
			break
		}
	}
	if counts, err := b.jobs.Ledger().Counts(t.Context()); err != nil || counts[jobs.TypeSendMessage][ledger.Queued] != 1 {
		t.Errorf("got %v, %v", counts, err)
	}
}
