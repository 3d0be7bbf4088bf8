package resolve

import (
	"slices"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
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

// mmsParts tells which records of MMS may be further ones of a post that has one
// already: Flowroute may break an MMS up, and its records say nothing of the text. They
// prove no other post.
type mmsParts struct {
	beside []time.Time // records that have an owner
	mine   []ownedMMS  // given to a message of this group
}

type ownedMMS struct {
	at, since time.Time // of the record; none of its message is from before
	by        ledger.ID
}

func (p *mmsParts) given(r record, since time.Time, by ledger.ID) {
	if r.mms {
		p.mine = append(p.mine, ownedMMS{r.at, since, by})
	}
}

// of reports whether the record may be such a further one.
func (p *mmsParts) of(r record) bool {
	near := func(at time.Time) bool { return at.Sub(r.at).Abs() <= splitWithin }
	return r.mms && (slices.ContainsFunc(p.beside, near) || slices.ContainsFunc(p.mine, func(o ownedMMS) bool { return near(o.at) }))
}

// take takes such records from those that are free.
func (p *mmsParts) take(free *[]record) (parts []record) {
	*free = slices.DeleteFunc(*free, func(r record) bool {
		part := p.of(r)
		if part {
			parts = append(parts, r)
		}
		return part
	})
	return parts
}

// claims gives them to the messages of this group that they may be of.
func (p *mmsParts) claims(parts []record) (claims []ledger.Claim) {
	for _, r := range parts {
		i := slices.IndexFunc(p.mine, func(o ownedMMS) bool { return o.at.Sub(r.at).Abs() <= splitWithin && !r.at.Before(o.since) })
		if i >= 0 {
			claims = append(claims, ledger.Claim{ID: p.mine[i].by, MDR: r.mdr})
		}
	}
	return claims
}
