package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/events"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// sse is one server-sent event; of a comment, only Comment.
type sse struct {
	ID, Event, Data string
	Comment         bool
}

func (e sse) view(t *testing.T) events.View {
	t.Helper()
	var v events.View
	if err := json.Unmarshal([]byte(e.Data), &v); err != nil {
		t.Fatalf("event is no JSON: %v: %+v", err, e)
	}
	return v
}

// follower is a client of GET /v1/events.
type follower struct {
	t    *testing.T
	stop context.CancelFunc
	body *bufio.Scanner
}

// follow opens a stream and reads the greeting.
func (b *bundle) follow(query string, headers ...string) (*follower, sse) {
	b.t.Helper()
	// Longer than any of it takes: a test that hangs says so.
	ctx, stop := context.WithTimeout(b.t.Context(), 30*time.Second)
	response, err := http.DefaultTransport.RoundTrip(b.request("GET", "/v1/events"+query, "", headers...).WithContext(ctx))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { stop(); _ = response.Body.Close() })
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		b.t.Fatalf("got status %d, content type %q", response.StatusCode, response.Header.Get("Content-Type"))
	}
	f := &follower{b.t, stop, bufio.NewScanner(response.Body)}
	hello, _ := f.next()
	if hello.ID == "" || hello.Data != "" {
		b.t.Fatalf("got %+v first, want the place alone", hello)
	}
	return f, hello
}

// next reads one event or comment; false when the stream has ended in good order.
func (f *follower) next() (sse, bool) {
	f.t.Helper()
	var e sse
	for f.body.Scan() {
		name, value, _ := strings.Cut(f.body.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case f.body.Text() == "":
			return e, true
		case name == "":
			e.Comment = true
		case name == "id":
			e.ID = value
		case name == "event":
			e.Event = value
		case name == "data":
			e.Data = value
		case name != "retry":
			f.t.Fatalf("got the line %q", f.body.Text())
		}
	}
	if err := f.body.Err(); err != nil {
		f.t.Fatalf("stream broken: %v", err)
	}
	return e, false
}

// event is the next one that is no comment.
func (f *follower) event() sse {
	f.t.Helper()
	for {
		e, ok := f.next()
		if !ok {
			f.t.Fatal("the stream has ended")
		}
		if !e.Comment {
			return e
		}
	}
}

func (b *bundle) queue(n int) (ids []string) {
	b.t.Helper()
	messages := make([]jobs.Message, n)
	for i := range messages {
		messages[i] = jobs.Message{From: "+12065550100", To: "+12065550123", Body: "the secret word is swordfish"}
	}
	receipts, errs := b.jobs.SendMany(b.t.Context(), messages)
	for i, err := range errs {
		if err != nil {
			b.t.Fatal(err)
		}
		ids = append(ids, receipts[i].ID)
	}
	return ids
}

