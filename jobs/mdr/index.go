package mdr

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed index.lua
var indexLua string

var indexScript = redis.NewScript(indexLua)

const (
	// indexLevels are three hashes for each id: a hash of more than indexRoom fields takes
	// three times the memory (hash-max-listpack-entries), so the next one has four times as
	// many parts. The first level does for a million records a week.
	indexLevels = 3
	indexParts  = 1 << 13
	indexRoom   = 128
	// indexedAtOnce is how many records one call of the script takes.
	indexedAtOnce = 128

	numberPartBits = 10
	numberParts    = 1 << numberPartBits
	// An entry of the index of numbers is three bytes that tell numbers of a part apart,
	// mostly, and the minute of the week.
	numberEntry = 5
)

type move struct {
	id       rawID
	from, to int64
}

// jotting is what the index has to learn about one week.
type jotting struct {
	ids     []move // from is not known yet
	numbers map[int][]byte
}

// index notes the minutes of records that are new to their blocks, and of their numbers,
// and reports those that are known from another minute, for which it changes nothing. It
// comes before the block: an index that leads to nothing is harmless.
func (s *Store) index(ctx context.Context, drafts []*draft) ([]move, error) {
	weeks := jottings{}
	var near []move
	for _, d := range drafts {
		seen := map[string]bool{}
		for id, r := range d.rows {
			if r.old == nil {
				j := weeks.of(d.minute)
				j.ids = append(j.ids, move{id: id, to: d.minute})
				if otherWeek(d.minute) >= 0 {
					near = append(near, move{id: id, to: d.minute})
				}
			}
			if r.old == nil || r.renumbered {
				weeks.of(d.minute).record(seen, r.record, d.minute)
			}
		}
	}
	moved, err := s.jot(ctx, weeks)
	if err != nil || len(near) == 0 {
		return moved, err
	}
	across, err := s.acrossWeeks(ctx, near)
	return append(moved, across...), err
}

// nearby is how far a record may move from one week to another without being there twice.
const nearby = 30 // minutes

// otherWeek is the week that is near a minute of another one; -1 for none.
func otherWeek(m int64) int64 {
	for _, other := range []int64{m - nearby, m + nearby} {
		if w := other / minutesPerWeek; w != m/minutesPerWeek {
			return w
		}
	}
	return -1
}

// acrossWeeks finds those records that are held in the week nearby.
func (s *Store) acrossWeeks(ctx context.Context, near []move) (moved []move, err error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.StringCmd, 0, indexLevels*len(near))
	for _, place := range near {
		for level := range indexLevels {
			cmds = append(cmds, pipe.HGet(ctx, s.indexKey(otherWeek(place.to), place.id, level), string(place.id[:])))
		}
	}
	if err := execute(ctx, pipe); err != nil {
		return nil, err
	}
	for i, cmd := range cmds {
		if from, err := cmd.Int64(); err == nil {
			place := near[i/indexLevels]
			place.from = from
			moved = append(moved, place)
		}
	}
	return moved, nil
}

// jottings are those of some weeks.
type jottings map[int64]*jotting

func (w jottings) of(minute int64) *jotting {
	j := w[minute/minutesPerWeek]
	if j == nil {
		j = &jotting{numbers: map[int][]byte{}}
		w[minute/minutesPerWeek] = j
	}
	return j
}

// record notes that a record's numbers are in a minute, once for all records of the minute
// that seen is used for.
func (j *jotting) record(seen map[string]bool, r Record, minute int64) {
	for _, number := range []string{r.From, r.To} {
		number = strings.TrimPrefix(number, "+")
		if number == "" || seen[number] {
			continue
		}
		seen[number] = true
		part, tag := numberPlace(number)
		j.numbers[part] = appendSighting(j.numbers[part], tag, minute)
	}
}

func appendSighting(b []byte, tag uint32, minute int64) []byte {
	b = append(b, byte(tag>>16), byte(tag>>8), byte(tag))
	return binary.BigEndian.AppendUint16(b, uint16(minute%minutesPerWeek))
}

// numberPlace is the part of the index in which a number is, and what tells it from
// others there. It must never change. It is FNV-1a, stirred.
func numberPlace(number string) (part int, tag uint32) {
	h := uint64(14695981039346656037)
	for _, c := range []byte(number) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 32
	return int(h % numberParts), uint32(h>>numberPartBits) & 0xffffff
}

// jot writes to the index, and returns the records that it has in another minute.
func (s *Store) jot(ctx context.Context, weeks jottings) (moved []move, err error) {
	for level := range indexLevels {
		var calls []call
		var asked [][]move
		full := jottings{}
		for _, w := range slices.Sorted(maps.Keys(weeks)) {
			j := weeks[w]
			parts := slices.Sorted(maps.Keys(j.numbers))
			for len(j.ids)+len(parts) > 0 {
				ids, some := j.ids[:min(indexedAtOnce, len(j.ids))], parts[:min(indexedAtOnce, len(parts))]
				j.ids, parts = j.ids[len(ids):], parts[len(some):]
				calls, asked = append(calls, s.jotCall(w, level, ids, some, j.numbers)), append(asked, ids)
			}
		}
		answers, err := s.runAll(ctx, indexScript, calls)
		if err != nil {
			return nil, err
		}
		for i, answer := range answers {
			noted, err := answer.Int64Slice()
			if err != nil {
				return nil, err
			}
			for k, place := range asked[i] {
				switch place.from = noted[k]; place.from {
				case place.to:
				case -1:
					j := full.of(place.to)
					j.ids = append(j.ids, place)
				default:
					moved = append(moved, place)
				}
			}
		}
		weeks = full
	}
	return moved, nil
}

