package httpapi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// attempt begins an attempt of a new message and settles it.
func (b *bundle) attempt(to ledger.State, reason ledger.Reason) jobs.Job {
	b.t.Helper()
	receipt, err := b.jobs.Send(b.t.Context(), jobs.Message{From: "+12065550100", To: "+12065550123", Body: "the secret word is swordfish"})
	if err != nil {
		b.t.Fatal(err)
	}
	return b.begin(receipt.ID, to, reason)
}

func (b *bundle) begin(id string, to ledger.State, reason ledger.Reason) jobs.Job {
	b.t.Helper()
	job, err := b.jobs.Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	token := ledger.NewID().String()
	begun, err := b.jobs.Ledger().Begin(b.t.Context(), ledger.Intent{
		ID: job.ID, Generation: job.Generation, Token: token, Account: "account", Budget: time.Second, Timeout: time.Second,
		Settle: time.Second, Fingerprint: ledger.Fingerprint(job.ID[8:]),
	})
	if err != nil || begun.Decision != ledger.Go {
		b.t.Fatalf("begin: got %+v, %v", begun, err)
	}
	if _, err := b.jobs.Ledger().Settle(b.t.Context(), ledger.Settlement{ID: job.ID, Token: token, To: to, Reason: reason}); err != nil {
		b.t.Fatal(err)
	}
	return b.job(id)
}

func (b *bundle) job(id string) jobs.Job {
	b.t.Helper()
	job, err := b.jobs.Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return job
}

type reviews struct {
	Items []httpapi.ReviewView `json:"items"`
	Next  string               `json:"next_cursor"`
}

func TestReview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if got := decode[reviews](t, b.do("GET", "/v1/review", "").want(t, 200)); len(got.Items) != 0 || got.Next != "" {
		t.Errorf("got %+v, want none", got)
	}
	first := b.attempt(ledger.Review, ledger.ReasonNearMatch)
	second := b.attempt(ledger.Review, ledger.ReasonNotCurrent)
	raw := b.do("GET", "/v1/review?limit=1", "").want(t, 200)
	got := decode[reviews](t, raw)
	if len(got.Items) != 1 || got.Items[0].ID != first.ID.String() || got.Next == "" {
		t.Fatalf("got %+v, want the first one and a cursor", got)
	}
	if v := got.Items[0]; !strings.Contains(v.Why, "not quite the one") || !strings.Contains(v.LookAt, "candidate records") ||
		v.Since.IsZero() || v.LastTried.IsZero() || v.Attempts != 1 || v.To == "" || strings.Contains(string(raw.body), "2065550") {
		t.Errorf("got %s", raw.body)
	}
	got = decode[reviews](t, b.do("GET", "/v1/review?limit=1&cursor="+got.Next, "").want(t, 200))
	if len(got.Items) != 1 || got.Items[0].ID != second.ID.String() {
		t.Errorf("got %+v, want the second one", got)
	}
	b.do("GET", "/v1/review?cursor=x", "").wantProblem(t, 422, "invalid")
	b.do("GET", "/v1/review", "", "Authorization", "").wantProblem(t, 401, "unauthorized")
}

func TestRule(t *testing.T) {
	t.Parallel()
	b := setup(t)
	taken, absent := b.attempt(ledger.Review, ledger.ReasonNearMatch), b.attempt(ledger.Review, ledger.ReasonNotCurrent)
	at := "/v1/review/"

	answer := decode[httpapi.RulingView](t, b.do("POST", at+taken.ID.String(), `{"as":"accepted"}`).want(t, 200))
	if answer.State != ledger.Accepted || !strings.Contains(answer.Says, "nothing is posted") {
		t.Errorf("got %+v, want accepted", answer)
	}
	p := b.do("POST", at+taken.ID.String(), `{"as":"not-sent"}`).wantProblem(t, 409, "not_in_review")
	if !strings.Contains(p.Detail, "is accepted, not in review") {
		t.Errorf("got %q", p.Detail)
	}

	before := b.nudges(absent)
	answer = decode[httpapi.RulingView](t, b.do("POST", at+absent.ID.String(), `{"as":"not-sent"}`).want(t, 200))
	if answer.State != ledger.Queued || !strings.Contains(answer.Says, "posted again") {
		t.Errorf("got %+v, want queued", answer)
	}
	if got := b.nudges(absent); got != before+1 {
		t.Errorf("got %d nudges, want %d", got, before+1)
	}

	for body, want := range map[string]struct {
		status int
		code   string
	}{
		``:                           {415, "unsupported_content_type"},
		`{`:                          {400, "malformed_json"},
		`null`:                       {400, "malformed_json"},
		`{}`:                         {422, "required"},
		`{"as":7}`:                   {422, "required"},
		`{"as":"sent"}`:              {422, "invalid"},
		`{"as":"accepted","then":1}`: {422, "unknown_field"},
	} {
		b.do("POST", at+absent.ID.String(), body).wantProblem(t, want.status, want.code)
	}
	b.do("POST", at+ledger.NewID().String(), `{"as":"accepted"}`).wantProblem(t, 404, "not_found")
	b.do("POST", at+absent.ID.String(), `{"as":"accepted"}`, "Authorization", "").wantProblem(t, 401, "unauthorized")
}

// TestRulePurchase: one that never fixed a number cannot have bought one.
func TestRulePurchase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	receipt, err := b.jobs.Purchase(t.Context(), jobs.Purchase{Search: &jobs.NumberSearch{StartsWith: "1206"}, MaxSetupCost: "2", MaxMonthlyCost: "2"})
	if err != nil {
		t.Fatal(err)
	}
	job := b.begin(receipt.ID, ledger.Review, ledger.ReasonUnresolved)
	p := b.do("POST", "/v1/review/"+job.ID.String(), `{"as":"accepted"}`).wantProblem(t, 409, "not_in_review")
	if !strings.Contains(p.Detail, "cannot have bought one") {
		t.Errorf("got %q", p.Detail)
	}
	b.do("POST", "/v1/review/"+job.ID.String(), `{"as":"not-sent"}`).want(t, 200)
}

// nudges counts the tasks of a job.
func (b *bundle) nudges(job jobs.Job) (n int) {
	b.t.Helper()
	tasks, err := asynq.NewInspectorFromRedisClient(b.rdb).ListPendingTasks(job.Queue)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, task := range tasks {
		if strings.HasPrefix(task.ID, job.ID.String()) {
			n++
		}
	}
	return n
}

// TestEveryReasonIsExplained: what is told of a job in review is never the code
// alone.
func TestEveryReasonIsExplained(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, reason := range []ledger.Reason{
		ledger.ReasonNearMatch, ledger.ReasonNotCurrent, ledger.ReasonNoRecord, ledger.ReasonOtherAccount, ledger.ReasonForeignTraffic,
		ledger.ReasonBeyondReach, ledger.ReasonUsedUpUnknown, ledger.ReasonHeld, ledger.ReasonRedisLost, "other",
	} {
		v := httpapi.ViewReview(jobs.Job{Type: ledger.SendMessage, Reason: reason})
		if v.Why == "" || v.LookAt == "" || seen[v.Why] {
			t.Errorf("%s: got %q and %q", reason, v.Why, v.LookAt)
		}
		seen[v.Why] = true
	}
}
