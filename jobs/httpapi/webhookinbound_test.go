package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

const (
	smsPath = "/webhooks/flowroute/" + webhookSecret + "/sms"
	mmsPath = "/webhooks/flowroute/" + webhookSecret + "/mms"
	smsOp   = "POST /webhooks/flowroute/{secret}/sms"
	mmsOp   = "POST /webhooks/flowroute/{secret}/mms"

	us, them = "12065550100", "12065550123"
)

// when is the time of the messages that arrive, in the precision of the records.
var when = time.Now().UTC().Add(-2 * time.Hour).Truncate(10 * time.Millisecond)

// arrived is a message that arrived, as newer accounts get it.
func arrived(n int, body string) string { return arrivedAt(n, body, when) }

func arrivedAt(n int, body string, at time.Time) string {
	return fmt.Sprintf(`{"data":{"attributes":{"amount_display":"$0.0070","amount_nanodollars":"7000000","body":%q,"direction":"inbound","from":%q,"is_mms":false,`+
		`"message_callback_url":"https://example.com/","message_encoding":0,"message_type":"longcode","status":"delivered","timestamp":%q,"to":%q},"type":"message","id":%q}}`,
		body, them, at.Format("2006-01-02T15:04:05.000000Z"), us, mdrID(n))
}

// flat is one as older accounts get it.
func flat(n int, body string) string {
	return fmt.Sprintf(`{"to":%q,"body":%q,"from":%q,"id":%q}`, us, body, them, mdrID(n))
}

// listed is the record of a message as a sync reads it.
func listed(n int, body string, at time.Time) flowroute.MDR {
	return flowroute.MDR{
		ID: mdrID(n), Direction: flowroute.Inbound, From: them, To: us, Body: body, Status: "delivered", MessageType: "longcode",
		AmountNanodollars: 7_000_000, AmountDisplay: "$0.0070", Timestamp: at,
		PriceDetails: &flowroute.PriceDetails{BaseRate: 7_000_000, ChargedCost: 7_000_000, SegmentCount: 1},
	}
}

// inboundBundle is a server that takes what arrives.
type inboundBundle struct {
	*bundle
	records *mdr.Store
	optOuts *suppress.Store
	passed  *passedOn
}

// passedOn is what was kept for somebody else.
type passedOn struct {
	mu     sync.Mutex
	kinds  string // that are wanted
	posts  []string
	failed error
}

func (p *passedOn) take(_ context.Context, kind, contentType string, body []byte) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !strings.Contains(p.kinds, kind) || p.failed != nil {
		return p.failed != nil, p.failed
	}
	p.posts = append(p.posts, kind+" "+contentType+" "+string(body))
	return true, nil
}

func setupInbound(t *testing.T, change ...func(*httpapi.Options)) inboundBundle {
	t.Helper()
	return setupInboundOn(t, redistest.New(t), change...)
}

func setupInboundOn(t *testing.T, db *redistest.DB, change ...func(*httpapi.Options)) inboundBundle {
	t.Helper()
	rdb := db.Client()
	b := inboundBundle{passed: &passedOn{}}
	var err error
	if b.records, err = mdr.New(rdb, mdr.Options{}); err != nil {
		t.Fatal(err)
	}
	if b.optOuts, err = suppress.New(rdb, suppress.Options{}); err != nil {
		t.Fatal(err)
	}
	b.bundle = setupOn(t, rdb, append([]func(*httpapi.Options){withWebhooks, func(o *httpapi.Options) {
		o.Inbound = httpapi.Inbound{Records: b.records, Heed: b.heed}
		o.Forward = b.passed.take
	}}, change...)...)
	return b
}

// heed does what a sync does with the records that it reads.
func (b inboundBundle) heed(ctx context.Context, records []flowroute.MDR) error {
	_, err := b.optOuts.ApplyInbound(ctx, records)
	return err
}

func (b inboundBundle) arrive(path, body, want string) {
	b.t.Helper()
	if got := b.receipt(path, body); got != want {
		b.t.Errorf("%.200s: got %q, want %q", body, got, want)
	}
}

func (b inboundBundle) record(n int) flowroute.MDR {
	b.t.Helper()
	record, err := b.records.Get(b.t.Context(), mdrID(n))
	if err != nil {
		b.t.Fatalf("record %d: %v", n, err)
	}
	return record.MDR
}

