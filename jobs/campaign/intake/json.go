package intake

import (
	"bytes"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// jsonRows reads an object on each line. It knows JSON as most rows have it, flat,
// and leaves to encoding/json, at some microseconds a row, what is not like that.
// Both say the same: a fuzz test compares them.
type jsonRows struct {
	src     *source
	options Options
	numbers numbers

	// keys is the keys seen, a bounded number of them, and each one's slot, which it
	// shares with the keys that fold alike.
	keys  map[string]key
	slots []slot
	// order is the keys of the row before: the next row most likely has the same.
	order []key
	row   uint64 // stamps what this row has given

	fieldSlots []int
	recipients []int // the slots that may have the number
	scratch    []byte
	unescaped  bool // a value of this row had escapes
	slowly     bool // for the test that compares
}

type slot struct {
	name   string // folded
	shown  string // for problems
	wanted bool   // as a value or a number
	row    uint64 // the last row that gave it
	value  []byte // nil for null
}

type key struct {
	name string
	slot int
}

// What is remembered of keys that nobody asked for is bounded.
const (
	maxKeys = 1000
	maxKey  = 200 // bytes
)

func newJSONRows(src *source, options Options) *jsonRows {
	j := &jsonRows{src: src, options: options, keys: map[string]key{}}
	for _, field := range options.Fields {
		i := j.slot(fold(field.Name))
		j.slots[i].wanted = true
		j.fieldSlots = append(j.fieldSlots, i)
	}
	if options.Recipient != "" {
		j.mayBeNumber(j.slot(fold(options.Recipient)))
	}
	return j
}

// slot finds or makes the slot of a folded name.
func (j *jsonRows) slot(folded string) int {
	i := slices.IndexFunc(j.slots, func(s slot) bool { return s.name == folded })
	if i < 0 {
		i = len(j.slots)
		j.slots = append(j.slots, slot{name: folded, shown: shown(folded)})
		if j.options.Recipient == "" && usual(folded) {
			j.mayBeNumber(i)
		}
	}
	return i
}

func (j *jsonRows) mayBeNumber(slot int) {
	j.slots[slot].wanted = true
	j.recipients = append(j.recipients, slot)
}

func (j *jsonRows) next(row *Row) error {
	for {
		line, length, err := j.src.line()
		row.Line = j.src.lineNumber
		if errors.Is(err, errTooLong) {
			j.src.skipLine()
			row.Problem = problem("", jobs.CodeTooLarge, tooLong())
			return nil
		}
		if err != nil {
			return err
		}
		j.src.take(length, 1)
		if len(bytes.TrimSpace(line)) > 0 {
			j.read(row, line)
			return nil
		}
	}
}

func (j *jsonRows) read(row *Row, line []byte) {
	plain := isPlain(line)
	if !plain && !utf8.Valid(line) {
		row.Problem = problem("", jobs.CodeNotUTF8, "is not UTF-8: JSON has to be")
		return
	}
	j.begin()
	if j.slowly || !j.flat(line) {
		j.begin()
		if row.Problem = j.any(line); !row.OK() {
			return
		}
	}
	recipient := -1
	for _, i := range j.recipients {
		if j.slots[i].row != j.row {
			continue
		}
		if recipient >= 0 {
			row.Problem = problem("", jobs.CodeContradiction, "has several fields that may be the phone number: name the one that is it to, rename the others, or say which one it is")
			return
		}
		recipient = i
	}
	if recipient < 0 {
		row.Problem = problem(j.recipientName(), jobs.CodeRequired, "is missing: give a number like +12065550100")
		return
	}
	var ok bool
	if row.To, row.Problem, ok = j.numbers.read(j.slots[recipient].shown, j.slots[recipient].value); !ok {
		return
	}
	for i, slot := range j.fieldSlots {
		row.Values[i] = nil
		if s := &j.slots[slot]; s.row == j.row {
			row.Values[i] = s.value
		}
	}
	checkValues(row, j.options.Fields, plain && !j.unescaped)
}

func (j *jsonRows) recipientName() string {
	if j.options.Recipient != "" {
		return shown(j.options.Recipient)
	}
	return "to"
}

// begin forgets the row before.
func (j *jsonRows) begin() {
	j.row++
	j.scratch, j.unescaped = j.scratch[:0], false
}

// flat reads an object of strings, numbers, booleans and nulls. It gives up,
// false, on whatever it does not know, be it wrong or only rare.
func (j *jsonRows) flat(b []byte) bool {
	i := skipSpace(b, 0)
	if i == len(b) || b[i] != '{' {
		return false
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return skipSpace(b, i+1) == len(b)
	}
	for place := 0; ; place++ {
		if i == len(b) || b[i] != '"' {
			return false
		}
		begin := i + 1
		end := plainString(b, begin)
		if end == len(b) || b[end] != '"' {
			return false
		}
		slot := j.key(b[begin:end], place)
		if slot < 0 || j.slots[slot].row == j.row {
			return false
		}
		if i = skipSpace(b, end+1); i == len(b) || b[i] != ':' {
			return false
		}
		value, after := j.value(b, skipSpace(b, i+1), j.slots[slot].wanted)
		if after < 0 {
			return false
		}
		j.slots[slot].row, j.slots[slot].value = j.row, value
		i = skipSpace(b, after)
		switch {
		case i == len(b):
			return false
		case b[i] == '}':
			return skipSpace(b, i+1) == len(b)
		case b[i] != ',':
			return false
		}
		i = skipSpace(b, i+1)
	}
}

// key returns the slot of a key without escapes, -1 when it is not remembered.
func (j *jsonRows) key(name []byte, place int) int {
	if place < len(j.order) && string(name) == j.order[place].name {
		return j.order[place].slot
	}
	known, ok := j.keys[string(name)]
	if !ok {
		if len(j.keys) == maxKeys || len(name) > maxKey {
			return -1
		}
		known = key{name: string(name), slot: j.slot(fold(string(name)))}
		j.keys[known.name] = known
	}
	j.order = append(j.order[:min(place, len(j.order))], known)
	return known.slot
}

// value reads a value that begins at i and returns what comes after it, -1 when
// it is none that flat knows.
func (j *jsonRows) value(b []byte, i int, wanted bool) (value []byte, after int) {
	if i == len(b) {
		return nil, -1
	}
	switch c := b[i]; {
	case c == '"':
		return j.text(b, i+1, wanted)
	case c == '-' || '0' <= c && c <= '9':
		end := number(b, i)
		if end < 0 {
			return nil, -1
		}
		return b[i:end], end
	case bytes.HasPrefix(b[i:], []byte("true")):
		return b[i : i+4], i + 4
	case bytes.HasPrefix(b[i:], []byte("false")):
		return b[i : i+5], i + 5
	case bytes.HasPrefix(b[i:], []byte("null")):
		return nil, i + 4
	case (c == '{' || c == '[') && !wanted:
		return nil, nested(b, i)
	default:
		return nil, -1
	}
}

// text reads a string after its opening quote.
func (j *jsonRows) text(b []byte, begin int, wanted bool) (value []byte, after int) {
	i := plainString(b, begin)
	switch {
	case i < len(b) && b[i] == '"':
		return b[begin:i:i], i + 1
	case i == len(b) || b[i] != '\\':
		return nil, -1
	}
	from := len(j.scratch)
	for i < len(b) {
		j.scratch = append(j.scratch, b[begin:i]...)
		if b[i] == '"' {
			j.unescaped = j.unescaped || wanted
			return j.scratch[from:len(j.scratch):len(j.scratch)], i + 1
		}
		r, length := unescape(b[i:])
		if length == 0 {
			return nil, -1
		}
		j.scratch = utf8.AppendRune(j.scratch, r)
		begin = i + length
		i = plainString(b, begin)
	}
	return nil, -1
}
