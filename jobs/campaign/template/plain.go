package template

import (
	"strings"
	"unicode/utf8"
)

// Costly is a character for which Flowroute sends the whole text as UCS-2, in
// segments of 70 characters, where plain ones go by 160 or 140
// (flowroute.Segments has the table).
type Costly struct {
	Char         rune
	Line, Column int // of the first, both from 1; columns are characters
	Count        int
	// Plain is what to write in its place, "" to leave it out. HasPlain says
	// whether there is a replacement at all: for an emoji there is none.
	Plain    string
	HasPlain bool
	// OnlyInDefaults: it costs only the rows that lack the field.
	OnlyInDefaults bool
}

// Costly lists the characters of the fixed text and of the defaults that cost
// more, in the order of their first use. What a row's values bring is known only
// with the row.
func (t *Template) Costly() []Costly {
	var found []Costly
	seen := map[rune]int{}
	for _, p := range t.pieces {
		for offset, r := range t.source[p.from:p.to] {
			if r < utf8.RuneSelf {
				continue
			}
			i, again := seen[r]
			if !again {
				i = len(found)
				seen[r] = i
				c := Costly{Char: r, OnlyInDefaults: true}
				c.Plain, c.HasPlain = Plain(r)
				c.Line, c.Column = position(t.source, p.from+offset)
				found = append(found, c)
			}
			found[i].Count++
			found[i].OnlyInDefaults = found[i].OnlyInDefaults && p.field != fixed
		}
	}
	return found
}

// Plain is the template with the replacements of [Template.Costly] made, and the
// template itself where there are none to make.
func (t *Template) Plain() string {
	var plain strings.Builder
	done := 0
	for _, p := range t.pieces {
		for offset, r := range t.source[p.from:p.to] {
			to, found := Plain(r)
			if !found || (to == "" && joinsBraces(t.source[:p.from+offset])) {
				continue
			}
			if p.field != fixed && to == `"` {
				to = `\"`
			}
			at := p.from + offset
			plain.WriteString(t.source[done:at])
			plain.WriteString(to)
			done = at + utf8.RuneLen(r)
		}
	}
	plain.WriteString(t.source[done:])
	return plain.String()
}

// joinsBraces: taking out what follows could make {{ of two braces.
func joinsBraces(before string) bool {
	return strings.HasSuffix(before, "{") || strings.HasSuffix(before, "}")
}

// Plain returns the ASCII that means the same as a character, "" for one that
// nobody sees; found is false where there is none. Letters are not replaced: n is
// not what ñ says.
func Plain(r rune) (ascii string, found bool) {
	switch r {
	case '‘', '’', '‚', '‛', '′', '´', 'ʼ', '＇':
		return "'", true
	case '“', '”', '„', '‟', '″', '«', '»', '＂':
		return `"`, true
	case '‹':
		return "<", true
	case '›':
		return ">", true
	case '‐', '‑', '‒', '–', '—', '―', '−':
		return "-", true
	case '…':
		return "...", true
	case '•', '‣', '∙':
		return "*", true
	case '×':
		return "x", true
	case '⁄':
		return "/", true
	case '©':
		return "(c)", true
	case '®':
		return "(R)", true
	case '™':
		return "(TM)", true
	case '→':
		return "->", true
	case '\u00a0', '\u202f', '\u205f', '\u3000':
		return " ", true
	case '\u2028', '\u2029':
		return "\n", true
	case '\u00ad', '\u200b', '\u2060', '\ufeff':
		return "", true
	}
	if '\u2000' <= r && r <= '\u200a' { // spaces of all widths
		return " ", true
	}
	return "", false
}
