package template_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/template"
)

func parse(t testing.TB, source string) *template.Template {
	t.Helper()
	parsed, err := template.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// row makes values of texts; "-" is a row without that column.
func row(texts ...string) [][]byte {
	var values [][]byte
	for _, text := range texts {
		if text == "-" {
			values = append(values, nil)
		} else {
			values = append(values, []byte(text))
		}
	}
	return values
}

func TestAppend(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, source string
		values       [][]byte
		want         string
	}{
		{"no field", "Hello.", nil, "Hello."},
		{"a field", "Hi {{name}}!", row("Ann"), "Hi Ann!"},
		{"with a dot", "Hi {{.name}}!", row("Ann"), "Hi Ann!"},
		{"with spaces", "Hi {{ .name\t}}!", row("Ann"), "Hi Ann!"},
		{"fields alone", "{{a}}{{b}}", row("1", "2"), "12"},
		{"one field twice", "{{a}} {{b}} {{.a}}", row("1", "2"), "1 2 1"},
		{"a default not needed", `Hi {{name|default "you"}}`, row("Ann"), "Hi Ann"},
		{"a default for no column", `Hi {{name|default "you"}}`, row("-"), "Hi you"},
		{"a default for a short row", `Hi {{name|default "you"}}`, nil, "Hi you"},
		{"a default for an empty value", `Hi {{name|default "you"}}`, row(""), "Hi you"},
		{"a default for a blank value", `Hi {{name|default "you"}}`, row(" \u00a0\t"), "Hi you"},
		{"an empty default", `Hi{{name | default ""}}.`, row(""), "Hi."},
		{"a default with quotes", `{{a|default "say \"hi\" \\ bye"}}`, row(""), `say "hi" \ bye`},
		{"a default with braces", `{{a|default "}} {{b}}"}}`, row(""), `}} {{b}}`},
		{"a value is text", "{{a}} {{b}}", row("{{b}}", `{{a|default "x"}}`), `{{b}} {{a|default "x"}}`},
		{"a value keeps its spaces", "[{{a}}]", row(" x "), "[ x ]"},
		{"single braces", "{a} }{ { {{a}} }", row("1"), "{a} }{ { 1 }"},
		{"names of any language", "{{имя}} {{2nd_place}} {{first-name}}", row("1", "2", "3"), "1 2 3"},
		{"words of other languages as names", "{{end}} {{default}}", row("1", "2"), "1 2"},
		{"lines", "a\r\n{{b}}\tc", row("1"), "a\r\n1\tc"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := parse(t, test.source).Append([]byte(">"), test.values)
			if err != nil || string(got) != ">"+test.want {
				t.Errorf("got %q, %v, want %q", got, err, ">"+test.want)
			}
		})
	}
}

func TestAppendMissing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		values [][]byte
		field  string
	}{
		{"no column", row("1", "-", "3"), "b"},
		{"an empty value", row("1", "", "3"), "b"},
		{"a blank value", row("1", "\u2003 ", "3"), "b"},
		{"a short row", row("1"), "b"},
		{"the first of several", row("", "", "3"), "a"},
		{"a default at one of two uses", row("1", "2", ""), "c"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			parsed := parse(t, `x {{a}} {{b}} {{c|default "d"}} {{c}}`)
			got, err := parsed.Append([]byte(">"), test.values)
			missing, ok := errors.AsType[*template.MissingError](err)
			if !ok || missing.Field != test.field || string(got) != ">" {
				t.Errorf("got %q, %v, want %q to be missing", got, err, test.field)
			}
		})
	}
}

