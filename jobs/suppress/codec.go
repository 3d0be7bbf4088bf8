package suppress

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// A record as it is stored. Its head says whether anything of it blocks, and the
// version; the slots follow:
//
//	flags                one byte
//	our number           uvarint; 0: all
//	entered: time, note  varint; with a note its length, uvarint, and its text
//	stopped: last, first varint; the first, if it is another one, as uvarint before the last
//	started              varint
//
// Times are ms since 2020, which takes six bytes until 2089.
const (
	formatVersion = 1
	headBlocks    = 0x80 // of the head, above the version
)

// The flags of a slot.
const (
	flagEntered = 1 << iota
	flagImport  // else a person
	flagNote
	flagStopped
	flagEarlier      // the first STOP is not the last
	flagFirstCarrier // it came as a carrier's answer
	flagLastCarrier
	flagStarted
)

const epoch = 1_577_836_800_000 // 2020-01-01

var errCorrupt = errors.New("stored opt-out: not in the form of this version")

// encode returns "" for a record of which nothing is left.
func (r *record) encode() string {
	r.tidy()
	if len(r.slots) == 0 {
		return ""
	}
	head := byte(formatVersion)
	if r.entries() > 0 {
		head |= headBlocks
	}
	b := []byte{head}
	for i := range r.slots {
		b = r.slots[i].append(b)
	}
	return string(b)
}

func (s *slot) append(b []byte) []byte {
	b = append(b, s.flags())
	b = binary.AppendUvarint(b, s.from.Uint64())
	if e := s.entered; e != nil {
		b = appendTime(b, e.at)
		if e.note != "" {
			b = binary.AppendUvarint(b, uint64(len(e.note)))
			b = append(b, e.note...)
		}
	}
	if t := s.stopped; t != nil {
		b = appendTime(b, t.last.at)
		if t.first != t.last {
			b = binary.AppendUvarint(b, uint64(t.last.at-t.first.at))
		}
	}
	if s.started != 0 {
		b = appendTime(b, s.started)
	}
	return b
}

func (s *slot) flags() byte {
	var flags byte
	set := func(flag byte, when bool) {
		if when {
			flags |= flag
		}
	}
	if e := s.entered; e != nil {
		set(flagEntered, true)
		set(flagImport, e.source == SourceImport)
		set(flagNote, e.note != "")
	}
	if t := s.stopped; t != nil {
		set(flagStopped, true)
		set(flagEarlier, t.first != t.last)
		set(flagFirstCarrier, t.first.carrier)
		set(flagLastCarrier, t.last.carrier)
	}
	set(flagStarted, s.started != 0)
	return flags
}

func appendTime(b []byte, at millis) []byte { return binary.AppendVarint(b, int64(at)-epoch) }

// storedBlocks tells from a stored record, "" for none, whether anything of it
// blocks. Errors: [ErrNewerVersion].
func storedBlocks(stored string) (bool, error) {
	if stored == "" {
		return false, nil
	}
	if stored[0]&^headBlocks != formatVersion {
		return false, ErrNewerVersion
	}
	return stored[0]&headBlocks != 0, nil
}

// decode reads a stored record; "" is one of which nothing is kept.
func decode(stored string) (record, error) {
	var r record
	if _, err := storedBlocks(stored); stored == "" || err != nil {
		return r, err
	}
	in := reader{rest: []byte(stored[1:])}
	for len(in.rest) > 0 && !in.bad {
		r.slots = append(r.slots, in.slot())
	}
	if in.bad {
		return record{}, errCorrupt
	}
	return r, nil
}

// reader takes a stored record apart; once bad it yields zeroes.
type reader struct {
	rest []byte
	bad  bool
}

func (in *reader) slot() slot {
	flags := in.rest[0]
	in.rest = in.rest[1:]
	s := slot{from: in.number()}
	if flags&flagEntered != 0 {
		s.entered = &entered{source: SourcePerson, at: in.time()}
		if flags&flagImport != 0 {
			s.entered.source = SourceImport
		}
		if flags&flagNote != 0 {
			s.entered.note = in.text()
		}
	}
	if flags&flagStopped != 0 {
		last := ask{in.time(), flags&flagLastCarrier != 0}
		first := ask{last.at, flags&flagFirstCarrier != 0}
		if flags&flagEarlier != 0 {
			first.at -= millis(in.uvarint())
		}
		s.stopped = &stopped{first, last}
	}
	if flags&flagStarted != 0 {
		s.started = in.time()
	}
	return s
}

func (in *reader) number() flowroute.E164 {
	n := in.uvarint()
	if n == 0 {
		return flowroute.E164{}
	}
	number, err := flowroute.E164FromUint64(n)
	if err != nil {
		in.bad = true
	}
	return number
}

func (in *reader) uvarint() uint64 {
	v, n := binary.Uvarint(in.rest)
	in.skip(n)
	return v
}

func (in *reader) time() millis {
	v, n := binary.Varint(in.rest)
	in.skip(n)
	return millis(v + epoch)
}

func (in *reader) text() string {
	n := in.uvarint()
	if n > uint64(len(in.rest)) {
		in.bad = true
		return ""
	}
	text := string(in.rest[:n])
	in.rest = in.rest[n:]
	return text
}

// skip goes on after n bytes; 0 and less: they were no number.
func (in *reader) skip(n int) {
	if n <= 0 {
		in.bad, in.rest = true, nil
		return
	}
	in.rest = in.rest[n:]
}

// stored reads what a bucket has of a recipient.
func stored(recipient flowroute.E164, value string) (record, error) {
	r, err := decode(value)
	if err != nil {
		return r, fmt.Errorf("opt-out of %s: %w", recipient.Masked(), err)
	}
	return r, nil
}
