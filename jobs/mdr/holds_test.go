package mdr_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

func TestHolds(t *testing.T) {
	t.Parallel()
	s, _, c := setupStore(t)
	m := newMaker(5)
	old, young, odd := m.sent(c.now().Add(-30*24*time.Hour)), m.sent(c.now()), m.sent(c.now())
	odd.ID = "mdr1-of-another-form"
	put(t, s, []flowroute.MDR{old, young, odd}...)
	got, err := s.Holds(t.Context(), []string{old.ID, m.sent(c.now()).ID, young.ID, odd.ID, ""}, old.Timestamp)
	if want := []bool{true, false, true, true, false}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	got, err = s.Holds(t.Context(), []string{old.ID, young.ID}, c.now())
	if want := []bool{false, true}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("of this week: got %v, %v, want %v", got, err, want)
	}
	if got, err := s.Holds(t.Context(), nil, c.now()); err != nil || len(got) != 0 {
		t.Errorf("of none: got %v, %v", got, err)
	}
}