// again adds the first change to the stream again and again.
func (b *bundle) again(n int) {
	b.t.Helper()
	first, err := b.rdb.XRangeN(b.t.Context(), streamKey, "-", "+", 1).Result()
	if err != nil || len(first) == 0 {
		b.t.Fatalf("got %d changes (%v), want one", len(first), err)
	}
	for left := n; left > 0; left -= 500 {
		_, err := b.rdb.Pipelined(b.t.Context(), func(pipe redis.Pipeliner) error {
			for range min(left, 500) {
				pipe.XAdd(b.t.Context(), &redis.XAddArgs{Stream: streamKey, Values: first[0].Values})
			}
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

const streamKey = "{flowroute}:events"

func TestEventsFromNowOnAndResumed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.queue(2) // before: not shown
	f, hello := b.follow("")
	ids := b.queue(3)
	var seen []sse
	for i := range 3 {
		e := f.event()
		v := e.view(t)
		if v.JobID != ids[i] || v.State != "queued" || v.Type != "send-message" || v.ID != e.ID || e.Event != "" || v.At.IsZero() {
			t.Errorf("got %+v, want job %s queued", e, ids[i])
		}
		if strings.Contains(e.Data, "swordfish") || strings.Contains(e.Data, "2065550") {
			t.Errorf("a text or a number is shown: %s", e.Data)
		}
		seen = append(seen, e)
	}
	f.stop()

	for name, again := range map[string]func() *follower{
		"after":         func() *follower { f, _ := b.follow("?after=" + seen[0].ID); return f },
		"Last-Event-ID": func() *follower { f, _ := b.follow("", "Last-Event-ID", seen[0].ID); return f },
		"both":          func() *follower { f, _ := b.follow("?after="+hello.ID, "Last-Event-ID", seen[0].ID); return f },
	} {
		f := again()
		for i := 1; i < 3; i++ {
			if got := f.event(); got != seen[i] {
				t.Errorf("%s: got %+v, want %+v", name, got, seen[i])
			}
		}
	}
	// The greeting's place, from before anything happened, and the very beginning.
	f, _ = b.follow("?after=" + hello.ID)
	if got := f.event(); got != seen[0] {
		t.Errorf("after the greeting: got %+v, want %+v", got, seen[0])
	}
	f, _ = b.follow("?after=0")
	for range 2 {
		f.event()
	}
	if got := f.event(); got != seen[0] {
		t.Errorf("from the beginning: got %+v third, want %+v", got, seen[0])
	}
}

func TestEventsTrimmedAwayAreSaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.queue(1)
	f, _ := b.follow("?after=0")
	first := f.event()
	b.again(700)
	if err := b.rdb.XTrimMaxLen(t.Context(), streamKey, 600).Err(); err != nil {
		t.Fatal(err)
	}
	f, _ = b.follow("?after=" + first.ID)
	said := f.event()
	var gap events.Gap
	if err := json.Unmarshal([]byte(said.Data), &gap); err != nil || said.Event != "gap" || said.ID != "" {
		t.Fatalf("got %+v, want a gap", said)
	}
	if gap.After != first.ID || gap.Reason != events.Trimmed {
		t.Errorf("got %+v", gap)
	}
	if got := f.event(); got.ID != gap.Oldest {
		t.Errorf("got %s after the gap, want the oldest kept, %s", got.ID, gap.Oldest)
	}
	for range 599 { // over two pages, and without another gap
		if got := f.event(); got.Event != "" {
			t.Fatalf("got %+v", got)
		}
	}

	// The oldest one kept is no gap; a place that the stream has not reached is one.
	f, _ = b.follow("?after=" + gap.Oldest)
	if got := f.event(); got.Event != "" {
		t.Errorf("after the oldest: got %+v", got)
	}
	f, _ = b.follow("?after=99999999999999-0")
	if got := f.event(); got.Event != "gap" || !strings.Contains(got.Data, events.Ahead) {
		t.Errorf("got %+v, want a gap", got)
	}
	if got := f.event(); got.ID != gap.Oldest {
		t.Errorf("got %s after the gap, want %s", got.ID, gap.Oldest)
	}
}

func TestEventsRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("GET", "/v1/events", "", "Authorization", "").wantProblem(t, 401, "unauthorized")
	for _, bad := range []string{"?after=", "?after=x", "?after=1-2-3", "?after=-1", "?after=$"} {
		b.do("GET", "/v1/events"+bad, "").wantProblem(t, 422, jobs.CodeInvalid)
	}
	b.do("GET", "/v1/events?from=1", "").wantProblem(t, 422, jobs.CodeUnknownField)
	b.do("GET", "/v1/events", "", "Last-Event-ID", "nonsense").wantProblem(t, 422, jobs.CodeInvalid)
	b.do("POST", "/v1/events", "{}").wantProblem(t, 405, "method_not_allowed")
	if got := b.do("HEAD", "/v1/events", "").want(t, 200); got.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("got %v", got.header)
	}
}

func TestEventsBeatAndOutlastTheReadTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 200 * time.Millisecond
	b := setup(t, func(o *httpapi.Options) { o.ReadTimeout = timeout })
	addr, stop := serve(t, b.server)
	b.url = "http://" + addr
	f, _ := b.follow("")
	began := time.Now()
	for time.Since(began) < 4*timeout {
		if e, ok := f.next(); !ok || !e.Comment {
			t.Fatalf("got %+v (%t), want a comment", e, ok)
		}
	}
	b.queue(1)
	f.event()
	f.stop()
	stop()
}

