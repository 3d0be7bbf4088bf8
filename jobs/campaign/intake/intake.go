// Package intake reads the recipients of a campaign, from CSV or NDJSON, as they
// come: row by row, in less than a megabyte of memory for an input of any length.
//
//	rows, err := intake.New(file, intake.Options{Fields: …}) // a *FileError: the file as a whole
//	for {
//		row, err := rows.Next()
//		if errors.Is(err, io.EOF) {
//			break
//		}
//		// row.Line, and row.To with row.Values, or row.Problem
//	}
//
// Every row is answered, by the number of its line: with a recipient and the
// values that were asked for, or with what is wrong and what to do. A broken row
// costs itself alone. Empty lines are no rows.
//
// # What is read
//
// Gzip is seen by its first bytes and unpacked. CSV needs a header, which names
// the column of the number (to, phone, number, recipient, mobile and the like, or
// [Options.Recipient]); its separator is a comma, a semicolon or a tab, whichever
// the header has most. Names of columns and fields are compared without regard to
// case, and with spaces, dots and dashes as underscores: First Name is
// {{first_name}}. Values may be quoted, with line ends in them; unquoted ones
// lose the spaces around them. A byte order mark, CR LF and the line sep=; that
// Excel knows are fine. NDJSON has an object on each line, whose strings, numbers
// and booleans are values, and null is none.
//
// Numbers are read as everywhere ([flowroute.ParseE164]), and as spreadsheets
// write them: 1.2065551234E+10 when no digit is lost, 12065551234.0.
//
// # What is refused as a whole
//
// A CSV that is not UTF-8 is refused at its first character beyond ASCII, instead
// of being guessed at: Latin-1 cannot be told from its many relatives, and a
// wrong guess goes out with the names of a million people. With [Options.Latin1]
// it is read as such. Where UTF-8 was seen before, a row that is not costs itself
// alone. Also: UTF-16, workbooks, no header, no or several columns for the
// number, two columns of one name, no column for a field that must have one.
//
// # Broken quotes
//
// A quote that is never closed could swallow the rest of a file. So a row that is
// wrong and goes over several lines is given up with its first line, and the next
// line is read as a row of its own.
package intake

import (
	"bytes"
	"fmt"
	"io"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// Bounds of the input.
const (
	// MaxRow is in bytes, line ends within quotes included: what the JSON of a
	// message may have.
	MaxRow = jobs.MaxPayload
	// MaxColumns is of a CSV.
	MaxColumns = 1000
)

// Format is how rows are written.
type Format string

// The formats. The zero value is whichever the first character tells: a brace
// begins NDJSON.
const (
	CSV    Format = "csv"
	NDJSON Format = "ndjson"
)

// Options says what to read. The zero value reads numbers alone.
type Options struct {
	Format Format
	// Fields is what each row shall give, in the order of [Row.Values].
	Fields []Field
	// Recipient names the column with the number. Defaults to the one that has a
	// usual name.
	Recipient string
	// Latin1 reads a CSV as Latin-1; in fact as Windows-1252, which has all of its
	// printable characters, and the curly quotes that programs put.
	Latin1 bool
	// FirstLine is the number of the first line, for a stream whose beginning
	// was read before. Defaults to 1.
	FirstLine int
}

// Field is a value that each row shall give.
type Field struct {
	Name string
	// Optional: a row may go without it, and a CSV without the column.
	Optional bool
}

// Row is one recipient, or what is wrong with one.
type Row struct {
	Line int // where it begins, from 1
	To   flowroute.E164
	// Values has a value for each of [Options.Fields], nil where the row has no
	// such column. They are UTF-8 without control characters other than tabs and
	// line ends. They are only good until the next call of [Reader.Next].
	Values [][]byte
	// Problem is what is wrong with the row; then there is nothing else. Its Code
	// is one of package jobs, and "" for a row that is fine.
	Problem jobs.FieldError
}

// OK says whether the row is fine.
func (r *Row) OK() bool { return r.Problem.Code == "" }

// FileError says what is wrong with the input as a whole. No row of it counts
// that comes after Line.
type FileError struct {
	Line    int
	Problem jobs.FieldError // Field is a column, or ""
}

// Error is the line, the column and what to do.
func (e *FileError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Problem) }

