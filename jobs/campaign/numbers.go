package campaign

import "github.com/flowroute-worker/flowroute-worker/flowroute"

// numberSet is the recipients of an upload, of which there may be millions: 8 to 11 bytes
// each, a third of what a map takes while it grows.
type numberSet struct {
	slots []uint64 // a number and whether it was there before, or 0; as many as a power of two
	used  int
}

// find reports whether a number is there, and whether it was there before the upload.
func (s *numberSet) find(number flowroute.E164) (known, before bool) {
	if len(s.slots) == 0 {
		return false, false
	}
	slot := s.slots[s.place(number.Uint64())]
	return slot != 0, slot&1 == 1
}

// add adds a number that is not there.
func (s *numberSet) add(number flowroute.E164, before bool) {
	if 4*(s.used+1) > 3*len(s.slots) {
		s.grow()
	}
	entry := number.Uint64() << 1
	if before {
		entry |= 1
	}
	s.slots[s.place(number.Uint64())] = entry
	s.used++
}

// place is where a number is, or belongs.
func (s *numberSet) place(number uint64) int {
	last := uint64(len(s.slots) - 1)
	for at := mix(number) & last; ; at = (at + 1) & last {
		if slot := s.slots[at]; slot == 0 || slot>>1 == number {
			return int(at)
		}
	}
}

func (s *numberSet) grow() {
	old := s.slots
	s.slots = make([]uint64, max(2*len(old), 1024))
	for _, slot := range old {
		if slot != 0 {
			s.slots[s.place(slot>>1)] = slot
		}
	}
}
