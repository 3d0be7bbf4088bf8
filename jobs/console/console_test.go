package console_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/console"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

type bundle struct {
	t    *testing.T
	rdb  redis.UniversalClient
	jobs *jobs.Client
	page *console.Console
}

func setup(t *testing.T, rdb redis.UniversalClient, change ...func(*console.Options)) *bundle {
	t.Helper()
	client, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := console.Options{Ledger: client.Ledger(), Redis: rdb}
	for _, f := range change {
		f(&o)
	}
	page, err := console.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &bundle{t, rdb, client, page}
}

func (b *bundle) get(path string) string {
	b.t.Helper()
	return get(b.t, b.page, path, 200)
}

func get(t *testing.T, handler http.Handler, path string, status int) string {
	t.Helper()
	out := httptest.NewRecorder()
	handler.ServeHTTP(out, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
	body, err := io.ReadAll(out.Result().Body)
	if err != nil || out.Code != status {
		t.Fatalf("%s: got status %d, %v: %s", path, out.Code, err, body)
	}
	return string(body)
}

func wantAll(t *testing.T, page string, wants ...string) {
	t.Helper()
	flat := strings.Join(strings.Fields(page), " ")
	for _, want := range wants {
		if !strings.Contains(flat, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}

func TestOverview(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var events []ledger.Event
	b := setup(t, redistest.New(t).Client(), func(o *console.Options) {
		o.Account, o.Version = "fr-0123", "1.2.3"
		o.Limits = func(context.Context) ([]console.Limit, error) {
			return []console.Limit{
				{Name: "sms", Rate: "5/s", Permits: 5, Out: 3, Waiting: 1240}, {Name: "mms", Rate: "1/s", Permits: 1, Penalized: now.Add(time.Hour)},
				{Name: "wide", Rate: "100/s", Permits: 100, Out: 61}, {Name: "numbers", Out: 2},
			}, nil
		}
		o.Syncs = func(context.Context) ([]console.Sync, error) {
			return []console.Sync{
				{Name: "MDRs", Last: now.Add(-90 * time.Second), OK: true, Detail: "123 new", Next: now.Add(3 * time.Hour)},
				{Name: "numbers"},
			}, nil
		}
		o.Alerts = func(context.Context) ([]console.Alert, error) {
			return []console.Alert{{Title: "Sending <stands> still", Since: now.Add(-5 * time.Minute), Severe: true}}, nil
		}
		o.Events = func(context.Context, int) ([]ledger.Event, error) { return events, nil }
	})
	receipt, err := b.jobs.Send(t.Context(), jobs.Message{From: "+12065550100", To: "+12065550123", Body: "the secret word is swordfish"})
	if err != nil {
		t.Fatal(err)
	}
	for event, err := range b.jobs.Events(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event)
		break
	}
	if err := asynq.NewInspectorFromRedisClient(b.rdb).PauseQueue("normal"); err != nil {
		t.Fatal(err)
	}

	page := b.get("/")
	wantAll(t, page,
		"<!doctype html>", `<script src="/assets/console.js" defer>`, "Account fr-0123", "Version 1.2.3",
		`<section class="alert severe" role="alert"> <strong>Sending &lt;stands&gt; still</strong> <small>for 5 min</small>`,
		`<div class="tile busy"><b>1</b><span>Waiting</span>`, `<div class="tile "><b>0</b><span>Failed</span>`,
		`<th scope="row">send-message</th><td class="n busy">1</td>`,
		`aria-label="3 of 5 permits out"><i class="on"></i><i class="on"></i><i class="on"></i><i></i><i></i>`, "1,240 waiting here",
		`paused 59 min`, `<meter min="0" max="100" value="61">`, "no limit", "2 requests under way",
		`normal <span class="pill warn">paused</span>`, "123 new", "next in 2 h", "has not run yet",
		`href="/v1/jobs/`+receipt.ID+`"`, "0123</td>", `<span class="pill busy">queued</span>`,
	)
	part := b.get("/console/overview")
	wantAll(t, part, "Jobs by type and state", "As of")
	if strings.Contains(part, "<html") || strings.Contains(part, "<script") {
		t.Errorf("the changing part has more in it: %s", part)
	}
	for _, text := range []string{page, part} {
		if strings.Contains(text, "swordfish") || strings.Contains(text, "2065550") || strings.Contains(text, "style=") || strings.Contains(text, "http") && strings.Contains(text, "://") {
			t.Errorf("a text, a number, a style or an address is in it: %s", text)
		}
	}
	get(t, b.page, "/console/nothing", 404)
}

// TestOpenOutcomes: what a person must decide, with what to look at, and what the
// records will.
func TestOpenOutcomes(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.New(t).Client(), func(o *console.Options) {
		o.Explain = func(job ledger.Job) (string, string) { return "why <" + string(job.Reason) + ">", "look there" }
	})
	review := b.attempt(ledger.Review, ledger.ReasonNearMatch)
	unknown := b.attempt(ledger.Unknown, ledger.ReasonNoAnswer)
	page := b.get("/")
	wantAll(t, page, "For a person to decide", "why &lt;near_match&gt;", "look there", "review resolve "+review+" --as accepted|not-sent",
		"Lost answers, decided by themselves", `href="/v1/jobs/`+unknown+`"`, `<span class="pill warn">unknown</span>`, "no_answer", ">in 10 min<")
	if strings.Contains(page, "2065550") || strings.Contains(page, "swordfish") {
		t.Errorf("a text or a number is in it: %s", page)
	}
}

// attempt makes a message of which one attempt ended in that state.
func (b *bundle) attempt(to ledger.State, reason ledger.Reason) string {
	b.t.Helper()
	receipt, err := b.jobs.Send(b.t.Context(), jobs.Message{From: "+12065550100", To: "+12065550123", Body: "the secret word is swordfish"})
	if err != nil {
		b.t.Fatal(err)
	}
	id, err := ledger.ParseID(receipt.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	begun, err := b.jobs.Ledger().Begin(b.t.Context(), ledger.Intent{
		ID: id, Generation: 1, Token: receipt.ID, Account: "a", Budget: time.Second, Timeout: time.Second, Settle: 10*time.Minute + 30*time.Second,
		Fingerprint: ledger.Fingerprint(id[8:]),
	})
	if err != nil || begun.Decision != ledger.Go {
		b.t.Fatalf("got %+v, %v", begun, err)
	}
	if _, err := b.jobs.Ledger().Settle(b.t.Context(), ledger.Settlement{ID: id, Token: receipt.ID, To: to, Reason: reason}); err != nil {
		b.t.Fatal(err)
	}
	return receipt.ID
}

func TestOverviewOfNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.New(t).Client())
	page := b.get("/")
	wantAll(t, page, `<th scope="row">send-message</th><td class="n "><i>0</i></td>`, `<th scope="row">otp</th>`)
	for _, gone := range []string{"Last syncs", "Last changes", "<h2>Limits", "Log out", "role=\"alert\""} {
		if strings.Contains(page, gone) {
			t.Errorf("%q is there", gone)
		}
	}
}

