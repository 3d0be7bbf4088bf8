package httpapi_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
)

// counted is that many bytes of which any two neighbours of four tell their place.
func counted(from, n int) []byte {
	var b []byte
	for i := from / 4; len(b) < n+4; i++ {
		b = binary.BigEndian.AppendUint32(b, uint32(i))
	}
	return b[from%4 : from%4+n]
}

// TestSpoolIsAQueue writes and reads in any order and pieces, with rooms so small that
// the file is gone around many times.
func TestSpoolIsAQueue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		o := httpapi.SpoolOptions{Memory: rapid.IntRange(1, 40).Draw(t, "memory"), File: rapid.Int64Range(1, 100).Draw(t, "file"), Dir: dir}
		s := httpapi.NewSpool(o)
		defer s.Drop()
		written, read := 0, 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if n := rapid.IntRange(0, 90).Draw(t, "write"); n > 0 {
				if _, err := s.Write(counted(written, n)); err != nil {
					t.Fatal(err)
				}
				written += n
				if memory, file := s.Resting(); memory > o.Memory && file < o.File {
					t.Fatalf("%d bytes are in memory although there are only %d in the file", memory, file)
				}
			}
			for range rapid.IntRange(0, 3).Draw(t, "reads") {
				if read == written {
					break
				}
				p := make([]byte, rapid.IntRange(1, 70).Draw(t, "read"))
				n, err := s.Read(p)
				if err != nil || !bytes.Equal(p[:n], counted(read, n)) {
					t.Fatalf("at %d: got %x, %v", read, p[:n], err)
				}
				read += n
			}
			if s.Empty() != (read == written) {
				t.Fatalf("read %d of %d: got empty %v", read, written, s.Empty())
			}
		}
		s.Close()
		rest, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(rest, counted(read, written-read)) {
			t.Fatalf("got %d bytes at the end, %v, want %d", len(rest), err, written-read)
		}
	})
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestSpoolKeepsToItsBounds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const memory, file = 1000, 5000
	s := httpapi.NewSpool(httpapi.SpoolOptions{Memory: memory, File: file, Dir: dir})
	defer s.Drop()
	written := 0
	for ; !s.Full(); written += 100 {
		if _, err := s.Write(counted(written, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if written < memory+file || written > memory+file+100 {
		t.Errorf("full at %d bytes, want %d", written, memory+file)
	}
	// What was done already is taken all the same.
	if _, err := s.Write(counted(written, 700)); err != nil {
		t.Fatal(err)
	}
	written += 700
	if s.WaitRoom(t.Context(), time.Millisecond) {
		t.Error("got room although nobody reads")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("the file can be seen: %v, %v", left, err)
	}
	waited := make(chan bool)
	go func() { waited <- s.WaitRoom(t.Context(), time.Minute) }()
	got := make([]byte, 1500)
	if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, counted(0, 1500)) {
		t.Errorf("got %v", err)
	}
	if !<-waited {
		t.Error("got no room although there is some")
	}
	s.Close()
	if _, err := s.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("after Close: got %v", err)
	}
	rest, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(rest, counted(1500, written-1500)) {
		t.Errorf("got %d bytes, %v", len(rest), err)
	}
}

// TestSpoolWithoutADisk: then the bound is memory alone, and nothing is lost.
func TestSpoolWithoutADisk(t *testing.T) {
	t.Parallel()
	s := httpapi.NewSpool(httpapi.SpoolOptions{Memory: 100, Dir: filepath.Join(t.TempDir(), "nowhere")})
	defer s.Drop()
	if _, err := s.Write(counted(0, 99)); err != nil || s.Full() {
		t.Errorf("got %v, full %v", err, s.Full())
	}
	if _, err := s.Write(counted(99, 500)); err != nil || !s.Full() {
		t.Errorf("got %v, full %v", err, s.Full())
	}
	s.Close()
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, counted(0, 599)) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestSpoolWakes(t *testing.T) {
	t.Parallel()
	for name, wake := range map[string]struct {
		call func(*httpapi.Spool)
		want error
	}{"close": {(*httpapi.Spool).Close, nil}, "drop": {(*httpapi.Spool).Drop, io.ErrClosedPipe}} {
		s := httpapi.NewSpool(httpapi.SpoolOptions{Memory: 10, File: -1})
		defer s.Drop()
		read := make(chan error)
		got := &strings.Builder{}
		begun := make(chan struct{})
		go func() {
			close(begun)
			_, err := io.Copy(got, s)
			read <- err
		}()
		<-begun
		if _, err := s.Write([]byte("one")); err != nil {
			t.Fatal(err)
		}
		wake.call(s)
		if err := <-read; !errors.Is(err, wake.want) {
			t.Errorf("%s: got %v, want %v", name, err, wake.want)
		}
		if name == "close" && got.String() != "one" {
			t.Errorf("got %q", got)
		}
		full := httpapi.NewSpool(httpapi.SpoolOptions{Memory: 1, File: -1})
		if _, err := full.Write([]byte("full")); err != nil || !full.Full() {
			t.Fatal(err)
		}
		room := make(chan bool)
		go func() { room <- full.WaitRoom(t.Context(), time.Minute) }()
		full.Drop()
		<-room // and not in a minute
		if _, err := full.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("after Drop: got %v", err)
		}
	}
}
