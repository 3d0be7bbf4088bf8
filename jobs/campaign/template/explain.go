package template

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// explain says what is wrong with the {{…}} at start, which is no field. It
// knows what people bring along from other template languages.
func (p *parser) explain(start int) error {
	whole, closed := p.braces(start)
	inside := strings.TrimSpace(strings.TrimSuffix(whole[len(opening):], closing))
	if problem := foreign(inside); problem != "" {
		return p.wrong(start, whole, "%s", problem)
	}
	if !closed {
		return p.wrong(start, whole, "is not closed: end it with }}, as in {{name}}")
	}
	return p.wrong(start, whole, "%s", inField(inside))
}

// braces is the {{…}} at start, or what there is of it: the rest of its line
// when it is not closed.
func (p *parser) braces(start int) (whole string, closed bool) {
	rest := p.source[start:]
	end := strings.Index(rest, closing)
	// Another field that opens before this one closes: this one does not.
	if next := strings.Index(rest[len(opening):], opening); next >= 0 && next+len(opening) < end && rest[len(opening)] != '{' {
		return rest[:next+len(opening)], false
	}
	if end >= 0 {
		return rest[:end+len(closing)], true
	}
	if end = strings.IndexByte(rest, '\n'); end >= 0 {
		rest = rest[:end]
	}
	return rest, false
}

// foreign says what to do about the syntax of other template languages, "" when
// it is none of theirs.
func foreign(inside string) string {
	words := strings.Fields(inside)
	keywords := []string{"if", "else", "range", "for", "with", "end", "define", "block", "template", "break", "continue", "unless", "each"}
	switch {
	case len(words) > 1 && slices.Contains(keywords, words[0]), inside != "" && strings.ContainsAny(inside[:1], "#/^%") && !strings.HasPrefix(inside, "/*"):
		return "has a condition, a loop or a block, and there are none: work it out before, and put the result in a column"
	case strings.HasPrefix(inside, "/*"), strings.HasPrefix(inside, "!"):
		return "is a comment, and there are none: take it out"
	case strings.HasPrefix(inside, "-"), strings.HasSuffix(inside, "-"):
		return "has a - beside its braces: take it out, as in {{name}}"
	case strings.HasPrefix(inside, "$"), strings.Contains(inside, ":="):
		return "has a variable, and there are none: name a column, as in {{name}}"
	case strings.HasPrefix(inside, "{"):
		return "has three braces: use two, as in {{name}}"
	case inside != "" && strings.ContainsAny(inside[:1], "\"'`"):
		return "has text in braces: write the text without them"
	default:
		return ""
	}
}

// inField says what is wrong with a field that is closed.
func inField(inside string) string {
	name, filter, filtered := strings.Cut(inside, "|")
	name = strings.TrimSpace(name)
	bare := strings.TrimPrefix(name, ".")
	switch {
	case bare == "":
		return "has no name of a column: write one, as in {{name}}"
	case strings.ContainsAny(name, "()"):
		return "calls a function, and there are none: work it out before, and put the result in a column"
	case strings.ContainsAny(bare, " \t"):
		return "has more than the name of a column: functions there are none, and a space in the name of a column is written _, as in {{first_name}}"
	case strings.Contains(bare, "."):
		return "has a name with a dot, but a row has only columns: use the name of one"
	case !filtered:
		return "has a name with something else than letters, digits, _ and - in it: rename the column"
	default:
		return inFilter(strings.TrimSpace(filter))
	}
}

func inFilter(filter string) string {
	const want = `write {{name|default "text"}}`
	text, isDefault := strings.CutPrefix(filter, "default")
	text = strings.TrimSpace(text)
	first, _ := utf8.DecodeRuneInString(text)
	quote, _ := Plain(first)
	switch {
	case !isDefault:
		return "has something else than default after |: " + want
	case strings.HasPrefix(text, `"`) && strings.Contains(text, `\`):
		return `has a \ that stands before neither " nor \, or a text that does not end: ` + want
	case strings.HasPrefix(text, `"`) && strings.Count(text, `"`) > 1:
		return "has more after the text of its default: " + want
	case strings.HasPrefix(text, `"`):
		return `has a default that does not end with ": ` + want
	case first == '\'', first == '`', quote == "'", quote == `"`:
		return `has a default in quotes that are not the straight ": ` + want
	default:
		return `has a default that is no text in ": ` + want
	}
}