func TestEventsEndWithTheServer(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpapi.Options) { o.DrainTimeout = 20 * time.Second })
	addr, stop := serve(t, b.server)
	b.url = "http://" + addr
	f, _ := b.follow("")
	b.queue(1)
	f.event()
	began := time.Now()
	stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the drain took %v, want it not to wait for the stream", took)
	}
	if e, ok := f.next(); ok {
		t.Errorf("got %+v, want the end", e) // f fails on an end that is no good order
	}
	if strings.Contains(b.logs.String(), "requests cut") {
		t.Error("the stream was cut at the end of the drain")
	}
}

func TestEventStreamsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all []*follower
	for range 64 {
		f, _ := b.follow("")
		all = append(all, f)
	}
	b.do("HEAD", "/v1/events", "").want(t, 503) // which would end, were there a place
	p := b.do("GET", "/v1/events", "")
	if got := p.wantProblem(t, 503, "too_many_streams"); p.header.Get("Retry-After") == "" || !strings.Contains(got.Detail, "64") {
		t.Errorf("got %s", p.body)
	}
	if got := b.metric("flowroute_worker_event_streams"); got != 64 {
		t.Errorf("got %v open streams, want 64", got)
	}
	id, began := b.queue(1)[0], time.Now()
	for _, f := range all {
		if got := f.event().view(t); got.JobID != id {
			t.Errorf("got %+v, want job %s", got, id)
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to tell all, want it before the next beat", took)
	}
	all[0].stop()
	for late := time.After(20 * time.Second); b.do("HEAD", "/v1/events", "").status != 200; {
		select {
		case <-late:
			t.Fatal("the place of a client that went is not given on")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (b *bundle) metric(name string) float64 {
	b.t.Helper()
	for line := range strings.Lines(string(b.do("GET", "/metrics", "").want(b.t, 200).body)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				b.t.Fatal(err)
			}
			return v
		}
	}
	b.t.Fatalf("no metric %s", name)
	return 0
}

// tight is a listener whose connections hold little between here and the client.
type tight struct{ net.Listener }

func (l tight) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
}

// TestEventsSlowClient: a client that takes nothing is cut off, holds up nobody, and
// may go on.
func TestEventsSlowClient(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpapi.Options) { o.ReadTimeout = 500 * time.Millisecond })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.server.Serve(ctx, tight{listener}) }()
	b.url = "http://" + listener.Addr().String()
	b.queue(1)
	slow, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if err := slow.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(slow, "GET /v1/events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+appToken+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	quick, _ := b.follow("?after=0")
	quick.event()
	if got := b.metric("flowroute_worker_event_streams"); got != 2 {
		t.Fatalf("got %v streams, want 2", got)
	}
	const many = 5000
	b.again(many)
	for range many { // which comes although the other takes nothing
		quick.event()
	}
	for late := time.After(20 * time.Second); b.metric("flowroute_worker_event_streams") != 1; {
		select {
		case <-late:
			t.Fatal("the client that takes nothing is still served")
		case <-time.After(20 * time.Millisecond):
		}
	}
	b.queue(1)
	quick.event() // it was the other that was cut off
	quick.stop()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestEventsRideOutRedis(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	b := setupOn(t, proxy.Client(), func(o *httpapi.Options) { o.ReadTimeout = 200 * time.Millisecond })
	f, _ := b.follow("?after=0")
	proxy.Cut()
	b.do("GET", "/v1/events", "").wantProblem(t, 503, "unavailable")
	for range 3 {
		if e, ok := f.next(); !ok || !e.Comment {
			t.Fatalf("got %+v (%t), want a comment", e, ok)
		}
	}
	proxy.Resume()
	id := b.queue(1)[0]
	if got := f.event().view(t); got.JobID != id {
		t.Errorf("got %+v, want job %s", got, id)
	}
}