// Reader reads rows. It is for one goroutine.
type Reader struct {
	src     *source
	options Options
	format  Format
	rows    interface{ next(row *Row) error }
	columns []string
	row     Row
	err     error
}

// New reads as much as it takes to know what the input is: for a CSV, the header.
// Errors: [*FileError], and those of r.
func New(r io.Reader, options Options) (*Reader, error) {
	src := &source{r: r, buf: make([]byte, bufferSize), lineNumber: max(1, options.FirstLine)}
	reader := &Reader{src: src, options: options, row: Row{Values: make([][]byte, len(options.Fields))}}
	if err := reader.open(); err != nil {
		return nil, err
	}
	return reader, nil
}

func (r *Reader) open() error {
	bom, err := r.src.open()
	if err != nil {
		return err
	}
	if r.format = r.options.Format; r.format == "" {
		if r.format, err = r.guessFormat(); err != nil {
			return err
		}
	}
	switch r.format {
	case NDJSON:
		if r.options.Latin1 {
			return r.src.fileError("", jobs.CodeContradiction, "JSON is always UTF-8: leave Latin-1 out")
		}
		r.rows = newJSONRows(r.src, r.options)
		return nil
	case CSV:
		rows, err := newCSVRows(r.src, r.options, bom)
		if err != nil {
			return err
		}
		r.rows, r.columns = rows, rows.names
		return nil
	default:
		return fmt.Errorf("format %q: use %s, %s or none", string(r.format), CSV, NDJSON)
	}
}

func (r *Reader) guessFormat() (Format, error) {
	switch first, err := r.src.firstByte(); {
	case err != nil:
		return CSV, err
	case first == '[':
		return "", r.src.fileError("", jobs.CodeInvalid, `is a JSON list: give one object on each line, without brackets and commas around them`)
	case first == '{':
		return NDJSON, nil
	default:
		return CSV, nil
	}
}

// Format is what the input is.
func (r *Reader) Format() Format { return r.format }

// Columns lists the columns of a CSV as its header names them.
func (r *Reader) Columns() []string { return r.columns }

// Absent lists the optional fields for which a CSV has no column: perhaps they
// are misspelt.
func (r *Reader) Absent() []string {
	rows, isCSV := r.rows.(*csvRows)
	if !isCSV {
		return nil
	}
	var absent []string
	for i, field := range r.options.Fields {
		if rows.fieldColumns[i] < 0 {
			absent = append(absent, field.Name)
		}
	}
	return absent
}

// Next returns the next row. The row is only good until the next call.
//
// Errors: [io.EOF] after the last row; a [*FileError] for an input that turns out
// to be none; and those of reading, gzip's included. What was returned before is
// not touched by an error, and half a row before it is not returned. Errors stay.
func (r *Reader) Next() (*Row, error) {
	if r.err != nil {
		return nil, r.err
	}
	r.row.To, r.row.Problem = flowroute.E164{}, jobs.FieldError{}
	if r.err = r.rows.next(&r.row); r.err != nil {
		return nil, r.err
	}
	if !r.row.OK() {
		r.row.To = flowroute.E164{}
		clear(r.row.Values)
	}
	return &r.row, nil
}

// problem of a row.
func problem(field, code, message string) jobs.FieldError {
	return jobs.FieldError{Field: field, Code: code, Message: message}
}

// checkValues finds the first field that must be there and is not, or that has
// something in it that no message may have. plain: nothing of that kind is in
// the row.
func checkValues(row *Row, fields []Field, plain bool) {
	for i, value := range row.Values {
		switch {
		case !fields[i].Optional && blank(value):
			row.Problem = problem(fields[i].Name, jobs.CodeRequired, "is missing or empty: fill it in, or give it a default in the template")
			return
		case plain:
		case control(value):
			row.Problem = problem(fields[i].Name, jobs.CodeControl, "has a control character: take it out (line ends and tabs are fine)")
			return
		}
	}
}

func blank(value []byte) bool {
	if len(value) > 0 && value[0] > ' ' && value[0] < 0x80 {
		return false
	}
	return len(bytes.TrimSpace(value)) == 0
}
