package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// csvRows reads the rows of a CSV. encoding/csv would hold a field of any length,
// and cannot go on after a quote that is not closed.
type csvRows struct {
	header
	src       *source
	options   Options
	numbers   numbers
	separator byte
	latin1    bool // what is beyond ASCII is
	knows     bool // what is beyond ASCII was seen, or a byte order mark

	cells   [][]byte // of the row at hand: in the buffer, in scratch or in decoded
	scratch []byte   // without the doubled quotes
	decoded []byte   // from Latin-1
}

func newCSVRows(src *source, options Options, bom bool) (*csvRows, error) {
	c := &csvRows{src: src, options: options, knows: bom}
	if err := c.readHeader(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *csvRows) next(row *Row) error {
	for {
		line, length, err := c.src.line()
		row.Line = c.src.lineNumber
		if errors.Is(err, errTooLong) {
			c.src.skipLine()
			row.Problem = problem("", jobs.CodeTooLarge, tooLong())
			return nil
		}
		if err != nil {
			return err
		}
		text, lines := line, 1
		if bytes.IndexByte(line, '"') < 0 {
			c.splitPlain(line)
		} else {
			var state rowState
			if text, state, err = c.splitQuoted(); err != nil {
				return err
			}
			if state != rowWhole || (!c.isBlank() && c.badCount()) {
				row.Problem = c.quoteProblem(state)
				c.src.take(length, 1) // its other lines may be rows that are fine
				return nil
			}
			length, lines = len(text), bytes.Count(text, []byte{'\n'})
			text = bytes.TrimRight(text, "\r\n")
		}
		isBlank := c.isBlank()
		switch {
		case isBlank:
		case c.badCount():
			row.Problem = c.countProblem()
		default:
			err = c.finish(row, text)
		}
		c.src.take(length, lines)
		if err != nil || !isBlank {
			return err
		}
	}
}

func tooLong() string {
	return fmt.Sprintf("is longer than %d bytes: shorten it, and see whether a quote is missing", MaxRow)
}

func (c *csvRows) quoteProblem(state rowState) jobs.FieldError {
	switch state {
	case rowBroken:
		return problem("", jobs.CodeInvalid, `has text after a closing quote: write a quote within quotes twice, as in "Ann ""Annie"" Lee"`)
	case rowHalf:
		return problem("", jobs.CodeInvalid, fmt.Sprintf("has a quote that is not closed (within %d bytes): close it, or write it twice within quotes", MaxRow))
	default:
		return c.countProblem()
	}
}

func (c *csvRows) countProblem() jobs.FieldError {
	return problem("", jobs.CodeInvalid, fmt.Sprintf("has %d values, and the header has %d columns: put a value with %q in it in quotes, and leave none out", len(c.cells), len(c.names), c.separator))
}

type rowState int

const (
	rowWhole  rowState = iota
	rowHalf            // it goes on after the data; if there is no more, a quote is not closed
	rowBroken          // text comes after a closing quote
)

// splitQuoted splits the row that begins at the next line and may go over
// several. It reads as much as the row takes, and no more than a row may have.
func (c *csvRows) splitQuoted() (text []byte, state rowState, err error) {
	for s := c.src; ; {
		data := s.buf[s.at:min(s.end, s.at+MaxRow)]
		last := len(data) == s.end-s.at && errors.Is(s.err, io.EOF)
		length, state := c.split(data, last)
		if state != rowHalf || len(data) == MaxRow || last {
			return data[:length], state, nil
		}
		if !s.fill() && !errors.Is(s.err, io.EOF) {
			return nil, rowHalf, s.ended()
		}
	}
}

// split puts the cells of the first row of data into c.cells, and returns how
// long it is, its line end included.
func (c *csvRows) split(data []byte, last bool) (length int, state rowState) {
	c.cells, c.scratch = c.cells[:0], c.scratch[:0]
	i := 0
	for {
		opening := i
		for opening < len(data) && c.isSpace(data[opening]) {
			opening++
		}
		var cell []byte
		if opening < len(data) && data[opening] == '"' {
			if cell, i, state = c.quoted(data, opening+1); state != rowWhole {
				return 0, state
			}
		} else {
			start := i
			for i < len(data) && data[i] != c.separator && data[i] != '\n' {
				i++
			}
			cell = c.trim(data[start:i])
		}
		if i == len(data) && !last {
			return 0, rowHalf
		}
		c.cells = append(c.cells, cell)
		if i == len(data) {
			return i, rowWhole
		}
		i++
		if data[i-1] == '\n' {
			return i, rowWhole
		}
	}
}

// quoted reads a cell after its opening quote, up to the separator, the line end
// or the end of data.
func (c *csvRows) quoted(data []byte, i int) (cell []byte, end int, state rowState) {
	begin, unescaped := i, -1
	for {
		quote := bytes.IndexByte(data[i:], '"')
		if quote < 0 {
			return nil, 0, rowHalf
		}
		i += quote
		if i+1 == len(data) || data[i+1] != '"' {
			break
		}
		if unescaped < 0 {
			unescaped = len(c.scratch)
		}
		c.scratch = append(c.scratch, data[begin:i+1]...)
		i += 2
		begin = i
	}
	cell = data[begin:i]
	if unescaped >= 0 {
		c.scratch = append(c.scratch, cell...)
		cell = c.scratch[unescaped:]
	}
	i++
	for i < len(data) && (c.isSpace(data[i]) || data[i] == '\r') {
		i++
	}
	if i < len(data) && data[i] != c.separator && data[i] != '\n' {
		return nil, 0, rowBroken
	}
	return cell, i, rowWhole
}

// splitPlain does what split does for a line without quotes.
func (c *csvRows) splitPlain(line []byte) {
	c.cells = c.cells[:0]
	start := 0
	for i, b := range line {
		if b == c.separator {
			c.cells = append(c.cells, c.trim(line[start:i]))
			start = i + 1
		}
	}
	c.cells = append(c.cells, c.trim(line[start:]))
}

func (c *csvRows) isSpace(b byte) bool { return (b == ' ' || b == '\t') && b != c.separator }

// trim takes from an unquoted cell the spaces around it, and the CR of its line.
func (c *csvRows) trim(cell []byte) []byte {
	for len(cell) > 0 && cell[0] <= ' ' && c.isSpace(cell[0]) {
		cell = cell[1:]
	}
	for n := len(cell); n > 0 && cell[n-1] <= ' ' && (c.isSpace(cell[n-1]) || cell[n-1] == '\r'); n-- {
		cell = cell[:n-1]
	}
	return cell
}

// isBlank: an empty line, or one of separators alone, as spreadsheets write
// them.
func (c *csvRows) isBlank() bool {
	for _, cell := range c.cells {
		if len(cell) > 0 {
			return false
		}
	}
	return true
}

// badCount says that the row has not the columns of the header. Empty cells
// beyond them do not matter; but where one is missing, nobody knows which.
func (c *csvRows) badCount() bool {
	for len(c.cells) > len(c.names) && len(c.cells[len(c.cells)-1]) == 0 {
		c.cells = c.cells[:len(c.cells)-1]
	}
	return len(c.cells) < c.named || len(c.cells) > len(c.names)
}

// finish fills row with the cells.
func (c *csvRows) finish(row *Row, text []byte) error {
	plain := isPlain(text)
	if !plain {
		if err := c.learnEncoding(text); err != nil {
			return err
		}
		if c.latin1 {
			if !c.decodeCells() {
				row.Problem = problem("", jobs.CodeInvalid, "has a byte that Latin-1 has no character for: save the file as UTF-8 (in Excel: CSV UTF-8)")
				return nil
			}
		} else if !utf8.Valid(text) {
			row.Problem = problem("", jobs.CodeNotUTF8, "is not UTF-8, as other rows are: write it anew")
			return nil
		}
	}
	var ok bool
	if row.To, row.Problem, ok = c.numbers.read(c.recipientName, c.cells[c.recipient]); !ok {
		return nil
	}
	for i, column := range c.fieldColumns {
		row.Values[i] = nil
		if column >= 0 {
			row.Values[i] = c.cells[column]
		}
	}
	checkValues(row, c.options.Fields, plain)
	return nil
}

// learnEncoding looks at the first text beyond ASCII, and holds it against what
// the file is said to be.
func (c *csvRows) learnEncoding(text []byte) error {
	if c.knows || !beyondASCII(text) {
		return nil
	}
	c.knows = true
	valid := utf8.Valid(text)
	switch {
	case valid && c.options.Latin1:
		return c.src.fileError("", jobs.CodeContradiction, "is UTF-8, not Latin-1: leave Latin-1 out")
	case !valid && !c.options.Latin1:
		return c.src.fileError("", jobs.CodeNotUTF8, "is not UTF-8: save the file as UTF-8 (in Excel: CSV UTF-8), or say that it is Latin-1 if you know that it is")
	}
	c.latin1 = c.options.Latin1
	return nil
}

func beyondASCII(text []byte) bool {
	for _, b := range text {
		if b >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

// decodeCells makes UTF-8 of them, and reports whether that is possible.
func (c *csvRows) decodeCells() bool {
	if !c.latin1 {
		return true
	}
	c.decoded = c.decoded[:0]
	for i, cell := range c.cells {
		if !beyondASCII(cell) {
			continue
		}
		begin, ok := len(c.decoded), false
		if c.decoded, ok = appendLatin1(c.decoded, cell); !ok {
			return false
		}
		c.cells[i] = c.decoded[begin:]
	}
	return true
}
