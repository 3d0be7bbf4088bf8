package recipes_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the recipes into README.md")

const readmePath = "../README.md"

// TestReadme: what README.md shows is what TestRecipes runs.
func TestReadme(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	part := regexp.MustCompile(`(?s)(<!-- recipes -->\n).*?(<!-- /recipes -->)`)
	if !part.Match(b) {
		t.Fatal(`README.md has no part "recipes"`)
	}
	var blocks strings.Builder
	for _, r := range recipes() {
		program, err := os.ReadFile(r.file)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&blocks, "<details><summary>%s</summary>\n\n```%s\n%s```\n</details>\n", r.title, r.language, program)
	}
	next := part.ReplaceAllString(string(b), "${1}"+strings.ReplaceAll(blocks.String(), "$", "$$")+"${2}")
	switch {
	case next == string(b):
	case !*update:
		t.Error("README.md: the recipes are not what runs; go test ./recipes -run Readme -update rewrites them")
	default:
		if err := os.WriteFile(readmePath, []byte(next), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
