package campaign

import (
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// What a feeder notes counts only where nobody else has been, and while the campaign runs.
func TestAdvanceIsRefused(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	store, err := New(rdb, Options{})
	if err != nil {
		t.Fatal(err)
	}
	spec := Spec{From: Senders{"+12065550100"}, Template: "hello"}
	id := spec.ID(nil)
	if _, err := store.Create(t.Context(), id, spec); err != nil {
		t.Fatal(err)
	}
	advance := func(state string, pass, from int, want string) {
		t.Helper()
		if err := rdb.HSet(t.Context(), store.keys.campaign(id), "s", state).Err(); err != nil {
			t.Fatal(err)
		}
		if a := store.run(t.Context(), scriptAdvance, id, pass, from, 1, 10, 0, 0); a.err != nil || a.verdict() != want {
			t.Errorf("%s, from row %d of pass %d: got %q, %v, want %q", state, from, pass, a.verdict(), a.err, want)
		}
	}
	advance("p", 1, 0, "held")
	advance("c", 1, 0, "held")
	advance("r", 1, 5, "behind")
	advance("r", 2, 0, "behind")
	advance("r", 1, 0, "ok")
	advance("r", 1, 0, "behind")
}
