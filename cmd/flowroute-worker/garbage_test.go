package main

import "testing"

func TestPercentFor(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{0: 300, 4 << 20: 300, 20 << 20: 300, 32 << 20: 150, 40 << 20: 100, 1 << 30: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("%d MB in use: got %d%%, want %d%%", live>>20, got, want)
		}
	}
}
