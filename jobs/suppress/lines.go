package suppress

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// MaxLine is how long a line of a list may be, in bytes.
const MaxLine = 64 << 10

// maxJoined is over how many lines a quoted field may go.
const maxJoined = 100

// line is a line of a file, without its end.
type line struct {
	number  int
	text    string
	tooLong bool // it is left out
}

// lines reads a file line by line, whatever its lines end with.
type lines struct {
	in    *bufio.Reader
	read  int
	given []line // back again
}

func newLines(in io.Reader) *lines { return &lines{in: bufio.NewReaderSize(in, MaxLine+2)} }

// next is the next line; io.EOF after the last.
func (l *lines) next() (line, error) {
	if len(l.given) > 0 {
		next := l.given[0]
		l.given = l.given[1:]
		return next, nil
	}
	if l.read == 0 {
		if err := l.skipMark(); err != nil {
			return line{}, err
		}
	}
	b, err := l.in.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(b) > 0 {
		err = nil // the last line lacks its end
	}
	l.read++
	next := line{number: l.read}
	if errors.Is(err, bufio.ErrBufferFull) {
		next.tooLong = true
		return next, l.skipLine()
	}
	next.text = string(bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r")))
	return next, err
}

// skipMark leaves out the byte order mark of UTF-8.
func (l *lines) skipMark() error {
	mark, _ := l.in.Peek(3) // less than three bytes are no mark, and an error comes again
	switch {
	case bytes.Equal(mark, []byte("\xef\xbb\xbf")):
		_, err := l.in.Discard(len(mark))
		return err
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		return ErrNotUTF8
	}
	return nil
}

func (l *lines) skipLine() error {
	for {
		_, err := l.in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return nil // the next one says so
		default:
			return err
		}
	}
}

// split takes a row apart that begins with this line. A quoted field may go on in the
// lines after it; when it has no end there, those are given back, and only this line
// is broken.
func (l *lines) split(first line, separator byte) ([]string, *InvalidError, error) {
	if first.tooLong {
		return nil, invalid("", CodeTooLong, "the line has more than %d bytes", MaxLine), nil
	}
	text, after := first.text, []line(nil)
	for {
		fields, closed := splitFields(text, separator)
		if closed {
			return fields, nil, nil
		}
		next, err := line{}, io.EOF
		if len(after) < maxJoined && len(text) <= MaxLine {
			next, err = l.next()
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, err
		}
		if err == nil {
			after = append(after, next)
		}
		if err != nil || next.tooLong || isRow(next.text, separator) {
			l.given = append(slices.Clip(after), l.given...)
			return nil, invalid("", CodeMalformed, "a quoted field has no end: close it with \", or write \"\" for a quote in it"), nil
		}
		text += "\n" + next.text
	}
}

// isRow reports whether a line has a phone number in it, as a row has and the rest of
// a note hardly: a quote that somebody forgot must not swallow opt-outs.
func isRow(text string, separator byte) bool {
	return slices.ContainsFunc(strings.Split(text, string(separator)), func(field string) bool {
		_, err := flowroute.ParseE164(strings.Trim(field, `"`))
		return err == nil
	})
}

// splitFields cuts a row at the separators that are not in quotes. It reports whether
// every quote is closed.
func splitFields(text string, separator byte) (fields []string, closed bool) {
	for {
		var field string
		if strings.HasPrefix(text, `"`) {
			if field, text, closed = cutQuoted(text[1:]); !closed {
				return nil, false
			}
		}
		end := strings.IndexByte(text, separator)
		if end < 0 {
			return append(fields, field+text), true
		}
		fields, text = append(fields, field+text[:end]), text[end+1:]
	}
}

// cutQuoted cuts a field behind its closing quote.
func cutQuoted(text string) (field, rest string, closed bool) {
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '"')
		if i < 0 {
			return "", "", false
		}
		b.WriteString(text[:i])
		text = text[i+1:]
		if !strings.HasPrefix(text, `"`) {
			return b.String(), text, true
		}
		b.WriteByte('"')
		text = text[1:]
	}
}

// separatorIn is what the first line of a list separates its fields with.
func separatorIn(text string) byte {
	best, most := byte(','), 0
	for _, candidate := range []byte(",;\t") {
		fields, _ := splitFields(text, candidate)
		if len(fields) > most {
			best, most = candidate, len(fields)
		}
	}
	return best
}