func (b inboundBundle) blocked(want bool) {
	b.t.Helper()
	from, _ := flowroute.ParseE164(us)
	to, _ := flowroute.ParseE164(them)
	if _, got, err := b.optOuts.Blocked(b.t.Context(), from, to); err != nil || got != want {
		b.t.Errorf("got blocked %t, %v, want %t", got, err, want)
	}
}

// TestInboundShapes: whatever its fields are like, what is known of a message is in
// the copy, and no window counts as read for it.
func TestInboundShapes(t *testing.T) {
	t.Parallel()
	b := setupInbound(t)
	stamp := when.Format(time.RFC3339Nano)
	for n, c := range map[int]struct {
		path, body string
		want       flowroute.MDR
	}{
		1: {smsPath, arrived(1, " two  words "), flowroute.MDR{Body: " two  words ", MessageType: "longcode", AmountNanodollars: 7_000_000, AmountDisplay: "$0.0070"}},
		2: {smsPath, `{"data":{"id":"` + mdrID(2) + `","attributes":{"from":"+` + them + `","to":"` + us + `","body":null,"is_mms":null,"amount_nanodollars":null,"timestamp":"` + stamp + `"}}}`,
			flowroute.MDR{}},
		3: {smsPath, `{"id":"` + mdrID(3) + `","type":"message","attributes":{"from":` + them + `,"to":` + us + `,"body":12345,"is_mms":"False","message_encoding":"8","amount_nanodollars":7000000,"timestamp":"` + stamp + `"}}`,
			flowroute.MDR{Body: "12345", Encoding: 8, AmountNanodollars: 7_000_000}},
		4: {smsPath, `{"id":"` + mdrID(4) + `","to":"` + us + `","from":"` + them + `","body":"é \ud83d\ude00","timestamp":"` + strings.Replace(stamp, "T", " ", 1) + `","amount_nanodollars":7e6,"status":7}`,
			flowroute.MDR{Body: "é 😀", AmountNanodollars: 7_000_000}},
		5: {mmsPath, `{"data":{"id":"` + mdrID(5) + `","type":"message","attributes":{"from":"` + them + `","to":"` + us + `","body":"","is_mms":"true","delivery_receipts":[],"timestamp":"` + stamp + `","amount_nanodollars":"9500000.0"},` +
			`"relationships":{"media":{"data":[{"id":"m1","type":"media"},{"id":7,"type":"media"}]}}},` +
			`"included":[{"id":"x","type":"other"},{"id":7,"type":"media","attributes":{"file_name":"a.gif","file_size":"1234","mime_type":"image/gif","url":"https://example.com/a.gif"},"links":{"self":"x"}}]}`,
			flowroute.MDR{IsMMS: true, AmountNanodollars: 9_500_000, Media: []flowroute.Media{{ID: "m1"}, {ID: "7", FileName: "a.gif", FileSize: 1234, MIMEType: "image/gif", URL: "https://example.com/a.gif"}}}},
		6: {mmsPath, `{"id":"` + mdrID(6) + `","to":"` + us + `","from":"` + them + `","timestamp":"` + stamp + `","relationships":"none","included":{}}`, flowroute.MDR{IsMMS: true}},
		7: {smsPath, `{"id":"` + mdrID(7) + `","to":"` + us + `","from":"` + them + `","timestamp":"` + stamp + `","amount_nanodollars":{"a":[1]},"message_encoding":true}`, flowroute.MDR{}},
	} {
		b.arrive(c.path, c.body, "stored")
		b.arrive(c.path, c.body, "known")
		c.want.ID, c.want.Direction, c.want.From, c.want.To, c.want.Timestamp = mdrID(n), flowroute.Inbound, them, us, when
		got := b.record(n)
		if c.want.AmountDisplay == "" {
			got.AmountDisplay = ""
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%d (-want +got):\n%s", n, diff)
		}
	}
	if got, err := b.records.Coverage(t.Context()); err != nil || got != (mdr.Coverage{}) {
		t.Errorf("got %+v, %v, want nothing to count as read", got, err)
	}
}

