package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

const webhookSecret = "hook-secret-for-tests"

func withWebhooks(o *httpapi.Options) { o.WebhookSecret = webhookSecret }

func mdrID(n int) string { return fmt.Sprintf("mdr2-%032x", n) }

// dlr is a receipt in one of its shapes; status and code as they are in JSON.
func dlr(compact bool, id, status, code string) string {
	attributes := fmt.Sprintf(`{"body":"the secret word is swordfish","status":%q`, status)
	if code != "" {
		attributes += `,"status_code":` + code
	}
	object := fmt.Sprintf(`{"attributes":%s,"level":2},"id":%q,"type":"delivery_receipt"}`, attributes, id)
	if compact {
		return object
	}
	return `{"data":` + object + `}`
}

func (b *bundle) post(path, body string) answer {
	b.t.Helper()
	// Flowroute shows no credentials.
	return b.do("POST", path, body, "Authorization", "")
}

func (b *bundle) receipt(path, body string) string {
	b.t.Helper()
	return decode[struct{ Result string }](b.t, b.post(path, body).want(b.t, 200)).Result
}

const hookPath = "/webhooks/flowroute/" + webhookSecret + "/dlr"

// TestReceiptProves: an unknown message is accepted by its first receipt, and what
// comes after that, twice and in disorder, refines it.
func TestReceiptProves(t *testing.T) {
	t.Parallel()
	b := setup(t, withWebhooks)
	for n, c := range map[int]struct {
		bodies []string
		want   ledger.State
	}{
		1: {[]string{dlr(false, mdrID(1), "smsc submit", "null")}, ledger.Accepted},
		2: {[]string{dlr(true, mdrID(2), "smsc submit", "")}, ledger.Accepted},
		3: {[]string{dlr(false, mdrID(3), "message buffered", "1003"), dlr(false, mdrID(3), "delivered", "1004")}, ledger.Delivered},
		4: {[]string{dlr(true, mdrID(4), "delivered", `"1004"`), dlr(true, mdrID(4), "smsc submit", "null")}, ledger.Delivered},
		5: {[]string{dlr(false, mdrID(5), "rejected", "1005")}, ledger.Undelivered},
		6: {[]string{dlr(false, mdrID(6), "something new", `"soon"`)}, ledger.Accepted},
		7: {[]string{dlr(false, mdrID(7), "", `{"a":[1]}`)}, ledger.Accepted},
	} {
		job := b.attempt(ledger.Unknown, ledger.ReasonNoAnswer)
		path := httpapi.ReceiptPath(webhookSecret, job.ID, 1)
		for i, body := range c.bodies {
			want := "known"
			if i == 0 {
				want = "proved"
			}
			for range 2 {
				if got := b.receipt(path, body); got != want {
					t.Errorf("%d: receipt %d: got %q, want %q", n, i, got, want)
				}
				want = "known"
			}
		}
		if got := b.job(job.ID.String()); got.State != c.want || len(got.MDRs) != 1 || got.MDRs[0] != mdrID(n) {
			t.Errorf("%d: got %s with %v, want %s", n, got.State, got.MDRs, c.want)
		}
		// One that the account's settings send names no attempt.
		if got := b.receipt(hookPath, c.bodies[0]); got != "known" {
			t.Errorf("%d: without its attempt: got %q, want known", n, got)
		}
	}
}

