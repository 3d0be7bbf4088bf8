// Package template is the text of a campaign: a text with fields in it, which
// each row of the recipients fills.
//
//	t, err := template.Parse(`Hi {{name|default "there"}}, your code is {{code}}.`)
//	t.Fields()                    // name (optional), code
//	text, err = t.Append(text[:0], [][]byte{nil, []byte("4711")})
//	// Hi there, your code is 4711.
//
// A field is written {{name}} or {{.name}}, or {{name|default "text"}} where a
// row may go without it; spaces around its parts do not count. That is all there
// is: no loops, no conditions, no functions, no way to write {{ as text. What a
// row holds is text and is never read as a template.
//
// A row without a value for a field that has no default gets no text, but a
// [*MissingError]. A value of nothing but spaces is none: it would leave a hole
// as well.
//
// [Template.Costly] and [Template.Plain] are for looking at a text before it is
// sent a million times: one curly quote makes it more than twice as expensive.
package template

import (
	"bytes"
	"slices"
)

// Template is a parsed text. It never changes, so that many goroutines may use
// it at once.
type Template struct {
	source  string
	pieces  []piece
	fields  []Field
	missing []error // by field: what Append returns, made once
}

// Field is what a template wants from each row.
type Field struct {
	Name string
	// Optional: it has a default wherever it is used.
	Optional bool
}

// piece is a stretch of fixed text, or the place of a field.
type piece struct {
	text  string // the fixed text, or the field's default
	field int    // in Template.fields; fixed for a stretch of text
	// hasDefault tells the default "" from none.
	hasDefault bool
	// from and to are the bytes of the source that text was written as, without
	// the quotes of a default.
	from, to int
}

const fixed = -1

// MissingError says that a row has no value for a field without a default.
type MissingError struct {
	Field string
}

// Error is the field, the reason and what to do.
func (e *MissingError) Error() string {
	return e.Field + ": is missing or empty: fill it in, or write {{" + e.Field + `|default "…"}} in the template`
}

// Fields lists the fields in the order of their first use, which is the order of
// the values that [Template.Append] takes.
func (t *Template) Fields() []Field { return slices.Clone(t.fields) }

// String returns the template as it was written.
func (t *Template) String() string { return t.source }

// Append adds the text for one row to dst and returns it. values[i] is what the
// row holds for Fields()[i]; nil, or no such element, is a row without it. It
// allocates nothing but what dst needs to grow. The values go in as they are:
// whether the text is one that may be sent (its length, control characters) is
// for the caller to check.
//
// Errors: [*MissingError], for the first field that is missing; dst is then
// returned as it was.
func (t *Template) Append(dst []byte, values [][]byte) ([]byte, error) {
	before := len(dst)
	for i := range t.pieces {
		p := &t.pieces[i]
		if p.field == fixed {
			dst = append(dst, p.text...)
			continue
		}
		var value []byte
		if p.field < len(values) {
			value = values[p.field]
		}
		switch {
		case !blank(value):
			dst = append(dst, value...)
		case p.hasDefault:
			dst = append(dst, p.text...)
		default:
			return dst[:before], t.missing[p.field]
		}
	}
	return dst, nil
}

func blank(value []byte) bool {
	// Nearly every value begins with something to be seen.
	if len(value) > 0 && value[0] > ' ' && value[0] < 0x80 {
		return false
	}
	return len(bytes.TrimSpace(value)) == 0
}
