package ledger_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// An intent of which the caller has not read the job brings it along, as it would have
// been read.
func TestUnread(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := message(t)
	job.Fingerprint = ledger.Fingerprint{1, 2, 3}
	job.Payload, job.Expires = []byte(`{"v":1,"body":"hello"}`), time.Now().Add(time.Hour).Truncate(time.Millisecond)
	b.create(job)
	read := b.get(job.ID)
	in := ledger.Intent{ID: job.ID, Generation: 1, Token: "t1", Account: "a", Worker: "w", Unread: true,
		Budget: time.Second, Timeout: time.Second, Settle: time.Minute}
	begun, err := b.Begin(t.Context(), in)
	if err != nil || begun.Decision != ledger.Go {
		t.Fatalf("got %+v, %v", begun, err)
	}
	if begun.Fingerprint != job.Fingerprint {
		t.Errorf("got fingerprint %v, want the producer's", begun.Fingerprint)
	}
	read.History, read.Reason, read.Seen, read.Order = nil, "", "", nil
	if diff := gocmp.Diff(read, *begun.Job, gocmp.Comparer(func(a, b flowroute.E164) bool { return a == b })); diff != "" {
		t.Errorf("the job (-read +begun):\n%s", diff)
	}
	if got := b.get(job.ID); got.State != ledger.Sending || got.Fingerprint != job.Fingerprint {
		t.Errorf("got %s, %v", got.State, got.Fingerprint)
	}
	again, err := b.Begin(t.Context(), in)
	if err != nil || again.Decision != ledger.Go || again.Attempt != 1 || string(again.Job.Payload) != string(job.Payload) {
		t.Errorf("the call repeated: %+v, %v", again, err)
	}
}

// Without a fingerprint, which records of other versions lack, the job is to be read.
func TestUnreadWithoutFingerprint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := message(t)
	b.create(job)
	begun, err := b.Begin(t.Context(), ledger.Intent{ID: job.ID, Generation: 1, Token: "t1", Unread: true})
	if err != nil || begun.Decision != ledger.Unread {
		t.Errorf("got %+v, %v", begun, err)
	}
	if got := b.get(job.ID); got.State != ledger.Queued || got.Attempts != 0 {
		t.Errorf("got %s after %d attempts", got.State, got.Attempts)
	}
}

// A message that is posted under another fingerprint than before is in one group.
func TestAnotherFingerprint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := message(t)
	job.Fingerprint = ledger.Fingerprint{1}
	b.create(job)
	in := ledger.Intent{ID: job.ID, Generation: 1, Token: "t1", Unread: true}
	if _, err := b.Begin(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Settle(t.Context(), ledger.Settlement{ID: job.ID, Token: "t1", To: ledger.Queued, Reason: ledger.ReasonNotSent, Uncounted: true}); err != nil {
		t.Fatal(err)
	}
	in.Token, in.Unread, in.Fingerprint = "t2", false, ledger.Fingerprint{2}
	if begun, err := b.Begin(t.Context(), in); err != nil || begun.Decision != ledger.Go {
		t.Fatalf("got %+v, %v", begun, err)
	}
	for fp, want := range map[ledger.Fingerprint]int{{1}: 0, {2}: 1} {
		if group, err := b.Group(t.Context(), fp); err != nil || len(group) != want {
			t.Errorf("group %v: got %d members, %v, want %d", fp, len(group), err, want)
		}
	}
}
