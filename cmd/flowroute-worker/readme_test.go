package main_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/config"
)

var update = flag.Bool("update", false, "rewrite the generated parts of README.md")

const readmePath = "../../README.md"

// TestReadme compares the parts of README.md that tell what the code is with the
// code: the configuration, the rooms, and the Go program, which is an example
// that runs as a test.
func TestReadme(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, want := range map[string]string{"configuration": configTable(), "rooms": roomsTable(), "go": goBlock(t)} {
		part := regexp.MustCompile(`(?s)(<!-- ` + name + ` -->\n).*?(<!-- /` + name + ` -->)`)
		if !part.MatchString(text) {
			t.Fatalf("README.md has no part %q", name)
		}
		next := part.ReplaceAllString(text, "${1}"+strings.ReplaceAll(want, "$", "$$")+"${2}")
		if next != text && !*update {
			t.Errorf("README.md: the part %q is not what the code says; go test ./cmd/flowroute-worker -run Readme -update rewrites it", name)
		}
		text = next
	}
	if *update {
		if err := os.WriteFile(readmePath, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func configTable() string {
	var table strings.Builder
	table.WriteString("| Variable | Default | Meaning |\n|---|---|---|\n")
	for _, v := range config.Variables() {
		value := v.Default
		switch {
		case value == "":
			value = "empty"
		case !strings.Contains(value, " ") || strings.Contains(value, "*"):
			value = "`" + value + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", v.Name, value, strings.ReplaceAll(v.Meaning, "|", "\\|"))
	}
	return table.String()
}

func roomsTable() string {
	var table strings.Builder
	table.WriteString("| Package | May import, besides the standard library |\n|---|---|\n")
	for _, r := range rooms() {
		may := r.may
		if may == everything {
			may = "everything"
		}
		fmt.Fprintf(&table, "| `%s` | %s |\n", r.path, strings.Join(strings.Fields(may), ", "))
	}
	return table.String()
}

// goBlock is the body of the example that the README shows.
func goBlock(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../jobs/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, found := strings.Cut(string(b), "func ExampleClient_SendAll() {\n")
	body, _, ended := strings.Cut(body, "\n\t// Output:")
	if !found || !ended {
		t.Fatal("jobs has no ExampleClient_SendAll with an output")
	}
	var block strings.Builder
	block.WriteString("```go\n")
	for line := range strings.Lines(body) {
		block.WriteString(strings.TrimPrefix(line, "\t"))
	}
	block.WriteString("\n```\n")
	return block.String()
}
