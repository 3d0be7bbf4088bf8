package campaign

import (
	"math/rand/v2"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

func TestNumberSet(t *testing.T) {
	t.Parallel()
	var s numberSet
	want := map[uint64]bool{}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		n := 12012000000 + rng.Uint64N(300_000)
		number, err := flowroute.E164FromUint64(n)
		if err != nil {
			continue
		}
		known, before := s.find(number)
		was, there := want[n]
		if known != there || before != was {
			t.Fatalf("%d: got %v, %v, want %v, %v", n, known, before, there, was)
		}
		if !there {
			want[n] = rng.IntN(2) == 0
			s.add(number, want[n])
		}
	}
	if s.used != len(want) || len(want) < 1000 {
		t.Errorf("got %d numbers, want %d", s.used, len(want))
	}
}
