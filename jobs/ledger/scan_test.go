package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// All messages that were posted are read, whatever became of them and wherever they are
// kept, each once; others are not.
func TestPostedMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old, want := map[ledger.ID]ledger.State{}, map[ledger.ID]ledger.State{}
	var records []string
	var owners []ledger.ID
	post := func(to ledger.State) ledger.ID {
		s := ledger.Settlement{ID: b.sending("t"), Token: "t", To: to}
		if to == ledger.Accepted {
			s.MDR = mdr()
			records, owners = append(records, s.MDR, mdr()), append(owners, s.ID, ledger.ID{})
		}
		b.settle(s)
		want[s.ID] = to
		return s.ID
	}
	for i := range 100 {
		id := post([]ledger.State{ledger.Accepted, ledger.Failed}[i%2])
		old[id] = want[id]
	}
	// As if the first generation of the packed map were full.
	b.rdb.HSet(t.Context(), "{flowroute}:d", "n", 1_000_000)
	for i := range 50 {
		post([]ledger.State{ledger.Accepted, ledger.Unknown, ledger.Queued}[i%3])
	}
	want[b.sending("t")] = ledger.Sending
	b.create(message(t)) // never posted
	purchase := ledger.NewJob{ID: ledger.NewID(), Type: ledger.SyncMDR, Queue: ledger.QueueSync, Payload: []byte(`{"v":1}`)}
	b.create(purchase)

	read := func(since time.Time) map[ledger.ID]ledger.State {
		got := map[ledger.ID]ledger.State{}
		for cursor := ledger.ScanStart; ; {
			jobs, next, err := b.PostedMessages(t.Context(), cursor, since)
			if err != nil {
				t.Fatal(err)
			}
			for _, job := range jobs {
				if _, twice := got[job.ID]; twice && job.State.Final() {
					t.Errorf("%s is read twice", job.ID)
				}
				got[job.ID] = job.State
			}
			if cursor = next; next == ledger.ScanStart {
				return got
			}
		}
	}
	if diff := cmp.Diff(want, read(time.Now().Add(-time.Hour))); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	for id := range old {
		delete(want, id)
	}
	if diff := cmp.Diff(want, read(time.Now().Add(time.Hour))); diff != "" {
		t.Errorf("without those of generations that were closed before (-want +got):\n%s", diff)
	}
	all := 0
	for cursor := ledger.ScanStart; ; {
		jobs, next, err := b.Messages(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		all += len(jobs)
		if cursor = next; next == ledger.ScanStart {
			break
		}
	}
	if want := 100 + 50 + 1 + 1; all != want {
		t.Errorf("got %d messages, want %d, the one included that was never posted", all, want)
	}
	claims, err := b.ClaimedByMany(t.Context(), records)
	if err != nil || !cmp.Equal(claims, owners) {
		t.Errorf("claims: got %v, %v, want %v", claims, err, owners)
	}
	for _, cursor := range []string{"d?", "d1", "d1:-1", "x", "-1"} {
		if _, _, err := b.Messages(t.Context(), cursor); !errors.Is(err, ledger.ErrBadCursor) {
			t.Errorf("cursor %q: got %v, want ErrBadCursor", cursor, err)
		}
	}
}
