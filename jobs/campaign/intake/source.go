package intake

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

// bufferSize is all that is held of an input. It has room for some of the longest
// rows, so that little is moved about.
const bufferSize = 4 * MaxRow

// errTooLong is for a line that is longer than MaxRow.
var errTooLong = errors.New("intake: too long")

// source gives an input by lines, without holding more than its buffer.
type source struct {
	r          io.Reader
	buf        []byte
	at, end    int   // what was read and not yet taken
	err        error // of r, which then has no more
	lineNumber int   // of the line at
}

// open unpacks gzip, and takes a byte order mark away.
func (s *source) open() (bom bool, err error) {
	if s.begins("\x1f\x8b") {
		// The Reader of gzip takes single bytes from this, up to the end of a
		// member: it needs one that has what was read already.
		packed := io.MultiReader(bytes.NewReader(bytes.Clone(s.buf[:s.end])), s.r)
		unpacked, err := gzip.NewReader(bufio.NewReaderSize(packed, MaxRow))
		if err != nil {
			return false, fmt.Errorf("read gzip: %w", err)
		}
		s.r, s.at, s.end, s.err = unpacked, 0, 0, nil
	}
	switch {
	case s.begins("\xef\xbb\xbf"):
		s.at += 3
		return true, nil
	case s.begins("\xff\xfe"), s.begins("\xfe\xff"):
		return false, s.fileError("", jobs.CodeNotUTF8, "is UTF-16: save it as UTF-8 (in Excel: CSV UTF-8)")
	case s.begins("PK\x03\x04"):
		return false, s.fileError("", jobs.CodeInvalid, "is a workbook or an archive: save it as CSV (in Excel: CSV UTF-8)")
	}
	return false, nil
}

// begins reads as far as it takes to know.
func (s *source) begins(prefix string) bool {
	for {
		have := s.buf[s.at:s.end]
		if len(have) >= len(prefix) || !strings.HasPrefix(prefix, string(have)) || !s.fill() {
			return bytes.HasPrefix(have, []byte(prefix))
		}
	}
}

// firstByte takes blank lines, and returns the first byte of the first other one
// that is no space. An input without one is a [*FileError].
func (s *source) firstByte() (byte, error) {
	looked := 0
	for {
		for ; s.at+looked < s.end; looked++ {
			switch c := s.buf[s.at+looked]; c {
			case '\n':
				s.take(looked+1, 1)
				looked = -1
			case ' ', '\t', '\r':
			default:
				return c, nil
			}
		}
		if !s.fill() {
			if s.err == nil { // a buffer of spaces
				return ' ', nil
			}
			if err := s.ended(); !errors.Is(err, io.EOF) {
				return 0, err
			}
			return 0, s.fileError("", jobs.CodeRequired, "is empty: give a header such as to,name and a line for each recipient")
		}
	}
}

// fill reads more, and reports whether there is any. It moves what was not yet
// taken: slices of the buffer are no good any more.
func (s *source) fill() bool {
	if s.err != nil {
		return false
	}
	if s.at > 0 {
		s.end = copy(s.buf, s.buf[s.at:s.end])
		s.at = 0
	}
	if s.end == len(s.buf) {
		return false
	}
	const patience = 100 // as the standard library has
	for range patience {
		var n int
		n, s.err = s.r.Read(s.buf[s.end:])
		s.end += n
		if n > 0 || s.err != nil {
			return n > 0
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// ended is the error once nothing more can be read.
func (s *source) ended() error {
	if s.err == nil || errors.Is(s.err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("read recipients, at line %d: %w", s.lineNumber, s.err)
}

// line returns the next line without its end, and its length with that, and does
// not take it. Errors: [errTooLong]; io.EOF; those of reading.
func (s *source) line() (line []byte, length int, err error) {
	searched := 0
	for {
		if i := bytes.IndexByte(s.buf[s.at+searched:s.end], '\n'); i >= 0 {
			length = searched + i + 1
			break
		}
		searched = s.end - s.at
		if searched > MaxRow {
			return nil, 0, errTooLong
		}
		if !s.fill() {
			if err := s.ended(); !errors.Is(err, io.EOF) || searched == 0 {
				return nil, 0, err
			}
			length = searched // the last line has no end
			break
		}
	}
	if length > MaxRow {
		return nil, 0, errTooLong
	}
	line = s.buf[s.at : s.at+length]
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, length, nil
}

// take goes on after what was looked at, which has so many lines.
func (s *source) take(length, lines int) {
	s.at += length
	s.lineNumber += lines
}

// skipLine goes on after the end of the line, however far that is.
func (s *source) skipLine() {
	for {
		if i := bytes.IndexByte(s.buf[s.at:s.end], '\n'); i >= 0 {
			s.take(i+1, 1)
			return
		}
		s.at = s.end
		if !s.fill() {
			return
		}
	}
}

func (s *source) fileError(field, code, format string, args ...any) *FileError {
	return &FileError{Line: s.lineNumber, Problem: jobs.FieldError{Field: field, Code: code, Message: fmt.Sprintf(format, args...)}}
}