func TestReceiptsThatAreNotOurs(t *testing.T) {
	t.Parallel()
	b := setup(t, withWebhooks)
	unknown := httpapi.ReceiptPath(webhookSecret, ledger.NewID(), 1)
	for _, path := range []string{unknown, hookPath} {
		for _, status := range []string{"smsc submit", "delivered"} {
			if got := b.receipt(path, dlr(false, mdrID(1), status, "")); got != "unclaimed" {
				t.Errorf("%s: got %q, want unclaimed", path, got)
			}
		}
	}
	job := b.attempt(ledger.Unknown, ledger.ReasonNoAnswer)
	path := httpapi.ReceiptPath(webhookSecret, job.ID, 1)
	good := dlr(false, mdrID(1), "smsc submit", "")
	for name, c := range map[string]struct {
		path, body string
		status     int
	}{
		"wrong secret":       {strings.Replace(path, webhookSecret, webhookSecret+"x", 1), good, 404},
		"no attempt":         {hookPath + "/" + job.ID.String(), good, 404},
		"attempt 0":          {hookPath + "/" + job.ID.String() + ".0", good, 404},
		"no job":             {hookPath + "/x.1", good, 404},
		"no JSON":            {path, "id=1", 400},
		"a list":             {path, "[]", 400},
		"null":               {path, "null", 400},
		"an inbound message": {path, `{"data":{"attributes":{"body":"x","status":"delivered"},"type":"message","id":"` + mdrID(1) + `"}}`, 400},
		"a flat one":         {path, `{"to":"12065550100","body":"x","id":"` + mdrID(1) + `"}`, 400},
		"no id":              {path, dlr(false, "", "delivered", ""), 400},
		"an id of anything":  {path, dlr(false, "../x", "delivered", ""), 400},
		"a long id":          {path, dlr(false, strings.Repeat("a", 65), "delivered", ""), 400},
		"an id that is none": {path, `{"id":7.5,"attributes":{}}`, 400},
		"too large":          {path, dlr(false, mdrID(1), strings.Repeat("a", 65<<10), ""), 413},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.post(c.path, c.body).want(t, c.status)
			if strings.Contains(string(got.body), "swordfish") {
				t.Errorf("the text of the message is in the answer: %s", got.body)
			}
		})
	}
	if got := b.job(job.ID.String()); got.State != ledger.Unknown {
		t.Errorf("got %s after receipts that prove nothing, want unknown", got.State)
	}

	metrics := string(b.do("GET", "/metrics", "").want(t, 200).body)
	for _, line := range []string{
		`flowroute_worker_receipts_total{result="unclaimed"} 4`, `flowroute_worker_receipts_total{result="proved"} 0`,
		`flowroute_worker_receipts_total{result="refused"} 13`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("no line %q in the metrics", line)
		}
	}
	for name, text := range map[string]string{"log": b.logs.String(), "metrics": metrics} {
		if strings.Contains(text, webhookSecret) || strings.Contains(text, "swordfish") {
			t.Errorf("the secret or a text is in the %s", name)
		}
	}
}

// TestReceiptWhileRedisIsAway: it is answered so that it is sent again, and then
// it counts.
func TestReceiptWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	b := setupOn(t, proxy.Client(), withWebhooks)
	job := b.attempt(ledger.Unknown, ledger.ReasonNoAnswer)
	path, body := httpapi.ReceiptPath(webhookSecret, job.ID, 1), dlr(false, mdrID(1), "delivered", "1004")
	proxy.Cut()
	b.post(path, body).wantProblem(t, 503, "unavailable")
	proxy.Resume()
	if got := b.receipt(path, body); got != "proved" {
		t.Errorf("got %q, want proved", got)
	}
	if got := b.job(job.ID.String()); got.State != ledger.Delivered {
		t.Errorf("got %s, want delivered", got.State)
	}
}

func TestWebhooksNeedASecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("POST", hookPath, dlr(false, mdrID(1), "delivered", "")).want(t, 404)
	for _, secret := range []string{"short", "sixteen/letters/and", "sixteen letters and"} {
		_, err := httpapi.New(httpapi.Options{Jobs: b.jobs, Redis: b.rdb, WebhookSecret: secret})
		if text := fmt.Sprint(err); err == nil || strings.Contains(text, secret) {
			t.Errorf("%q: got %v, want an error without the secret", secret, err)
		}
	}
}

// FuzzReceipt: whatever comes in is answered, and proves nothing of a job.
func FuzzReceipt(f *testing.F) {
	for _, compact := range []bool{false, true} {
		for _, code := range []string{"", "null", "1003", `"1004"`} {
			f.Add(dlr(compact, mdrID(1), "message buffered", code))
		}
	}
	f.Add(`{"to":"12066418000","body":"Hello","from":"18553569768","id":"mdr1-febb118b9b034338adfc662a8c02fd88"}`)
	f.Add(`{"data":null}`)
	f.Add("\xff{}")
	f.Fuzz(func(t *testing.T, body string) {
		mdr, err := httpapi.ReadReceipt([]byte(body))
		if (err == nil) == (mdr == "") || len(mdr) > 64 {
			t.Errorf("got %q, %v", mdr, err)
		}
	})
}
