package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/internal/race"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/events"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/reconcile"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
	"github.com/flowroute-worker/flowroute-worker/jobs/worker"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// account is a server with all its parts.
type account struct {
	*bundle
	db      *redistest.DB
	proxy   *redistest.Proxy // between the server and Redis
	numbers *inventory.Store
	records *mdr.Store

	campaigns *campaign.Store
}

func newAccount(t *testing.T) account {
	t.Helper()
	db := redistest.New(t)
	a := account{db: db, proxy: db.Proxy(t)}
	rdb := a.proxy.Client()
	optOuts, err := suppress.New(rdb, suppress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a.numbers, err = inventory.New(rdb, inventory.Options{}); err != nil {
		t.Fatal(err)
	}
	if a.records, err = mdr.New(rdb, mdr.Options{}); err != nil {
		t.Fatal(err)
	}
	kept, err := ledger.New(rdb, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	compared, err := reconcile.New(rdb, kept, a.records, reconcile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a.campaigns, err = campaign.New(rdb, campaign.Options{OptOuts: optOuts}); err != nil {
		t.Fatal(err)
	}
	a.bundle = setupOn(t, rdb, func(o *httpapi.Options) {
		o.Campaigns, o.Reconciler = a.campaigns, compared
		o.Numbers, o.MDRs, o.OptOuts, o.WebhookSecret = a.numbers, a.records, optOuts, webhookSecret
		o.Inbound.Records = a.records
		o.Limits = func(ctx context.Context) (any, error) { return limitsOfTheCommand(), rdb.Ping(ctx).Err() }
	})
	return a
}

// work runs a worker against a simulated Flowroute until stop.
func (a account) work() (stop func()) {
	a.t.Helper()
	sim := flowroutetest.NewServer(a.t, flowroutetest.Options{})
	api, err := flowroute.New(flowroute.Options{BaseURL: sim.URL, Credentials: flowroute.Credentials{AccessKey: sim.AccessKey, SecretKey: sim.SecretKey}})
	if err != nil {
		a.t.Fatal(err)
	}
	rdb := a.db.Worker()
	limiter, err := ratelimit.New(rdb, ratelimit.Options{Account: api.Account(), FreshStart: true})
	if err != nil {
		a.t.Fatal(err)
	}
	records, err := mdr.NewSyncer(a.records, api, a.jobs.Ledger(), mdr.SyncerOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	numbers, err := inventory.NewSyncer(a.numbers, api, inventory.SyncerOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	producer, err := jobs.NewClient(rdb, jobs.Options{})
	if err != nil {
		a.t.Fatal(err)
	}
	w, err := worker.New(worker.Options{Redis: rdb, Jobs: producer, API: api, Limiter: limiter, Numbers: a.numbers, Poll: 10 * time.Millisecond,
		Syncs: map[ledger.Type]worker.Syncer{ledger.SyncMDR: records, ledger.SyncNumbers: numbers}})
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(a.t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = limiter.Run(ctx) })
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			a.t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait(); api.Close() })
	a.t.Cleanup(stop)
	return stop
}

// taken makes a request for a job and returns the job's id.
func (c *contract) taken(b *bundle, e exchange) string {
	c.t.Helper()
	return decode[jobs.Receipt](c.t, c.try(b, e)).ID
}

// ended waits until a job has ended, or waits for a person.
func (b *bundle) ended(id string) jobs.Job {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	job, err := b.jobs.Wait(ctx, id)
	if err != nil {
		b.t.Fatalf("%s is %s: %v", id, job.State, err)
	}
	return job
}

// TestDescriptionIsTrue makes every operation answer with every status that the
// description has for it, and holds each request and each answer against it.
func TestDescriptionIsTrue(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	c := readContract(t, a.bundle)

	message := c.work(a)
	more, bad := c.aboutCampaigns(a)
	goods := append(c.goodOnes(a.bundle), more...)
	for _, e := range slices.Concat(goods, bad, badOnes(message, a.attempt(ledger.Review, ledger.ReasonNearMatch).ID.String())) {
		c.try(a.bundle, e)
	}
	local := setup(t, withoutTokens)
	for _, e := range goods {
		c.spoil(a.bundle, local, e)
	}
	a.proxy.Cut()
	for i, e := range goods {
		if race.Enabled && i > 0 {
			break
		}
		if !c.seen[e.op+" 503"] && c.operations()[e.op].Responses.Value("503") != nil { // it takes a while to give up
			e.status = 503
			c.try(a.bundle, e)
		}
	}

	for op, operation := range c.operations() {
		for status := range operation.Responses.Map() {
			// A slow body has a test of its own, and 500 is a fault that there must not be.
			if !c.seen[op+" "+status] && status != "408" && status != "500" && (status != "503" || !race.Enabled) {
				t.Errorf("%s is described with %s, and was never answered so", op, status)
			}
		}
	}
}

// work has a worker carry out one job of each kind, and looks at what became of them. It
// returns the message.
func (c *contract) work(a account) (message string) {
	c.t.Helper()
	defer a.work()()
	ended := map[string]string{
		"GET /v1/messages/{id}":         c.taken(a.bundle, exchange{op: "POST /v1/messages", body: keyedMessage, status: 202}),
		"GET /v1/number-purchases/{id}": c.taken(a.bundle, exchange{op: "POST /v1/number-purchases", body: `{"search":{"starts_with":"1206"},"alias":"front desk","key":"n"}`, status: 202}),
		"GET /v1/route-updates/{id}": c.taken(a.bundle, exchange{op: "POST /v1/route-updates", status: 202,
			body: `{"number":"+12065550100","primary":{"type":"uri","value":"sip:alice@sip.example.com"},"key":"r"}`}),
	}
	for op, id := range ended {
		a.ended(id)
		at := strings.Replace(strings.TrimPrefix(op, "GET "), "{id}", id, 1)
		c.try(a.bundle, exchange{op: op, path: at, status: 200})
		c.try(a.bundle, exchange{op: "GET /v1/jobs/{id}", path: "/v1/jobs/" + id, status: 200})
	}
	for _, kind := range []ledger.Type{ledger.SyncMDR, ledger.SyncNumbers} {
		receipt, err := a.jobs.StartSync(c.t.Context(), kind, "", jobs.Sync{})
		if err != nil {
			c.t.Fatal(err)
		}
		if job := a.ended(receipt.ID); job.State != ledger.Done {
			c.t.Fatalf("%s is %s: %s", kind, job.State, job.Detail)
		}
		c.try(a.bundle, exchange{op: "GET /v1/jobs/{id}", path: "/v1/jobs/" + receipt.ID, status: 200})
	}
	for _, path := range []string{"/v1/numbers", "/v1/routes", "/v1/mdrs"} {
		if page := decode[struct{ Items []any }](c.t, c.try(a.bundle, exchange{op: "GET " + path, status: 200})); len(page.Items) == 0 {
			c.t.Errorf("%s: got no items", path)
		}
	}
	return ended["GET /v1/messages/{id}"]
}

// goodOnes are requests that are answered well, at least one for each operation.
func (c *contract) goodOnes(b *bundle) []exchange {
	c.t.Helper()
	lost, waiting := b.attempt(ledger.Unknown, ledger.ReasonNoAnswer), b.attempt(ledger.Review, ledger.ReasonNotCurrent)
	absent := b.attempt(ledger.Review, ledger.ReasonNearMatch)
	begun := b.attempt(ledger.Unknown, ledger.ReasonNoAnswer)
	purchase := c.taken(b, exchange{op: "POST /v1/number-purchases", body: `{"number":"+12065550199"}`, status: 202})
	update := c.taken(b, exchange{op: "POST /v1/route-updates", body: `{"number":"+12065550100","failover":{"id":"0"}}`, status: 202})
	queued := c.taken(b, exchange{op: "POST /v1/messages", body: goodMessage, status: 202})
	tag := c.try(b, exchange{op: "GET /openapi.yaml", status: 200}).header.Get("ETag")
	all := []exchange{
		{op: "POST /v1/messages", body: goodMessage, status: 202},
		{op: "POST /v1/messages", body: goodMessage, headers: []string{"Authorization", basic("app", appToken)}, status: 202},
		{op: "POST /v1/messages", body: goodMessage, headers: []string{"Idempotency-Key", `"order-17"`}, status: 202},
		{op: "POST /v1/messages", body: `{"v":1,"from":"+12065550100","to":"(206) 555-0123","media_urls":["https://example.com/cat.jpg"],"is_mms":true,` +
			`"send_at":"2026-01-31T10:00:00-08:00","expires_at":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `","priority":"otp","sending_hours":"08:00-21:00","campaign":"spring","key":"k2"}`, status: 202},
		{op: "POST /v1/messages", body: goodMessage + "\n\n" + keyedMessage, headers: []string{"Content-Type", asLines, "Idempotency-Key", "file"}, status: 200},
		{op: "POST /v1/messages", path: "/v1/messages?results=errors", body: goodMessage, headers: []string{"Content-Type", asLines}, status: 200},
		{op: "GET /v1/messages/{id}", path: "/v1/messages/" + queued, status: 200},
		{op: "GET /v1/messages/{id}", path: "/v1/messages/" + lost.ID.String(), status: 200},
		{op: "GET /v1/messages/{id}", path: "/v1/messages/" + waiting.ID.String(), status: 200},
		{op: "DELETE /v1/messages/{id}", path: "/v1/messages/" + begun.ID.String(), status: 202},
		{op: "DELETE /v1/messages/{id}", path: "/v1/messages/" + queued, status: 200},
		{op: "POST /v1/number-purchases", body: `{"number":"+12065550100","max_setup_cost":1.5,"max_monthly_cost":"1.25","messaging_enabled":true,"failover_route":{"id":"0"}}`, status: 202},
		{op: "GET /v1/number-purchases/{id}", path: "/v1/number-purchases/" + purchase, status: 200},
		{op: "POST /v1/route-updates", body: `{"number":"+12065550100","primary":{"id":"83834"}}`, status: 202},
		{op: "GET /v1/route-updates/{id}", path: "/v1/route-updates/" + update, status: 200},
		{op: "GET /v1/jobs/{id}", path: "/v1/jobs/" + purchase, status: 200},
		{op: follow, path: "/v1/events?after=0", status: 200},
		{op: follow, headers: []string{"Last-Event-ID", "99999999999999-0"}, status: 200}, // a gap
		{op: "GET /v1/review", path: "/v1/review?limit=1", status: 200},
		{op: "GET /v1/review", status: 200},
		{op: "POST /v1/review/{id}", path: "/v1/review/" + waiting.ID.String(), body: `{"as":"accepted"}`, status: 200},
		{op: "POST /v1/review/{id}", path: "/v1/review/" + absent.ID.String(), body: `{"as":"not-sent"}`, status: 200},
		{op: "GET /v1/messages", status: 200},
		{op: "GET /v1/messages", path: "/v1/messages?to=%2B12065550123&from=12065550100&state=queued&limit=1", status: 200},
		{op: "GET /v1/limits", status: 200},
		{op: "GET /v1/numbers", path: "/v1/numbers?starts_with=1206&gone=false&limit=1", status: 200},
		{op: "GET /v1/routes", status: 200},
		{op: "GET /v1/mdrs", path: "/v1/mdrs?since=90m&until=" + url.QueryEscape(time.Now().Add(time.Hour).UTC().Format(time.RFC3339)) +
			"&number=%2B12065550123&direction=outbound&delivery=delivered&limit=5", status: 200},
		{op: "GET /v1/reconciliation", status: 200},
		{op: "GET /v1/reconciliation", path: "/v1/reconciliation?since=1h&fresh=true", status: 200},
		{op: "GET /v1/reconciliation", path: "/v1/reconciliation?since=1h&fresh=true", status: 200}, // now there is one before it
		{op: "GET /v1/reconciliation", path: "/v1/reconciliation?since=1h&class=differing", headers: []string{"Accept", asLines}, status: 200},
		{op: "GET /v1/reconciliation", path: "/v1/reconciliation?until=5m", headers: []string{"Accept", "text/csv"}, status: 200},
		{op: "GET /v1/reconciliation/reports", path: "/v1/reconciliation/reports?limit=1", status: 200},
		{op: "POST /v1/optouts", body: `{"recipient":"(206) 555-0123","from":"+14255550100","time":"2026-01-31","note":"asked by phone"}`, status: 201},
		{op: "POST /v1/optouts", body: `{"recipient":"(206) 555-0123","from":"+14255550100"}`, status: 200},
		{op: "POST /v1/optouts", body: `{"recipient":"2065550124"}` + "\n\n" + `{"recipient":"2065550124"}`, headers: []string{"Content-Type", asLines}, status: 200},
		{op: "GET /v1/optouts", path: "/v1/optouts?limit=1", status: 200},
		{op: "GET /v1/optouts", path: "/v1/optouts?recipient=2065550123", status: 200},
		{op: "DELETE /v1/optouts", path: "/v1/optouts?recipient=2065550123&from=4255550100", status: 200},
		{op: "DELETE /v1/optouts", path: "/v1/optouts?recipient=2065550124", status: 200},
		{op: hookOp, path: hookPath, body: dlr(false, mdrID(1), "delivered", "1004"), headers: []string{"Authorization", ""}, status: 200},
		{op: hookOp + "/{ref}", path: httpapi.ReceiptPath(webhookSecret, lost.ID, 1), body: dlr(true, mdrID(2), "smsc submit", "null"), status: 200},
		{op: hookOp + "/{ref}", path: httpapi.ReceiptPath(webhookSecret, lost.ID, 1), body: dlr(true, mdrID(2), "delivered", `"1004"`), status: 200},
		{op: smsOp, path: smsPath, body: arrived(9, "STOP"), headers: []string{"Authorization", ""}, status: 200},
		{op: smsOp, path: smsPath, body: flat(9, "STOP"), status: 200},
		{op: mmsOp, path: mmsPath, body: arrived(10, "look"), status: 200},
		{op: "GET /healthz", headers: []string{"Authorization", ""}, status: 200},
		{op: "GET /readyz", headers: []string{"Authorization", ""}, status: 200},
		{op: "GET /metrics", status: 200},
		{op: "GET /openapi.yaml", headers: []string{"Authorization", ""}, status: 200},
		{op: "GET /openapi.yaml", headers: []string{"If-None-Match", tag}, status: 304},
	}
	_, session := b.logIn(c.t, "app", appToken)
	return append(all, exchange{op: "GET /v1/jobs/{id}", path: "/v1/jobs/" + queued, headers: []string{"Authorization", "", "Cookie", session}, status: 200})
}

const hookOp = "POST /webhooks/flowroute/{secret}/dlr"

// badOnes are requests that are refused, for all kinds of reasons. keyed is a message
// that has ended, with the key of keyedMessage; review one that waits for a person.
func badOnes(keyed, review string) []exchange {
	const messages, purchases, updates, optOuts = "POST /v1/messages", "POST /v1/number-purchases", "POST /v1/route-updates", "POST /v1/optouts"
	with := func(field string) string {
		return `{"from":"+12065550100","to":"+12065550123","body":"x",` + field + `}`
	}
	all := []exchange{
		{op: messages, body: `{"to":"+12065550123","body":"x"}`, status: 422, code: "required"},
		{op: messages, body: `{"from":"+12065550100","to":"+12065550123"}`, status: 422, code: "required"},
		{op: messages, body: `{"from":"+12065550100","to":"hello","body":"x"}`, status: 422, code: "invalid", unsaid: true},
		{op: messages, body: `{"from":"+12065550100","to":"+12065550100","body":"x"}`, status: 422, code: "contradiction", unsaid: true},
		{op: messages, body: `{"from":"+12065550100","to":"+12065550123","body":"` + strings.Repeat("x", 1601) + `"}`, status: 422, code: "too_long"},
		{op: messages, body: `{"from":"+12065550100","to":"+12065550123","body":"\u0000"}`, status: 422, code: "control_character", unsaid: true},
		{op: messages, body: `{"from":"+12065550100","to":"+12065550123","body":"hi \ud83d"}`, status: 422, code: "not_utf8", unsaid: true},
		{op: messages, body: "{\"from\":\"+12065550100\",\"to\":\"+12065550123\",\"body\":\"caf\xe9\"}", status: 400, code: "not_utf8", unsaid: true},
		{op: messages, body: with(`"bdoy":"x"`), status: 422, code: "unknown_field"},
		{op: messages, body: with(`"body":"y"`), status: 422, code: "repeated_field", unsaid: true},
		{op: messages, body: with(`"is_mms":"yes"`), status: 422, code: "wrong_type"},
		{op: messages, body: with(`"send_at":"tomorrow"`), status: 422, code: "wrong_type"},
		{op: messages, body: with(`"send_at":"2199-01-01T00:00:00Z"`), status: 422, code: "too_far_ahead", unsaid: true},
		{op: messages, body: with(`"expires_at":"2020-01-01T00:00:00Z"`), status: 422, code: "in_the_past", unsaid: true},
		{op: messages, body: with(`"media_urls":["ftp://example.com/cat.jpg"]`), status: 422, code: "invalid"},
		{op: messages, body: with(`"media_urls":["https://a.b"` + strings.Repeat(`,"https://a.b"`, 10) + `]`), status: 422, code: "too_many"},
		{op: messages, body: with(`"priority":"urgent"`), status: 422, code: "invalid"},
		{op: messages, body: with(`"sending_hours":"8-21"`), status: 422, code: "invalid"},
		{op: messages, body: with(`"sending_hours":"21:00-08:00"`), status: 422, code: "invalid", unsaid: true},
		{op: messages, body: with(`"campaign":"` + strings.Repeat("c", 101) + `"`), status: 422, code: "too_long"},
		{op: messages, body: with(`"key":"` + strings.Repeat("k", 256) + `"`), status: 422, code: "too_long"},
		{op: messages, body: with(`"v":2`), status: 422, code: "unsupported_version"},
		{op: messages, body: goodMessage, headers: []string{"Idempotency-Key", strings.Repeat("k", 258)}, status: 422, code: "too_long"},
		{op: messages, body: goodMessage, headers: []string{"Content-Encoding", "gzip"}, status: 415, code: "unsupported_encoding", unsaid: true},
		{op: messages, body: strings.Replace(keyedMessage, "swordfish", "another", 1), status: 409, code: "key_conflict"},
		{op: messages, body: goodMessage + "\n" + with(`"bdoy":"x"`) + "\n{", headers: []string{"Content-Type", asLines}, status: 200, partly: true},
		{op: messages, body: `{"to":"5","body":""}`, headers: []string{"Content-Type", asLines}, status: 200, partly: true},
		{op: messages, path: "/v1/messages?results=none", body: goodMessage, headers: []string{"Content-Type", asLines}, status: 422, code: "invalid"},
		{op: messages, path: "/v1/messages?results=errors", body: goodMessage, status: 422, code: "unknown_field", unsaid: true},
		{op: messages, body: goodMessage, headers: []string{"Content-Type", asLines, "Content-Encoding", "gzip"}, status: 400, code: "malformed_gzip", unsaid: true},
		{op: "DELETE /v1/messages/{id}", path: "/v1/messages/" + keyed, status: 409, code: "too_late"},
		{op: "DELETE /v1/messages/{id}", path: "/v1/messages/" + keyed + "?force=1", status: 422, code: "unknown_field"},
		{op: purchases, body: `{}`, status: 422, code: "required"},
		{op: purchases, body: `{"number":"+12065550100","search":{"state":"WA"}}`, status: 422, code: "contradiction"},
		{op: purchases, body: `{"number":"+12065550100","max_setup_cost":-1}`, status: 422, code: "invalid"},
		{op: purchases, body: `{"number":"+12065550100","max_setup_cost":"cheap"}`, status: 422, code: "invalid"},
		{op: purchases, body: `{"search":{}}`, status: 422, code: "required"},
		{op: purchases, body: `{"search":{"rate_center":"seattle"}}`, status: 422, code: "required"},
		{op: purchases, body: `{"search":{"state":"Washington"}}`, status: 422, code: "invalid"},
		{op: purchases, body: `{"search":{"contains":"x"}}`, status: 422, code: "invalid"},
		{op: purchases, body: `{"search":{"zip":"98101"}}`, status: 422, code: "unknown_field"},
		{op: purchases, body: `{"number":"+12065550100","alias":"` + strings.Repeat("a", 65) + `"}`, status: 422, code: "too_long"},
		{op: purchases, body: `{"number":"+12065550100","primary_route":{"id":"1","type":"uri","value":"sip:a@b.c"}}`, status: 422, code: "contradiction"},
		{op: purchases, body: `{"number":"+12065550188","key":"n"}`, status: 409, code: "key_conflict"},
		{op: updates, body: `{"number":"+12065550100"}`, status: 422, code: "required"},
		{op: updates, body: `{"number":"+12065550100","primary":{}}`, status: 422, code: "required"},
		{op: updates, body: `{"number":"+12065550100","primary":{"type":"sip-reg"}}`, status: 422, code: "invalid"},
		{op: updates, body: `{"number":"+12065550100","primary":{"id":"x"}}`, status: 422, code: "invalid"},
		{op: updates, body: `{"number":"+12065550100","primary":{"type":"uri","value":"http://example.com"}}`, status: 422, code: "invalid", unsaid: true},
		{op: updates, body: `{"number":"+12065550100","primary":{"id":"1"},"key":"r"}`, status: 409, code: "key_conflict"},
		{op: "POST /v1/review/{id}", path: "/v1/review/" + review, body: `{}`, status: 422, code: "required"},
		{op: "POST /v1/review/{id}", path: "/v1/review/" + review, body: `{"as":"sent"}`, status: 422, code: "invalid"},
		{op: "POST /v1/review/{id}", path: "/v1/review/" + review, body: `{"as":"accepted","then":1}`, status: 422, code: "unknown_field"},
		{op: "POST /v1/review/{id}", path: "/v1/review/" + keyed, body: `{"as":"accepted"}`, status: 409, code: "not_in_review"},
		{op: optOuts, body: `{}`, status: 422, code: "required"},
		{op: optOuts, body: `{"recipient":"555"}`, status: 422, code: "invalid", unsaid: true},
		{op: optOuts, body: `{"recipient":12065550123}`, status: 422, code: "wrong_type"},
		{op: optOuts, body: `{"recipient":"+12065550123","form":"x"}`, status: 422, code: "unknown_field"},
		{op: optOuts, body: `{"recipient":"+12065550123","note":"` + strings.Repeat("x", 49) + `"}`, status: 422, code: "too_long"},
		{op: optOuts, body: `{"recipient":"+12065550123"}` + "\n" + `{"recipient":"x","form":1}`, headers: []string{"Content-Type", asLines}, status: 200, partly: true},
		{op: hookOp, path: hookPath, body: `{"id":"../x","attributes":{}}`, status: 400, code: "malformed_json"},
		{op: hookOp, path: hookPath, body: `{"to":"12065550100","body":"x","id":"mdr2-1"}`, status: 400, code: "malformed_json"},
		{op: hookOp, path: strings.Replace(hookPath, webhookSecret, "another-secret-here", 1), body: dlr(false, mdrID(1), "delivered", ""), status: 404, code: "not_found"},
		{op: hookOp + "/{ref}", path: hookPath + "/019f1bcd-8a70-7c3e-9b55-0a1b2c3d4e5f.9000000", body: dlr(false, mdrID(1), "delivered", ""), status: 404, code: "not_found"},
		{op: "GET /v1/reconciliation", path: "/v1/reconciliation?since=1h&until=2h", status: 422, code: "invalid", unsaid: true},
		{op: "GET /v1/reconciliation", path: "/v1/reconciliation?fresh=yes", status: 422, code: "invalid"},
		{op: "GET /v1/reconciliation", path: "/v1/reconciliation?class=matched", status: 422, code: "unknown_field", unsaid: true},
		{op: "GET /v1/reconciliation", path: "/v1/reconciliation?class=lost", headers: []string{"Accept", asLines}, status: 422, code: "invalid"},
		{op: "GET /v1/reconciliation", path: "/v1/reconciliation?since=%zz", status: 400, code: "invalid"},
		{op: "GET /v1/reconciliation/reports", path: "/v1/reconciliation/reports?limit=0", status: 422, code: "invalid"},
		{op: smsOp, path: smsPath, body: `{"from":"12065550100","body":"x"}`, status: 400, code: "malformed_json"},
		{op: mmsOp, path: mmsPath, body: dlr(false, mdrID(1), "delivered", ""), status: 400, code: "malformed_json"},
		{op: smsOp, path: strings.Replace(smsPath, webhookSecret, "another-secret-here", 1), body: flat(9, "x"), status: 404, code: "not_found"},
		{op: mmsOp, path: strings.Replace(mmsPath, webhookSecret, "another-secret-here", 1), body: flat(9, "x"), status: 404, code: "not_found"},
		{op: "GET /v1/mdrs", path: "/v1/mdrs?limit=1&limit=2", status: 422, code: "repeated_field", unsaid: true},
		{op: "GET /v1/mdrs", path: "/v1/mdrs?number=anna", status: 422, code: "invalid", unsaid: true},
		{op: "GET /v1/mdrs", path: "/v1/mdrs?cursor=nonsense", status: 422, code: "invalid", unsaid: true},
		{op: "GET /v1/messages", path: "/v1/messages?from=anna", status: 422, code: "invalid", unsaid: true},
		{op: "GET /v1/messages", path: "/v1/messages?cursor=x", status: 422, code: "invalid", unsaid: true},
		{op: "GET /v1/messages", path: "/v1/messages?cursor=0.x", status: 422, code: "invalid", unsaid: true},
		{op: "GET /v1/messages", path: "/v1/messages?campaign=spring", status: 422, code: "invalid", unsaid: true},
		{op: "DELETE /v1/optouts", path: "/v1/optouts", status: 422, code: "required"},
		{op: "DELETE /v1/optouts", path: "/v1/optouts?recipient=2065550123&from=", status: 422, code: "required"},
	}
	for path, wrong := range map[string][]string{
		"/v1/events":   {"after=now", "after=", "from=1"},
		"/v1/review":   {"limit=many", "state=review"},
		"/v1/numbers":  {"limit=1001", "gone=perhaps", "prefix=1206"},
		"/v1/routes":   {"limit=5"},
		"/v1/mdrs":     {"limit=0", "since=yesterday", "since=-48h", "until=", "direction=up", "delivery=", "number=", "sinse=48h"},
		"/v1/optouts":  {"limit=0", "recipient=", "to=2065550123"},
		"/v1/messages": {"limit=0", "to=", "state=lost", "number=12065550123"},
		"/v1/limits":   {"name=sms"},
	} {
		for _, query := range wrong {
			all = append(all, exchange{op: "GET " + path, path: path + "?" + query, status: 422})
		}
	}
	for _, path := range []string{"/v1/messages", "/v1/jobs", "/v1/number-purchases", "/v1/route-updates"} {
		all = append(all, exchange{op: "GET " + path + "/{id}", path: path + "/" + keyed + "?fields=id", status: 422, code: "unknown_field"})
	}
	for _, op := range []string{purchases, updates, optOuts} {
		_, path, _ := strings.Cut(op, " ")
		all = append(all, exchange{op: op, path: path + "?dry=1", body: `{}`, status: 422, code: "unknown_field"})
	}
	all = append(all, exchange{op: "POST /v1/review/{id}", path: "/v1/review/" + review + "?as=accepted", body: `{}`, status: 422, code: "unknown_field"})
	return all
}

// spoil makes of a good request those that are refused wherever the description says
// so. local is a server without tokens.
func (c *contract) spoil(b, local *bundle, e exchange) {
	c.t.Helper()
	method, path, _ := strings.Cut(e.op, " ")
	if e.path != "" {
		path, _, _ = strings.Cut(e.path, "?")
	}
	for status := range c.operations()[e.op].Responses.Map() {
		bad := e
		bad.headers = slices.Clone(e.headers)
		if e.body != "" {
			bad.path = path // what is wrong is to be the body alone
		}
		with := func(headers ...string) { bad.headers = append(bad.headers, headers...) }
		by := b
		switch status {
		case "303":
			bad.status = 303
			with("Authorization", "", "Cookie", "", "Accept", "text/html")
		case "400":
			bad.status, bad.body = 400, "{"
			if strings.HasSuffix(e.op, "/recipients") {
				with("Content-Encoding", "gzip") // which it is not
				bad.body, bad.unsaid = e.body, true
			} else if e.body == "" {
				bad.path = path + "?limit=%zz"
				bad.body = ""
			} else {
				with("Content-Type", "application/json")
			}
		case "401":
			bad.status, bad.code = 401, "unauthorized"
			with("Authorization", "", "Cookie", "")
		case "403":
			bad.status = 403
			if method != "GET" {
				with("Sec-Fetch-Site", "cross-site")
				break
			}
			by = local
			with("Host", "evil.example")
		case "404":
			bad.status, bad.code = 404, "not_found"
			bad.path = path[:strings.LastIndexByte(path, '/')+1] + ledger.NewID().String()
			if before, after, ok := strings.Cut(e.op, "{id}/"); ok { // of a campaign
				_, before, _ = strings.Cut(before, " ")
				bad.path = before + ledger.NewCampaignID().String() + "/" + after
			}
			if strings.HasPrefix(e.op, "POST /webhooks/") {
				continue // of their own
			}
		case "413":
			bad.status, bad.code, bad.body = 413, "too_large", `{"`+strings.Repeat("x", 70_000)+`":1}`
			if e.op == smsOp || e.op == mmsOp {
				bad.body = strings.Repeat(" ", 1<<20) + bad.body
			}
			with("Content-Type", "application/json")
		case "415":
			bad.status, bad.code = 415, "unsupported_content_type"
			with("Content-Type", "text/plain")
		default:
			continue
		}
		c.try(by, bad)
	}
}

// pages are for people, with a browser: no part of the description.
func pages() []string {
	return []string{
		"GET /login", "POST /login", "POST /logout", "GET /assets/", "GET /favicon.ico", "/queues/", "GET /queues/manifest.json", "GET /{$}", "GET /console/", "/campaigns", "/campaigns/",
	}
}

func TestDescriptionHasEveryRoute(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	c := readContract(t, a.bundle)
	served := slices.DeleteFunc(httpapi.Patterns(a.server), func(pattern string) bool { return slices.Contains(pages(), pattern) })
	described := slices.Sorted(maps.Keys(c.operations()))
	if !cmp.Equal(served, described) {
		t.Errorf("served and described differ (a page for people belongs to pages):\n%s", cmp.Diff(served, described))
	}
	seen := map[string]string{}
	for op, operation := range c.operations() {
		if before := seen[operation.OperationID]; before != "" || operation.OperationID == "" || len(operation.Tags) != 1 || operation.Summary == "" {
			t.Errorf("%s: wants an operationId of its own (%s has it too), a summary and one tag", op, before)
		}
		seen[operation.OperationID] = op
	}
}

// TestDescriptionHasEveryWord: words that clients branch on.
func TestDescriptionHasEveryWord(t *testing.T) {
	t.Parallel()
	c := readContract(t, setup(t))
	var codes []string
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, filepath.Join("..", "problems.go")) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for name, text := range constants(t, file) {
			if (strings.HasPrefix(name, "code") || strings.HasPrefix(name, "Code")) && name != "codeGone" { // that one is only logged
				codes = append(codes, text)
			}
		}
	}
	for schema, want := range map[string][]string{"Code": codes, "State": words(ledger.States()), "CampaignState": words(campaign.States()), "JobType": words(ledger.Types())} {
		var got []string
		for _, word := range c.doc.Components.Schemas[schema].Value.Enum {
			got = append(got, fmt.Sprint(word))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !cmp.Equal(got, want) {
			t.Errorf("%s: %s", schema, cmp.Diff(want, got))
		}
	}
}

func words[T ~string](list []T) []string {
	var texts []string
	for _, word := range list {
		texts = append(texts, string(word))
	}
	return texts
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// constants are those of a file that are texts.
func constants(t *testing.T, file string) map[string]string {
	t.Helper()
	all := map[string]string{}
	ast.Inspect(parse(t, file), func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			all[spec.Names[0].Name] = text
		}
		return true
	})
	return all
}

// limitsOfTheCommand has every property that the limits can have.
func limitsOfTheCommand() json.RawMessage {
	return json.RawMessage(`{"limits":[{"name":"sms","configured":"5","effective":"4","learned":"4","processes":2,"declared":{"a":"5","b":"5/2"},"permits_out":4,
		"phantoms":1,"lanes":{"otp":{"waiting":0,"granted":12}},"paused_until":"2026-11-22T18:00:00Z"}],"waiting":{"otp":0},
		"backlog":[{"lane":"bulk","due":9020,"parked":20,"eta_seconds":2255.5}],
		"parked":[{"kind":"sms","lane":"bulk","from":"+12065550100","messages":20,"limit":"1","per_day":"2000","eta_seconds":20}]}`)
}

// TestLimitsAreTheCommands: what GET /v1/limits answers is handed in by the command, which
// this package cannot import; so its source is held against the description.
func TestLimitsAreTheCommands(t *testing.T) {
	t.Parallel()
	c := readContract(t, setup(t))
	schema := func(name string) *openapi3.Schema { return c.doc.Components.Schemas[name].Value }
	for view, described := range map[string]*openapi3.Schema{
		"limitsView": schema("Limits"), "limitView": schema("Limit"), "laneView": schema("Limit").Properties["lanes"].Value.AdditionalProperties.Schema.Value,
		"laneBacklog": schema("Backlog"), "parkedView": schema("Parked"),
	} {
		got := map[string]bool{}
		for name := range described.Properties {
			got[name] = slices.Contains(described.Required, name)
		}
		if want := properties(t, view); len(want) == 0 || !cmp.Equal(got, want) {
			t.Errorf("%s: which are always there: %s", view, cmp.Diff(want, got))
		}
	}
}

// properties are those of a struct of the command, as JSON, and whether they are always
// there.
func properties(t *testing.T, name string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, file := range []string{"limits.go", "backlog.go"} {
		ast.Inspect(parse(t, filepath.Join("..", "..", "cmd", "flowroute-worker", file)), func(node ast.Node) bool {
			spec, ok := node.(*ast.TypeSpec)
			if !ok || spec.Name.Name != name {
				return true
			}
			for _, field := range spec.Type.(*ast.StructType).Fields.List {
				if field.Tag == nil { // embedded
					maps.Copy(all, properties(t, field.Type.(*ast.Ident).Name))
					continue
				}
				tag, options, _ := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("json"), ",")
				all[tag] = options == ""
			}
			return false
		})
	}
	return all
}

