package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf16"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// any reads what flat does not know, or says what is wrong with it.
func (j *jsonRows) any(line []byte) jobs.FieldError {
	if !json.Valid(line) {
		place := ""
		var ignored any
		if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(line, &ignored)); ok {
			place = fmt.Sprintf(" at byte %d", syntax.Offset)
		}
		return problem("", jobs.CodeMalformed, "is no JSON, or cut off"+place+`: give one object on each line, like {"to":"+12065550100"}`)
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	if opening, err := decoder.Token(); err != nil || opening != json.Delim('{') {
		return problem("", jobs.CodeWrongType, `is no JSON object: give one on each line, like {"to":"+12065550100"}`)
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		var raw json.RawMessage
		if err != nil || !ok || decoder.Decode(&raw) != nil {
			return problem("", jobs.CodeMalformed, "is no JSON object")
		}
		folded := fold(name)
		if seen[folded] {
			return problem(shown(name), jobs.CodeRepeatedField, "is given twice: give it once")
		}
		seen[folded] = true
		if slot := j.slotOf(folded); slot >= 0 {
			value, code, message := j.anyValue(raw, j.slots[slot].wanted)
			if code != "" {
				return problem(shown(name), code, message)
			}
			j.slots[slot].row, j.slots[slot].value = j.row, value
		}
	}
	return jobs.FieldError{}
}

// slotOf makes no slots for what nobody asked for.
func (j *jsonRows) slotOf(folded string) int {
	for i := range j.slots {
		if j.slots[i].name == folded {
			return i
		}
	}
	if j.options.Recipient == "" && usual(folded) {
		return j.slot(folded)
	}
	return -1
}

func (j *jsonRows) anyValue(raw json.RawMessage, wanted bool) (value []byte, code, message string) {
	if !wanted || string(raw) == "null" {
		return nil, "", ""
	}
	switch raw[0] {
	case '{', '[':
		return nil, jobs.CodeWrongType, "want a text or a number, not a list or an object"
	case '"':
		value, after := j.text(raw, 1, true)
		if after != len(raw) {
			return nil, jobs.CodeNotUTF8, "has half a character (a \\u escape without its other half): cut texts between characters"
		}
		return value, "", ""
	default:
		return raw, "", ""
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// plainString returns where a string stops to be simply what it is: at its
// closing quote, an escape, or what may not be in it.
func plainString(b []byte, i int) int {
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
		i++
	}
	return i
}

// number returns the end of the number that begins at i, -1 for one that JSON
// does not have.
func number(b []byte, i int) int {
	digits := func() bool {
		from := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return -1
		}
	}
	return i
}

// nested returns the end of the list or object that begins at i, -1 for one that
// is broken.
func nested(b []byte, i int) int {
	depth := 0
	for end := i; end < len(b); end++ {
		switch b[end] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth > 0 {
				continue
			}
			if end++; !json.Valid(b[i:end]) {
				return -1
			}
			return end
		case '"':
			for end++; end < len(b) && b[end] != '"'; end++ {
				if b[end] == '\\' {
					end++
				}
			}
		}
	}
	return -1
}

// unescape reads the escape that b begins with, and returns its length; 0 for
// none, and for half a character.
func unescape(b []byte) (r rune, length int) {
	if len(b) < 2 || b[0] != '\\' {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default:
		return 0, 0
	}
	r, ok := hex4(b[2:])
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
		return 0, 0
	}
	low, ok := hex4(b[8:])
	if r = utf16.DecodeRune(r, low); !ok || r == 0xFFFD {
		return 0, 0
	}
	return r, 12
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		digit := rune(0)
		switch {
		case '0' <= c && c <= '9':
			digit = rune(c - '0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			digit = rune(c|0x20-'a') + 10
		default:
			return 0, false
		}
		r = r<<4 | digit
	}
	return r, true
}
