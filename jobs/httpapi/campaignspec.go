package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
)

// specReader reads a campaign as strictly as jobs are read: exact names, each once, and
// no half characters, all of which encoding/json alone would let pass.
type specReader struct{ problems []jobs.FieldError }

// readSpec reads a campaign from JSON. What its values are is looked at later. Errors:
// [*jobs.ValidationError], of all that is wrong.
func readSpec(text []byte) (campaign.Spec, error) {
	var spec campaign.Spec
	var version json.RawMessage
	d := &specReader{}
	d.object(text, map[string]field{
		"name":          {&spec.Name, "a string in double quotes"},
		"from":          {&spec.From, "a number as a string in double quotes, or a list of such"},
		"template":      {&spec.Template, "a string in double quotes"},
		"start_at":      {&spec.StartAt, "a time like 2026-11-22T18:00:00Z or 2026-11-22T10:00:00-08:00"},
		"end_at":        {&spec.EndAt, "a time like 2026-11-22T18:00:00Z or 2026-11-22T10:00:00-08:00"},
		"rate":          {&spec.Rate, "a number, without quotes"},
		"priority":      {&spec.Priority, "a string in double quotes"},
		"max_segments":  {&spec.MaxSegments, "a whole number, without quotes"},
		"sending_hours": {&spec.SendingHours, "a string in double quotes"},
		"key":           {&spec.Key, "a string in double quotes"},
		"v":             {&version, "1"},
	})
	if len(version) > 0 && string(version) != "1" {
		d.refuse("v", jobs.CodeVersion, `this version reads "v":1`)
	}
	if len(d.problems) > 0 {
		return campaign.Spec{}, &jobs.ValidationError{Problems: d.problems}
	}
	spec.StartAt, spec.EndAt = spec.StartAt.UTC(), spec.EndAt.UTC()
	spec.From = sameSenders(spec.From)
	return spec, nil
}

// field is what a property is read into, and how it is written.
type field struct {
	target any
	want   string
}

// mostProblems bounds the answer to 64 KiB of nonsense.
const mostProblems = 20

func (d *specReader) refuse(field, code, format string, args ...any) {
	if len(d.problems) < mostProblems {
		d.problems = append(d.problems, jobs.FieldError{Field: field, Code: code, Message: fmt.Sprintf(format, args...)})
	}
}

func (d *specReader) object(text []byte, fields map[string]field) {
	const like = `want a JSON object like {"from":"+12065550100","template":"Hi {{name}}!"}`
	if !utf8.Valid(text) {
		d.refuse("", jobs.CodeNotUTF8, "must be UTF-8")
		return
	}
	var ignored any
	if err := json.Unmarshal(text, &ignored); err != nil {
		place := ""
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			place = fmt.Sprintf(", at byte %d", syntax.Offset)
		}
		d.refuse("", jobs.CodeMalformed, "is not one JSON value%s: %s", place, like)
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if opening, err := decoder.Token(); err != nil || opening != json.Delim('{') {
		d.refuse("", jobs.CodeWrongType, like)
		return
	}
	for seen := map[string]bool{}; decoder.More(); {
		token, _ := decoder.Token() // it is valid
		name, _ := token.(string)
		var raw json.RawMessage
		_ = decoder.Decode(&raw)
		target, known := fields[name]
		switch {
		case !known:
			d.refuse(shortName(name), jobs.CodeUnknownField, "unknown field: known are %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		case seen[name]:
			d.refuse(name, jobs.CodeRepeatedField, "given twice: give it once")
		case string(raw) == "null": // not given
		case halfCharacter(raw):
			d.refuse(name, jobs.CodeNotUTF8, `has half a character (a \u escape without its other half): cut texts between characters`)
		case !readInto(raw, target.target):
			d.refuse(name, jobs.CodeWrongType, "want %s", target.want)
		}
		seen[name] = true
	}
}

// readInto takes of a list of senders what is a string only: null would be an empty one.
func readInto(raw json.RawMessage, target any) bool {
	if senders, ok := target.(*campaign.Senders); ok && raw[0] == '[' {
		var list []*string
		if json.Unmarshal(raw, &list) != nil || slices.Contains(list, nil) {
			return false
		}
		for _, text := range list {
			*senders = append(*senders, *text)
		}
		return true
	}
	if at, ok := target.(*time.Time); ok {
		return json.Unmarshal(raw, at) == nil && !at.IsZero()
	}
	return json.Unmarshal(raw, target) == nil
}

// halfCharacter finds what encoding/json replaces in silence.
func halfCharacter(raw []byte) bool {
	if !bytes.Contains(raw, []byte(`\u`)) && !bytes.Contains(raw, []byte(`\U`)) {
		return false
	}
	var value any
	_ = json.Unmarshal(raw, &value)
	texts, _ := value.([]any)
	lower := bytes.ToLower(raw)
	meant := bytes.Count(raw, []byte("\uFFFD")) + bytes.Count(lower, []byte(`\ufffd`))
	found := 0
	for _, v := range append(texts, value) {
		if text, ok := v.(string); ok {
			found += strings.Count(text, "\uFFFD")
		}
	}
	return found > meant
}

// sameSenders are the same however they are written and in whatever order, as for the
// command: a key then means the same campaign. What is no number is left to be refused.
func sameSenders(texts campaign.Senders) campaign.Senders {
	same := make(campaign.Senders, len(texts))
	for i, text := range texts {
		number, err := flowroute.ParseE164(text)
		if err != nil {
			return texts
		}
		same[i] = number.String()
	}
	slices.Sort(same)
	return slices.Compact(same)
}
