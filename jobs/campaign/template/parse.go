package template

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a template.
const (
	// MaxSource is in bytes. It leaves room for names and defaults around the
	// longest message.
	MaxSource = 16 << 10
	MaxFields = 50
)

// SyntaxError says where a template is wrong, and what to do.
type SyntaxError struct {
	Line, Column int    // of the first wrong character, both from 1; columns are characters
	Near         string // what stands there, shortened; "" when there is nothing to show
	Problem      string // "has a condition or a loop: …"
}

// Error is the position, what stands there, and what to do.
func (e *SyntaxError) Error() string {
	if e.Near == "" {
		return fmt.Sprintf("template, line %d, column %d: %s", e.Line, e.Column, e.Problem)
	}
	return fmt.Sprintf("template, line %d, column %d: %s %s", e.Line, e.Column, e.Near, e.Problem)
}

// Parse reads a template. Errors: [*SyntaxError], the first one.
func Parse(source string) (*Template, error) {
	p := parser{source: source, t: &Template{source: source}}
	if err := p.parse(); err != nil {
		return nil, err
	}
	for _, field := range p.t.fields {
		p.t.missing = append(p.t.missing, &MissingError{Field: field.Name})
	}
	return p.t, nil
}

const (
	opening = "{{"
	closing = "}}"
)

type parser struct {
	source string
	at     int
	t      *Template
}

func (p *parser) parse() error {
	switch {
	case len(p.source) > MaxSource:
		return p.wrong(0, "", "has %d bytes: use at most %d", len(p.source), MaxSource)
	case strings.TrimSpace(p.source) == "":
		return p.wrong(0, "", "is empty: write the text to send")
	}
	if i, problem := unsendable(p.source); problem != "" {
		return p.wrong(i, "", "%s", problem)
	}
	for p.at < len(p.source) {
		length := strings.Index(p.source[p.at:], opening)
		if length < 0 {
			length = len(p.source) - p.at
		}
		if err := p.fixedText(p.at, p.at+length); err != nil {
			return err
		}
		if p.at += length; p.at == len(p.source) {
			return nil
		}
		if err := p.place(); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) fixedText(from, to int) error {
	text := p.source[from:to]
	if i := strings.Index(text, closing); i >= 0 {
		return p.wrong(from+i, closing, "closes nothing: a field is written {{name}}")
	}
	if text != "" {
		p.t.pieces = append(p.t.pieces, piece{text: text, field: fixed, from: from, to: to})
	}
	return nil
}

// place reads one {{…}}. Whatever is not a field as it should be goes to
// explain, which may take its time.
func (p *parser) place() error {
	start := p.at
	p.at += len(opening)
	p.spaces()
	if p.next(".") && p.peek() == ' ' {
		return p.explain(start)
	}
	name := p.name()
	if name == "" {
		return p.explain(start)
	}
	p.spaces()
	place := piece{}
	if p.next("|") {
		p.spaces()
		if p.name() != "default" {
			return p.explain(start)
		}
		p.spaces()
		var ok bool
		if place, ok = p.quoted(); !ok {
			return p.explain(start)
		}
		p.spaces()
	}
	if !p.next(closing) {
		return p.explain(start)
	}
	return p.use(start, name, place)
}

// use adds the place of a field.
func (p *parser) use(start int, name string, place piece) error {
	place.field = slices.IndexFunc(p.t.fields, func(f Field) bool { return f.Name == name })
	if place.field < 0 {
		if len(p.t.fields) == MaxFields {
			return p.wrong(start, p.source[start:p.at], "is one field too many: use at most %d", MaxFields)
		}
		place.field = len(p.t.fields)
		p.t.fields = append(p.t.fields, Field{Name: name, Optional: true})
	}
	if !place.hasDefault {
		p.t.fields[place.field].Optional = false
	}
	p.t.pieces = append(p.t.pieces, place)
	return nil
}

// quoted reads a default: "…", in which \" and \\ stand for " and \.
func (p *parser) quoted() (piece, bool) {
	if !p.next(`"`) {
		return piece{}, false
	}
	from := p.at
	var text strings.Builder
	for p.at < len(p.source) {
		switch {
		case p.next(`"`):
			return piece{text: text.String(), hasDefault: true, from: from, to: p.at - 1}, true
		case p.next(`\"`):
			text.WriteByte('"')
		case p.next(`\\`):
			text.WriteByte('\\')
		case p.source[p.at] == '\\':
			return piece{}, false
		default:
			text.WriteByte(p.source[p.at])
			p.at++
		}
	}
	return piece{}, false
}

// name reads the name of a field: letters, digits, _ and -, of any language.
func (p *parser) name() string {
	from := p.at
	for _, r := range p.source[from:] {
		inside := p.at > from && (r == '-' || unicode.IsMark(r))
		if !inside && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			break
		}
		p.at += utf8.RuneLen(r)
	}
	return p.source[from:p.at]
}

func (p *parser) spaces() {
	for p.at < len(p.source) && (p.source[p.at] == ' ' || p.source[p.at] == '\t') {
		p.at++
	}
}

func (p *parser) next(token string) bool {
	if !strings.HasPrefix(p.source[p.at:], token) {
		return false
	}
	p.at += len(token)
	return true
}

// peek is the next byte, 0 at the end.
func (p *parser) peek() byte {
	if p.at == len(p.source) {
		return 0
	}
	return p.source[p.at]
}

func (p *parser) wrong(at int, near, format string, args ...any) *SyntaxError {
	line, column := position(p.source, at)
	return &SyntaxError{Line: line, Column: column, Near: shortened(near), Problem: fmt.Sprintf(format, args...)}
}

// unsendable finds what no message may have in it, and says so.
func unsendable(s string) (at int, problem string) {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i, "is not UTF-8: save the template as UTF-8"
			}
		}
		if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return i, fmt.Sprintf("has the control character %U: take it out (line ends and tabs are fine)", r)
		}
	}
	return 0, ""
}

// position counts lines and characters from 1.
func position(source string, at int) (line, column int) {
	before := source[:at]
	lineStart := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[lineStart:]) + 1
}

// shortened keeps an error to one line.
func shortened(near string) string {
	const most = 40
	near = strings.Join(strings.Fields(near), " ")
	if utf8.RuneCountInString(near) > most {
		near = string([]rune(near)[:most]) + "…"
	}
	return near
}
