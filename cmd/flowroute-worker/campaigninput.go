package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/template"
)

// roll is a file of recipients that was read once: so that nothing is begun with a file
// that is none, and that the same recipients are known again.
type roll struct {
	file *os.File
	size int64
	in   campaign.Input

	fine, bad int
	absent    []string          // optional fields without a column
	problems  []campaign.Answer // the first of them
	people    []byte            // hash of the recipients and their values
	bytes     []byte            // hash of the file
}

// openRoll opens a file; - is standard input. What cannot be read twice is copied to a
// temporary file that has no name.
func (w world) openRoll(ctx context.Context, name string) (*roll, error) {
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		info, err := file.Stat()
		if err == nil && info.IsDir() {
			err = fmt.Errorf("%s is a directory", name)
		}
		if err == nil && info.Mode().IsRegular() {
			return &roll{file: file, size: info.Size()}, nil
		}
		defer file.Close()
		if err != nil {
			return nil, err
		}
		return spooled(ctx, name, func(to io.Writer) error { _, err := io.Copy(to, file); return err })
	}
	if w.in == nil {
		return nil, errors.New("--file -: there is no standard input")
	}
	return spooled(ctx, "standard input", func(to io.Writer) error { _, err := io.Copy(to, w.in); return err })
}

// spooled is a roll in a temporary file, which write fills.
func spooled(ctx context.Context, what string, write func(io.Writer) error) (*roll, error) {
	file, err := os.CreateTemp("", "flowroute-worker-*")
	if err != nil {
		return nil, fmt.Errorf("copy %s: %w", what, err)
	}
	if err := os.Remove(file.Name()); err != nil { // it lives on as long as it is open
		file.Close()
		return nil, fmt.Errorf("copy %s: %w", what, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- write(file) }()
	select {
	case err = <-ended:
	case <-ctx.Done(): // a terminal or a pipe may have nothing to read for long
		err = context.Cause(ctx)
	}
	var size int64
	if err == nil {
		size, err = file.Seek(0, io.SeekCurrent)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("copy %s: %w", what, err)
	}
	return &roll{file: file, size: size}, nil
}

func (r *roll) close() { r.file.Close() }

// again reads it from the beginning.
func (r *roll) again() (io.Reader, hash.Hash, error) {
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return nil, nil, err
	}
	sum := sha256.New()
	return io.TeeReader(r.file, sum), sum, nil
}

// scanEvery is how often, in rows, a long reading looks whether it shall end.
const scanEvery = 4096

// scan reads it for the first time. Errors: [*intake.FileError], and those of reading.
func (r *roll) scan(ctx context.Context, text *template.Template, bar *readBar) error {
	source, sum, err := r.again()
	if err != nil {
		return err
	}
	source = bar.begin("reading", r.size, source)
	defer bar.end()
	var fields []intake.Field
	for _, field := range text.Fields() {
		fields = append(fields, intake.Field{Name: field.Name, Optional: field.Optional})
	}
	rows, err := intake.New(source, intake.Options{Format: r.in.Format, Fields: fields, Recipient: r.in.Recipient, Latin1: r.in.Latin1})
	if err != nil {
		return err
	}
	r.absent = rows.Absent()
	people, held := sha256.New(), []byte(nil)
	for n := 1; ; n++ {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if n%scanEvery == 0 {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			bar.rows(n)
			people.Write(held)
			held = held[:0]
		}
		if !row.OK() {
			r.bad++
			if len(r.problems) < shownInvalid {
				r.problems = append(r.problems, campaign.Answer{Line: row.Line, Verdict: campaign.RowInvalid, Problem: row.Problem})
			}
			continue
		}
		r.fine++
		held = binary.AppendUvarint(held, row.To.Uint64())
		for _, value := range row.Values {
			held = append(binary.AppendUvarint(held, uint64(len(value))), value...)
		}
	}
	people.Write(held)
	r.people = people.Sum(nil)
	if _, err := io.Copy(io.Discard, source); err != nil {
		return err
	}
	r.bytes = sum.Sum(nil)
	return nil
}

// errChanged: what was looked at is not what was sent.
var errChanged = errors.New("the file was changed while it was read: nothing was started; let it be finished, and give the command again")

// upload adds it to a draft.
func (r *roll) upload(ctx context.Context, bar *readBar, add func(ctx context.Context, source io.Reader) error) error {
	source, sum, err := r.again()
	if err != nil {
		return err
	}
	source = bar.begin("taking in", r.size, source)
	defer bar.end()
	if err := add(ctx, source); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, source); err != nil {
		return err
	}
	if !bytes.Equal(sum.Sum(nil), r.bytes) {
		return errChanged
	}
	return nil
}
