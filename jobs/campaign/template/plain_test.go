package template_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/template"
)

func TestCostly(t *testing.T) {
	t.Parallel()
	parsed := parse(t, "It’s Zoë’s\nday… {{näme|default \"“you” 🎉…\"}}")
	want := []template.Costly{
		{Char: '’', Line: 1, Column: 3, Count: 2, Plain: "'", HasPlain: true},
		{Char: 'ë', Line: 1, Column: 8, Count: 1},
		{Char: '…', Line: 2, Column: 4, Count: 2, Plain: "...", HasPlain: true},
		{Char: '“', Line: 2, Column: 22, Count: 1, Plain: `"`, HasPlain: true, OnlyInDefaults: true},
		{Char: '”', Line: 2, Column: 26, Count: 1, Plain: `"`, HasPlain: true, OnlyInDefaults: true},
		{Char: '🎉', Line: 2, Column: 28, Count: 1, OnlyInDefaults: true},
	}
	if diff := cmp.Diff(want, parsed.Costly()); diff != "" {
		t.Errorf("costly (-want +got):\n%s", diff)
	}
	plain := `It's Zoë's` + "\n" + `day... {{näme|default "\"you\" 🎉..."}}`
	if got := parsed.Plain(); got != plain {
		t.Errorf("got  %s\nwant %s", got, plain)
	}
}

func TestPlainOfPlain(t *testing.T) {
	t.Parallel()
	const source = "Hi {{name|default \"you\"}}~{a}|^[]\\"
	parsed := parse(t, source)
	if got := parsed.Plain(); got != source || parsed.Costly() != nil {
		t.Errorf("got %q, %v", got, parsed.Costly())
	}
}

// Taking out an invisible character must not make two braces of one and one.
func TestPlainMakesNoFields(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"{\u200b{a}", "{\u200b\u200b{", "}\ufeff}", "a\u200bb"} {
		if _, err := template.Parse(parse(t, source).Plain()); err != nil {
			t.Errorf("%q: %v", source, err)
		}
	}
}

// The replacements are worth what they are for: by Flowroute's table they make
// a text cheap, and what they replace made it expensive.
func TestPlainIsCheap(t *testing.T) {
	t.Parallel()
	replaced := 0
	for r := rune(0); r <= 0xFFFF; r++ {
		ascii, found := template.Plain(r)
		if !found {
			continue
		}
		replaced++
		if _, encoding := flowroute.Segments(string(r)); encoding != flowroute.EncodingUCS2 {
			t.Errorf("%U is replaced and was cheap", r)
		}
		if _, encoding := flowroute.Segments(ascii); encoding != flowroute.EncodingASCII {
			t.Errorf("%U is replaced by %q, which is not cheap", r, ascii)
		}
	}
	if replaced < 40 {
		t.Errorf("only %d characters are replaced", replaced)
	}
}