func TestMissingErrorSaysWhatToDo(t *testing.T) {
	t.Parallel()
	err := &template.MissingError{Field: "name"}
	want := `name: is missing or empty: fill it in, or write {{name|default "…"}} in the template`
	if got := err.Error(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	parsed := parse(t, `{{b}} {{a|default "1"}} {{b|default "2"}} {{c|default "3"}} {{.c}} {{a|default ""}}`)
	want := []template.Field{{Name: "b"}, {Name: "a", Optional: true}, {Name: "c"}}
	if diff := cmp.Diff(want, parsed.Fields()); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	parsed.Fields()[0].Name = "changed"
	if got := parsed.Fields()[0].Name; got != "b" {
		t.Errorf("a caller could change the template: got %q", got)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const (
		unclosed = " is not closed: end it with }}, as in {{name}}"
		noLoops  = " has a condition, a loop or a block, and there are none: work it out before, and put the result in a column"
		oneName  = " has more than the name of a column: functions there are none, and a space in the name of a column is written _, as in {{first_name}}"
		oneWay   = `: write {{name|default "text"}}`
		control  = "has the control character U+0007: take it out (line ends and tabs are fine)"
	)
	tests := []struct{ source, want string }{
		{"", "line 1, column 1: is empty: write the text to send"},
		{" \n", "line 1, column 1: is empty: write the text to send"},
		{"Hi {{name", "line 1, column 4: {{name" + unclosed},
		{"Hi {{name}!", "line 1, column 4: {{name}!" + unclosed},
		{"Hi {{name} and {{code}}", "line 1, column 4: {{name} and" + unclosed},
		{"Hi {{", "line 1, column 4: {{" + unclosed},
		{"Hi name}}", "line 1, column 8: }} closes nothing: a field is written {{name}}"},
		{"a\nÄÖ {{}}", "line 2, column 4: {{}} has no name of a column: write one, as in {{name}}"},
		{"{{.}}", "line 1, column 1: {{.}} has no name of a column: write one, as in {{name}}"},
		{"{{range .rows}}x{{end}}", "line 1, column 1: {{range .rows}}" + noLoops},
		{"{{if .vip}}x{{end}}", "line 1, column 1: {{if .vip}}" + noLoops},
		{"{{#each rows}}", "line 1, column 1: {{#each rows}}" + noLoops},
		{"{{for", "line 1, column 1: {{for" + unclosed},
		{`{{printf "%s" .name}}`, `line 1, column 1: {{printf "%s" .name}}` + oneName},
		{"{{first name}}", "line 1, column 1: {{first name}}" + oneName},
		{"{{len(name)}}", "line 1, column 1: {{len(name)}} calls a function, and there are none: work it out before, and put the result in a column"},
		{"{{name.first}}", "line 1, column 1: {{name.first}} has a name with a dot, but a row has only columns: use the name of one"},
		{"{{na?me}}", "line 1, column 1: {{na?me}} has a name with something else than letters, digits, _ and - in it: rename the column"},
		{"{{$x := 1}}", "line 1, column 1: {{$x := 1}} has a variable, and there are none: name a column, as in {{name}}"},
		{"{{/* hi */}}", "line 1, column 1: {{/* hi */}} is a comment, and there are none: take it out"},
		{"{{- name -}}", "line 1, column 1: {{- name -}} has a - beside its braces: take it out, as in {{name}}"},
		{"{{{name}}}", "line 1, column 1: {{{name}} has three braces: use two, as in {{name}}"},
		{`{{"hi"}}`, `line 1, column 1: {{"hi"}} has text in braces: write the text without them`},
		{"{{name|upper}}", "line 1, column 1: {{name|upper}} has something else than default after |" + oneWay},
		{"{{name|}}", "line 1, column 1: {{name|}} has something else than default after |" + oneWay},
		{"{{name|default}}", `line 1, column 1: {{name|default}} has a default that is no text in "` + oneWay},
		{"{{name|default x}}", `line 1, column 1: {{name|default x}} has a default that is no text in "` + oneWay},
		{"{{name|default 'x'}}", `line 1, column 1: {{name|default 'x'}} has a default in quotes that are not the straight "` + oneWay},
		{"{{name|default “x”}}", `line 1, column 1: {{name|default “x”}} has a default in quotes that are not the straight "` + oneWay},
		{`{{name|default "x}}`, `line 1, column 1: {{name|default "x}} has a default that does not end with "` + oneWay},
		{`{{name|default "x" | upper}}`, `line 1, column 1: {{name|default "x" | upper}} has more after the text of its default` + oneWay},
		{`{{name|default "a\nb"}}`, `line 1, column 1: {{name|default "a\nb"}} has a \ that stands before neither " nor \, or a text that does not end` + oneWay},
		{"bell \a", "line 1, column 6: " + control},
		{"{{a|default \"\a\"}}", "line 1, column 14: " + control},
		{"Zo\xeb", "line 1, column 3: is not UTF-8: save the template as UTF-8"},
		{strings.Repeat("x", template.MaxSource+1), "line 1, column 1: has 16385 bytes: use at most 16384"},
		{"{{" + strings.Repeat("long ", 20) + "}}", "line 1, column 1: {{long long long long long long long lon…" + oneName},
	}
	for _, test := range tests {
		t.Run(test.want, func(t *testing.T) {
			t.Parallel()
			_, err := template.Parse(test.source)
			if _, ok := errors.AsType[*template.SyntaxError](err); !ok || err.Error() != "template, "+test.want {
				t.Errorf("got  %v\nwant template, %s", err, test.want)
			}
		})
	}
}

func TestParseBoundsTheFields(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	for i := range template.MaxFields {
		source.WriteString("{{f" + strings.Repeat("x", i) + "}}")
	}
	parse(t, source.String()+"{{f}}")
	if _, err := template.Parse(source.String() + "{{more}}"); err == nil {
		t.Error("got no error for one field too many")
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	parsed := parse(t, benchmarkText)
	text := make([]byte, 0, 1024)
	for name, values := range map[string][][]byte{"whole": row("Ann", "-", "4711"), "missing a field": row("", "", "")} {
		if allocs := testing.AllocsPerRun(100, func() { text, _ = parsed.Append(text[:0], values) }); allocs != 0 {
			t.Errorf("a row that is %s: got %v allocations, want none", name, allocs)
		}
	}
}

const benchmarkText = `Hi {{name}}, your order{{order|default ""}} is ready at Pine Street 12. Show the code {{code}} at the desk. Reply STOP to end.`

func BenchmarkAppend(b *testing.B) {
	parsed := parse(b, benchmarkText)
	values, text := row("Ann", "-", "4711"), make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if text, err = parsed.Append(text[:0], values); err != nil {
			b.Fatal(err)
		}
	}
}

// What must hold for any template: it parses or is refused at a place that it
// has; then values are in the text as they are, and only a required field can be
// missing; and its plain form parses, has the same fields, and nothing in it
// that has a replacement.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`Hi {{name|default "there"}}, your code is {{.code}}.`, "{{range .x}}{{end}}", "{{a}", "}}", "{\u200b{", "“{{a|default \"‘“x\\\\\"}}”…",
		"{{a|default \"\\\"}}\"}}", "{{\xff}}", "{{a|default “x”}}", "{{{a}}}", "{{имя}}\r\n", "{{$x:=(1)}}",
	} {
		f.Add(seed, "v\x00{{a}}")
	}
	f.Fuzz(func(t *testing.T, source, value string) {
		parsed, err := template.Parse(source)
		if err != nil {
			syntax, ok := errors.AsType[*template.SyntaxError](err)
			if !ok || syntax.Line < 1 || syntax.Line > strings.Count(source, "\n")+1 || syntax.Column < 1 || syntax.Column > len(source)+1 {
				t.Fatalf("got %#v", err)
			}
			return
		}
		checkRendering(t, parsed, value)

		plain, err := template.Parse(parsed.Plain())
		if err != nil {
			if strings.TrimSpace(parsed.Plain()) == "" {
				return
			}
			t.Fatalf("plain form %q: %v", parsed.Plain(), err)
		}
		if diff := cmp.Diff(parsed.Fields(), plain.Fields()); diff != "" {
			t.Fatalf("fields of the plain form (-want +got):\n%s", diff)
		}
		for _, costly := range plain.Costly() {
			if costly.HasPlain && costly.Plain != "" {
				t.Fatalf("%q is left in %q", costly.Char, parsed.Plain())
			}
		}
	})
}

func checkRendering(t *testing.T, parsed *template.Template, value string) {
	t.Helper()
	fields := parsed.Fields()
	values := make([][]byte, len(fields))
	for i := range values {
		values[i] = []byte("x" + value)
	}
	text, err := parsed.Append(nil, values)
	if err != nil {
		t.Fatal(err)
	}
	if len(fields) > 0 && !strings.Contains(string(text), "x"+value) {
		t.Fatalf("the value is not in %q", text)
	}
	_, err = parsed.Append(nil, nil)
	required := false
	for _, field := range fields {
		required = required || !field.Optional
	}
	missing, isMissing := errors.AsType[*template.MissingError](err)
	if isMissing != required || (isMissing && !strings.Contains(parsed.String(), missing.Field)) {
		t.Fatalf("got %v; a field is required: %v", err, required)
	}
}
