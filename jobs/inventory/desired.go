package inventory

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// Desired is a row of a desired-state file: how a number should be.
type Desired struct {
	Line   int
	Number flowroute.E164
	// Alias, Primary and Failover as they were written; nil: as it is, "": none.
	Alias, Primary, Failover *string
}

// RowError says what is wrong with a line of a desired-state file. Line is 0 where it is
// the file as a whole.
type RowError struct {
	Line   int
	Number flowroute.E164 // zero where it cannot be read
	Text   string
}

func (e *RowError) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Text)
}

// None is how a desired-state file says that there shall be no alias or route.
const None = "-"

const (
	maxDesired = 64 << 20 // bytes
	maxAlias   = 64       // characters, Flowroute's limit
)

// ReadDesired reads a desired-state file: CSV (commas, semicolons or tabs) whose first
// line names the columns number, alias, primary and failover, in any order; all but
// number may be left out. An empty value means as it is, [None] none; lines that begin
// with # are comments. Rows that are wrong are in the second answer. The error is of the
// file as a whole, a [*RowError] unless it could not be read; no row is to be used then.
func ReadDesired(r io.Reader) ([]Desired, []RowError, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxDesired+1))
	if err != nil {
		return nil, nil, err
	}
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	switch {
	case len(content) > maxDesired:
		return nil, nil, &RowError{Text: fmt.Sprintf("more than %d MiB: this is no file of numbers", maxDesired>>20)}
	case !utf8.Valid(content):
		return nil, nil, &RowError{Text: "not UTF-8: save it as CSV UTF-8"}
	case bytes.HasPrefix(bytes.TrimSpace(content), []byte("{")), bytes.HasPrefix(bytes.TrimSpace(content), []byte("[")):
		return nil, nil, &RowError{Text: "this looks like JSON: the file is CSV, and its first line names the columns, number,alias,primary,failover"}
	}
	rows := csv.NewReader(bytes.NewReader(content))
	rows.Comma, rows.Comment, rows.TrimLeadingSpace, rows.FieldsPerRecord = separator(content), '#', true, -1
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil, &RowError{Text: "empty: the first line names the columns, number,alias,primary,failover"}
	}
	if err != nil {
		return nil, nil, unreadable(err)
	}
	at, err := columnsOf(header)
	if err != nil {
		line, _ := rows.FieldPos(0)
		return nil, nil, &RowError{Line: line, Text: err.Error()}
	}
	var list []Desired
	var bad []RowError
	lines := map[flowroute.E164]int{}
	for {
		cells, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return list, bad, nil
		}
		if err != nil {
			return nil, nil, unreadable(err)
		}
		line, _ := rows.FieldPos(0)
		d, wrong := readDesired(cells, at, len(header))
		d.Line = line
		if first, twice := lines[d.Number]; wrong == "" && twice {
			wrong = fmt.Sprintf("%s is in line %d already", d.Number, first)
		}
		if wrong != "" {
			bad = append(bad, RowError{line, d.Number, wrong})
			continue
		}
		lines[d.Number] = line
		list = append(list, d)
	}
}

func unreadable(err error) error {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		return &RowError{Line: parse.Line, Text: parse.Err.Error()}
	}
	return err
}

// separator is the one that the first line that counts has the most of.
func separator(content []byte) rune {
	for line := range bytes.Lines(content) {
		if trimmed := bytes.TrimSpace(line); len(trimmed) == 0 || trimmed[0] == '#' {
			continue
		}
		best := ','
		for _, c := range []rune{';', '\t'} {
			if bytes.Count(line, []byte(string(c))) > bytes.Count(line, []byte(string(best))) {
				best = c
			}
		}
		return best
	}
	return ','
}

// columnNames are those of a desired-state file.
func columnNames() []string { return []string{"number", "alias", "primary", "failover"} }

// columnsOf finds the place of each column; -1 where there is none.
func columnsOf(header []string) ([]int, error) {
	at := []int{-1, -1, -1, -1}
	for i, name := range header {
		name = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(name)), "_route")
		which := slices.Index(columnNames(), name)
		switch {
		case which < 0 && isNumber(name):
			return nil, fmt.Errorf("the first line has to name the columns, %s", strings.Join(columnNames(), ","))
		case which < 0:
			return nil, fmt.Errorf("no column is called %.40q: there are %s", header[i], strings.Join(columnNames(), ", "))
		case at[which] >= 0:
			return nil, fmt.Errorf("two columns are called %s", name)
		}
		at[which] = i
	}
	if at[0] < 0 {
		return nil, errors.New("no column is called number")
	}
	return at, nil
}

func isNumber(text string) bool {
	_, err := flowroute.ParseE164(text)
	return err == nil
}

func readDesired(cells []string, at []int, width int) (d Desired, wrong string) {
	value := func(column int) string {
		if i := at[column]; i >= 0 && i < len(cells) {
			return strings.TrimSpace(cells[i])
		}
		return ""
	}
	wish := func(column int) *string {
		switch v := value(column); v {
		case "":
			return nil
		case None:
			return new("")
		default:
			return &v
		}
	}
	number, err := flowroute.ParseE164(value(0))
	if err != nil {
		return d, "number: " + err.Error()
	}
	d = Desired{Number: number, Alias: wish(1), Primary: wish(2), Failover: wish(3)}
	switch {
	case len(cells) != width:
		return d, fmt.Sprintf("it has %d values, the first line names %d columns", len(cells), width)
	case d.Alias != nil && utf8.RuneCountInString(*d.Alias) > maxAlias:
		return d, fmt.Sprintf("alias: longer than %d characters", maxAlias)
	case d.Alias != nil && strings.ContainsFunc(*d.Alias, unicode.IsControl):
		return d, "alias: has a line break or another control character"
	}
	return d, ""
}
