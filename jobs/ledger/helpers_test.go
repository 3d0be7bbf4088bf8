package ledger_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

const (
	timeout = 200 * time.Millisecond
	settle  = 300 * time.Millisecond
)

type bundle struct {
	*ledger.Ledger
	t   *testing.T
	rdb redis.UniversalClient
	db  *redistest.DB
}

func setup(t *testing.T, options ...func(*ledger.Options)) bundle {
	t.Helper()
	db := redistest.New(t)
	var o ledger.Options
	for _, change := range options {
		change(&o)
	}
	l, err := ledger.New(db.Client(), o)
	if err != nil {
		t.Fatal(err)
	}
	return bundle{Ledger: l, t: t, rdb: db.Client(), db: db}
}

func number(t testing.TB, text string) flowroute.E164 {
	t.Helper()
	n, err := flowroute.ParseE164(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func message(t testing.TB) ledger.NewJob {
	return ledger.NewJob{
		ID: ledger.NewID(), Type: ledger.SendMessage, Queue: ledger.QueueNormal,
		From: number(t, "+12065550100"), To: number(t, "+12065550199"),
		Payload: []byte(`{"v":1,"body":"hello"}`), Content: [8]byte{1, 2, 3},
	}
}

func (b bundle) create(job ledger.NewJob) ledger.ID {
	b.t.Helper()
	if _, err := b.Create(b.t.Context(), job); err != nil {
		b.t.Fatal(err)
	}
	return job.ID
}

func (b bundle) begin(id ledger.ID, token string) ledger.Begun {
	b.t.Helper()
	begun, err := b.Begin(b.t.Context(), ledger.Intent{
		ID: id, Generation: 1, Token: token, Account: "fr-test", Budget: 50 * time.Millisecond, Timeout: timeout, Settle: settle,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return begun
}

// sending is the id of a job whose intent is open under the token.
func (b bundle) sending(token string) ledger.ID {
	b.t.Helper()
	id := b.create(message(b.t))
	if got := b.begin(id, token); got.Decision != ledger.Go {
		b.t.Fatalf("begin: got %+v, want go", got)
	}
	return id
}

func (b bundle) settle(s ledger.Settlement) ledger.Settled {
	b.t.Helper()
	settled, err := b.Settle(b.t.Context(), s)
	if err != nil {
		b.t.Fatal(err)
	}
	return settled
}

func (b bundle) get(id ledger.ID) ledger.Job {
	b.t.Helper()
	job, err := b.Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return job
}

// wantState also checks that the counters agree with the one job of its type.
func (b bundle) wantState(id ledger.ID, want ledger.State) ledger.Job {
	b.t.Helper()
	job := b.get(id)
	if job.State != want {
		b.t.Fatalf("job %s: got %s (%+v), want %s", id, job.State, job.History, want)
	}
	return job
}

func (b bundle) counts(kind ledger.Type) map[ledger.State]int64 {
	b.t.Helper()
	counts, err := b.Counts(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return counts[kind]
}

func mdr() string {
	u := uuid.New()
	return "mdr2-" + hexOf(u[:])
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}
