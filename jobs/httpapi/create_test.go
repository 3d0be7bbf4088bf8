package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

type job struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	State     string    `json:"state"`
	From      string    `json:"from"`
	To        string    `json:"to"`
	Number    string    `json:"number"`
	Attempts  int       `json:"attempts"`
	MDRIDs    []string  `json:"mdr_ids"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail"`
	CreatedAt time.Time `json:"created_at"`
	DueAt     time.Time `json:"due_at"`
	ExpiresAt time.Time `json:"expires_at"`
	History   []struct {
		At     time.Time `json:"at"`
		State  string    `json:"state"`
		Reason string    `json:"reason"`
	} `json:"history"`
}

func TestMessageIsTakenAndLookedUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	taken := b.do("POST", "/v1/messages", goodMessage).want(t, http.StatusAccepted)
	receipt := decode[jobs.Receipt](t, taken)
	if receipt.State != ledger.Queued || receipt.Duplicate || receipt.Repeatable {
		t.Errorf("got %+v, want queued, no duplicate, not repeatable", receipt)
	}
	place := taken.header.Get("Location")
	if want := "/v1/messages/" + receipt.ID; place != want {
		t.Errorf("got Location %q, want %q", place, want)
	}

	found := b.do("GET", place, "").want(t, http.StatusOK)
	if strings.Contains(string(found.body), "swordfish") {
		t.Errorf("the job shows its text: %s", found.body)
	}
	got := decode[job](t, found)
	if got.ID != receipt.ID || got.Type != "send-message" || got.State != "queued" || got.From != "+12065550100" ||
		got.To != "+12065550123" || got.Attempts != 0 || len(got.History) != 1 || got.CreatedAt.IsZero() || got.ExpiresAt.IsZero() {
		t.Errorf("got %+v", got)
	}
	if any := decode[job](t, b.do("GET", "/v1/jobs/"+receipt.ID, "").want(t, http.StatusOK)); !cmp.Equal(any, got) {
		t.Errorf("/v1/jobs differs: %s", cmp.Diff(got, any))
	}
}

func TestPurchaseAndRouteUpdateAreTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tests := []struct{ path, body, kind string }{
		{"/v1/number-purchases", `{"number":"+12065550100","max_setup_cost":1.5,"max_monthly_cost":"1.25"}`, "purchase-number"},
		{"/v1/number-purchases", `{"search":{"starts_with":"1206"},"alias":"front desk"}`, "purchase-number"},
		{"/v1/route-updates", `{"number":"+12065550100","primary":{"type":"uri","value":"sip:a@example.com","alias":"pbx"}}`, "route-update"},
	}
	for _, tt := range tests {
		taken := b.do("POST", tt.path, tt.body).want(t, http.StatusAccepted)
		place := taken.header.Get("Location")
		got := decode[job](t, b.do("GET", place, "").want(t, http.StatusOK))
		if got.Type != tt.kind || got.State != "queued" || got.From != "" || got.To != "" {
			t.Errorf("%s: got %+v", tt.path, got)
		}
	}
}

func TestKeyMakesOneJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const keyed = `{"from":"+12065550100","to":"+12065550123","body":"hi","key":"order-17"}`
	const plain = `{"from":"+12065550100","to":"+12065550123","body":"hi"}`
	const other = `{"from":"+12065550100","to":"+12065550123","body":"something else","key":"order-17"}`

	first := decode[jobs.Receipt](t, b.do("POST", "/v1/messages", keyed).want(t, 202))
	if first.Duplicate || !first.Repeatable {
		t.Errorf("got %+v, want the first of a key", first)
	}
	for name, again := range map[string]answer{
		"body":          b.do("POST", "/v1/messages", keyed),
		"header":        b.do("POST", "/v1/messages", plain, "Idempotency-Key", "order-17"),
		"quoted header": b.do("POST", "/v1/messages", plain, "Idempotency-Key", `"order-17"`),
		"both":          b.do("POST", "/v1/messages", keyed, "Idempotency-Key", "order-17"),
	} {
		got := decode[jobs.Receipt](t, again.want(t, 202))
		if got.ID != first.ID || !got.Duplicate || !got.Repeatable {
			t.Errorf("%s: got %+v, want a duplicate of %s", name, got, first.ID)
		}
	}

	b.do("POST", "/v1/messages", other).wantProblem(t, http.StatusConflict, "key_conflict")
	clash := b.do("POST", "/v1/messages", keyed, "Idempotency-Key", "order-18").wantProblem(t, 422, "contradiction")
	if clash.Field != "key" {
		t.Errorf("got field %q, want key", clash.Field)
	}
	b.do("POST", "/v1/messages", plain, "Idempotency-Key", `""`).wantProblem(t, 422, "required")
	twice := b.request("POST", "/v1/messages", plain)
	twice.Header["Idempotency-Key"] = []string{"a", "b"}
	b.send(twice).wantProblem(t, 422, "repeated_field")
}

func TestWrongPlaceSaysWhereTheJobIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	receipt := decode[jobs.Receipt](t, b.do("POST", "/v1/number-purchases", `{"number":"+12065550100"}`).want(t, 202))
	want := "/v1/number-purchases/" + receipt.ID
	for _, method := range []string{"GET", "DELETE"} {
		p := b.do(method, "/v1/messages/"+receipt.ID, "").wantProblem(t, 404, "not_found")
		if !strings.Contains(p.Detail, want) {
			t.Errorf("%s: got %q, want a hint at %s", method, p.Detail, want)
		}
	}
	b.do("GET", "/v1/messages/0199b2a4-7c1e-7d3a-9b55-0a1b2c3d4e5f", "").wantProblem(t, 404, "not_found")
	b.do("GET", "/v1/messages/nonsense", "").wantProblem(t, 404, "not_found")
	b.do("GET", "/v1/messages/"+strings.Repeat("x", 2000), "").wantProblem(t, 404, "not_found")
	b.do("DELETE", "/v1/messages/nonsense", "").wantProblem(t, 404, "not_found")
	b.do("GET", "/v1/route-updates/nonsense", "").wantProblem(t, 404, "not_found")
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	led := b.jobs.Ledger()
	enqueue := func() (ledger.ID, string) {
		receipt := decode[jobs.Receipt](t, b.do("POST", "/v1/messages", goodMessage).want(t, 202))
		id, err := ledger.ParseID(receipt.ID)
		if err != nil {
			t.Fatal(err)
		}
		return id, "/v1/messages/" + receipt.ID
	}
	begin := func(id ledger.ID) {
		job, err := led.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		begun, err := led.Begin(t.Context(), ledger.Intent{
			ID: id, Generation: job.Generation, Token: "t-" + id.String(), Account: "fr-test",
			Budget: time.Minute, Timeout: time.Minute, Settle: time.Minute,
		})
		if err != nil || begun.Decision != ledger.Go {
			t.Fatalf("got %+v, %v, want go", begun, err)
		}
	}
	type cancelled struct {
		State     string `json:"state"`
		Cancelled bool   `json:"cancelled"`
	}

	_, waiting := enqueue()
	for range 2 { // a repetition is no error
		if got := decode[cancelled](t, b.do("DELETE", waiting, "").want(t, 200)); got != (cancelled{"cancelled", true}) {
			t.Errorf("waiting: got %+v", got)
		}
	}

	id, onTheWire := enqueue()
	begin(id)
	if got := decode[cancelled](t, b.do("DELETE", onTheWire, "").want(t, 202)); got != (cancelled{"sending", false}) {
		t.Errorf("on the wire: got %+v", got)
	}

	id, accepted := enqueue()
	begin(id)
	if _, err := led.Settle(t.Context(), ledger.Settlement{
		ID: id, Token: "t-" + id.String(), To: ledger.Accepted, MDR: "mdr2-0123456789abcdef0123456789abcdef",
	}); err != nil {
		t.Fatal(err)
	}
	b.do("DELETE", accepted, "").wantProblem(t, http.StatusConflict, "too_late")
	got := decode[job](t, b.do("GET", accepted, "").want(t, 200))
	if got.State != "accepted" || got.Attempts != 1 || !cmp.Equal(got.MDRIDs, []string{"mdr2-0123456789abcdef0123456789abcdef"}) || len(got.History) != 3 {
		t.Errorf("got %+v", got)
	}
}
