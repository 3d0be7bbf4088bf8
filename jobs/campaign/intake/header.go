package intake

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// usual says whether a folded name is one that people give the column of the
// phone number.
func usual(folded string) bool {
	switch strings.ReplaceAll(folded, "_", "") {
	case "to", "phone", "number", "recipient", "mobile", "cell", "cellphone", "telephone", "tel", "msisdn", "e164",
		"phonenumber", "mobilenumber", "cellnumber", "telephonenumber", "mobilephone", "mobilephonenumber", "cellphonenumber",
		"recipientnumber", "tonumber", "phoneno", "mobileno", "phonee164", "phone#", "mobile#", "cell#":
		return true
	default:
		return false
	}
}

// header is the first row of a CSV, understood.
type header struct {
	names         []string // as written; "" for columns without one
	folded        []string
	named         int // the columns up to the last with a name
	recipient     int
	recipientName string
	fieldColumns  []int // the column of each field, -1 for none
}

// readHeader takes the header, and decides what the separator is.
func (c *csvRows) readHeader() error {
	row, err := c.headerRow()
	if err != nil {
		return err
	}
	for i, cell := range c.cells {
		if looksLikeNumber(cell) {
			return c.src.fileError("", jobs.CodeRequired, "the first line is a recipient, not a header: put a line before it that names the columns, such as to,name")
		}
		name := string(cell)
		c.names = append(c.names, strings.TrimSpace(name))
		c.folded = append(c.folded, fold(name))
		if c.folded[i] != "" {
			c.named = i + 1
		}
	}
	if len(c.names) > MaxColumns {
		return c.src.fileError("", jobs.CodeTooMany, "has %d columns: use at most %d", len(c.names), MaxColumns)
	}
	if err := c.findRecipient(c.options.Recipient); err != nil {
		return err
	}
	for _, field := range c.options.Fields {
		column := slices.Index(c.folded, fold(field.Name))
		if column < 0 && !field.Optional {
			return c.src.fileError(shown(field.Name), jobs.CodeUnknownField, "is not a column: there are %s. Name one of them in the template, or add the column", shownList(c.given()))
		}
		c.fieldColumns = append(c.fieldColumns, column)
	}
	c.src.take(len(row), bytes.Count(row, []byte{'\n'}))
	return nil
}

// looksLikeNumber: a name of a column has no seven digits.
func looksLikeNumber(cell []byte) bool {
	digits, letters := 0, 0
	for _, r := range string(cell) {
		switch {
		case '0' <= r && r <= '9':
			digits++
		case unicode.IsLetter(r):
			letters++
		}
	}
	return digits >= 7 && letters <= 1 // one for 1.2065551234E+10
}

// headerRow splits the row of the header, and returns it.
func (c *csvRows) headerRow() ([]byte, error) {
	if _, err := c.src.firstByte(); err != nil {
		return nil, err
	}
	line, length, err := c.src.line()
	switch {
	case errors.Is(err, errTooLong):
		return nil, c.src.fileError("", jobs.CodeTooLarge, "the header is longer than %d bytes: is this a CSV?", MaxRow)
	case err != nil:
		return nil, err
	case bytes.IndexByte(line, 0) >= 0:
		return nil, c.src.fileError("", jobs.CodeNotUTF8, "has zero bytes, as UTF-16 and binary files have: save it as CSV in UTF-8 (in Excel: CSV UTF-8)")
	case bytes.IndexByte(line, '\r') >= 0:
		return nil, c.src.fileError("", jobs.CodeInvalid, "has lines that end with CR alone: save it with the line ends of Windows or Unix (in Excel: CSV UTF-8)")
	}
	if separator, ok := separatorHint(line); ok && c.separator == 0 {
		c.separator = separator
		c.src.take(length, 1)
		return c.headerRow()
	}
	if c.separator == 0 {
		c.separator = guessSeparator(line)
	}
	row, state, err := c.splitQuoted()
	if err != nil {
		return nil, err
	}
	if state != rowWhole {
		return nil, c.src.fileError("", jobs.CodeInvalid, "the header has a quote that is not closed, or text after a closing one: the first line must name the columns, as in to,name")
	}
	if err := c.headerText(row); err != nil {
		return nil, err
	}
	return row, nil
}

// headerText checks the encoding of the header, and decodes its cells.
func (c *csvRows) headerText(row []byte) error {
	if isPlain(row) {
		return nil
	}
	if err := c.learnEncoding(row); err != nil {
		return err
	}
	if !c.latin1 && !utf8.Valid(row) {
		return c.src.fileError("", jobs.CodeNotUTF8, "the header is not UTF-8 although the file says so: save it anew")
	}
	if !c.decodeCells() {
		return c.src.fileError("", jobs.CodeInvalid, "the header has a byte that Latin-1 has no character for: save the file as UTF-8 (in Excel: CSV UTF-8)")
	}
	return nil
}

// separatorHint reads the line that tells Excel the separator.
func separatorHint(line []byte) (byte, bool) {
	if len(line) == len("sep=;") && bytes.EqualFold(line[:4], []byte("sep=")) && (line[4] == ';' || line[4] == ',' || line[4] == '\t') {
		return line[4], true
	}
	return 0, false
}

// guessSeparator takes what the header has most, outside of quotes.
func guessSeparator(line []byte) byte {
	var counts [256]int
	quoted := false
	for _, b := range line {
		if b == '"' {
			quoted = !quoted
		} else if !quoted {
			counts[b]++
		}
	}
	best := byte(',')
	for _, b := range []byte{';', '\t'} {
		if counts[b] > counts[best] {
			best = b
		}
	}
	return best
}

// findRecipient decides which column has the phone number. Two of one name are
// refused here, since each may be meant.
func (c *csvRows) findRecipient(wanted string) error {
	var candidates []string
	for i, name := range c.folded {
		if wanted != "" && name == fold(wanted) || wanted == "" && usual(name) {
			candidates = append(candidates, c.names[i])
			c.recipient, c.recipientName = i, shown(c.names[i])
		}
	}
	switch {
	case len(candidates) == 0 && wanted != "":
		return c.src.fileError(shown(wanted), jobs.CodeUnknownField, "is not a column: there are %s. Name the one with the phone number", shownList(c.given()))
	case len(candidates) == 0:
		return c.src.fileError("", jobs.CodeRequired, "no column has the phone number: there are %s. Name the one that has it to (or phone, mobile, number), or say which one it is", shownList(c.given()))
	}
	for i, name := range c.folded {
		if first := slices.Index(c.folded, name); name != "" && first < i {
			return c.src.fileError(shown(c.names[i]), jobs.CodeRepeatedField, "columns %d and %d have the same name: rename one, or take it out", first+1, i+1)
		}
	}
	if len(candidates) > 1 {
		return c.src.fileError("", jobs.CodeContradiction, "several columns may have the phone number: %s. Name the one that has it to, rename the others, or say which one it is", shownList(candidates))
	}
	return nil
}

// given lists the columns that have names.
func (c *csvRows) given() []string {
	return slices.DeleteFunc(slices.Clone(c.names), func(name string) bool { return name == "" })
}
