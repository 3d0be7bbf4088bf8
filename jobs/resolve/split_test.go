package resolve

import (
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

func TestAssemble(t *testing.T) {
	t.Parallel()
	part := func(mdr string, second int, body string) row {
		return row{mdr: mdr, stamp: at(second), text: jobs.NormalBody(body)}
	}
	for name, c := range map[string]struct {
		text string
		rows []row
		want string
	}{
		"two parts":         {"hello world", []row{part("r2", 1, " world"), part("r1", 1, "hello")}, "r1 r2"},
		"the same twice":    {"haha", []row{part("r1", 1, "ha"), part("r2", 1, "ha")}, "r1 r2"},
		"one part only":     {"hello world", []row{part("r1", 1, "hello"), part("r2", 1, "moon")}, ""},
		"whole text":        {"hello world", []row{part("r1", 1, "hello world")}, ""},
		"too far apart":     {"hello world", []row{part("r1", 1, "hello"), part("r2", 60, "world")}, ""},
		"the right first":   {"abcd", []row{part("r1", 1, "a"), part("r2", 1, "ab"), part("r3", 1, "cd")}, "r2 r3"},
		"nothing of it":     {"hello", nil, ""},
		"more in the parts": {"hello world", []row{part("r1", 1, "hello"), part("r2", 1, "world!")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps := mostSteps
			var got []string
			for _, r := range assemble(unspaced(c.text), c.rows, nil, &steps) {
				got = append(got, r.mdr)
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A text that repeats itself must not take ages.
func TestAssembleEnds(t *testing.T) {
	t.Parallel()
	var rows []row
	for range 200 {
		rows = append(rows, row{mdr: string(rune('a' + len(rows))), stamp: at(0), text: "aa"})
	}
	started, steps := time.Now(), mostSteps
	if got := assemble(strings.Repeat("a", 999)+"b", rows, nil, &steps); got != nil {
		t.Errorf("got %d parts", len(got))
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}
