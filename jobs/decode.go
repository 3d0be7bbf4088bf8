package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// MaxPayload is the most that the JSON of one job may have, in bytes.
const MaxPayload = 64 << 10

// version is the "v" of a payload.
type version struct {
	given bool
	n     int64
}

// payloadVersion is what this program writes and reads.
const payloadVersion = 1

// aliasVersion is of route updates with an alias: a program that does not know of
// aliases leaves them alone.
const aliasVersion = 2

// newestVersion is the highest that this program reads.
func newestVersion(t ledger.Type) int64 {
	if t == ledger.RouteUpdate {
		return aliasVersion
	}
	return payloadVersion
}

// decode reads a job's JSON object into the fields and returns its version, if
// it has one; false when there is no object to read. encoding/json alone would
// take names in any case, the last of repeated fields, and half an emoji.
func (d *door) decode(b []byte, fields map[string]any) (v version, readable bool) {
	if len(b) > MaxPayload {
		d.refuse("", CodeTooLarge, "the payload has %d bytes: use at most %d", len(b), MaxPayload)
		return v, false
	}
	if !utf8.Valid(b) {
		d.refuse("", CodeNotUTF8, "the payload must be UTF-8")
		return v, false
	}
	if !json.Valid(b) {
		var ignored any
		err, place := json.Unmarshal(b, &ignored), ""
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			place = fmt.Sprintf(" at byte %d", syntax.Offset)
		}
		d.refuse("", CodeMalformed, "not one JSON object%s: %v", place, err)
		return v, false
	}
	fields["v"] = &v
	readable = d.object("", b, fields)
	if v.given && (v.n < payloadVersion || v.n > d.newest()) {
		d.refuse("v", CodeVersion, "this version reads \"v\":%d", d.newest())
	}
	return v, readable
}

// object reads raw into the fields, by their exact names. A target is a pointer,
// or a func(path, raw) for what has fields of its own. null is "not given".
func (d *door) object(path string, raw json.RawMessage, fields map[string]any) bool {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if opening, err := decoder.Token(); err != nil || opening != json.Delim('{') {
		d.refuse(path, CodeWrongType, "want a JSON object like {\"%s\": …}", strings.SplitN(sortedNames(fields), ",", 2)[0])
		return false
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		var value json.RawMessage
		if err != nil || !ok || decoder.Decode(&value) != nil {
			d.refuse(path, CodeMalformed, "not a JSON object")
			return false
		}
		field := shownName(name)
		if path != "" {
			field = path + "." + field
		}
		target, known := fields[name]
		switch {
		case !known:
			d.refuse(field, CodeUnknownField, "unknown field: known are %s", sortedNames(fields))
		case seen[name]:
			d.refuse(field, CodeRepeatedField, "given twice: give it once")
		default:
			seen[name] = true
			d.value(field, value, target)
		}
	}
	return true
}

func (d *door) value(field string, raw json.RawMessage, target any) {
	if string(raw) == "null" {
		return
	}
	if brokenSurrogate(raw) {
		d.refuse(field, CodeNotUTF8, "has half a character (a \\u escape without its other half): cut texts between characters")
		return
	}
	switch target := target.(type) {
	case func(string, json.RawMessage):
		target(field, raw)
	case *[]string:
		d.list(field, raw, target)
	case *version:
		target.given = true
		if json.Unmarshal(raw, &target.n) != nil {
			d.refuse(field, CodeVersion, "this version reads \"v\":%d", d.newest())
		}
	case *string:
		d.into(field, raw, target, "a string in double quotes")
	case **string:
		d.into(field, raw, target, "a string in double quotes")
	case **bool:
		d.into(field, raw, target, "true or false, without quotes")
	case *time.Time:
		d.into(field, raw, target, "a time like 2026-11-22T18:00:00Z or 2026-11-22T10:00:00-08:00")
	case *Decimal:
		d.into(field, raw, target, "an amount like 1.25")
	default:
		panic(fmt.Sprintf("jobs: no way to decode a %T", target))
	}
}

func (d *door) into(field string, raw json.RawMessage, target any, want string) {
	if json.Unmarshal(raw, target) != nil {
		d.refuse(field, CodeWrongType, "want %s", want)
	}
}

func (d *door) list(field string, raw json.RawMessage, target *[]string) {
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		d.refuse(field, CodeWrongType, "want a list of strings, like [\"https://example.com/cat.jpg\"]")
		return
	}
	for i, element := range elements {
		var text string
		if json.Unmarshal(element, &text) != nil || string(element) == "null" {
			d.refuse(elementPath(field, i), CodeWrongType, "want a string in double quotes")
		}
		*target = append(*target, text)
	}
}

func elementPath(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// brokenSurrogate finds a \u escape of half a character without its other half,
// which encoding/json replaces in silence. raw is valid JSON.
func brokenSurrogate(raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return false
		}
		raw = raw[i+1:]
		if raw[0] != 'u' {
			raw = raw[1:]
			continue
		}
		unit, rest := hexUnit(raw[1:5]), raw[5:]
		switch {
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return true
		case unit >= 0xD800 && unit <= 0xDBFF:
			if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' {
				return true
			}
			if low := hexUnit(rest[2:6]); low < 0xDC00 || low > 0xDFFF {
				return true
			}
			rest = rest[6:]
		}
		raw = rest
	}
}

func hexUnit(b []byte) uint64 {
	unit, err := strconv.ParseUint(string(b), 16, 16)
	if err != nil {
		return 0
	}
	return unit
}

// shownName bounds a name that somebody else made up, and takes from it what
// would break a line of a log.
func shownName(name string) string {
	quoted := strconv.QuoteToGraphic(name)
	quoted = quoted[1 : len(quoted)-1]
	const most = 40
	if utf8.RuneCountInString(quoted) <= most {
		return quoted
	}
	return string([]rune(quoted)[:most]) + "…"
}