// TestOverviewShowsWhatItCan takes away one part after the other.
func TestOverviewShowsWhatItCan(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	broken := errors.New("broken at 192.0.2.1")
	b := setup(t, proxy.Client(), func(o *console.Options) {
		o.Limits = func(context.Context) ([]console.Limit, error) { return nil, broken }
		o.Syncs = func(context.Context) ([]console.Sync, error) { return nil, broken }
		o.Alerts = func(context.Context) ([]console.Alert, error) { return nil, broken }
		o.Events = func(context.Context, int) ([]ledger.Event, error) { return nil, broken }
	})
	page := b.get("/")
	wantAll(t, page, "Missing now: alerts, events, limits, syncs.", "Jobs by type and state")
	if strings.Contains(page, "192.0.2.1") {
		t.Error("the error's text is on the page")
	}
	// A queue with a task whose record is gone cannot be summed up.
	if _, err := b.jobs.Send(t.Context(), jobs.Message{From: "+12065550100", To: "+12065550123", Body: "hi"}); err != nil {
		t.Fatal(err)
	}
	if err := b.rdb.HSet(t.Context(), "asynq:{bulk}:t:gone", "state", "pending").Err(); err != nil {
		t.Fatal(err)
	}
	if err := b.rdb.SAdd(t.Context(), "asynq:queues", "bulk").Err(); err != nil {
		t.Fatal(err)
	}
	if err := b.rdb.LPush(t.Context(), "asynq:{bulk}:pending", "never-was").Err(); err != nil {
		t.Fatal(err)
	}
	page = b.get("/")
	wantAll(t, page, "events, limits, queues, syncs.", `<th scope="row">normal</th>`)
	proxy.Cut()
	wantAll(t, b.get("/console/overview"), "Redis does not answer")
	proxy.Resume()
	wantAll(t, b.get("/console/overview"), "Jobs by type and state")
}

func TestWhoIsLoggedIn(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.New(t).Client())
	for _, session := range []bool{true, false} {
		r := httptest.NewRequestWithContext(console.WithUser(t.Context(), "<ops>", session), "GET", "/", nil)
		out := httptest.NewRecorder()
		b.page.ServeHTTP(out, r)
		if got := strings.Contains(out.Body.String(), `action="/logout"><span>&lt;ops&gt;</span>`); got != session {
			t.Errorf("session %v: got the way out %v", session, got)
		}
	}
}

func TestLoginAndForward(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := console.WriteLogin(&out, console.Login{Next: `/"><script>`, Message: "Name or token is wrong."}); err != nil {
		t.Fatal(err)
	}
	wantAll(t, out.String(), `value="/&#34;&gt;&lt;script&gt;"`, "Name or token is wrong.", `method="post" action="/login"`)
	out.Reset()
	if err := console.WriteForward(&out, "/login?next=%2Fqueues%2F"); err != nil {
		t.Fatal(err)
	}
	wantAll(t, out.String(), `content="0;url=/login?next=%2Fqueues%2F"`)
}

func TestAssets(t *testing.T) {
	t.Parallel()
	files := console.Assets()
	wantAll(t, get(t, files, "/assets/console.css", 200), "color-scheme: light dark")
	wantAll(t, get(t, files, "/assets/console.js", 200), "/login?next=")
	wantAll(t, get(t, files, "/assets/icon.svg", 200), "<svg")
	for _, path := range []string{"/assets/", "/assets", "/assets/nothing", "/templates/page.html"} {
		get(t, files, path, 404)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	if _, err := console.New(console.Options{}); err == nil {
		t.Error("got no error without ledger and redis")
	}
}
