package campaign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/template"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// incoming looks at rows as they come in. It is for one goroutine.
type incoming struct {
	*plan
	optOuts suppress.Checker // nil: nobody has opted out
	seen    numberSet        // the recipients there are

	taken  []taken // rows since the last clear
	fine   int     // of those, accepted
	text   []byte
	bytes  []byte   // of the values of the rows taken
	values [][]byte // of the rows taken
}

// taken is a row and the answer to it.
type taken struct {
	Answer
	row
	segments int
	encoding flowroute.Encoding
	known    bool // a duplicate of one from before
}

func (p *plan) incoming(optOuts suppress.Checker) *incoming {
	return &incoming{plan: p, optOuts: optOuts}
}

// open begins to read rows.
func (c *incoming) open(r io.Reader, in Input) (*intake.Reader, error) {
	fields := make([]intake.Field, len(c.fields))
	for i, field := range c.fields {
		fields[i] = intake.Field{Name: field.Name, Optional: field.Optional}
	}
	return intake.New(r, intake.Options{Format: in.Format, Fields: fields, Recipient: in.Recipient, Latin1: in.Latin1, FirstLine: in.FirstLine})
}

// take looks at a row, and keeps it.
func (c *incoming) take(next *intake.Row) {
	t := taken{Answer: Answer{Line: next.Line, Verdict: RowInvalid, Problem: next.Problem}}
	if next.OK() {
		t.to = next.To
		if known, before := c.seen.find(next.To); known {
			t.Verdict, t.known = RowDuplicate, before
		} else if t.segments, t.encoding, t.Problem = c.look(next.Values); t.Problem.Code == "" {
			t.Verdict = RowAccepted
			t.values = c.keep(next.Values)
			c.seen.add(next.To, false)
			c.fine++
		}
	}
	c.taken = append(c.taken, t)
}

// keep copies values, which are good until the next row only.
func (c *incoming) keep(values [][]byte) [][]byte {
	first := len(c.values)
	for _, value := range values {
		at := len(c.bytes)
		c.bytes = append(c.bytes, value...)
		c.values = append(c.values, c.bytes[at:len(c.bytes):len(c.bytes)])
	}
	return c.values[first:len(c.values):len(c.values)]
}

// look makes the text of a row and says how many segments it has, or what is wrong.
func (c *incoming) look(values [][]byte) (segments int, encoding flowroute.Encoding, problem jobs.FieldError) {
	refuse := func(field, code, format string, args ...any) (int, flowroute.Encoding, jobs.FieldError) {
		return 0, encoding, jobs.FieldError{Field: field, Code: code, Message: fmt.Sprintf(format, args...)}
	}
	var err error
	if c.text, err = c.template.Append(c.text[:0], values); err != nil {
		if missing, ok := errors.AsType[*template.MissingError](err); ok {
			return refuse(missing.Field, jobs.CodeRequired, "has no value, and the template has no default for it")
		}
		return refuse("", jobs.CodeInvalid, "%s", err.Error())
	}
	if n := utf8.RuneCount(c.text); n > jobs.MaxBody {
		return refuse("", jobs.CodeTooLong, "makes a text of %d characters: use at most %d", n, jobs.MaxBody)
	}
	segments, encoding = flowroute.Segments(string(c.text))
	switch {
	case blank(c.text):
		return refuse("", jobs.CodeRequired, "makes an empty text")
	case segments > c.spec.MaxSegments:
		return refuse("", jobs.CodeTooLong, "makes a text of %d segments, and the campaign allows %d (max_segments)", segments, c.spec.MaxSegments)
	}
	return segments, encoding, jobs.FieldError{}
}

func blank(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}

// block marks the rows whose recipients have opted out.
func (c *incoming) block(ctx context.Context) error {
	if c.optOuts == nil || c.fine == 0 {
		return nil
	}
	var pairs []suppress.Pair
	var places []int
	for i, t := range c.taken {
		if t.Verdict == RowAccepted {
			pairs, places = append(pairs, suppress.Pair{From: c.sender(t.to), To: t.to}), append(places, i)
		}
	}
	blocked, err := c.optOuts.BlockedMany(ctx, pairs)
	if err != nil {
		return err
	}
	for at, entry := range blocked {
		t := &c.taken[places[at]]
		t.Verdict, t.Why = RowBlocked, entry.Why()
	}
	return nil
}

// clear forgets the rows, but not their recipients.
func (c *incoming) clear() {
	clear(c.values)
	c.taken, c.values, c.bytes, c.fine = c.taken[:0], c.values[:0], c.bytes[:0], 0
}
