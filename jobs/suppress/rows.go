package suppress

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Errors of a list as a whole.
var (
	// ErrNotUTF8: the list is in UTF-16, as spreadsheets save "Unicode text".
	ErrNotUTF8 = errors.New("the list is in UTF-16: save it as CSV in UTF-8")
	// ErrHeader: the first line names a column twice, or none for the recipient.
	ErrHeader = errors.New("the header")
)

// ReadRows takes a list apart: a number on each line, or CSV with commas, semicolons
// or tabs. It reads with or without a byte order mark, lines that end in CRLF, and
// quoted fields with line ends. Empty lines, and those that begin with #, are left
// out.
//
// Columns are found by the names in the first line, if it is a header: recipient
// (also to, phone, number, mobile …), from, time (also date) and note (also reason,
// comment); others are left alone. Without a header they are recipient, from, time,
// note, in this order. A line that cannot be taken apart is a row with Broken. An
// error is the last pair: reading's own, [ErrNotUTF8] or [ErrHeader].
func ReadRows(in io.Reader) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		l := newLines(in)
		var c *columns
		for {
			row, skip, err := l.row(&c)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Row{}, err)
				return
			}
			if !skip && !yield(row, nil) {
				return
			}
		}
	}
}

// row reads the next row. skip: there was none in this line. c is learnt from the
// first line that has anything.
func (l *lines) row(c **columns) (row Row, skip bool, err error) {
	first, err := l.next()
	if err != nil {
		return Row{}, false, err
	}
	if text := strings.TrimSpace(first.text); !first.tooLong && (text == "" || text[0] == '#') {
		return Row{}, true, nil
	}
	separator := separatorIn(first.text)
	if *c != nil {
		separator = (*c).separator
	}
	row.Line = first.number
	fields, broken, err := l.split(first, separator)
	switch {
	case err != nil || broken != nil:
		row.Broken = broken
		return row, false, err
	case *c == nil:
		learnt, isHeader, err := learn(fields, separator)
		if *c = learnt; err != nil || isHeader {
			return Row{}, true, err
		}
	}
	(*c).fill(&row, fields)
	return row, false, nil
}

// columns say where in a row what is.
type columns struct {
	separator byte
	width     int    // of a row at most
	at        [4]int // place of each of columnNames; -1: there is none
	header    bool
}

// columnNames are what the columns may be called, without case, spaces, dashes and
// underscores; the first is the name of the field.
func columnNames() [4][]string {
	return [4][]string{
		{"recipient", "to", "phone", "phonenumber", "number", "mobile", "mobilenumber", "mobilephone", "cell", "cellphone", "tel", "telephone", "msisdn"},
		{"from", "ournumber"},
		{"time", "date", "timestamp", "since", "optedoutat"},
		{"note", "reason", "comment"},
	}
}

// learn finds the columns by the first row, which may be a header.
func learn(fields []string, separator byte) (c *columns, isHeader bool, err error) {
	c = &columns{separator: separator, width: len(fields), at: [4]int{-1, -1, -1, -1}}
	for place, field := range fields {
		name := strings.NewReplacer(" ", "", "-", "", "_", "").Replace(strings.ToLower(strings.TrimSpace(field)))
		for i, known := range columnNames() {
			for _, alias := range known {
				if name != alias {
					continue
				}
				if c.at[i] >= 0 {
					return nil, false, fmt.Errorf("%w names two columns for %s: %q and %q; rename one of them", ErrHeader, known[0], fields[c.at[i]], field)
				}
				c.at[i], c.header = place, true
			}
		}
	}
	switch {
	case !c.header:
		c.at, c.width = [4]int{0, 1, 2, 3}, 4
	case c.at[0] < 0:
		return nil, false, fmt.Errorf("%w names no column for the recipient: call it recipient, phone or number", ErrHeader)
	}
	return c, c.header, nil
}

// fill puts the fields where they belong.
func (c *columns) fill(row *Row, fields []string) {
	for len(fields) > c.width && strings.TrimSpace(fields[len(fields)-1]) == "" {
		fields = fields[:len(fields)-1]
	}
	if len(fields) > c.width {
		if c.header {
			row.Broken = invalid("", CodeMalformed, "has %d columns, the header has %d: put texts with %q in them in quotes", len(fields), c.width, c.separator)
		} else {
			row.Broken = invalid("", CodeMalformed, "has %d columns: without a header they are recipient, from, time, note", len(fields))
		}
		return
	}
	for i, to := range []*string{&row.Recipient, &row.From, &row.Time, &row.Note} {
		if place := c.at[i]; place >= 0 && place < len(fields) {
			*to = fields[place]
		}
	}
}
