package suppress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Row is a line of a list, as it was read.
type Row struct {
	Line int // from 1 on
	// Recipient is required; the others may be empty: all our numbers, now, no note.
	Recipient, From, Time, Note string
	// Broken is set when the line could not be taken apart.
	Broken *InvalidError
}

// ImportOptions are what holds for the rows that do not say it themselves.
type ImportOptions struct {
	From flowroute.E164 // our number; zero: all
	Note string
}

// Verdict is what became of a row.
type Verdict string

// The verdicts.
const (
	Added   Verdict = "added"
	Known   Verdict = "known" // the earlier entry stands
	Invalid Verdict = "invalid"
)

// Answer is the answer to a row.
type Answer struct {
	Line    int
	Verdict Verdict
	Entry   Entry         // the one that stands; of an invalid row zero
	Problem *InvalidError // of an invalid row
}

// Totals count the answers.
type Totals struct{ Added, Known, Invalid int }

func (t *Totals) count(v Verdict) {
	switch v {
	case Added:
		t.Added++
	case Known:
		t.Known++
	case Invalid:
		t.Invalid++
	}
}

// durableBatch is how many rows of a list wait for the disk together, which may take
// a second.
const durableBatch = 10_000

// Import adds the rows as entries of [SourceImport] and answers each in order. A row
// that is invalid costs itself alone. A note is made to fit, since it must not be
// what an opt-out fails by.
//
// It ends with the first error: of the rows, of Redis, or of answer. What was answered
// stands, up to a batch of what was not stands as well, and to import the same again
// is harmless.
func (s *Store) Import(ctx context.Context, rows iter.Seq2[Row, error], o ImportOptions, answer func(Answer) error) (Totals, error) {
	if o.Note != shorten(tidy(o.Note)) {
		return Totals{}, invalid("note", CodeInvalid, "use at most %d bytes, without control characters", MaxNote)
	}
	var totals Totals
	size := changeSlice
	if s.durable {
		size = durableBatch
	}
	batch := make([]Row, 0, size)
	flush := func() error {
		answers, err := s.importBatch(ctx, batch, o)
		if err != nil {
			return err
		}
		batch = batch[:0]
		for _, a := range answers {
			totals.count(a.Verdict)
			if err := answer(a); err != nil {
				return err
			}
		}
		return nil
	}
	for row, err := range rows {
		if err != nil {
			return totals, errors.Join(flush(), err)
		}
		if batch = append(batch, row); len(batch) == cap(batch) {
			if err := flush(); err != nil {
				return totals, err
			}
		}
	}
	return totals, flush()
}

func (s *Store) importBatch(ctx context.Context, batch []Row, o ImportOptions) ([]Answer, error) {
	now := s.now()
	answers := make([]Answer, len(batch))
	var edits []edit
	for i, row := range batch {
		a := &answers[i]
		a.Line = row.Line
		e, err := row.imported(o, now)
		if err != nil {
			problem, ok := errors.AsType[*InvalidError](err)
			if !ok {
				return nil, err
			}
			a.Verdict, a.Problem = Invalid, problem
			continue
		}
		edits = append(edits, edit{e.Recipient, func(r *record) {
			a.Verdict = Known
			if r.add(e) {
				a.Verdict = Added
			}
			a.Entry = r.at(e.From).entry(e.Recipient)
		}})
	}
	if err := s.change(ctx, edits); err != nil {
		return nil, fmt.Errorf("import opt-outs: %w", err)
	}
	return answers, nil
}

// imported is the entry that a row of a list makes. The error is an [*InvalidError].
func (row Row) imported(o ImportOptions, now time.Time) (Entry, error) {
	e, err := row.Entry()
	if err != nil {
		return Entry{}, err
	}
	e.Source, e.Note = SourceImport, cmp.Or(shorten(tidy(e.Note)), o.Note)
	if e.From.IsZero() {
		e.From = o.From
	}
	return e, e.check(now)
}

// Entry reads the texts of a row: numbers as people type them, times like 2026-01-31
// or 2026-01-31T15:04:05Z. Its source is for the caller to set. The error is an
// [*InvalidError].
func (row Row) Entry() (Entry, error) {
	if row.Broken != nil {
		return Entry{}, row.Broken
	}
	e := Entry{Note: row.Note}
	var err error
	if e.Recipient, err = readNumber("recipient", row.Recipient); err != nil {
		return Entry{}, err
	}
	if strings.TrimSpace(row.From) != "" {
		if e.From, err = readNumber("from", row.From); err != nil {
			return Entry{}, err
		}
	}
	e.Time, err = readTime(row.Time)
	return e, err
}

// rounded is what spreadsheets make of numbers.
func rounded() *regexp.Regexp { return regexp.MustCompile(`^\s*\d([.,]\d+)?[eE]\+?\d+\s*$`) }

func readNumber(field, text string) (flowroute.E164, error) {
	const example = "(want a number like +12065550100)"
	if strings.TrimSpace(text) == "" {
		return flowroute.E164{}, invalid(field, CodeRequired, "give a number like +12065550100")
	}
	number, err := flowroute.ParseE164(text)
	if err == nil {
		return number, nil
	}
	if strings.ContainsAny(text, "eE") && rounded().MatchString(text) {
		return number, invalid(field, CodeInvalid, "was rounded by a spreadsheet: format the column as text there, and save again")
	}
	reason := "is no phone number"
	if bad, ok := errors.AsType[*flowroute.NumberError](err); ok {
		reason = bad.Reason
	}
	return number, invalid(field, CodeInvalid, "%s %s", reason, example)
}

// readTime reads a time, UTC where it has no zone; zero for none.
func readTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, nil
	}
	for layout := range slices.Values([]string{time.RFC3339, time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04:05", time.DateOnly}) {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalid("time", CodeInvalid, "give a time like 2026-01-31 or 2026-01-31T15:04:05Z")
}
