package httpapi

import (
	"bytes"
	"errors"
	"io"
)

// lines cuts a stream into lines, of which it holds one and what came with it.
type lines struct {
	r      io.Reader
	moved  func() // called for each line, and for each part of one that is too long
	max    int    // bytes of a line, its end not counted
	buf    []byte
	at     int // what was read and not given yet is buf[at:]
	err    error
	number int // of the line given last, from 1 on
}

// errLineTooLong: that line is left out; the next one can be read.
var errLineTooLong = errors.New("httpapi: line too long")

func newLines(r io.Reader, most int, moved func()) *lines {
	return &lines{r: r, moved: moved, max: most, buf: make([]byte, 0, most+64<<10)}
}

// next gives a line without spaces around it, which holds until the next call. Errors:
// [errLineTooLong]; [io.EOF] after the last line; what reading ended with, and then a
// line that had begun is not given.
func (l *lines) next() ([]byte, error) {
	for {
		if i := bytes.IndexByte(l.buf[l.at:], '\n'); i >= 0 {
			return l.give(i, i+1)
		}
		if len(l.buf)-l.at > l.max+1 { // a CR may belong to the line's end
			return nil, l.skip()
		}
		if l.err != nil {
			if n := len(l.buf) - l.at; n > 0 && errors.Is(l.err, io.EOF) {
				return l.give(n, n)
			}
			return nil, l.err
		}
		l.fill()
	}
}

// whole reports whether next would not have to wait.
func (l *lines) whole() bool { return l.err != nil || bytes.IndexByte(l.buf[l.at:], '\n') >= 0 }

func (l *lines) give(length, with int) ([]byte, error) {
	text := l.buf[l.at : l.at+length]
	l.at += with
	l.number++
	l.moved()
	if l.number == 1 {
		text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	}
	if text = bytes.TrimSpace(text); len(text) > l.max {
		return nil, errLineTooLong
	}
	return text, nil
}

// skip reads to the end of a line that is too long.
func (l *lines) skip() error {
	for skipped := 0; ; {
		if i := bytes.IndexByte(l.buf[l.at:], '\n'); i >= 0 {
			l.at += i + 1
			break
		}
		if skipped += len(l.buf) - l.at; skipped > l.max {
			l.moved()
			skipped = 0
		}
		l.at = len(l.buf)
		if l.err != nil {
			if !errors.Is(l.err, io.EOF) {
				return l.err
			}
			break
		}
		l.fill()
	}
	l.number++
	return errLineTooLong
}

// fill reads more, into room that there is.
func (l *lines) fill() {
	if l.at > 0 {
		l.buf = l.buf[:copy(l.buf, l.buf[l.at:])]
		l.at = 0
	}
	for range 100 { // as the standard library has it
		var n int
		n, l.err = l.r.Read(l.buf[len(l.buf):cap(l.buf)])
		l.buf = l.buf[:len(l.buf)+n]
		if n > 0 || l.err != nil {
			return
		}
	}
	l.err = io.ErrNoProgress
}
