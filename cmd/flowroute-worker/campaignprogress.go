package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// readBar is a bar on a terminal, and nothing elsewhere. It is for one goroutine.
type readBar struct {
	out   io.Writer // nil: nobody looks
	width int

	label       string
	total, read int64
	count       int
	began, last time.Time
}

// newReadBar makes a bar on errs.
func newReadBar(errs io.Writer) *readBar {
	if !onTerminal(errs) {
		return &readBar{}
	}
	return &readBar{out: errs, width: columns(errs)}
}

// barEvery is how often it is drawn.
const barEvery = 200 * time.Millisecond

// begin begins anew, with a source of so many bytes.
func (p *readBar) begin(label string, total int64, source io.Reader) io.Reader {
	now := time.Now()
	p.label, p.total, p.read, p.count, p.began, p.last = label, total, 0, 0, now, now
	return &counted{source, p}
}

type counted struct {
	source io.Reader
	p      *readBar
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.source.Read(b)
	c.p.read += int64(n)
	return n, err
}

// rows notes how many rows are done.
func (p *readBar) rows(n int) {
	p.count = n
	if p.out == nil {
		return
	}
	if now := time.Now(); now.Sub(p.last) >= barEvery {
		p.last = now
		fmt.Fprint(p.out, "\r"+p.line(now)+"\x1b[K")
	}
}

// line is the bar, no wider than the terminal.
func (p *readBar) line(now time.Time) string {
	share := 1.0
	if p.total > 0 {
		share = min(float64(p.read)/float64(p.total), 1)
	}
	text := fmt.Sprintf(" %3.0f%%  %s rows, %s/s", share*100, thousands(p.count), thousands(int(float64(p.count)/max(now.Sub(p.began).Seconds(), 0.001))))
	label := p.label + " "
	room := min(p.width-len(label)-len(text)-1, 30)
	if room < 5 {
		return label + strings.TrimSpace(text)
	}
	full := int(share * float64(room))
	return label + strings.Repeat("█", full) + strings.Repeat("░", room-full) + text
}

// end takes the bar away.
func (p *readBar) end() {
	if p.out != nil {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	text, sign := fmt.Sprint(n), ""
	if n < 0 {
		text, sign = text[1:], "-"
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}