// TestInboundTimes: a message without a time, or with one that cannot be, is of now.
func TestInboundTimes(t *testing.T) {
	t.Parallel()
	b := setupInbound(t)
	before := time.Now().Add(-time.Second)
	bodies := []string{flat(1, "x"), arrivedAt(2, "x", time.Now().Add(time.Hour)), arrivedAt(3, "x", time.Unix(0, 0)), arrivedAt(4, "x", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)),
		strings.Replace(arrived(5, "x"), "T", "@", 1)}
	for i, body := range bodies {
		b.arrive(smsPath, body, "stored")
		if at := b.record(i + 1).Timestamp; at.Before(before) || at.After(time.Now()) {
			t.Errorf("%d: got %v, want now", i+1, at)
		}
	}
	// One of the API before this one, and one of nobody: no sync would correct their records.
	b.arrive(smsPath, `{"to":"12066418000","body":"Hello there from Flowroute!","from":"18553569768","id":"mdr1-febb118b9b034338adfc662a8c02fd88"}`, "no_record")
	b.arrive(smsPath, `{"to":"12066418000","body":"Hello","id":"`+mdrID(9)+`"}`, "no_record")
	for _, id := range []string{"mdr1-febb118b9b034338adfc662a8c02fd88", mdrID(9)} {
		if _, err := b.records.Get(t.Context(), id); !errors.Is(err, mdr.ErrNotFound) {
			t.Errorf("%s: got %v, want no record", id, err)
		}
	}
	b.arrive(smsPath, arrivedAt(10, "x", time.Now().Add(-3000*time.Hour)), "stored") // and lapsed: older than the retention
}

