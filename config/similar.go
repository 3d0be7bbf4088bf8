package config

import (
	"fmt"
	"slices"
	"strings"
)

// Misspelt looks through an environment, in the form of os.Environ, for names
// that are almost ours, and returns a sentence about each: such a variable has
// no effect, and nobody would notice.
func Misspelt(environ []string) []string {
	var known []string
	for _, v := range variables() {
		known = append(known, v.Name)
		if v.File {
			known = append(known, v.Name+fileSuffix)
		}
	}
	var warnings []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(known, name) {
			continue
		}
		if near := nearest(name, known); near != "" {
			warnings = append(warnings, fmt.Sprintf("%s is not a variable of this program: is %s meant?", name, near))
		}
	}
	slices.Sort(warnings)
	return warnings
}

// nearest returns the known name that the name was probably meant to be, ""
// when it is not like any.
func nearest(name string, known []string) string {
	best, bestDistance := "", len(name)
	for _, candidate := range known {
		if d := distance(name, candidate); d < bestDistance && d <= len(candidate)/5 {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is Levenshtein's: how many characters must be added, taken away or
// changed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