// TestWebhookIsAsDescribed has a change of a job posted.
func TestWebhookIsAsDescribed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := readContract(t, b)
	posted := make(chan error, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		item := c.doc.Webhooks["events"]
		wrong := c.request(&openapi3filter.RequestValidationInput{
			Request: r, Route: &routers.Route{Spec: c.doc, PathItem: item, Method: r.Method, Operation: item.GetOperation(r.Method)},
			Options: &openapi3filter.Options{SkipSettingDefaults: true, MultiError: true},
		}, "")
		select {
		case posted <- wrong:
		default: // one is enough
		}
	}))
	defer receiver.Close()
	key, err := events.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	sender, err := events.NewSender(events.SenderOptions{Redis: b.rdb, Ledger: b.jobs.Ledger(), URL: receiver.URL, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	// As if Redis had lost what was posted last, so that there is a gap as well.
	if err := b.rdb.Set(t.Context(), "{flowroute}:webhook:position", "99999999999999-0", 0).Err(); err != nil {
		t.Fatal(err)
	}
	b.queue(2)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- sender.Run(ctx) }()
	if err := <-posted; err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDescriptionIsServed(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]*bundle{"with tokens": setup(t), "without": setup(t, withoutTokens)} {
		got := b.do("GET", "/openapi.yaml", "", "Authorization", "").want(t, 200)
		tag := got.header.Get("ETag")
		if got.header.Get("Content-Type") != "application/yaml" || tag == "" || !bytes.Contains(got.body, []byte("openapi: 3.1")) {
			t.Errorf("%s: got %v", name, got.header)
		}
		for given, status := range map[string]int{tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, "W/": 200} {
			if again := b.do("GET", "/openapi.yaml", "", "If-None-Match", given).want(t, status); (len(again.body) == 0) != (status == 304) || again.header.Get("ETag") != tag {
				t.Errorf("%s: %s: got %d bytes, tag %s", name, given, len(again.body), again.header.Get("ETag"))
			}
		}
		if head := b.do("HEAD", "/openapi.yaml", "").want(t, 200); len(head.body) != 0 || head.header.Get("ETag") != tag {
			t.Errorf("%s: HEAD: got %v", name, head.header)
		}
		b.do("POST", "/openapi.yaml", goodMessage).wantProblem(t, 405, "method_not_allowed")
	}
}