func (s *Store) jotCall(w int64, level int, ids []move, parts []int, numbers map[int][]byte) call {
	lapse := minuteStart((w + 1) * minutesPerWeek).Add(s.retention + day)
	room := indexRoom
	if level == indexLevels-1 {
		room = 0 // the last one takes what is left
	}
	c := call{
		keys: make([]string, 0, len(ids)+len(parts)),
		args: append(make([]any, 0, 3+2*len(ids)+len(parts)), lapse.UnixMilli(), room, len(ids)),
	}
	for _, place := range ids {
		c.keys, c.args = append(c.keys, s.indexKey(w, place.id, level)), append(c.args, place.id[:], place.to)
	}
	for _, part := range parts {
		c.keys, c.args = append(c.keys, s.numberKey(w, part)), append(c.args, numbers[part])
	}
	return c
}

// move brings records that are new to their blocks over from the minutes where they are
// held. One that is an older version of what is held there, such as a word that came late
// of what Flowroute's list says better, stays out of its draft.
//
// Whatever ends it in between, the next reading of the record goes on: first it goes where
// it was, then the index changes, then it comes where it is to be.
func (s *Store) move(ctx context.Context, drafts []*draft, moved []move) error {
	if len(moved) == 0 {
		return nil
	}
	of := make(map[int64]*draft, len(drafts))
	for _, d := range drafts {
		of[d.minute] = d
	}
	for _, place := range moved {
		held, err := s.at(ctx, place.id, place.from)
		if err != nil {
			return err
		}
		d := of[place.to]
		if d.rows[place.id] == nil {
			continue // moved twice at once
		}
		// Both may come in one batch.
		if from := of[place.from]; from != nil && from.rows[place.id] != nil {
			if d.rows[place.id].record.older(from.rows[place.id].record) {
				delete(d.rows, place.id)
				continue
			}
			delete(from.rows, place.id)
		}
		if held != nil && d.rows[place.id].record.older(*held) {
			delete(d.rows, place.id)
			d.result.Stale++
			continue
		}
		if held != nil {
			d.rows[place.id].record.Matched = d.rows[place.id].record.Matched || held.Matched
			if err := s.remove(ctx, place.id, place.from); err != nil {
				return err
			}
		}
		if err := s.lead(ctx, place); err != nil {
			return err
		}
	}
	return nil
}

// at is a record of a minute, nil when it is not there.
func (s *Store) at(ctx context.Context, id rawID, m int64) (*Record, error) {
	blocks, err := s.load(ctx, []int64{m})
	if err != nil {
		return nil, err
	}
	i := blocks[0].find(id)
	if i < 0 {
		return nil, nil
	}
	r, err := unpack(blocks[0].rows[i].packed, id, m)
	return &r, err
}

// lead makes the index lead to a record's new minute.
func (s *Store) lead(ctx context.Context, place move) error {
	w := place.to / minutesPerWeek
	for level := range indexLevels {
		key := s.indexKey(w, place.id, level)
		noted, err := s.rdb.HExists(ctx, key, string(place.id[:])).Result()
		if err != nil {
			return err
		}
		if noted {
			return s.rdb.HSet(ctx, key, string(place.id[:]), place.to).Err()
		}
	}
	return nil
}

// call is one run of a script.
type call struct {
	keys []string
	args []any
}

// runAll runs a script many times in one round trip.
func (s *Store) runAll(ctx context.Context, script *redis.Script, calls []call) ([]*redis.Cmd, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		cmds[i] = script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	_, _ = pipe.Exec(ctx) // each command carries its own error
	for i, cmd := range cmds {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			cmds[i] = script.Eval(ctx, s.rdb, calls[i].keys, calls[i].args...)
		}
		if err := cmds[i].Err(); err != nil {
			return nil, err
		}
	}
	return cmds, nil
}

// sightings are the minutes in which a number may be, of some weeks, the latest first.
func (s *Store) sightings(ctx context.Context, number string, weeks []int64) ([]int64, error) {
	part, tag := numberPlace(number)
	keys := make([]string, len(weeks))
	for i, w := range weeks {
		keys[i] = s.numberKey(w, part)
	}
	values, err := s.rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, err
	}
	var minutes []int64
	for i, value := range values {
		text, _ := value.(string)
		for ; len(text) >= numberEntry; text = text[numberEntry:] {
			if text[0] == byte(tag>>16) && text[1] == byte(tag>>8) && text[2] == byte(tag) {
				minutes = append(minutes, weeks[i]*minutesPerWeek+int64(text[3])<<8+int64(text[4]))
			}
		}
	}
	slices.SortFunc(minutes, func(a, b int64) int { return cmp.Compare(b, a) })
	return slices.Compact(minutes), nil
}

// packedNumber is a number as it is packed: digits alone, or another text.
type packedNumber struct {
	plain uint64
	text  string
}

// numbersOf reads the sender and the recipient of a packed record, and nothing else.
func numbersOf(packed []byte) (from, to packedNumber) {
	if len(packed) == 0 {
		return from, to
	}
	u := unpacker{b: packed[1:]}
	u.uint()
	u.span()
	for _, n := range []*packedNumber{&from, &to} {
		if n.plain = u.uint(); n.plain == 0 && u.err == nil {
			n.text = u.text()
		}
	}
	return from, to
}

// tag is a byte by which most other numbers can be told from it. It must never change.
func (n packedNumber) tag() byte {
	text := strings.TrimPrefix(n.text, "+")
	if n.plain != 0 {
		text = strconv.FormatUint(n.plain, 10)
	}
	_, tag := numberPlace(text)
	return byte(tag)
}
