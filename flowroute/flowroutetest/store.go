package flowroutetest

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

const (
	chunkBits = 12 // records are kept and forgotten in blocks of 4,096
	chunkSize = 1 << chunkBits
)

// flags of a record.
const (
	flagInbound uint8 = 1 << iota
	flagMMS
	flagUCS2
	flagRefused // left by a message that was refused
	flagShown   // visible: in store.shown
)

// record is an MDR. Times are Unix nanoseconds. What the API shows of it
// follows from these and the time of asking; nothing is updated later but
// flagShown and, by Complete, done.
type record struct {
	id       [16]byte
	body     string
	media    []string
	from, to uint64
	at       int64 // accepted
	stamp    int64 // timestamp shown, of 10 ms
	visible  int64 // can be read from then on
	done     int64 // has its final code from then on
	cost     int64 // nanodollars
	segments int32
	code     uint16 // final
	flags    uint8
}

// accepted is a message of ours as it was posted.
type accepted struct {
	body     string
	callback string
	fault    string
	at       int64
	first    int32 // its records are first to first+n-1
	n        int32
}

// store holds records by number of their creation, by id, and in the order
// of the listing. Records become listed lazily, when somebody reads.
type store struct {
	keep      int
	chunks    [][]record
	dropped   int // chunks forgotten: record i is in chunks[i>>chunkBits-dropped]
	next      int32
	byID      map[[16]byte]int32
	shown     []int32 // by stamp, then creation
	pending   []int32 // heap by visible
	holdUntil int64   // nothing becomes visible before

	messages  []accepted
	forgotten int // messages dropped from the front
}

func newStore(keep int) *store {
	return &store{keep: keep, byID: map[[16]byte]int32{}}
}

func (st *store) oldest() int32 { return int32(st.dropped << chunkBits) }

// at returns record i, or nil when it was forgotten.
func (st *store) at(i int32) *record {
	if i < st.oldest() || i >= st.next {
		return nil
	}
	return &st.chunks[int(i>>chunkBits)-st.dropped][i&(chunkSize-1)]
}

// add stores r and returns its number.
func (st *store) add(r record) int32 {
	i := st.next
	if i&(chunkSize-1) == 0 {
		st.forget()
		st.chunks = append(st.chunks, make([]record, 0, chunkSize))
	}
	last := len(st.chunks) - 1
	st.chunks[last] = append(st.chunks[last], r)
	st.next++
	st.byID[r.id] = i
	st.push(i)
	return i
}

// forget drops the oldest block when more than keep records are left without it.
func (st *store) forget() {
	for st.keep > 0 && (len(st.chunks)-1)<<chunkBits >= st.keep {
		for _, r := range st.chunks[0] {
			delete(st.byID, r.id)
		}
		st.chunks = slices.Delete(st.chunks, 0, 1)
		st.dropped++
		gone := func(i int32) bool { return i < st.oldest() }
		st.shown = slices.DeleteFunc(st.shown, gone)
		st.pending = slices.DeleteFunc(st.pending, gone)
		st.heapify()
		n := 0
		for n < len(st.messages) && st.messages[n].first < st.oldest() {
			n++
		}
		st.messages = slices.Delete(st.messages, 0, n)
		st.forgotten += n
	}
}

// accept notes a message whose n records begin at first, and returns its number.
func (st *store) accept(m accepted) int {
	st.messages = append(st.messages, m)
	return st.forgotten + len(st.messages) - 1
}

func (st *store) setFault(message int, fault string) {
	if i := message - st.forgotten; i >= 0 && i < len(st.messages) { // else forgotten, or reset meanwhile
		st.messages[i].fault = fault
	}
}

// find returns the visible record with this id.
func (st *store) find(id [16]byte, now int64) *record {
	st.promote(now)
	i, ok := st.byID[id]
	if !ok {
		return nil
	}
	if r := st.at(i); r != nil && r.flags&flagShown != 0 {
		return r
	}
	return nil
}

// window returns the visible records with start <= stamp <= end, oldest first.
// The result is st.shown itself: to be read before the lock is given up.
func (st *store) window(start, end, now int64) []int32 {
	st.promote(now)
	lo := sort.Search(len(st.shown), func(i int) bool { return st.at(st.shown[i]).stamp >= start })
	hi := sort.Search(len(st.shown), func(i int) bool { return st.at(st.shown[i]).stamp > end })
	return st.shown[lo:max(lo, hi)]
}

// promote lists what has become visible by now. Records mostly come in order
// and are appended; the rest is merged into the end of the list.
func (st *store) promote(now int64) {
	if now < st.holdUntil {
		return
	}
	var due []int32
	for len(st.pending) > 0 && st.at(st.pending[0]).visible <= now {
		due = append(due, st.pop())
	}
	if len(due) == 0 {
		return
	}
	byStamp := func(a, b int32) int { return cmp.Or(cmp.Compare(st.at(a).stamp, st.at(b).stamp), cmp.Compare(a, b)) }
	slices.SortFunc(due, byStamp)
	for _, i := range due {
		st.at(i).flags |= flagShown
	}
	p, _ := slices.BinarySearchFunc(st.shown, due[0], byStamp)
	tail := slices.Clone(st.shown[p:])
	st.shown = st.shown[:p]
	for len(tail) > 0 && len(due) > 0 {
		if byStamp(tail[0], due[0]) <= 0 {
			st.shown, tail = append(st.shown, tail[0]), tail[1:]
		} else {
			st.shown, due = append(st.shown, due[0]), due[1:]
		}
	}
	st.shown = append(append(st.shown, tail...), due...)
}

// hold lets nothing more become visible for d from now; 0 ends a hold.
func (st *store) hold(now int64, d time.Duration) {
	st.promote(now)
	if d > 0 {
		st.holdUntil = max(st.holdUntil, now+int64(d))
	} else {
		st.holdUntil = 0
	}
}

// complete ends what is still in flight, at now.
func (st *store) complete(now int64) (n int) {
	for _, chunk := range st.chunks {
		for i := range chunk {
			if chunk[i].done > now {
				chunk[i].done = now
				n++
			}
		}
	}
	return n
}

// The pending heap: container/heap would box every number.

func (st *store) before(a, b int32) bool { return st.at(a).visible < st.at(b).visible }

func (st *store) push(i int32) {
	st.pending = append(st.pending, i)
	h := st.pending
	for c := len(h) - 1; c > 0; {
		p := (c - 1) / 2
		if !st.before(h[c], h[p]) {
			break
		}
		h[c], h[p] = h[p], h[c]
		c = p
	}
}

func (st *store) pop() int32 {
	h := st.pending
	top := h[0]
	h[0] = h[len(h)-1]
	st.pending = h[:len(h)-1]
	st.sift(0)
	return top
}

func (st *store) sift(p int) {
	h := st.pending
	for {
		c := 2*p + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && st.before(h[c+1], h[c]) {
			c++
		}
		if !st.before(h[c], h[p]) {
			return
		}
		h[c], h[p] = h[p], h[c]
		p = c
	}
}

func (st *store) heapify() {
	for p := len(st.pending)/2 - 1; p >= 0; p-- {
		st.sift(p)
	}
}