// TestTheSyncsRecordWins, whichever of the two comes last, and wherever the record is.
func TestTheSyncsRecordWins(t *testing.T) {
	t.Parallel()
	b := setupInbound(t)
	for n, body := range map[int]string{1: arrived(1, "hello"), 2: flat(2, "hello"), 3: arrivedAt(3, "hello", when.Add(-time.Hour))} {
		want := listed(n, "hello", when)
		b.arrive(smsPath, body, "stored")
		for range 2 {
			if _, err := b.records.Put(t.Context(), []flowroute.MDR{want}); err != nil {
				t.Fatal(err)
			}
			b.arrive(smsPath, body, "known")
			if diff := cmp.Diff(want, b.record(n)); diff != "" {
				t.Errorf("%d (-want +got):\n%s", n, diff)
			}
		}
	}
	// As if the sync had written it in between our look and our writing.
	late := listed(1, "hello", when)
	late.Status, late.PriceDetails = "", nil
	if _, err := b.records.Put(t.Context(), []flowroute.MDR{late}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(listed(1, "hello", when), b.record(1)); diff != "" {
		t.Errorf("after a later write (-want +got):\n%s", diff)
	}
	page, err := b.records.List(t.Context(), mdr.Query{Limit: 10})
	if err != nil || len(page.Records) != 3 {
		t.Errorf("got %d records, %v, want each once", len(page.Records), err)
	}
}

// TestInboundWords: they act at once, by the messages' own times, and the sync that
// reads them once more changes nothing.
func TestInboundWords(t *testing.T) {
	t.Parallel()
	b := setupInbound(t)
	stop, start := arrivedAt(1, "Stop.", when), arrivedAt(2, "START", when.Add(time.Minute))
	b.arrive(smsPath, stop, "stored")
	b.blocked(true)
	b.arrive(smsPath, start, "stored")
	b.blocked(false)
	for range 3 { // repeats, in disorder
		b.arrive(smsPath, stop, "known")
		b.blocked(false)
	}
	records := []flowroute.MDR{listed(2, "START", when.Add(time.Minute)), listed(1, "Stop.", when)}
	if _, err := b.records.Put(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if err := b.heed(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	b.blocked(false)
	b.arrive(smsPath, arrivedAt(3, "stop", when.Add(2*time.Minute)), "stored")
	b.arrive(smsPath, start, "known")
	b.blocked(true)
}

// TestInboundWordsWithoutATime: a STOP is as old as its first post; a START is left to
// the sync, since with a wrong time it would take back what came after it.
func TestInboundWordsWithoutATime(t *testing.T) {
	t.Parallel()
	b := setupInbound(t)
	b.arrive(smsPath, flat(1, "STOP"), "stored")
	b.blocked(true)
	b.arrive(smsPath, flat(2, "START"), "stored")
	b.blocked(true)
	at := b.record(1).Timestamp
	if err := b.heed(t.Context(), []flowroute.MDR{listed(2, "START", at.Add(time.Millisecond))}); err != nil {
		t.Fatal(err)
	}
	b.blocked(false)
	b.arrive(smsPath, flat(1, "STOP"), "known")
	b.blocked(false)
}

// TestInboundCutShort: the copy's index knows of a message whose record was not written;
// its next post writes it.
func TestInboundCutShort(t *testing.T) {
	t.Parallel()
	b := setupInbound(t)
	for n, body := range map[int]string{1: arrived(1, "hello"), 2: flat(2, "hello")} {
		b.arrive(smsPath, body, "stored")
		minute := fmt.Sprintf("{flowroute}:mdr:b:%d", b.record(n).Timestamp.Unix()/60)
		if b.rdb.Del(t.Context(), minute).Val() != 1 {
			t.Fatalf("no key %s", minute)
		}
		b.arrive(smsPath, body, "stored")
		if got := b.record(n); got.Body != "hello" {
			t.Errorf("got %+v", got)
		}
	}
}

func TestInboundThatIsNone(t *testing.T) {
	t.Parallel()
	b := setupInbound(t)
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"no JSON":      {"id=1&body=swordfish", 400},
		"a list":       {"[]", 400},
		"null":         {"null", 400},
		"nothing":      {"", 400},
		"no id":        {`{"to":"12065550100","body":"swordfish"}`, 400},
		"an odd id":    {`{"id":"../x","body":"swordfish"}`, 400},
		"a receipt":    {dlr(false, mdrID(1), "delivered", "1004"), 400},
		"one of ours":  {strings.Replace(arrived(1, "swordfish"), `"inbound"`, `"outbound"`, 1), 400},
		"too large":    {arrived(1, strings.Repeat("a", 1<<20)), 413},
		"wrong secret": {arrived(1, "swordfish"), 404},
	} {
		path := smsPath
		if name == "wrong secret" {
			path = strings.Replace(path, webhookSecret, webhookSecret+"x", 1)
		}
		if got := b.post(path, c.body).want(t, c.status); strings.Contains(string(got.body), "swordfish") {
			t.Errorf("%s: the text is in the answer: %s", name, got.body)
		}
	}
	b.arrive(smsPath, arrived(1, "the secret word is swordfish"), "stored")
	b.arrive(smsPath, arrived(1, "the secret word is swordfish"), "known")
	b.arrive(mmsPath, arrived(2, "swordfish"), "stored")
	metrics := string(b.do("GET", "/metrics", "").want(t, 200).body)
	for _, line := range []string{
		`flowroute_worker_inbound_total{kind="sms",result="stored"} 1`, `flowroute_worker_inbound_total{kind="sms",result="known"} 1`,
		`flowroute_worker_inbound_total{kind="mms",result="stored"} 1`, `flowroute_worker_inbound_total{kind="sms",result="refused"} 9`,
		`flowroute_worker_inbound_total{kind="mms",result="not_taken"} 0`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("no line %q in the metrics", line)
		}
	}
	for name, text := range map[string]string{"log": b.logs.String(), "metrics": metrics} {
		if strings.Contains(text, webhookSecret) || strings.Contains(text, "swordfish") || strings.Contains(text, them) {
			t.Errorf("the secret, a number or a text is in the %s", name)
		}
	}
}

// TestManyArriveAtOnce: each is stored once, though they are all of one minute.
func TestManyArriveAtOnce(t *testing.T) {
	t.Parallel()
	b := setupInbound(t)
	const n = 150
	var all sync.WaitGroup
	var stored, known atomic.Int32
	for i := range n {
		for range 2 {
			all.Go(func() {
				switch got := b.post(smsPath, arrived(i, "hello")); {
				case got.status == 200 && strings.Contains(string(got.body), "stored"):
					stored.Add(1)
				case got.status == 200 && strings.Contains(string(got.body), "known"):
					known.Add(1)
				default:
					t.Errorf("got %d: %s", got.status, got.body)
				}
			})
		}
	}
	all.Wait()
	page, err := b.records.List(t.Context(), mdr.Query{Limit: 2 * n})
	if err != nil || len(page.Records) != n {
		t.Errorf("got %d records, %v, want %d", len(page.Records), err, n)
	}
	if stored.Load() < n {
		t.Errorf("got %d stored and %d known, want at least %d stored", stored.Load(), known.Load(), n)
	}
}

// TestInboundWhileRedisIsAway: it is answered so that it is sent again, and then it
// counts, once.
func TestInboundWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	proxy := db.Proxy(t)
	records, err := mdr.New(proxy.Client(), mdr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := setupInboundOn(t, db, func(o *httpapi.Options) { o.Inbound.Records = records })
	b.passed.kinds = "sms"
	proxy.Cut()
	b.post(smsPath, arrived(1, "STOP")).wantProblem(t, 503, "unavailable")
	if len(b.passed.posts) != 0 {
		t.Error("what was not taken was passed on: it comes again")
	}
	proxy.Resume()
	b.arrive(smsPath, arrived(1, "STOP"), "stored")
	b.blocked(true)
	if len(b.passed.posts) != 1 {
		t.Errorf("got %d passed on, want 1", len(b.passed.posts))
	}
	// The other way round: the words are not written.
	away := errors.New("away")
	b = setupInbound(t, func(o *httpapi.Options) {
		o.Inbound.Heed = func(context.Context, []flowroute.MDR) error { return away }
	})
	b.post(smsPath, arrived(1, "STOP")).want(t, 500)
	if _, err := b.records.Get(t.Context(), mdrID(1)); !errors.Is(err, mdr.ErrNotFound) {
		t.Errorf("got %v, want no record of what was not heeded", err)
	}
}

// TestPassedOn: whoever wants the posts of a kind gets them as they came, also those
// that are none; and what could not be kept for them comes again.
func TestPassedOn(t *testing.T) {
	t.Parallel()
	b := setupInbound(t)
	b.passed.kinds = "dlr sms"
	odd := " {\"new\": [1,\n2]} "
	for _, c := range []struct{ path, body, want string }{
		{smsPath, arrived(1, "hello"), "stored"},
		{smsPath, arrived(1, "hello"), "known"},
		{mmsPath, arrived(2, "hello"), "stored"}, // nobody wants it
		{hookPath, dlr(true, mdrID(3), "delivered", "1004"), "unclaimed"},
		{smsPath, odd, "forwarded"},
		{hookPath, odd, "forwarded"},
	} {
		b.arrive(c.path, c.body, c.want)
	}
	b.post(mmsPath, odd).want(t, 400)
	b.post(smsPath, "").want(t, 400)
	b.post(hookPath+"/x.1", dlr(true, mdrID(3), "delivered", "")).want(t, 404)
	want := []string{
		"sms application/json " + arrived(1, "hello"), "sms application/json " + arrived(1, "hello"),
		"dlr application/json " + dlr(true, mdrID(3), "delivered", "1004"), "sms application/json " + odd, "dlr application/json " + odd,
	}
	if diff := cmp.Diff(want, b.passed.posts); diff != "" {
		t.Errorf("passed on (-want +got):\n%s", diff)
	}
	b.passed.failed = context.DeadlineExceeded // as when Redis is away
	b.post(smsPath, arrived(4, "hello")).wantProblem(t, 503, "unavailable")
	b.post(smsPath, odd).wantProblem(t, 503, "unavailable")
	b.passed.failed = nil
	b.arrive(smsPath, arrived(4, "hello"), "known")
}

// FuzzInbound: whatever comes in is answered, and is nobody else's message.
func FuzzInbound(f *testing.F) {
	f.Add(arrived(1, "hello"))
	f.Add(flat(1, "hello"))
	f.Add(`{"data":null,"id":"mdr2-1","included":[{"type":"media"}]}`)
	f.Add(`{"data":{"id":7,"attributes":{"timestamp":1e400,"amount_nanodollars":"1e99","body":{}}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		m, err := httpapi.ReadInbound([]byte(body))
		if (err == nil) == (m.ID == "") || len(m.ID) > 64 || err == nil && m.Direction != flowroute.Inbound {
			t.Errorf("got %+v, %v", m, err)
		}
	})
}
