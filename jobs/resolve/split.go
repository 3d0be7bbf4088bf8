package resolve

import (
	"slices"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// A text that Flowroute has split is several records, whose texts in a row are the
// message's. They are stamped within this time.
const splitWithin = 10 * time.Second

const (
	mostParts = 30
	mostSteps = 10_000 // of the search; texts that repeat themselves may take ages
)

// split finds texts of the group that are there in parts, each as one record, and
// returns the rows that are left.
func (g *group) split(rows []row, offset time.Duration) (whole []record, rest []row) {
	if len(rows) < 2 {
		return nil, rows
	}
	text := g.text()
	for text != "" {
		steps := mostSteps
		parts := assemble(text, rows, nil, &steps)
		if len(parts) == 0 {
			break
		}
		one := record{mdr: parts[0].mdr, at: parts[0].stamp.Add(-offset), same: true}
		for _, part := range parts[1:] {
			one.parts = append(one.parts, part.mdr)
		}
		whole = append(whole, one)
		rows = slices.DeleteFunc(slices.Clone(rows), func(r row) bool {
			return slices.ContainsFunc(parts, func(part row) bool { return part.mdr == r.mdr })
		})
	}
	return whole, rows
}

// text is the group's, without spaces: those at a cut are lost.
func (g *group) text() string {
	for _, job := range g.jobs {
		if spec, err := jobs.MessageOf(job); err == nil && !spec.Flowroute().MMS() {
			return unspaced(jobs.NormalBody(spec.Body))
		}
	}
	return ""
}

func unspaced(s string) string { return strings.ReplaceAll(s, " ", "") }

// assemble finds rows whose texts, one after the other, are the whole text. It
// takes two or more.
func assemble(text string, rows []row, taken []row, steps *int) []row {
	if text == "" {
		if len(taken) > 1 {
			return taken
		}
		return nil
	}
	if *steps--; *steps < 0 || len(taken) == mostParts {
		return nil
	}
	for _, r := range rows {
		part := unspaced(r.text)
		if part == "" || r.refused || r.mms || !strings.HasPrefix(text, part) || !together(r, taken) {
			continue
		}
		if found := assemble(text[len(part):], rows, append(slices.Clone(taken), r), steps); found != nil {
			return found
		}
	}
	return nil
}

// together reports whether the row is another one than those taken, of their time.
func together(r row, taken []row) bool {
	for _, t := range taken {
		if t.mdr == r.mdr || t.stamp.Sub(r.stamp).Abs() > splitWithin {
			return false
		}
	}
	return true
}
