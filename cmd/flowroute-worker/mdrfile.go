package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// exportFile is where an export goes: standard output, or a temporary file that takes
// its name once it is whole.
type exportFile struct {
	name string // empty: standard output
	file *os.File
	buf  *bufio.Writer
	zip  *gzip.Writer
	over bool
}

const exportBuffer = 256 << 10

func newExportFile(out io.Writer) *exportFile {
	return &exportFile{buf: bufio.NewWriterSize(out, exportBuffer)}
}

// partOf is the name of what an interrupted export leaves.
func partOf(name string) string { return name + ".part" }

// createExportFile begins a file, with a copy of the part that an interrupted export left
// when that had a size. The part itself stays as it is, so that whatever happens the same
// cursor fits it.
func createExportFile(name string, part int64) (*exportFile, error) {
	file, err := os.CreateTemp(filepath.Dir(name), ".flowroute-worker-*") // for its owner alone: it has phone numbers
	if err != nil {
		return nil, fmt.Errorf("--output: %w", err)
	}
	f := &exportFile{name: name, file: file}
	if part > 0 {
		if err := copyPart(file, name, part); err != nil {
			f.discard()
			return nil, err
		}
	}
	f.buf = bufio.NewWriterSize(file, exportBuffer)
	if strings.HasSuffix(name, ".gz") {
		f.zip = gzip.NewWriter(f.buf) // a further member where it goes on: readers take them as one
	}
	return f, nil
}

func copyPart(to io.Writer, name string, size int64) error {
	from, err := os.Open(partOf(name))
	if errors.Is(err, os.ErrNotExist) {
		return usagef("--cursor: it goes on with %s, which is not there; was another --output given?", partOf(name))
	}
	if err != nil {
		return fmt.Errorf("--cursor: %w", err)
	}
	defer from.Close()
	n, err := io.Copy(to, from)
	if err == nil && n != size {
		return usagef("--cursor: %s is not what it goes on with: it has %d bytes, not %d", partOf(name), n, size)
	}
	return err
}

func (f *exportFile) Write(b []byte) (int, error) {
	if f.zip != nil {
		return f.zip.Write(b)
	}
	return f.buf.Write(b)
}

// close brings all that was written to where it belongs.
func (f *exportFile) close() error {
	if f.zip != nil {
		if err := f.zip.Close(); err != nil {
			return err
		}
	}
	if err := f.buf.Flush(); err != nil || f.file == nil {
		return err
	}
	return f.file.Close()
}

// finish gives a closed file its name.
func (f *exportFile) finish() error {
	if f.file == nil {
		return nil
	}
	if err := os.Rename(f.file.Name(), f.name); err != nil {
		return err
	}
	f.over = true
	if err := os.Remove(partOf(f.name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// keep leaves a closed file as a part, and returns its size.
func (f *exportFile) keep() (int64, error) {
	if f.file == nil {
		return 0, nil
	}
	info, err := os.Stat(f.file.Name())
	if err != nil {
		return 0, err
	}
	if err := os.Rename(f.file.Name(), partOf(f.name)); err != nil {
		return 0, err
	}
	f.over = true
	return info.Size(), nil
}

// discard removes a file that has got no name.
func (f *exportFile) discard() {
	if f.file != nil && !f.over {
		f.file.Close()
		os.Remove(f.file.Name())
	}
}
